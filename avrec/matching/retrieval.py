"""The best items by inner product in a large catalogue: proposed in float32, scored again exactly.

The dense way (`Exact.dot`, then `top_k`) computes every score in float64 and sorts in Python, which a catalogue of
100,000 items makes slow. Here a float32 product proposes a few more than `k`; those alone are scored exactly. A bound
on the float32 error shows for each row that nothing better was left out; rows for which it does not are scored the
dense way. The lists are the same, bit for bit.

Sorting all items would take longer than the product. The `n`-th highest of the best of groups of items is no higher
than the `n`-th best item, and hardly lower where items lie in groups by chance; so whatever reaches it is proposed.

All of it is numpy's: its product writes where the scores before were (`out`). Memory for so many scores that is taken
from the system and given back each time takes as long as the product itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from avrec.matching.base import mask_scores, top_k
from avrec.matching.data import Floats, Histories, Longs, Mask
from avrec.matching.exact import Exact

ROWS = 128
"""People multiplied together by one thread, at most; with fewer the product takes longer a person."""

SCORES = 2**24
"""Scores one thread holds, at most (64 MiB)."""

GROUP = 32
"""Items of a group, at most."""

LARGE = 10_000
"""Items from which proposing pays."""

MARGIN = 28
"""Proposed beyond `k`."""

MOST = 4
"""Proposed at most, as a multiple of what is asked for; with so many near ties a row is scored the dense way."""


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
        self._rows = int(np.clip(SCORES // max(len(vectors), 1), 1, ROWS))
        longest = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1)).max(initial=0.0)
        # Rounding errors of a product of d terms (Higham, Accuracy and Stability, 3.1), doubled for the exact side.
        self._error = (vectors.shape[1] + 8) * 2.0**-23 * (longest / temperature + np.abs(bias).max(initial=0.0))
        self._spare: list[Floats] = []

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

        def some(start: int) -> tuple[Longs, Floats]:
            stop = min(start + self._rows, len(people))
            return self._best(people[start:stop], histories.slice(start, stop), k, allowed)

        starts = range(0, max(len(people), 1), self._rows)
        if len(starts) == 1:
            return some(0)
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # numpy lets go of Python's lock
            items, scores = zip(*pool.map(some, starts), strict=True)
        return np.concatenate(items), np.concatenate(scores)

    def _best(self, people: Floats, histories: Histories, k: int, allowed: Mask | None) -> tuple[Longs, Floats]:
        proposed, missed = self._propose(people, histories, k + MARGIN, allowed)
        nothing, proposed = proposed < 0, np.maximum(proposed, 0)
        scores = self._exact.dot_at(people, proposed)
        scores /= self._temperature
        scores += self._bias[proposed]
        scores[nothing] = -np.inf
        order = np.lexsort((proposed, -scores), axis=1)[:, :k]
        items, scores = np.take_along_axis(proposed, order, axis=1), np.take_along_axis(scores, order, axis=1)
        items[scores == -np.inf] = -1
        for row in np.flatnonzero(scores[:, -1] <= missed + self._error):
            one = slice(row, row + 1)
            items[one], scores[one] = self._dense(people[one], histories.slice(row, row + 1), k, allowed)
        return items, scores

    def _dense(self, people: Floats, histories: Histories, k: int, allowed: Mask | None) -> tuple[Longs, Floats]:
        scores = self._exact.dot(people)
        scores /= self._temperature
        scores += self._bias
        return top_k(mask_scores(scores, histories, allowed), k)

    def _propose(self, people: Floats, histories: Histories, width: int, allowed: Mask | None) -> tuple[Longs, Floats]:
        """At least the best `width` items a row by the float32 product, `[n, c]`, in index order, filled up with -1.

        Also, `[n]`, what the product of no other item exceeds; NaN where there is no other item.
        """
        rows = np.concatenate([people / self._temperature, np.ones((len(people), 1))], axis=1, dtype=np.float32)
        with self._scores(len(rows)) as scores:
            np.matmul(rows, self._items.T, out=scores)
            scores[np.repeat(np.arange(len(rows)), np.diff(histories.seen_indptr)), histories.seen_items] = -np.inf
            if allowed is not None:
                scores += np.where(allowed, np.float32(0), np.float32(-np.inf))
            missed = _nth_best_group(scores, width)
            least = np.maximum(missed, np.finfo(np.float32).min)  # what is hidden is not proposed
            found = [np.flatnonzero(row >= low) for row, low in zip(scores, least, strict=True)]
        missed[missed == -np.inf] = np.nan
        proposed = np.full((len(rows), max([width, *map(len, found)])), -1)
        for row, items in enumerate(found):
            proposed[row, : len(items)] = items
        if proposed.shape[1] > (most := MOST * width):
            missed[proposed[:, most] >= 0], proposed = np.inf, proposed[:, :most]
        return proposed, missed

    @contextmanager
    def _scores(self, rows: int) -> Iterator[Floats]:
        """Where to write the scores of a few people, each thread its own."""
        try:
            whole = self._spare.pop()
        except IndexError:
            whole = np.empty((self._rows, len(self._items)), np.float32)
        yield whole[:rows]
        self._spare.append(whole)


def _nth_best_group(scores: Floats, n: int) -> Floats:
    """By row the `n`-th highest of the best scores of groups, `[rows]`.

    A group's items lie far apart, so that the best of all groups are found by going through the rows once, in order.
    """
    size = int(np.clip(scores.shape[1] // (4 * n), 1, GROUP))  # enough groups that few hold two of the best
    groups = scores.shape[1] // size
    best = scores[:, : groups * size].reshape(len(scores), size, groups).max(axis=1)
    nth: Floats = np.partition(best, groups - n, axis=1)[:, groups - n]
    return nth
