"""Spread: a list of near copies of one good item serves nobody.

Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998), greedy, over the cosine of the content vectors.
"""

from __future__ import annotations

import numpy as np

from avrec.matching.data import Catalog, Floats, Longs


def spread(items: Longs, scores: Floats, catalog: Catalog, k: int, diversity: float) -> tuple[Longs, Floats]:
    """Picks `k` of the candidates of each row, trading score for being unlike what is already picked.

    Args:
        items: Candidates `[n, m]` int64, best first; -1 pads.
        scores: `[n, m]` float32.
        catalog: Its features say how alike two items are; a missing modality says nothing.
        k: Length of the lists.
        diversity: 0 keeps the order of the scores, 1 looks at likeness alone.

    Returns:
        Items and their own scores `[n, k]`, in the order in which they were picked.
    """
    vectors = [features.normalised() for features in catalog.features.values()]
    picked = np.full((len(items), k), -1, np.int64)
    values = np.full((len(items), k), -np.inf, np.float32)
    for row in range(len(items)):
        real = items[row] >= 0
        chosen = _pick(items[row][real], scores[row][real], vectors, k, diversity)
        picked[row, : len(chosen)] = items[row][real][chosen]
        values[row, : len(chosen)] = scores[row][real][chosen]
    return picked, values


def _pick(candidates: Longs, scores: Floats, vectors: list[Floats], k: int, diversity: float) -> list[int]:
    if not len(candidates):
        return []
    relevance = _unit_range(scores)
    alike = _likeness(candidates, vectors)
    nearest = np.zeros(len(candidates), np.float32)
    free = np.ones(len(candidates), bool)
    chosen: list[int] = []
    while len(chosen) < k and free.any():
        value = np.where(free, (1 - diversity) * relevance - diversity * nearest, -np.inf)
        best = int(np.argmax(value))
        chosen.append(best)
        free[best] = False
        nearest = np.maximum(nearest, alike[best])
    return chosen


def _likeness(candidates: Longs, vectors: list[Floats]) -> Floats:
    """Mean cosine over the modalities `[m, m]`; 0 where nothing is known."""
    if not vectors:
        return np.zeros((len(candidates), len(candidates)), np.float32)
    parts = [block[candidates] @ block[candidates].T for block in vectors]
    return np.asarray(np.mean(parts, axis=0), dtype=np.float32)


def _unit_range(scores: Floats) -> Floats:
    """Scores moved to 0..1 within the row, so that `diversity` means the same for every model."""
    low, high = scores.min(), scores.max()
    if high == low:
        return np.ones_like(scores)
    return np.asarray((scores - low) / (high - low), dtype=np.float32)
