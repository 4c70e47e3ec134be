"""Sparse item-item weights: built block by block, so that the dense square never exists."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from avrec.matching.base import REASON_KINDS, Reasons
from avrec.matching.data import Arrays, Floats, Histories, Interactions, Longs

ROWS = 512
"""Items whose row of a product exists at a time."""


def likes_of(liked: Interactions, n_items: int) -> Any:
    """Who likes what, a CSR matrix of 0 and 1 `[n_users, n_items]` float64; a repeated like counts once."""
    matrix = sparse.csr_matrix((np.ones(len(liked)), (liked.user, liked.item)), shape=(liked.n_users, n_items))
    matrix.data[:] = 1.0  # duplicates were summed when it was built
    matrix.sort_indices()
    return matrix


def rows_of_product(left: Any, right: Any) -> Iterator[Any]:
    """The square CSR matrix `left @ right` without its diagonal, in blocks of rows."""
    for start in range(0, left.shape[0], ROWS):
        block = (left[start : start + ROWS] @ right).tocsr()
        rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
        block.data[block.indices == rows + start] = 0.0
        block.eliminate_zeros()
        yield block


def keep_largest(matrix: Any, k: int) -> Any:
    """The `k` largest entries of each row of a CSR matrix, ties to the lower column; columns ascending."""
    columns, values, lengths = [], [], []
    for row in range(matrix.shape[0]):
        begin, end = matrix.indptr[row], matrix.indptr[row + 1]
        mine, worth = matrix.indices[begin:end], matrix.data[begin:end]
        if len(mine) > k:
            likely = np.flatnonzero(worth >= np.partition(worth, len(worth) - k)[len(worth) - k])
            chosen = likely[np.lexsort((mine[likely], -worth[likely]))[:k]]
            mine, worth = mine[chosen], worth[chosen]
        order = np.argsort(mine)
        columns.append(mine[order])
        values.append(worth[order])
        lengths.append(len(order))
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    flat = np.concatenate([*columns, np.zeros(0, np.int32)]).astype(np.int64)
    return sparse.csr_matrix((np.concatenate([*values, np.zeros(0)]), flat, indptr), shape=matrix.shape)


def watched(histories: Histories, items: Longs, parts_of: Callable[[Longs, Longs], Floats]) -> Reasons:
    """The liked item that adds most to each score.

    Args:
        histories: `n` rows.
        items: `[n, k]`.
        parts_of: What each of some liked items adds to the scores of some items, `[liked, k]`.
    """
    reasons = Reasons.empty(items.shape)
    for row in range(len(items)):
        liked = np.unique(histories.liked(row)).astype(np.int64)
        if not len(liked):
            continue
        parts = parts_of(liked, items[row])
        best = parts.argmax(axis=0)
        speaks = parts[best, np.arange(items.shape[1])] > 0
        reasons.kind[row, speaks] = REASON_KINDS.index("watched")
        reasons.item[row, speaks] = liked[best[speaks]]
    return reasons


def packed(matrix: Any) -> Arrays:
    """A CSR matrix as arrays that can be saved."""
    return {"data": matrix.data, "indices": matrix.indices.astype(np.int32), "indptr": matrix.indptr.astype(np.int64)}


def placed(state: Arrays, place: npt.NDArray[np.int64], n_items: int) -> Any:
    """The square matrix that `packed` took apart, in a catalogue where its items are at `place`."""
    n = len(place)
    small = sparse.csr_matrix((state["data"], state["indices"], state["indptr"]), shape=(n, n)).tocoo()
    large = sparse.csr_matrix((small.data, (place[small.row], place[small.col])), shape=(n_items, n_items))
    large.sort_indices()
    return large
