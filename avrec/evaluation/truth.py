"""What held-out people turned out to like: ragged rows, one a person, as in CSR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avrec.matching.data import Histories, Interactions, Ints, Longs, Mask


@dataclass(frozen=True)
class Truth:
    """The items that count as hits.

    Attributes:
        indptr: `[n + 1]` int64; the items of row `r` are `items[indptr[r]:indptr[r + 1]]`.
        items: Item indices int64, ascending and unique within a row.
    """

    indptr: Longs
    items: Longs

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def sizes(self) -> Longs:
        """Number of items a row, `[n]` int64."""
        return np.diff(self.indptr)

    @property
    def rows(self) -> Longs:
        """Row of every item, as long as `items`."""
        return np.repeat(np.arange(len(self)), self.sizes)

    def row(self, row: int) -> Longs:
        return self.items[self.indptr[row] : self.indptr[row + 1]]

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Truth:
        """Builds it from lists of item indices."""
        row = np.repeat(np.arange(len(rows)), [len(items) for items in rows])
        return cls.from_pairs(row, np.array([i for items in rows for i in items], np.int64), len(rows))

    @classmethod
    def from_pairs(cls, row: Longs, item: Longs, n: int) -> Truth:
        """Builds it from (row, item) pairs in any order; pairs given twice count once."""
        if not len(item):
            return cls(np.zeros(n + 1, np.int64), np.zeros(0, np.int64))
        stride = int(item.max()) + 1
        keys = np.unique(row.astype(np.int64) * stride + item)
        counts = np.bincount(keys // stride, minlength=n)
        return cls(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), keys % stride)

    @classmethod
    def from_interactions(cls, held_out: Interactions, users: Ints, histories: Histories | None = None) -> Truth:
        """What `users` liked in `held_out`, in the order of `users`.

        Items in `histories` (rows as `users`) are left out: seen items are masked from every list, so that
        liking one again could never be a hit.
        """
        return cls.from_histories(Histories.from_interactions(held_out, users), histories)

    @classmethod
    def from_histories(cls, liked: Histories, before: Histories | None = None) -> Truth:
        """The liked items of `liked` less what the same rows of `before` had seen."""
        row = np.repeat(np.arange(len(liked)), np.diff(liked.indptr))
        item = liked.items.astype(np.int64)
        if before is not None:
            seen_row = np.repeat(np.arange(len(before)), np.diff(before.seen_indptr))
            fresh = ~np.isin(_keys(row, item), _keys(seen_row, before.seen_items.astype(np.int64)))
            row, item = row[fresh], item[fresh]
        return cls.from_pairs(row, item, len(liked))

    def restricted(self, items: Mask) -> Truth:
        """The same rows with only the items under `items` `[n_items]`."""
        keep = items[self.items]
        return Truth.from_pairs(self.rows[keep], self.items[keep], len(self))

    def take(self, rows: Longs) -> Truth:
        """The given rows, in the given order."""
        sizes = self.sizes[rows]
        indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        index = np.repeat(self.indptr[rows] - indptr[:-1], sizes) + np.arange(indptr[-1])
        return Truth(indptr, self.items[index])


def _keys(row: Longs, item: Longs) -> Longs:
    return (row.astype(np.int64) << 32) | item


def select(histories: Histories, rows: Longs) -> Histories:
    """The given rows of `histories`, in the given order."""
    liked = Truth(histories.indptr, histories.items.astype(np.int64)).take(rows)
    seen = Truth(histories.seen_indptr, histories.seen_items.astype(np.int64)).take(rows)
    return Histories(
        histories.user[rows], liked.indptr, liked.items.astype(np.int32), seen.indptr, seen.items.astype(np.int32)
    )
