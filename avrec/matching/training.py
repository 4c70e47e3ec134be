"""What the stages train, rank and refit do: fit matchers, their twins, and the blend, and save them.

The validation users are halved by chance: matchers choose their settings and stop early on one half, the hybrid learns
its blend on the other. The figures in the reports are over the second half, which no single matcher has seen; those of
the hybrid are cross-fitted within it.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from avrec.matching.base import Matcher, read_settings, twin_catalog
from avrec.matching.data import Catalog, Interactions
from avrec.matching.hybrid import TWIN, Hybrid
from avrec.matching.loading import Split, validation_halves
from avrec.matching.registry import SINGLE, build, is_disabled, load_matcher
from avrec.matching.reranking import Ranker
from avrec.matching.selection import validation_quality
from avrec.params import MatchingParams

TwinReport = dict[str, Any]


def train_matcher(name: str, params: MatchingParams, catalog: Catalog, split: Split, folder: Path) -> TwinReport:
    """Fits a matcher, and its twin where features matter, and saves them in `folder` and `folder/twin`.

    Returns:
        `{"settings", "epochs", "val"}`, and for a twin the same under `"twin"`; JSON values.
    """
    matcher, report = _fit(name, params, catalog, split, None)
    matcher.save(folder)
    if matcher.uses_features and catalog.features:
        twin, report[TWIN] = _fit(name, params, catalog, split, params.seed)
        twin.save(folder / TWIN)
    return report


def _fit(
    name: str, params: MatchingParams, catalog: Catalog, split: Split, twin_seed: int | None
) -> tuple[Matcher, TwinReport]:
    choose, judge = validation_halves(split.val, params.seed)
    matcher = build(name, params)
    matcher.twin_seed = twin_seed
    report = matcher.fit(twin_catalog(catalog, twin_seed), split.train, choose)
    return matcher, {**asdict(report), "val": validation_quality(matcher, split.train, judge)}


def train_hybrid(params: MatchingParams, catalog: Catalog, split: Split, models: Path, folder: Path) -> TwinReport:
    """Learns the blend of the matchers saved below `models`, and that of their twins, and saves both.

    Returns:
        `{"settings", "epochs", "val"}`, and the same of the twin under `"twin"` where there is one; JSON values.
    """
    enabled = [name for name in SINGLE if not is_disabled(models / name)]
    folders = {name: models / name for name in enabled}
    hybrid, report = _blend(params, catalog, split, folders)
    hybrid.save(folder)
    twins = {name: path / TWIN if (path / TWIN).is_dir() else path for name, path in folders.items()}
    if twins != folders:
        twin, report[TWIN] = _blend(params, catalog, split, twins)
        twin.save(folder / TWIN)
    return report


def _blend(
    params: MatchingParams, catalog: Catalog, split: Split, folders: dict[str, Path]
) -> tuple[Hybrid, TwinReport]:
    _, learn = validation_halves(split.val, params.seed)
    members = {name: load_matcher(path, catalog) for name, path in folders.items()}
    hybrid = Hybrid(params.rank, members, params.seed)
    report = hybrid.fit(catalog, split.train, learn)
    return hybrid, {**asdict(report), "val": hybrid.cross_fitted(split.train, learn)}


def saved_ranker(folder: Path) -> Ranker | None:
    """The boosted trees of the hybrid saved in `folder`; None where it has none."""
    said = read_settings(folder)["settings"].get("ranker")
    if not said:
        return None
    with np.load(folder / "state.npz", allow_pickle=False) as arrays:
        return Ranker.restored(dict(arrays), said)


def refit(
    params: MatchingParams, catalog: Catalog, interactions: Interactions, reports: dict[str, TwinReport],
    ranker: Ranker | None = None,
) -> dict[str, Matcher]:  # fmt: skip
    """Fits every matcher on all interactions, with the settings that were evaluated.

    Args:
        params: Section `matching`.
        catalog: All items.
        interactions: All of them, what was held out included.
        reports: What training said of each matcher, the hybrid included; those switched off are left out.
        ranker: Of `saved_ranker`, where the hybrid was evaluated with one.
    """
    frozen = {name: report["settings"] for name, report in reports.items() if not report.get("disabled")}
    blend = frozen.pop(Hybrid.name)
    matchers = {name: build(name, params, settings) for name, settings in sorted(frozen.items())}
    for matcher in matchers.values():
        matcher.fit(catalog, interactions)
    hybrid = Hybrid(params.rank, matchers, params.seed, frozen=blend, ranker=ranker)
    hybrid.fit(catalog, interactions)
    return {**matchers, Hybrid.name: hybrid}
