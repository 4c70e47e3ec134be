"""The best items by inner product in a large catalogue: proposed in float32 by TensorFlow, scored again exactly.

The dense way (`Exact.dot`, then `top_k`) computes every score in float64 and sorts in Python, which a catalogue of
100,000 items makes slow. Here a float32 product and `tf.math.top_k` propose a few more than `k`; those alone are scored
exactly. A bound on the float32 error shows for each row that nothing better was left out; rows for which it does not
are scored the dense way. The lists are the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from avrec.matching.base import mask_scores, top_k
from avrec.matching.data import Floats, Histories, Longs, Mask
from avrec.matching.exact import Exact

LARGE = 10_000
"""Items from which proposing pays."""

MARGIN = 28
"""Proposed beyond `k`."""

FEW = 8
"""Rows up to which numpy is as fast, and nobody has to wait for TensorFlow's start."""


class Retrieval:
    """Best items for unit vectors of people: score = cosine / temperature + bias.

    Args:
        vectors: Items `[n_items, dim]` float32.
        bias: `[n_items]` float32.
        temperature: Positive.
        exact: The same vectors, for the second scoring.
    """

    def __init__(self, vectors: Floats, bias: Floats, temperature: float, exact: Exact) -> None:
        self._exact, self._bias, self._temperature = exact, bias, np.float32(temperature)
        self._items = np.concatenate([vectors, bias[:, None]], axis=1, dtype=np.float32)
        longest = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1)).max(initial=0.0)
        # Rounding errors of a product of d terms (Higham, Accuracy and Stability, 3.1), doubled for the exact side.
        self._error = (vectors.shape[1] + 8) * 2.0**-23 * (longest / temperature + np.abs(bias).max(initial=0.0))
        self._many: Callable[..., Any] | None = None

    def best(self, people: Floats, histories: Histories, k: int, allowed: Mask | None) -> tuple[Longs, Floats]:
        """Lists, best first, ties in index order.

        Args:
            people: Unit vectors `[n, dim]`.
            histories: Whose `seen` is left out, `n` rows.
            k: Length of the lists; at most `n_items - MARGIN`.
            allowed: `[n_items]` bool.

        Returns:
            Items `[n, k]` int64 and scores `[n, k]` float32; -1 and `-inf` where there are too few.
        """
        proposed, rough = self._propose(people, histories, k + MARGIN, allowed)
        scores = self._exact.dot_at(people, proposed)
        scores /= self._temperature
        scores += self._bias[proposed]
        scores[rough == -np.inf] = -np.inf
        order = np.lexsort((proposed, -scores), axis=1)[:, :k]
        items, scores = np.take_along_axis(proposed, order, axis=1), np.take_along_axis(scores, order, axis=1)
        items[scores == -np.inf] = -1
        doubtful = (scores[:, -1] <= rough[:, -1] + self._error) & (rough[:, -1] > -np.inf)
        for row in np.flatnonzero(doubtful):
            one = slice(row, row + 1)
            items[one], scores[one] = self._dense(people[one], histories.slice(row, row + 1), k, allowed)
        return items, scores

    def _dense(self, people: Floats, histories: Histories, k: int, allowed: Mask | None) -> tuple[Longs, Floats]:
        scores = self._exact.dot(people)
        scores /= self._temperature
        scores += self._bias
        return top_k(mask_scores(scores, histories, allowed), k)

    def _propose(self, people: Floats, histories: Histories, width: int, allowed: Mask | None) -> tuple[Longs, Floats]:
        rows = np.concatenate([people / self._temperature, np.ones((len(people), 1))], axis=1, dtype=np.float32)
        at = np.stack([np.repeat(np.arange(len(people)), np.diff(histories.seen_indptr)), histories.seen_items], axis=1)
        if len(people) <= FEW:
            return _few(rows @ self._items.T, at, width, allowed)
        if self._many is None:
            self._many = _many(self._items)
        hidden = np.zeros(1) if allowed is None else np.where(allowed, 0.0, -np.inf)
        found, rough = self._many(rows, at, hidden.astype(np.float32), width)
        return found.numpy().astype(np.int64), rough.numpy()


def _few(scores: Floats, seen: Longs, width: int, allowed: Mask | None) -> tuple[Longs, Floats]:
    scores[seen[:, 0], seen[:, 1]] = -np.inf
    if allowed is not None:
        scores[:, ~allowed] = -np.inf
    found = np.argpartition(-scores, width - 1, axis=1)[:, :width]
    rough = np.take_along_axis(scores, found, axis=1)
    order = np.argsort(-rough, axis=1)
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(rough, order, axis=1)


def _many(items: Floats) -> Callable[..., Any]:
    """A block in TensorFlow: people, what they saw, what is hidden from all `[1]` or `[n_items]`, and how many."""
    import tensorflow as tf

    held = tf.constant(items)

    def propose(rows: Any, seen: Any, hidden: Any, width: Any) -> Any:
        scores = tf.matmul(rows, held, transpose_b=True)
        if hidden.shape[0] != 1:
            scores += hidden
        nothing = tf.fill(tf.shape(seen)[:1], tf.constant(-np.inf, tf.float32))
        best = tf.math.top_k(tf.tensor_scatter_nd_update(scores, seen, nothing), width)
        return best.indices, best.values

    return tf.function(propose, reduce_retracing=True)  # type: ignore[no-any-return]
