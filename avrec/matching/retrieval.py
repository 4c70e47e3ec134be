"""The best items by inner product in a large catalogue: proposed in float32 by TensorFlow, scored again exactly.

The dense way (`Exact.dot`, then `top_k`) computes every score in float64 and sorts in Python, which a catalogue of
100,000 items makes slow. Here a float32 product and `tf.math.top_k` propose a few more than `k`; those alone are scored
exactly. A bound on the float32 error shows for each row that nothing better was left out; rows for which it does not
are scored the dense way. The lists are the same, bit for bit.

`top_k` over all items takes longer than the product. The best `k` items lie in the `k` groups of items whose best are
highest; so it looks at the best of each group, and then at the items of the groups it chose.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from avrec.matching.base import mask_scores, top_k
from avrec.matching.data import Floats, Histories, Longs, Mask
from avrec.matching.exact import Exact

ROWS = 64
"""People multiplied together. Their scores for 100,000 items (26 MB) fit where those of the block before were; memory
for larger ones would be taken from the system and given back each time, which takes as long as the product."""

GROUP = 32
"""Items of a group."""

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
        counts = np.diff(histories.seen_indptr)
        at = np.stack([np.repeat(np.arange(len(people)), counts), histories.seen_items], axis=1)
        if len(people) <= FEW:
            return _few(rows @ self._items.T, at, width, allowed)
        if self._many is None:
            self._many = _many(self._items)
        hidden = np.zeros(1, np.float32) if allowed is None else self._hidden(allowed)
        # What was seen is left out of the proposals afterwards, so there must be so many more of them.
        more = np.int32(min(width + counts.max(initial=0), len(self._items)))
        blocks = [self._many(_filled(rows[i : i + ROWS]), hidden, more) for i in range(0, len(rows), ROWS)]
        found, rough = (np.concatenate([b[part].numpy() for b in blocks])[: len(rows)] for part in (0, 1))
        return _unseen(found.astype(np.int64), rough, at, len(self._items), width)

    def _hidden(self, allowed: Mask) -> Floats:
        """What is added to scores, `[groups * GROUP]`."""
        hidden = np.full(-(-len(allowed) // GROUP) * GROUP, -np.inf, np.float32)
        hidden[: len(allowed)][allowed] = 0
        return hidden


def _filled(rows: Floats) -> Floats:
    """Rows filled up to `ROWS`: one shape, one compilation."""
    return np.pad(rows, [(0, ROWS - len(rows)), (0, 0)])


def _unseen(found: Longs, rough: Floats, at: Longs, n_items: int, width: int) -> tuple[Longs, Floats]:
    """The first `width` proposals a row that are not among what was seen, `at` (row and item)."""
    seen = np.unique(at[:, 0] * n_items + at[:, 1])
    keys = np.arange(len(found))[:, None] * n_items + found
    if len(seen):
        hit = seen[np.minimum(np.searchsorted(seen, keys), len(seen) - 1)] == keys
        rough = np.where(hit, -np.inf, rough)
        order = np.argsort(hit, axis=1, kind="stable")[:, :width]
        found, rough = np.take_along_axis(found, order, axis=1), np.take_along_axis(rough, order, axis=1)
    return found, rough


def _few(scores: Floats, seen: Longs, width: int, allowed: Mask | None) -> tuple[Longs, Floats]:
    scores[seen[:, 0], seen[:, 1]] = -np.inf
    if allowed is not None:
        scores[:, ~allowed] = -np.inf
    found = np.argpartition(-scores, width - 1, axis=1)[:, :width]
    rough = np.take_along_axis(scores, found, axis=1)
    order = np.argsort(-rough, axis=1)
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(rough, order, axis=1)


def _many(items: Floats) -> Callable[..., Any]:
    """Proposes in TensorFlow for people `[ROWS, dim]`, given what is hidden from all and how many are asked for."""
    import tensorflow as tf

    groups = -(-len(items) // GROUP)
    filling = np.zeros((groups * GROUP - len(items), items.shape[1]), np.float32)
    filling[:, -1] = -np.inf  # the bias: they are never proposed
    return partial(_program(), tf.constant(np.concatenate([items, filling])), np.int32(len(items) - 1))


@cache
def _program() -> Callable[..., Any]:
    """One for all catalogues, compiled for each size of them."""
    import tensorflow as tf

    def propose(items: Any, last: Any, rows: Any, hidden: Any, width: Any) -> Any:
        scores = tf.matmul(rows, items, transpose_b=True)
        if hidden.shape[0] != 1:
            scores += hidden
        groups = items.shape[0] // GROUP
        grouped = tf.reshape(scores, [ROWS, groups, GROUP])
        chosen = tf.math.top_k(tf.reduce_max(grouped, axis=2), tf.minimum(width, groups)).indices
        inside = tf.reshape(tf.gather(grouped, chosen, batch_dims=1), [ROWS, -1])
        best = tf.math.top_k(inside, width)
        places = tf.gather(chosen, best.indices // GROUP, batch_dims=1) * GROUP + best.indices % GROUP
        return tf.minimum(places, last), best.values

    atexit.register(_program.cache_clear)  # functions that outlive TensorFlow's modules complain
    return tf.function(propose)  # type: ignore[no-any-return]
