"""What spreading lists costs and gives: diversity against NDCG, for each way and strength."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from avrec.evaluation.metrics import intra_list_diversity, ndcg
from avrec.evaluation.truth import Truth
from avrec.matching.base import Matcher
from avrec.matching.data import Floats
from avrec.matching.loading import EvaluationSet
from avrec.matching.spreading import METHODS, Likeness, ListRules, pool, spread

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

HEADER = ("spread", "diversity", "ild", "ndcg", "ild_ratio", "ndcg_ratio")

GAIN, LOSS = 1.2, 0.98
"""A good trade: a fifth more diversity for at most 2 % of the NDCG."""


def tradeoff(matcher: Matcher, judged: EvaluationSet, vectors: Floats, k: int,
             strengths: Sequence[float] = STRENGTHS) -> list[list[Any]]:  # fmt: skip
    """The curve, header first: mean diversity and NDCG at `k`, and both over those of the list by score.

    Args:
        matcher: Whose lists are spread.
        judged: People, and what they liked; validation people, since a strength is chosen by this.
        vectors: Items as `Yardstick` has them, by which diversity is measured.
        k: Length of the lists.
        strengths: 0 first.
    """
    rows: list[list[Any]] = [list(HEADER)]
    if not judged.truth:
        return rows
    assert matcher.catalog is not None
    likeness, truth = Likeness(matcher.catalog), Truth.of([row.tolist() for row in judged.truth])
    items, scores = matcher.recommend(judged.histories, pool(k))
    for method in METHODS:
        base: tuple[float, float] | None = None
        for strength in strengths:
            rules = ListRules(strength, method)
            lists = items[:, :k] if strength == 0 else spread(items, scores, likeness, k, rules)[0]
            found = (_mean(intra_list_diversity(lists, k, vectors)), _mean(ndcg(lists, truth, k)))
            base = base or found
            ratios = [value / whole if whole else float("nan") for value, whole in zip(found, base, strict=True)]
            rows.append([method, strength, *(round(value, 6) for value in (*found, *ratios))])
    return rows


def best_trade(rows: Sequence[Sequence[Any]]) -> dict[str, Any] | None:
    """The most diverse point of the curve that costs at most 2 % of the NDCG; None where there is no curve."""
    points = [dict(zip(HEADER, row, strict=True)) for row in rows[1:]]
    affordable = [point for point in points if point["ndcg_ratio"] >= LOSS]
    return max(affordable, key=lambda point: point["ild_ratio"], default=None)


def _mean(values: Any) -> float:
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    return float(known.mean()) if len(known) else 0.0
