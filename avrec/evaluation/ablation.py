"""What each modality is worth to a fitted model: alone, left out, and with all contents shuffled among the items.

Nothing is fitted again: an ablated model is the one that was trained, in a catalogue whose items lack a modality. What
learns from features is trained with modalities missing (modality dropout), so that this is no stranger to it.
The shuffled twin was trained apart, on shuffled content; its figures are those of the report.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from avrec.evaluation.evaluate import Result, evaluate_matcher
from avrec.evaluation.protocol import HYBRID, TWIN, Evaluated
from avrec.evaluation.report import COMPARED_SLICES, rounded
from avrec.features.base import Features
from avrec.matching.data import Catalog
from avrec.matching.registry import load_matcher

ABLATED = ("content", HYBRID)
"""The matcher that knows content alone, and the one that is deployed."""
EVERYTHING, SHUFFLED = "everything", "shuffled"

Table = dict[str, dict[str, dict[str, dict[str, float]]]]


def hidden(catalog: Catalog, kept: Collection[str]) -> Catalog:
    """The catalogue with every modality but `kept` marked as missing of every item."""
    return catalog.with_features({
        name: features if name in kept else _missing(features) for name, features in catalog.features.items()
    })  # fmt: skip


def _missing(features: Features) -> Features:
    return replace(features, vectors=np.zeros_like(features.vectors), present=np.zeros_like(features.present))


def views(modalities: Collection[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Name of each view and the modalities it keeps; with one modality there is nothing to leave out."""
    names = sorted(modalities)
    if len(names) > 1:
        yield from ((f"{name}_alone", frozenset({name})) for name in names)
        yield from ((f"without_{name}", frozenset(names) - {name}) for name in names)
    yield "nothing", frozenset()


def ablation(evaluated: Evaluated, folders: Mapping[str, Path]) -> Table:
    """`{MATCHER: {VIEW: {SLICE: {METRIC: value}}}}` of the matchers saved in `folders`: primary metric and recall.

    Views are `everything`, `shuffled` (the twin), and those of `views`.
    """
    return {name: _views(name, folder, evaluated) for name, folder in folders.items() if name in evaluated.results}


def _views(name: str, folder: Path, evaluated: Evaluated) -> dict[str, dict[str, dict[str, float]]]:
    on, k = evaluated.on, evaluated.params.primary_k
    found = {EVERYTHING: _figures(evaluated.results[name], evaluated)}
    if name + TWIN in evaluated.results:
        found[SHUFFLED] = _figures(evaluated.results[name + TWIN], evaluated)
    parts = [part for part in on.slices if part.name in COMPARED_SLICES]
    for view, kept in views(on.catalog.features):
        matcher = load_matcher(folder, hidden(on.catalog, kept))
        found[view] = _figures(evaluate_matcher(matcher, on.histories, parts, [k], on.yardstick, k), evaluated)
    return found


def _figures(result: Result, evaluated: Evaluated) -> dict[str, dict[str, float]]:
    metrics = (evaluated.primary, f"recall@{evaluated.params.primary_k}")
    return {
        part: rounded({metric: result[part].values[metric] for metric in metrics})
        for part in COMPARED_SLICES
        if part in result
    }
