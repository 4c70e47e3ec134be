"""Ranking metrics as vectorised functions of (ranked lists, truth, k); definitions are fixed in docs/definitions.md.

Ranked lists are item indices `[n, >= k]` int64, best first, -1 where a list ends early. Metrics of one person come back
as `[n]` float64, so that two models can be compared person by person; a person without truth has no value (NaN).
Lists shorter than `k` are not excused: missing places count as misses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from avrec.evaluation.truth import Truth
from avrec.matching.data import Floats, Longs, Mask

Reals = npt.NDArray[np.float64]


def relevance(ranked: Longs, truth: Truth) -> Mask:
    """Which places of the lists are hits, `[n, width]` bool.

    Raises:
        ValueError: lists and truth have different numbers of rows, or a list names an item twice.
    """
    if len(ranked) != len(truth):
        raise ValueError(f"ranked: expected a list for each of {len(truth)} rows of truth, got {ranked.shape}.")
    _check_unique(ranked)
    stride = int(max(ranked.max(initial=0), truth.items.max(initial=0))) + 1
    keys = np.arange(len(ranked))[:, None] * stride + ranked
    wanted = truth.rows * stride + truth.items  # ascending, as rows and items within them are
    if not len(wanted):
        return np.zeros(ranked.shape, np.bool_)
    place = np.minimum(np.searchsorted(wanted, keys), len(wanted) - 1)
    hits: Mask = (wanted[place] == keys) & (ranked >= 0)
    return hits


def _check_unique(ranked: Longs) -> None:
    ordered = np.sort(ranked, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    if twice.any():
        raise ValueError(f"ranked: row {int(twice.any(axis=1).argmax())} lists an item twice.")


# One person's list ----------------------------------------------------------------------------------------------


def recall(ranked: Longs, truth: Truth, k: int) -> Reals:
    """Hits over the size of the truth: `|hits in k| / |truth|`."""
    return _recall(relevance(ranked[:, :k], truth), truth.sizes, k)


def precision(ranked: Longs, truth: Truth, k: int) -> Reals:
    """Hits over `k`, also where a list is shorter."""
    return _precision(relevance(ranked[:, :k], truth), truth.sizes, k)


def f1(ranked: Longs, truth: Truth, k: int) -> Reals:
    """Harmonic mean of this person's precision and recall; 0 where both are."""
    return _f1(relevance(ranked[:, :k], truth), truth.sizes, k)


def ndcg(ranked: Longs, truth: Truth, k: int) -> Reals:
    """Discounted cumulative gain over that of the ideal list cut at `k` (Järvelin and Kekäläinen, 2002).

    Gains are binary, discounts `1 / log2(rank + 1)`; the ideal list holds `min(k, |truth|)` hits.
    """
    return _ndcg(relevance(ranked[:, :k], truth), truth.sizes, k)


def average_precision(ranked: Longs, truth: Truth, k: int) -> Reals:
    """Sum of the precision at each hit over `min(k, |truth|)`; its mean over people is MAP@k."""
    return _average_precision(relevance(ranked[:, :k], truth), truth.sizes, k)


def reciprocal_rank(ranked: Longs, truth: Truth, k: int) -> Reals:
    """One over the rank of the first hit, 0 without one; its mean over people is MRR@k."""
    return _reciprocal_rank(relevance(ranked[:, :k], truth), truth.sizes, k)


def hit_rate(ranked: Longs, truth: Truth, k: int) -> Reals:
    """1 where at least one of `k` is a hit, else 0."""
    return _hit_rate(relevance(ranked[:, :k], truth), truth.sizes, k)


def _recall(hits: Mask, sizes: Longs, k: int) -> Reals:
    return _over(hits.sum(axis=1), sizes)


def _precision(hits: Mask, sizes: Longs, k: int) -> Reals:
    return _known(hits.sum(axis=1) / k, sizes)


def _f1(hits: Mask, sizes: Longs, k: int) -> Reals:
    # 2PR / (P + R) with P = h/k and R = h/|truth| is 2h / (k + |truth|).
    return _known(2 * hits.sum(axis=1) / (k + sizes), sizes)


def _ndcg(hits: Mask, sizes: Longs, k: int) -> Reals:
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])[np.minimum(sizes, k)]
    return _over((hits * discounts[: hits.shape[1]]).sum(axis=1), ideal)


