"""Who liked what, as networks read it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from avrec.matching.data import Floats, Interactions, Ints

MAX_LIKED = 200
"""Liked items of one person, the newest, that are kept from counting as wrong answers."""

MAX_STEPS = 64
"""Steps an epoch takes at most. With a softmax over all items a step costs nearly the same whatever the batch."""


@dataclass(frozen=True)
class Examples:
    """Who liked what.

    Attributes:
        user, item: One row an example, int32; each pair once.
        liked: By user the newest likes `[n_users, l]` int32, newest last, filled up in front with `n_items`.
        log_q: Log of the share of the examples that are of each item `[n_items]` float32.
    """

    user: Ints
    item: Ints
    liked: Ints
    log_q: Floats

    @classmethod
    def of(cls, train: Interactions, n_items: int) -> Examples:
        likes = train.positives()
        pairs = likes.user.astype(np.int64) * n_items + likes.item
        newest = len(pairs) - 1 - np.unique(pairs[::-1], return_index=True)[1]
        newest.sort()
        user, item = likes.user[newest], likes.item[newest]
        order = np.argsort(user, kind="stable")
        counts = np.bincount(user, minlength=train.n_users)
        width = int(min(max(counts.max(initial=1), 1), MAX_LIKED))
        place = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)  # within the user, oldest first
        column = place - np.repeat(counts, counts) + width
        liked = np.full((train.n_users, width), n_items, np.int32)
        kept = column >= 0
        liked[user[order][kept], column[kept]] = item[order][kept]
        share = np.bincount(item, minlength=n_items) / max(len(item), 1)
        return cls(user, item, liked, np.log(np.maximum(share, 1e-9)).astype(np.float32))

    def batches(self, size: int, seed: int, multiple: int = 1) -> Iterator[tuple[Ints, Ints]]:
        """Users and items in random order; the last batch is filled up from the first, so that shapes are equal.

        Args:
            size: Rows of a batch; raised where an epoch would take more than `MAX_STEPS`.
            seed: Of the order.
            multiple: A batch has a multiple of so many rows.
        """
        order = np.random.default_rng(seed).permutation(len(self.user))
        size = min(max(size, -(-len(order) // MAX_STEPS)), len(order))
        size = -(-size // multiple) * multiple
        order = np.resize(order, -(-len(order) // size) * size)
        for rows in order.reshape(-1, size):
            yield self.user[rows], self.item[rows]
