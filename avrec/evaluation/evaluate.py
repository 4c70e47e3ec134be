"""Full-ranking evaluation of one matcher: every item competes, seen items are masked, scores exist only in blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avrec.evaluation.metrics import (
    Reals,
    coverage,
    gini,
    intra_list_diversity,
    novelty,
    per_user,
    self_information,
)
from avrec.evaluation.slices import Slice
from avrec.evaluation.truth import select
from avrec.matching.base import Matcher
from avrec.matching.data import Catalog, Floats, Histories, Interactions, Longs

BEYOND_ACCURACY = ("coverage", "novelty", "gini", "ild")


@dataclass(frozen=True)
class Yardstick:
    """What lists are measured with besides truth.

    Attributes:
        information: Self-information of each item, bits, `[n_items]` float64.
        vectors: Fused item vectors `[n_items, dim]` of unit length, zero where no modality is present.
    """

    information: Reals
    vectors: Floats

    @classmethod
    def of(cls, catalog: Catalog, train: Interactions) -> Yardstick:
        """From what people liked in training and what the items contain."""
        pairs = np.unique(np.stack([train.positives().item, train.positives().user]).astype(np.int64), axis=1)
        popularity = np.bincount(pairs[0], minlength=len(catalog)).astype(np.int64)
        return cls(self_information(popularity, len(np.unique(pairs[1]))), fused_vectors(catalog))


def fused_vectors(catalog: Catalog) -> Floats:
    """One vector an item of all modalities, `[n_items, sum of dims]` float32.

    Each modality is centred and brought to unit length, put beside the others, and the whole brought to unit length:
    each modality that is present weighs the same. Centring because pooled network outputs share a large common part,
    which would make every two items look alike.
    """
    blocks = []
    for modality in sorted(catalog.features):
        features = catalog.features[modality]
        if features.present.any():
            mean = features.vectors[features.present].mean(axis=0, dtype=np.float64)
            centred = np.where(features.present[:, None], features.vectors - mean, 0.0)
            blocks.append(_unit(centred))
    joined = np.concatenate(blocks, axis=1) if blocks else np.zeros((len(catalog), 1))
    return _unit(joined).astype(np.float32)


def _unit(vectors: Reals) -> Reals:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors, dtype=np.float64), where=norms > 0)


@dataclass(frozen=True)
class SliceResult:
    """One matcher on one slice.

    Attributes:
        rows: Rows of the histories, `[m]`.
        people: `{"ndcg@10": [m] float64, ...}`.
        values: Means of `people` and the metrics of all lists together, by name.
    """

    rows: Longs
    people: dict[str, Reals]
    values: dict[str, float]


Result = dict[str, SliceResult]
"""One matcher on every slice, by name."""


def evaluate_matcher(matcher: Matcher, histories: Histories, slices: Sequence[Slice], ks: Sequence[int],
                     yardstick: Yardstick, primary_k: int | None = None) -> Result:  # fmt: skip
    """Measures `matcher` on every slice.

    Args:
        matcher: Fitted on training data only.
        histories: What is known of the people at the time of the lists; all they have seen is masked.
        slices: Of `build_slices`; their rows are rows of `histories`.
        ks: Cut-offs.
        yardstick: What novelty and diversity are measured with.
        primary_k: The cut-off of slices without detail; the largest of `ks` by default.
    """
    lists = _lists(matcher, histories, slices, max(ks))
    return {
        part.name: _measure(lists[part.name], part, ks if part.detail else [primary_k or max(ks)], yardstick)
        for part in slices
    }


def _lists(matcher: Matcher, histories: Histories, slices: Sequence[Slice], k: int) -> dict[str, Longs]:
    """Lists of every slice. Slices ranked against all items share one scoring."""
    shared = [part.rows for part in slices if part.allowed is None]
    rows = np.unique(np.concatenate(shared)) if shared else np.zeros(0, np.int64)
    ranked, _ = matcher.recommend(select(histories, rows), k)
    lists = {}
    for part in slices:
        if part.allowed is None:
            lists[part.name] = ranked[np.searchsorted(rows, part.rows)]
        else:
            lists[part.name], _ = matcher.recommend(select(histories, part.rows), k, part.allowed)
    return lists


def _measure(ranked: Longs, part: Slice, ks: Sequence[int], yardstick: Yardstick) -> SliceResult:
    people = per_user(ranked, part.truth, ks)
    values = {name: float(v.mean()) for name, v in people.items()}
    n_items = len(yardstick.information)
    # Where only some items may be listed, the others cannot be covered or exposed.
    candidates = np.arange(n_items) if part.allowed is None else np.flatnonzero(part.allowed)
    place = np.full(n_items + 1, -1, np.int64)  # the last one is for the -1 that ends short lists
    place[candidates] = np.arange(len(candidates))
    for k in ks:
        values[f"coverage@{k}"] = coverage(place[ranked], k, len(candidates))
        values[f"gini@{k}"] = gini(place[ranked], k, len(candidates))
        values[f"novelty@{k}"] = _mean(novelty(ranked, k, yardstick.information))
        values[f"ild@{k}"] = _mean(intra_list_diversity(ranked, k, yardstick.vectors))
    return SliceResult(part.rows, people, values)


def _mean(values: Reals) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
