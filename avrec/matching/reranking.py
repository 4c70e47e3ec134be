"""The learned ranker of the hybrid: boosted trees over what is known of the best known items of the blend.

The blend proposes, the trees see what a sum cannot: that a matcher is worth more for people with many likes, or that
two of them together say more than each. They are grown on validation people, and how much they count is learned from
people they were not grown on; where they say nothing, the blend is left as it is.

A matcher's score may only raise the sum of the trees, so that a reason stays one: whoever loses the cause of a score
cannot gain by it. Items nobody met are not touched; their place is decided apart (`avrec.matching.exposure`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from avrec.matching.base import BLOCK, top_k
from avrec.matching.blending import Choices, Doubles, collect, fit_blend
from avrec.matching.boosting import Trees
from avrec.matching.data import Arrays, Floats, Histories, Longs
from avrec.matching.loading import EvaluationSet

if TYPE_CHECKING:
    from avrec.matching.hybrid import Hybrid

FEWEST = 40
"""Validation people with something to find; trees grown on fewer would learn them by heart."""

TRAITS = ("likes", "mainstream")
"""What is known of a person: log of the number of likes, and how liked by others what they like is on average."""


@dataclass(frozen=True)
class Ranker:
    """Score of a known item = `blend` x weighted sum + `boost` x (trees - their floor), the latter for candidates.

    Attributes:
        trees: Over the columns of the hybrid, the weighted sum, and `TRAITS`.
        blend, boost: Not negative.
        candidates: Best known items of the weighted sum that the trees look at.
    """

    trees: Trees
    blend: float
    boost: float
    candidates: int

    def settings(self) -> dict[str, Any]:
        return {"blend": self.blend, "boost": self.boost, "candidates": self.candidates}

    def state(self) -> Arrays:
        return self.trees.state()

    @classmethod
    def restored(cls, state: Arrays, settings: dict[str, Any]) -> Ranker:
        return cls(Trees.restored(state), **settings)

    def apply(self, hybrid: Hybrid, histories: Histories, values: list[Floats], total: Floats) -> Floats:
        """Scores `[n, n_items]` of a block, from its columns and the weighted sum of them."""
        items = candidates_of(hybrid, total, self.candidates)
        raised = self.trees.sum(inputs(hybrid, histories, values, total, items).reshape(-1, hybrid.width))
        scores = np.where(hybrid.warm, np.float32(self.blend) * total, total)
        extra = (self.boost * (raised - self.trees.floor)).astype(np.float32).reshape(items.shape)
        scores[np.arange(len(items))[:, None], items] += extra
        return np.asarray(scores, np.float32)

    def parts(self, hybrid: Hybrid, histories: Histories, values: list[Floats], items: Longs,
              weights: dict[str, Floats]) -> dict[str, Floats]:  # fmt: skip
        """What each column adds to the scores of `items` `[n, k]`: its share of the sum, and what the trees lose
        where it is at its mean, which is 0.

        Args:
            hybrid: Whose columns they are.
            histories: `n` rows.
            values: Columns, as `Hybrid.values` gives them.
            items: `[n, k]`.
            weights: By column, its weight for each of the items `[n, k]`.
        """
        total, rows = hybrid.weighted(values), np.arange(len(items))[:, None]
        seen = inputs(hybrid, histories, values, total, items)
        looked = (candidates_of(hybrid, total, self.candidates)[:, None, :] == items[:, :, None]).any(axis=2)
        whole = self.trees.sum(seen.reshape(-1, hybrid.width)).reshape(items.shape)
        scale = np.where(hybrid.warm[items], self.blend, 1.0)
        parts = {}
        for place, (name, weight) in enumerate(weights.items()):
            share, without = weight * values[place][rows, items], seen.copy()
            without[:, :, len(weights)] -= share
            without[:, :, place] = 0.0
            lost = whole - self.trees.sum(without.reshape(-1, hybrid.width)).reshape(items.shape)
            parts[name] = (scale * share + self.boost * np.where(looked, lost, 0.0)).astype(np.float32)
        return parts


def candidates_of(hybrid: Hybrid, total: Floats, most: int) -> Longs:
    """The best known items of each row by the weighted sum `[n, c]`, ties to the lower index."""
    known = np.flatnonzero(hybrid.warm)
    width = min(most, len(known))
    if width == 0:
        return np.zeros((len(total), 0), np.int64)
    best: Longs = known[top_k(total[:, known], width)[0]]
    return best


def inputs(hybrid: Hybrid, histories: Histories, values: list[Floats], total: Floats, items: Longs) -> Floats:
    """What the trees look at, `[n, c, width]` float32."""
    rows = np.arange(len(items))[:, None]
    traits = [np.broadcast_to(trait[:, None], items.shape) for trait in traits_of(hybrid, histories)]
    columns = [*(each[rows, items] for each in values), total[rows, items], *traits]
    return np.stack(columns, axis=2, dtype=np.float32)


def traits_of(hybrid: Hybrid, histories: Histories) -> tuple[Floats, Floats]:
    """`TRAITS` of each row, `[n]` float32 each; 0 for people without likes."""
    likes = np.diff(histories.indptr)
    summed = np.add.reduceat(np.r_[hybrid.own[0][histories.items], np.float32(0)], histories.indptr[:-1])
    mean = np.divide(summed, likes, out=np.zeros(len(likes)), where=likes > 0)
    return np.log1p(likes).astype(np.float32), mean.astype(np.float32)


def learn_ranker(hybrid: Hybrid, judged: EvaluationSet) -> Ranker | None:
    """Grows the trees; None where too few people speak, or where they do not help people they were not grown on.

    Args:
        hybrid: With its weights, and without a ranker.
        judged: People, and what they liked among known items.
    """
    n = len(judged.truth)
    if n < FEWEST:
        return None
    drawn = np.random.default_rng(hybrid.seed).permutation(n)
    halves = [part(judged, np.sort(half)) for half in (drawn[: n // 2], drawn[n // 2 :])]
    grown = [_grown(hybrid, half) for half in halves]
    if any(trees is None for trees in grown):
        return None
    choices = [_choices(hybrid, trees, other) for trees, other in zip(grown, halves[::-1], strict=True) if trees]
    blend, boost = fit_blend(_joined(choices), hybrid.params.l2, np.zeros(2), np.array([1.0, 0.0]))
    trees = _grown(hybrid, judged)
    if boost <= 0.0 or trees is None:
        return None
    return Ranker(trees, round(float(blend), 6), round(float(boost), 6), hybrid.params.candidates)


def part(judged: EvaluationSet, rows: Longs) -> EvaluationSet:
    """Some people of a set."""
    people = judged.histories
    liked, seen = ([of(row).tolist() for row in rows] for of in (people.liked, people.seen))
    return EvaluationSet(Histories.of(liked, seen, people.user[rows].tolist()), [judged.truth[row] for row in rows])


def _grown(hybrid: Hybrid, judged: EvaluationSet) -> Trees | None:
    """Trees that tell what people liked from what else the blend proposed; None where it proposed nothing liked."""
    columns, wanted, weight = [], [], []
    for start in range(0, len(judged.truth), BLOCK):
        people = judged.histories.slice(start, min(start + BLOCK, len(judged.truth)))
        values = hybrid.values(people)
        total = hybrid.weighted(values)
        items = candidates_of(hybrid, total, hybrid.params.candidates)
        rows = inputs(hybrid, people, values, total, items)
        for row, truth in enumerate(judged.truth[start : start + len(people)]):
            unseen = ~np.isin(items[row], people.seen(row))
            liked = np.isin(items[row], truth)[unseen]
            if liked.any() and not liked.all():
                columns.append(rows[row][unseen])
                wanted.append(liked)
                # Everybody counts the same, and what was liked as much as all that was not.
                weight.append(np.where(liked, 1.0 / liked.sum(), 1.0 / (~liked).sum()))
    if not columns:
        return None
    rising = [True] * len(hybrid.members) + [False, False, True] + [False] * len(TRAITS)
    every = np.concatenate(weight)
    return Trees.grow(np.concatenate(columns), np.concatenate(wanted), every / every.mean(), rising,
                      hybrid.params.trees, hybrid.seed)  # fmt: skip


def _choices(hybrid: Hybrid, trees: Trees, judged: EvaluationSet) -> Choices:
    """Columns weighted sum and trees, for people the trees were not grown on."""
    alone = Ranker(trees, 0.0, 1.0, hybrid.params.candidates)

    def columns(histories: Histories) -> Floats:
        values = hybrid.values(histories)
        total = hybrid.weighted(values)
        return np.stack([total, alone.apply(hybrid, histories, values, total)], axis=2)

    return collect(columns, [0], judged, hybrid.params.candidates, hybrid.seed, hybrid.warm)


def _joined(parts: list[Choices]) -> Choices:
    sizes: Doubles = np.cumsum([0, *(len(each.offset) for each in parts[:-1])])
    return Choices(
        np.concatenate([each.columns for each in parts]),
        np.concatenate([each.offset for each in parts]),
        np.concatenate([each.share for each in parts]),
        np.concatenate([each.starts + int(size) for each, size in zip(parts, sizes, strict=True)]),
    )
