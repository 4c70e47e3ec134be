"""EASE for catalogues whose square does not fit into memory: each item is explained by its nearest others alone.

The sparse approximation of Steck, "Markov random fields for collaborative filtering", NeurIPS 2019, with a
neighbourhood of its own for every item: within it the regression is solved exactly, beyond it weights are 0. Where the
neighbourhoods hold all items it is EASE; items that nobody likes together are never neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from avrec.features.progress import Progress
from avrec.matching.neighbours import keep_largest, rows_of_product

Doubles = npt.NDArray[np.float64]


def sparse_weights(likes: Any, l2s: Sequence[float], neighbours: int) -> list[Any]:
    """`B` of EASE for several `l2`, each CSR `[n_items, n_items]` float32 with at most `neighbours` entries a column.

    Neighbours are those whose likes are nearest by cosine. Memory is that of the likes, of the weights, and of a few
    matrices `[neighbours, neighbours]`; the time grows with the items alone.

    Args:
        likes: CSR `[n_users, n_items]` of 0 and 1.
        l2s: Strengths of regularisation; one pass over the items serves all.
        neighbours: Items that may explain an item.
    """
    n_items = likes.shape[1]
    columns = likes.tocsc().astype(np.float64)
    nearest = _nearest(columns, neighbours)
    progress = Progress("ease: items", n_items, shown=n_items > 10_000)
    found: list[list[npt.NDArray[np.float32]]] = [[] for _ in l2s]
    for item in range(n_items):
        near = nearest.indices[nearest.indptr[item] : nearest.indptr[item + 1]]
        for weights, solved in zip(found, _explained(columns, item, near, l2s), strict=True):
            weights.append(solved.astype(np.float32))
        progress.advance(1)
    return [_by_columns(weights, nearest) for weights in found]


def _nearest(columns: Any, neighbours: int) -> Any:
    """The items nearest to each, CSR `[n_items, n_items]`; a row holds the neighbours of an item."""
    counts = np.asarray(columns.sum(axis=0)).ravel()
    units = (columns @ sparse.diags(1.0 / np.sqrt(np.maximum(counts, 1.0)))).tocsr()
    blocks = [keep_largest(rows, neighbours) for rows in rows_of_product(units.T.tocsr(), units)]
    return sparse.vstack(blocks, format="csr") if blocks else sparse.csr_matrix((0, 0))


def _explained(columns: Any, item: int, near: npt.NDArray[Any], l2s: Sequence[float]) -> list[Doubles]:
    """Ridge regression of an item's likes on those of its neighbours, one solution `[near]` for each strength."""
    if not len(near):
        return [np.zeros(0)] * len(l2s)
    theirs = columns[:, near]
    gram = (theirs.T @ theirs).toarray()
    shared = (theirs.T @ columns[:, [item]]).toarray()[:, 0]
    return [np.linalg.solve(gram + l2 * np.eye(len(near)), shared) for l2 in l2s]


def _by_columns(weights: list[npt.NDArray[np.float32]], nearest: Any) -> Any:
    flat = np.concatenate([*weights, np.zeros(0, np.float32)])
    by_row = sparse.csr_matrix((flat, nearest.indices, nearest.indptr), shape=nearest.shape)
    result = by_row.T.tocsr()
    result.sort_indices()
    return result
