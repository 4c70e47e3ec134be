"""Factors: implicit-feedback matrix factorisation by alternating least squares, from the library `implicit`.

Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008. The library fits the item
vectors; people are folded in here, from their likes alone, so that those it never saw are treated like those it knows.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from avrec.matching.base import REASON_KINDS, FitReport, Matcher, Reasons, id_array, positions
from avrec.matching.data import Arrays, Catalog, Floats, Histories, Interactions, Longs
from avrec.matching.exact import Exact
from avrec.matching.neighbours import likes_of
from avrec.matching.search import Settings, by_coordinates
from avrec.matching.selection import SELECT_K, quality, selection_set
from avrec.params import FactorsParams

Doubles = npt.NDArray[np.float64]

GRID = {
    "confidence": (5.0, 20.0, 80.0),
    "regularization": (0.1, 1.0, 10.0),
}
"""Values that are tried on validation, after the ones in params."""


class Factors(Matcher):
    """Scores are `y_i . x`, where `x` is the ridge regression of a person's likes on the item vectors `y`.

    `x = (Y'Y + (c - 1) Y_l'Y_l + r I)^-1 c Y_l' 1` with the vectors `Y_l` of the liked items, confidence `c` and
    regularisation `r`. Both are looked for on validation, one after the other; without validation they are taken as
    they are. Items without likes score 0.
    """

    name: ClassVar[str] = "factors"
    exact_rows = True

    def __init__(self, params: FactorsParams, seed: int = 7, frozen: dict[str, Any] | None = None) -> None:
        chosen = frozen or params.model_dump(exclude={"enabled"})
        self.dim, self.iterations, self.seed = int(chosen["dim"]), int(chosen["iterations"]), seed
        self.chosen: Settings = {name: float(chosen[name]) for name in GRID}

    def fit(self, catalog: Catalog, train: Interactions, validation: Interactions | None = None) -> FitReport:
        liked = train.positives()
        self.active = np.unique(liked.item).astype(np.int64)
        likes = likes_of(liked, len(catalog))[:, self.active]
        judged = selection_set(train, validation)
        trials: list[dict[str, float]] = []
        self.catalog = catalog

        def judge(settings: Settings) -> float:
            self._use(settings, self._factorised(likes, settings))
            return quality(self._score, judged)[f"ndcg@{SELECT_K}"] if judged else 0.0

        chosen = self.chosen
        if judged:
            chosen, trials = by_coordinates(self.chosen, GRID, judge)
        self._use(chosen, self._factorised(likes, chosen))
        return FitReport(self.settings(), trials=trials)

    def _factorised(self, likes: Any, settings: Settings) -> Floats:
        """Item vectors `[n_active, dim]`. With one BLAS thread: the library has its own, and sums keep their order."""
        if not likes.nnz:
            return np.zeros((likes.shape[1], self.dim), np.float32)
        from implicit.cpu.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits

        with threadpool_limits(limits=1, user_api="blas"):
            model = AlternatingLeastSquares(
                factors=self.dim, regularization=settings["regularization"], alpha=settings["confidence"],
                iterations=self.iterations, random_state=self.seed,
            )  # fmt: skip
            model.fit(likes, show_progress=False)
        return np.asarray(model.item_factors, np.float32)

    def _use(self, settings: Settings, vectors: Floats) -> None:
        self.chosen, self.vectors = settings, vectors
        self._exact = Exact(vectors)
        self._base = Exact(vectors.T).dot(vectors.T) + settings["regularization"] * np.eye(self.dim)
        self._place = np.full(len(self._require_fitted()), -1, np.int64)
        self._place[self.active] = np.arange(len(self.active))

    # People -----------------------------------------------------------------------------------------------------------

    def _liked(self, histories: Histories, row: int) -> Longs:
        """Rows of `vectors` that a person liked, ascending."""
        place = self._place[np.unique(histories.liked(row))]
        return place[place >= 0]

    def _system(self, vectors: Floats) -> Doubles:
        """The matrix `[dim, dim]` of the regression of somebody who liked these, no sum of it rounded."""
        own = Exact(vectors.T).dot(vectors.T) if len(vectors) else 0.0
        system: Doubles = self._base + (self.chosen["confidence"] - 1.0) * own
        return system

    def _people(self, histories: Histories) -> Doubles:
        """Vectors of people `[n, dim]`; each system is solved by itself, so a row knows nothing of the others."""
        if not len(histories):
            return np.zeros((0, self.dim))
        vectors = [self.vectors[self._liked(histories, row)] for row in range(len(histories))]
        systems = np.stack([self._system(mine) for mine in vectors])
        wanted = np.stack([self.chosen["confidence"] * mine.sum(axis=0, dtype=np.float64) for mine in vectors])
        people: Doubles = np.linalg.solve(systems, wanted[:, :, None])[:, :, 0]
        return people

    def _score(self, histories: Histories) -> Floats:
        scores = np.zeros((len(histories), len(self._require_fitted())), np.float32)
        scores[:, self.active] = self._exact.dot(self._people(histories))
        return scores

    def _explain(self, histories: Histories, items: Longs) -> Reasons:
        reasons = Reasons.empty(items.shape)
        for row in range(len(items)):
            liked = self._liked(histories, row)
            columns = np.flatnonzero(self._place[items[row]] >= 0)
            if not len(liked) or not len(columns):
                continue
            drops = self._drops(self.vectors[liked], self.vectors[self._place[items[row, columns]]])
            best = drops.argmax(axis=0)
            speaks = drops[best, np.arange(len(columns))] > 0
            reasons.kind[row, columns[speaks]] = REASON_KINDS.index("taste")
            reasons.item[row, columns[speaks]] = self.active[liked[best[speaks]]]
        return reasons

    def _drops(self, liked: Floats, listed: Floats) -> Doubles:
        """By how much each score falls when one like is taken away `[liked, listed]`; exact (Sherman and Morrison)."""
        confidence = self.chosen["confidence"]
        inverse = np.linalg.inv(self._system(liked))
        own = liked @ inverse  # [liked, dim]
        leverage = (own * liked).sum(axis=1)
        fitted = confidence * own @ liked.sum(axis=0, dtype=np.float64)
        scale = (confidence - (confidence - 1.0) * fitted) / (1.0 - (confidence - 1.0) * leverage)
        drops: Doubles = scale[:, None] * (own @ listed.T)
        return drops

    # Saving -----------------------------------------------------------------------------------------------------------

    def _state(self) -> Arrays:
        return {"item_ids": id_array(self._require_fitted())[self.active], "vectors": self.vectors}

    def _restore(self, state: Arrays, settings: dict[str, Any], catalog: Catalog) -> None:
        self.dim, self.iterations, self.seed = settings["dim"], settings["iterations"], settings["seed"]
        place = positions(state["item_ids"], catalog, self.name)
        order = np.argsort(place)
        self.active, self.catalog = place[order], catalog
        self._use({name: settings[name] for name in GRID}, state["vectors"][order])

    def settings(self) -> dict[str, Any]:
        return {"dim": self.dim, "iterations": self.iterations, "seed": self.seed, **self.chosen}
