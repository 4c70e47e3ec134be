"""EASE for catalogues whose square does not fit into memory: weights are learned from the most liked items alone.

The inputs are the most liked items; between them the weights are those of EASE. Every other liked item is explained by
the inputs, with the same ridge regression, but explains nothing itself: few people liked it, so little is lost. Its
weights `P X'X_j` are never written down: scores go through the sparse counts `X'X_j`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from avrec.matching.data import Arrays, Floats, Longs


@dataclass(frozen=True)
class HeadWeights:
    """Item-item weights of EASE with few inputs, over `n` liked items.

    Attributes:
        inputs: Which items are inputs `[h]` int64, ascending.
        inverse: `P = (X'X + l2 I)^-1` over them `[h, h]` float32.
        together: How many people like an input and an item that is none, CSR `[h, n]` float32.
    """

    inputs: Longs
    inverse: Floats
    together: Any

    def scores(self, likes: Any) -> Floats:
        """Scores `[m, n]` float32 of people with these likes, CSR `[m, n]`; a row depends on itself alone."""
        own = likes[:, self.inputs]
        through = np.asarray(own @ self.inverse, np.float32)
        # Added up input by input, whatever the number of people; from a sparse `through` it would be copied first.
        scores = np.ascontiguousarray((self.together.T @ np.ascontiguousarray(through.T)).T, np.float32)
        scores[:, self.inputs] = own.toarray() - through / np.diag(self.inverse)
        return scores

    def parts(self, liked: Longs, items: Longs) -> Floats:
        """What each liked item adds to each score, `[liked, items]`."""
        place = np.full(self.together.shape[1], -1, np.int64)
        place[self.inputs] = np.arange(len(self.inputs))
        parts = np.zeros((len(liked), len(items)), np.float32)
        speaks, among = place[liked] >= 0, place[items] >= 0
        rows = self.inverse[place[liked[speaks]]]
        columns = place[items]
        ease = -rows[:, columns] / np.diag(self.inverse)[columns]
        parts[speaks] = np.where(among, ease, rows @ self._by_item[:, items])
        return parts

    @cached_property
    def _by_item(self) -> Any:
        """`together` as CSC: a few of its columns are read at once, where CSR looks through all of it."""
        return self.together.tocsc()

    def state(self) -> Arrays:
        return {
            "inputs": self.inputs, "inverse": self.inverse, "data": self.together.data,
            "indices": self.together.indices.astype(np.int32), "indptr": self.together.indptr.astype(np.int64),
        }  # fmt: skip

    @classmethod
    def restored(cls, state: Arrays, rank: Longs) -> HeadWeights:
        """From `state`, where item `i` has become item `rank[i]`."""
        inputs, n = rank[state["inputs"]], len(rank)
        order = np.argsort(inputs)
        saved = (state["data"], rank[state["indices"]], state["indptr"])
        together = sparse.csr_matrix(saved, shape=(len(inputs), n))[order]
        together.sort_indices()
        return cls(inputs[order], np.ascontiguousarray(state["inverse"][np.ix_(order, order)]), together)


def head(likes: Any, most: int) -> tuple[Longs, Any]:
    """The `most` most liked items, ascending, ties to the lower; and what they share with the others, as `together`."""
    counts = np.asarray(likes.sum(axis=0)).ravel()
    inputs = np.sort(np.lexsort((np.arange(len(counts)), -counts))[:most]).astype(np.int64)
    shared = (likes[:, inputs].T @ likes).tocsr().astype(np.float32)
    shared.data[np.isin(shared.indices, inputs)] = 0.0
    shared.eliminate_zeros()
    shared.sort_indices()
    return inputs, shared