def _average_precision(hits: Mask, sizes: Longs, k: int) -> Reals:
    at_each = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return _over((at_each * hits).sum(axis=1), np.minimum(sizes, k))


def _reciprocal_rank(hits: Mask, sizes: Longs, k: int) -> Reals:
    return _known(np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1), 0.0), sizes)


def _hit_rate(hits: Mask, sizes: Longs, k: int) -> Reals:
    return _known(hits.any(axis=1).astype(np.float64), sizes)


def _over(values: Reals | Longs, denominators: Reals | Longs) -> Reals:
    undefined = np.full(len(values), np.nan)
    return np.divide(values, denominators, out=undefined, where=denominators > 0)


def _known(values: Reals, sizes: Longs) -> Reals:
    return np.where(sizes > 0, values, np.nan)


RANKING: dict[str, Callable[[Mask, Longs, int], Reals]] = {
    "recall": _recall,
    "precision": _precision,
    "f1": _f1,
    "ndcg": _ndcg,
    "map": _average_precision,
    "mrr": _reciprocal_rank,
    "hit_rate": _hit_rate,
}
"""Metrics of one person by the name they have in reports; `map` and `mrr` are the means of theirs."""


def per_user(ranked: Longs, truth: Truth, ks: Sequence[int], names: Sequence[str] = tuple(RANKING)) -> dict[str, Reals]:
    """Several metrics at several cut-offs: `{"recall@10": [n], ...}`; hits are found once."""
    hits, sizes = relevance(ranked[:, : max(ks)], truth), truth.sizes
    return {f"{name}@{k}": RANKING[name](hits[:, :k], sizes, k) for name in names for k in ks}


# All lists together ---------------------------------------------------------------------------------------------


def coverage(ranked: Longs, k: int, n_items: int) -> float:
    """Share of `n_items` that is in at least one list."""
    return float((exposure(ranked, k, n_items) > 0).mean())


def gini(ranked: Longs, k: int, n_items: int) -> float:
    """Gini index of how often each of `n_items` is listed: 0 all equally, near 1 a few get everything."""
    counts = np.sort(exposure(ranked, k, n_items)).astype(np.float64)
    if not counts.sum():
        return float("nan")
    places = np.arange(1, n_items + 1)
    return float(((2 * places - n_items - 1) * counts).sum() / (n_items * counts.sum()))


def exposure(ranked: Longs, k: int, n_items: int) -> Longs:
    """How many lists hold each item, `[n_items]` int64."""
    listed = ranked[:, :k]
    return np.bincount(listed[listed >= 0], minlength=n_items).astype(np.int64)


def novelty(ranked: Longs, k: int, information: Reals) -> Reals:
    """Mean self-information of what is listed, bits, `[n]`; NaN for an empty list (Zhou et al., 2010)."""
    listed = ranked[:, :k]
    bits = np.where(listed >= 0, information[listed], 0.0)
    return _over(bits.sum(axis=1), (listed >= 0).sum(axis=1))


def self_information(users_per_item: Longs, n_users: int) -> Reals:
    """`-log2` of the share of training users who liked each item, `[n_items]`; one is added to both counts,
    so that an item nobody has met is finite and the most novel."""
    bits: Reals = -np.log2((users_per_item + 1) / (n_users + 1))
    return bits


def intra_list_diversity(ranked: Longs, k: int, vectors: Floats) -> Reals:
    """1 less the mean cosine over pairs of listed items, `[n]` (Ziegler et al., 2005).

    Args:
        ranked: Lists `[n, >= k]`.
        k: Cut-off.
        vectors: `[n_items, dim]` of unit length; zero rows (no modality present) are left out of the pairs.

    Returns:
        NaN where fewer than two listed items have a vector.
    """
    result = np.full(len(ranked), np.nan)
    known = np.abs(vectors).sum(axis=1) > 0
    for start in range(0, len(ranked), 1024):  # bounds the gathered [1024, k, dim]
        part = ranked[start : start + 1024, :k]
        listed = (part >= 0) & known[part]
        total = np.where(listed[:, :, None], vectors[part], 0.0).sum(axis=1, dtype=np.float64)
        m = listed.sum(axis=1)
        # |sum of m unit vectors|² holds each pair twice and m ones.
        mean_cosine = _over((total**2).sum(axis=1) - m, m * (m - 1))
        result[start : start + 1024] = 1 - mean_cosine
    return result


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """Cosine of the angle between two vectors; 0 where one has no length."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    norm = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / norm if norm else 0.0
