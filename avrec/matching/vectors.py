"""Matchers that place people and items in one space: a score is a cosine over a temperature, and the item's bias."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from avrec.matching.base import REASON_KINDS, Matcher, Reasons
from avrec.matching.data import Floats, Histories, Longs, Mask
from avrec.matching.exact import Exact
from avrec.matching.retrieval import LARGE, MARGIN, Retrieval
from avrec.matching.selection import liked_matrix
from avrec.matching.shortlist import Rough


class VectorMatcher(Matcher):
    """Base: plain numpy over stored vectors.

    Attributes:
        vectors: Unit vectors of the items `[n_items, dim]`.
        bias: Of the items `[n_items]`.
        params: Has `history`, the newest likes a person is made of, and `temperature`, which divides the cosines.
    """

    exact_rows = True
    vectors: Floats
    bias: Floats
    params: Any

    @abstractmethod
    def people(self, histories: Histories) -> Floats:
        """Unit vectors `[n, dim]` of the people with these histories."""

    def prepare(self) -> None:
        """What scoring needs beside the weights; to be called whenever these changed."""
        self._exact = Exact(self.vectors)
        self._retrieval: Retrieval | None = None

    def _best(self, block: Histories, k: int, allowed: Mask | None, exact_block: bool) -> tuple[Longs, Floats]:
        if len(self.vectors) < max(LARGE, 2 * (k + MARGIN)):
            return super()._best(block, k, allowed, exact_block)
        self._check_items("histories.items", block.items)
        if self._retrieval is None:
            self._retrieval = Retrieval(self.vectors, self.bias, self.params.temperature, self._exact)
        return self._retrieval.best(self.people(block), block, k, allowed)

    def _score(self, histories: Histories) -> Floats:
        scores = self._exact.dot(self.people(histories))
        scores /= np.float32(self.params.temperature)
        scores += self.bias
        return scores

    def rough(self, histories: Histories) -> list[Rough] | None:
        """In float32, half of what is read for exact scores; those looked at closely are exact."""
        if len(self.vectors) < LARGE:
            return None
        return [self._rough(person) for person in self.people(histories)]

    def _rough(self, person: Floats) -> Rough:
        temperature = np.float32(self.params.temperature)
        scores = self.vectors @ (person / temperature) + self.bias

        def at(items: Longs) -> Floats:
            exact = self._exact.dot_at(person[None], items[None])[0]
            return np.asarray(exact / temperature + self.bias[items], np.float32)

        return Rough(scores, float(scores.mean()), float(scores.std()), at)


class MeanMatcher(VectorMatcher):
    """Base: a person is a linear map of the mean of their newest likes.

    Attributes:
        kernel: The linear map `[dim, dim]`.
        nobody: Vector of people without any like `[dim]`.
    """

    kernel: Floats
    nobody: Floats

    def prepare(self) -> None:
        super().prepare()
        # The map is linear in the likes, so each of them goes through it once, here.
        self.likes = Exact(self.kernel.T).dot(self.vectors)

    def people(self, histories: Histories) -> Floats:
        likes = liked_matrix(histories, len(self.vectors), self.params.history)
        count = np.diff(likes.indptr).astype(np.float32)[:, None]
        person = np.where(count > 0, (likes @ self.likes) / np.maximum(count, 1.0), self.nobody)
        return unit(person)

    def _explain(self, histories: Histories, items: Longs) -> Reasons:
        reasons = Reasons.empty(items.shape)
        for row in range(len(items)):
            liked = np.unique(histories.liked(row)[-self.params.history :])
            if not len(liked):
                continue
            # The person is a sum over likes, so each like has its own share of the score.
            shares: npt.NDArray[Any] = self.likes[liked] @ self.vectors[items[row]].T
            cause = shares.argmax(axis=0)
            speaks = shares[cause, np.arange(items.shape[1])] > 0
            reasons.kind[row, speaks] = REASON_KINDS.index("taste")
            reasons.item[row, speaks] = liked[cause][speaks]
        return reasons


def unit(vectors: Floats) -> Floats:
    """Vectors of length 1 along the last axis."""
    norms = np.sqrt((vectors * vectors).sum(axis=-1, keepdims=True))
    units: Floats = (vectors / np.maximum(norms, 1e-6)).astype(np.float32)
    return units
