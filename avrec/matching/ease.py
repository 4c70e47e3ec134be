"""EASE: the closed-form linear autoencoder (Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from avrec.matching.base import REASON_KINDS, FitReport, Matcher, Reasons, id_array, positions
from avrec.matching.data import Arrays, Catalog, Floats, Histories, Interactions, Longs
from avrec.matching.ease_sparse import HeadWeights, head
from avrec.matching.loading import EvaluationSet
from avrec.matching.neighbours import likes_of
from avrec.matching.selection import SELECT_K, liked_matrix, quality, selection_set
from avrec.params import EaseParams

STEP = 3.0
"""Factor between neighbouring values of l2 that are tried."""

TRIALS = 5
LARGE = 1500
"""From so many items on the inverse is taken in float32: half the memory, twice the speed, exact enough for l2 >= 1."""


class Ease(Matcher):
    """Item-item weights `B` that reconstruct each person's likes from the others, with an empty diagonal.

    `B = I - P / diag(P)` with `P = (X'X + l2 I)^-1`. `l2` is looked for on validation, up or down from the value in
    params by factors of 3; without validation it is taken as it is. Items without likes score 0. With more than
    `dense_items` liked items only so many, the most liked, explain others (`avrec.matching.ease_sparse`).
    """

    name: ClassVar[str] = "ease"
    exact_rows = True

    def __init__(self, params: EaseParams, seed: int = 7, frozen: dict[str, Any] | None = None) -> None:
        self.l2: float = frozen["l2"] if frozen else params.l2
        self.dense_items = params.dense_items
        self.weights: Any  # dense [n_active, n_active], or HeadWeights

    def fit(self, catalog: Catalog, train: Interactions, validation: Interactions | None = None) -> FitReport:
        liked = train.positives()
        self.active = np.unique(liked.item).astype(np.int64)
        self.catalog = catalog
        judged = selection_set(train, validation)
        if len(self.active) > self.dense_items:
            tried = self._fit_sparse(likes_of(liked, len(catalog)), judged)
            return FitReport(self.settings(), trials=tried)
        gram = gram_matrix(liked, self.active)
        trials: list[dict[str, float]] = []

        def attempt(l2: float) -> tuple[float, Floats]:
            self.weights = ease_weights(gram, l2)
            value = quality(self._score, judged)[f"ndcg@{SELECT_K}"] if judged else 0.0
            trials.append({"l2": l2, f"ndcg@{SELECT_K}": value})
            return value, self.weights

        best, self.l2 = attempt(self.l2), self.l2
        if judged:
            best = self._search(attempt, best)
        self.weights = best[1]
        return FitReport(self.settings(), trials=trials)

    def _fit_sparse(self, likes: Any, judged: EvaluationSet | None) -> list[dict[str, float]]:
        """With the most liked items as inputs."""
        likes = likes[:, self.active]
        inputs, together = head(likes, self.dense_items)
        own = likes[:, inputs]
        gram = np.asarray((own.T @ own).toarray(), np.float32)

        def attempt(l2: float) -> tuple[float, Any]:
            self.weights = HeadWeights(inputs, regularised_inverse(gram.copy(), l2), together)
            value = quality(self._score, judged)[f"ndcg@{SELECT_K}"] if judged else 0.0
            trials.append({"l2": l2, f"ndcg@{SELECT_K}": value})
            return value, self.weights

        trials: list[dict[str, float]] = []
        best = attempt(self.l2)
        self.weights = (self._search(attempt, best) if judged else best)[1]
        return trials

    def _search(self, attempt: Any, best: tuple[float, Floats]) -> tuple[float, Floats]:
        start, left = self.l2, TRIALS - 1
        for factor in (STEP, 1 / STEP):
            l2 = round(start * factor, 6)
            while left:
                left -= 1
                tried = attempt(l2)
                if tried[0] <= best[0]:
                    break
                best, self.l2, l2 = tried, l2, round(l2 * factor, 6)
            if self.l2 != start:  # it was better upwards: no need to look the other way
                break
        return best

    def _score(self, histories: Histories) -> Floats:
        catalog = self._require_fitted()
        scores = np.zeros((len(histories), len(catalog)), np.float32)
        likes = liked_matrix(histories, len(catalog))[:, self.active]
        scores[:, self.active] = (
            self.weights.scores(likes) if isinstance(self.weights, HeadWeights) else likes @ self.weights
        )
        return scores

    def _explain(self, histories: Histories, items: Longs) -> Reasons:
        reasons = Reasons.empty(items.shape)
        place = np.full(len(self._require_fitted()), -1, np.int64)
        place[self.active] = np.arange(len(self.active))
        for row in range(len(items)):
            liked = histories.liked(row)
            liked = liked[place[liked] >= 0]
            columns = np.flatnonzero(place[items[row]] >= 0)
            if not len(liked) or not len(columns):
                continue
            parts = self._parts(place[liked], place[items[row, columns]])
            best = parts.argmax(axis=0)
            speaks = parts[best, np.arange(len(columns))] > 0
            reasons.kind[row, columns[speaks]] = REASON_KINDS.index("watched")
            reasons.item[row, columns[speaks]] = liked[best[speaks]]
        return reasons

    def _parts(self, liked: Longs, items: Longs) -> Any:
        if isinstance(self.weights, HeadWeights):
            return self.weights.parts(liked, items)
        return self.weights[np.ix_(liked, items)]

    def _state(self) -> Arrays:
        ids = id_array(self._require_fitted())[self.active]
        return {"item_ids": ids, **(self.weights.state() if isinstance(self.weights, HeadWeights)
                                    else {"weights": self.weights})}  # fmt: skip

    def _restore(self, state: Arrays, settings: dict[str, Any], catalog: Catalog) -> None:
        self.l2, self.dense_items = settings["l2"], len(catalog)
        place = positions(state["item_ids"], catalog, self.name)
        order = np.argsort(place)  # a column order that fits the catalogue's keeps equal scores in index order
        self.active = place[order]
        if "weights" in state:
            self.weights = state["weights"][np.ix_(order, order)]
        else:
            self.weights = HeadWeights.restored(state, np.argsort(order))

    def settings(self) -> dict[str, Any]:
        return {"l2": self.l2}


def gram_matrix(liked: Interactions, active: Longs) -> Floats:
    """How many people like both, `[n, n]` float32 over the active items; a repeated like counts once."""
    columns = np.searchsorted(active, liked.item)
    ones = np.ones(len(liked), np.float32)
    likes = sparse.csr_matrix((ones, (liked.user, columns)), shape=(liked.n_users, len(active)))
    likes.data[:] = 1.0  # duplicates were summed when it was built
    return np.asarray((likes.T @ likes).toarray(), np.float32)


def ease_weights(gram: Floats, l2: float) -> Floats:
    """`B` of the closed form, `[n, n]` float32."""
    if not len(gram):
        return gram
    inverse = regularised_inverse(gram.astype(np.float64 if len(gram) < LARGE else np.float32), l2)
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return np.ascontiguousarray(weights, np.float32)


def regularised_inverse(gram: npt.NDArray[Any], l2: float) -> npt.NDArray[Any]:
    """Inverse of `gram + l2 I` through its Cholesky factor; half the work of a general inverse."""
    factorise, invert = linalg.get_lapack_funcs(("potrf", "potri"), (gram,))
    gram[np.diag_indices(len(gram))] += l2
    factor, failed = factorise(gram, lower=1, overwrite_a=1)
    if failed:
        raise ValueError(f"l2: {l2} is too small, the matrix of {gram.shape} is not positive definite; raise it.")
    lower, _ = invert(factor, lower=1, overwrite_c=1)
    inverse: npt.NDArray[Any] = np.tril(lower) + np.tril(lower, -1).T
    return inverse
