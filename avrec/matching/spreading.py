"""Spread: a list of near copies of one good item serves nobody.

Three ways to trade score for being unlike what is already listed, all greedy over the content of the items:

- `mmr`: maximal marginal relevance (Carbonell and Goldstein, "The use of MMR", SIGIR 1998): the score less the
  likeness to the nearest item listed.
- `dpp`: the most probable list of a determinantal point process (Chen, Zhang and Zhou, "Fast greedy MAP inference for
  determinantal point process to improve recommendation diversity", NeurIPS 2018): the volume that the items span,
  so that an item which several listed ones make up together counts as known too.
- `sum`: max-sum diversification (Gollapudi and Sharma, "An axiomatic approach for result diversification", WWW 2009):
  the score and the mean distance to what is listed, which is what intra-list diversity measures.

For `mmr` and `sum` an item is worth what its place in the order of the scores is worth in NDCG. That is the same for
every model, whatever its scores mean, and keeps the first few places, of which most of the quality is made: the end of
a list is given up first. `dpp`, which adds worth to a logarithm, takes the scores themselves, moved to 0..1: with
places its lists were worse. What was picked is listed in the order of the scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from avrec.matching.base import top_k
from avrec.matching.data import Catalog, Floats, Ints, Longs, Mask

CANDIDATES, ENOUGH, FEWEST = 10, 200, 4
"""A list is chosen from so many times its length, but of long lists from no more than `ENOUGH` items, or `FEWEST` times
the length: each is compared with each."""

MMR, DPP, SUM = "mmr", "dpp", "sum"
METHODS = (MMR, DPP, SUM)

TINY = 1e-6
"""Volume below which an item adds nothing to a list."""


@dataclass(frozen=True)
class ListRules:
    """How lists are made of scores.

    Attributes:
        diversity: 0 is the order of the scores, 1 looks at likeness alone.
        spread: `mmr`, `dpp` or `sum`.
        max_per_category: Items of one category in a list, at most; beyond that only where nothing else is left. None:
            as many as there are. Items without a category are not limited.
    """

    diversity: float = 0.0
    spread: str = MMR
    max_per_category: int | None = None

    @property
    def plain(self) -> bool:
        """The order of the scores is the list."""
        return self.diversity == 0 and self.max_per_category is None


class Likeness:
    """How alike items are: cosine of the vectors of all modalities side by side.

    Each modality is centred on the catalogue and has unit length, since pooled outputs of networks share a large part.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._features = [f for _, f in sorted(catalog.features.items()) if f.present.any()]

    @cached_property
    def _centres(self) -> list[Floats]:
        return [f.vectors.mean(axis=0, where=f.present[:, None], dtype=np.float64).astype(np.float32)
                for f in self._features]  # fmt: skip

    def among(self, items: Longs) -> Floats:
        """Cosines `[m, m]` float32 of some items; items of which nothing is known are like themselves only."""
        blocks = [
            _unit(np.where(f.present[items, None], f.vectors[items] - centre, 0.0))
            for f, centre in zip(self._features, self._centres, strict=True)
        ]
        if not blocks:
            return np.eye(len(items), dtype=np.float32)
        joined = _unit(np.concatenate(blocks, axis=1))
        alike: Floats = (joined @ joined.T).astype(np.float32)
        np.fill_diagonal(alike, 1.0)
        return alike


def pool(k: int) -> int:
    """How many items a list of `k` is chosen from."""
    return min(CANDIDATES * k, max(ENOUGH, FEWEST * k))


