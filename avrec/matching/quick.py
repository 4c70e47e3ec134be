"""One request at a time: the columns of the hybrid, read once for the list and for its reasons.

Where a member can only say quickly what is roughly true (`avrec.matching.shortlist`), the best `CLOSER` items of the
rough sum are looked at closely; the rest keep their order, behind them. Boosted trees want every column as it is, so
with them nothing is rough.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from avrec.matching.base import Reasons, mask_scores, top_k
from avrec.matching.data import Floats, Histories, Longs, Mask
from avrec.matching.shortlist import Rough

if TYPE_CHECKING:
    from avrec.matching.hybrid import Hybrid

CLOSER = 1000
"""Items of the rough sum whose scores are computed in full."""

Explain = Callable[[Longs], Reasons]


class QuickColumns:
    """Columns of a hybrid for a few people, some of them rough.

    Attributes:
        values: As `Hybrid.values` gives them, `[n, n_items]` each.
    """

    def __init__(self, hybrid: Hybrid, histories: Histories) -> None:
        self._rough: dict[int, list[Rough]] = {}
        members = {} if hybrid.ranker else hybrid.members
        for place, member in enumerate(members.values()):
            found = member.rough(histories)
            if found is not None:
                self._rough[place] = found
        told = {place: np.stack([_standard(row.scores, row) for row in rows]) for place, rows in self._rough.items()}
        self.values = hybrid.values(histories, told)

    @property
    def exact(self) -> bool:
        return not self._rough

    def at(self, items: Longs) -> list[Floats]:
        """The columns themselves at `items` `[n, c]`; -1 is read as the first item."""
        items = np.maximum(items, 0)
        found = [np.take_along_axis(column, items, axis=1) for column in self.values]
        for place, rows in self._rough.items():
            found[place] = np.stack([_standard(row.at(mine), row) for row, mine in zip(rows, items, strict=True)])
        return found


def answer(hybrid: Hybrid, histories: Histories, allowed: Mask | None) -> tuple[Floats, Explain]:
    """Scores `[n, n_items]` of a few people, `-inf` for what they may not be shown, and what tells the reasons."""
    columns = QuickColumns(hybrid, histories)
    scores = hybrid.total(histories, columns.values)
    if not columns.exact:
        best, rough = top_k(mask_scores(scores, histories, allowed), min(CLOSER, scores.shape[1]))
        exact = np.where(best < 0, -np.inf, hybrid.weighted_at(columns.at(best), np.maximum(best, 0)))
        _replace(scores, best, rough, exact.astype(np.float32))
    scores = mask_scores(hybrid.lifted(histories, scores), histories, allowed)

    def explain(items: Longs) -> Reasons:
        return hybrid.explain_from(histories, items, None if hybrid.ranker else columns.at(items), columns.values)

    return scores, explain


def _replace(scores: Floats, best: Longs, rough: Floats, exact: Floats) -> None:
    """Puts the exact scores in, and whatever was not looked at below them."""
    for row in range(len(scores)):
        mine = best[row] >= 0
        if not mine.any():
            continue
        scores[row] -= np.maximum(rough[row, mine].min() - exact[row, mine].min(), 0)
        scores[row, best[row, mine]] = exact[row, mine]


def _standard(scores: Floats, row: Rough) -> Floats:
    """As the hybrid standardises."""
    if row.deviation <= 1e-9:
        return np.zeros_like(scores)
    return ((scores - np.float32(row.mean)) / np.float32(row.deviation)).astype(np.float32)