def arrange(scores: Floats, k: int, rules: ListRules, likeness: Likeness, category: Ints) -> tuple[Longs, Floats]:
    """Lists from scores of all items.

    Args:
        scores: `[n, n_items]` float32; `-inf` for what may not be listed.
        k: Length of the lists.
        rules: How they are made.
        likeness: Of the catalogue.
        category: Of each item `[n_items]`; -1 where unknown.

    Returns:
        Items `[n, k]` int64, -1 where there are no more, and their own scores, best first; what is beyond a limit for
        want of others comes last.
    """
    if rules.plain:
        return top_k(scores, k)
    wide = k if rules.diversity == 0 else pool(k)
    cap = rules.max_per_category
    # Each category keeps as many candidates a place as the whole, so that the picked ones can fill the list.
    items, values = top_k(scores, wide) if cap is None else _limited(scores, wide, category, cap * (wide // k))
    return (items, values) if rules.diversity == 0 else spread(items, values, likeness, k, rules, category)


def spread(items: Longs, scores: Floats, likeness: Likeness, k: int, rules: ListRules,
           category: Ints | None = None) -> tuple[Longs, Floats]:  # fmt: skip
    """Picks `k` of the candidates of each row.

    Args:
        items: Candidates `[n, m]` int64, best first; -1 pads. Lists keep their order.
        scores: `[n, m]` float32.
        likeness: Of the catalogue.
        k: Length of the lists.
        rules: Diversity, way and limit.
        category: Of each item `[n_items]`; None: no limit.
    """
    picked = np.full((len(items), k), -1, np.int64)
    values = np.full((len(items), k), -np.inf, np.float32)
    for row in range(len(items)):
        real = items[row] >= 0
        candidates = items[row][real]
        if not len(candidates):
            continue
        limit = None if category is None or rules.max_per_category is None else category[candidates]
        own = (_unit_range if rules.spread == DPP else worth)(scores[row][real])
        chosen = sorted(_pick(own, likeness.among(candidates), k, rules, limit))
        picked[row, : len(chosen)] = candidates[chosen]
        values[row, : len(chosen)] = scores[row][real][chosen]
    return picked, values


def _pick(relevance: Floats, alike: Floats, k: int, rules: ListRules, category: Ints | None) -> list[int]:
    value = _VALUES[rules.spread](relevance, alike, rules.diversity)
    free = np.ones(len(relevance), bool)
    chosen: list[int] = []
    while len(chosen) < k and free.any():
        open_ = free & _within(category, chosen, rules.max_per_category)
        best = int(np.argmax(np.where(open_ if open_.any() else free, value.now(), -np.inf)))
        chosen.append(best)
        free[best] = False
        value.take(best)
    return chosen


class _Margin:
    """Value of each candidate under maximal marginal relevance."""

    def __init__(self, relevance: Floats, alike: Floats, diversity: float) -> None:
        self._own, self._alike, self._diversity = (1 - diversity) * relevance, alike, diversity
        self._nearest = np.zeros_like(relevance)

    def now(self) -> Floats:
        return self._own - self._diversity * self._nearest

    def take(self, best: int) -> None:
        self._nearest = np.maximum(self._nearest, self._alike[best])


class _Volume:
    """Value of each candidate under a determinantal point process: what it adds to the log of the volume."""

    def __init__(self, relevance: Floats, alike: Floats, diversity: float) -> None:
        # Chen et al., section 4: their theta, the weight of relevance, is 1 - diversity.
        self._own = relevance * np.float32((1 - diversity) / diversity)
        self._alike, self._left = alike, np.ones(len(relevance), np.float32)
        self._rows: list[Floats] = []

    def now(self) -> Floats:
        found: Floats = self._own + np.log(np.maximum(self._left, TINY))
        return found

    def take(self, best: int) -> None:
        known = sum((row * row[best] for row in self._rows), np.zeros_like(self._left))
        row = (self._alike[best] - known) / np.sqrt(np.maximum(self._left[best], TINY))
        self._rows.append(row)
        self._left = self._left - row * row


class _Distance:
    """Value of each candidate under max-sum diversification: its worth, less its mean likeness to what is listed."""

    def __init__(self, relevance: Floats, alike: Floats, diversity: float) -> None:
        self._own, self._alike, self._diversity = (1 - diversity) * relevance, alike, diversity
        self._total, self._listed = np.zeros_like(relevance), 0

    def now(self) -> Floats:
        return self._own - self._diversity * self._total / max(self._listed, 1)

    def take(self, best: int) -> None:
        self._total = self._total + self._alike[best]
        self._listed += 1


_VALUES: dict[str, type[_Margin] | type[_Volume] | type[_Distance]] = {MMR: _Margin, DPP: _Volume, SUM: _Distance}


def _within(category: Ints | None, chosen: list[int], cap: int | None) -> Mask:
    """Candidates whose category has room, `[m]` bool, or `[1]` where there is no limit."""
    if category is None or cap is None:
        return np.ones(1, bool)
    taken = category[chosen]
    full = [code for code in np.unique(taken[taken >= 0]).tolist() if (taken == code).sum() >= cap]
    return ~np.isin(category, full)


def _limited(scores: Floats, k: int, category: Ints, cap: int) -> tuple[Longs, Floats]:
    """As `top_k`, with at most `cap` of a category as long as others are left."""
    items, _ = top_k(scores, min(FEWEST * k, scores.shape[1]))
    found = np.full((len(scores), k), -1, np.int64)
    best = np.full((len(scores), k), -np.inf, np.float32)
    for row in range(len(scores)):
        kept = items[row][_first(category[items[row]], cap) & (items[row] >= 0)][:k]
        if len(kept) < k:
            order = np.argsort(-scores[row], kind="stable")
            order = order[scores[row, order] > -np.inf]
            first = _first(category[order], cap)
            kept = np.concatenate([order[first], order[~first]])[:k]
        found[row, : len(kept)], best[row, : len(kept)] = kept, scores[row, kept]
    return found, best


def _first(category: Ints, cap: int) -> Mask:
    """Whether each is among the first `cap` of its category; always where that is unknown."""
    order = np.argsort(category, kind="stable")
    ordered = category[order]
    starts = np.searchsorted(ordered, ordered)
    place = np.empty(len(category), np.int64)
    place[order] = np.arange(len(category)) - starts
    return (place < cap) | (category < 0)


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: Floats = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return units


def _unit_range(scores: Floats) -> Floats:
    """Scores moved to 0..1 within the row, so that `diversity` means the same for every model."""
    low, high = scores.min(), scores.max()
    if high == low:
        return np.ones_like(scores)
    return np.asarray((scores - low) / (high - low), dtype=np.float32)


def worth(scores: Floats) -> Floats:
    """What each place in the order of `scores` `[m]` is worth in NDCG: 1 for the best, .63 for the next."""
    place = np.empty(len(scores), np.int64)
    place[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    return np.asarray(1 / np.log2(place + 2), np.float32)
