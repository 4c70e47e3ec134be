"""Item neighbours by RP3beta: a random walk of three steps that does not linger at what everybody likes.

Paudel, Christoffel, Newell and Bernstein, "Updatable, accurate, diverse, and scalable recommendations for interactive
applications", ACM TiiS 2017.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from avrec.matching.base import FitReport, Matcher, Reasons, id_array, positions
from avrec.matching.data import Arrays, Catalog, Floats, Histories, Interactions, Longs
from avrec.matching.neighbours import keep_largest, likes_of, packed, placed, rows_of_product, watched
from avrec.matching.search import Settings, by_coordinates
from avrec.matching.selection import SELECT_K, liked_matrix, quality, selection_set
from avrec.params import ItemKnnParams

GRID = {
    "beta": (0.0, 0.2, 0.4, 0.6, 0.8),
    "alpha": (0.7, 1.0, 1.3),
    "neighbours": (50, 100, 200, 500),
}
"""Values that are tried on validation, after the ones in params."""


class ItemKnn(Matcher):
    """A person's score of an item is the chance to walk from what they liked, over people who liked it, to the item.

    `w[i, j] = n_i^-alpha * sum over people u who like both of n_u^-alpha * n_j^-beta`, where `n` counts likes; only the
    `neighbours` largest of each item are kept. `alpha`, `beta` and `neighbours` are looked for on validation, one after
    the other; without validation they are taken as they are. Items without likes score 0.
    """

    name: ClassVar[str] = "item_knn"
    exact_rows = True

    def __init__(self, params: ItemKnnParams, seed: int = 7, frozen: dict[str, Any] | None = None) -> None:
        chosen = frozen or params.model_dump(exclude={"enabled"})
        self.chosen: Settings = {name: chosen[name] for name in GRID}

    def fit(self, catalog: Catalog, train: Interactions, validation: Interactions | None = None) -> FitReport:
        likes = likes_of(train.positives(), len(catalog))
        judged = selection_set(train, validation)
        trials: list[dict[str, float]] = []
        self.catalog = catalog

        def judge(settings: Settings) -> float:
            self.weights = walk(likes, **settings)
            return quality(self._score, judged)[f"ndcg@{SELECT_K}"] if judged else 0.0

        if judged:
            self.chosen, trials = by_coordinates(self.chosen, GRID, judge)
        self.weights = walk(likes, **self.chosen)
        return FitReport(self.settings(), trials=trials)

    def _score(self, histories: Histories) -> Floats:
        likes = liked_matrix(histories, len(self._require_fitted()))
        return np.asarray((likes @ self.weights).toarray(), np.float32)

    def _explain(self, histories: Histories, items: Longs) -> Reasons:
        return watched(histories, items, lambda liked, listed: self.weights[liked][:, listed].toarray())

    def _state(self) -> Arrays:
        return {"item_ids": id_array(self._require_fitted()), **packed(self.weights)}

    def _restore(self, state: Arrays, settings: dict[str, Any], catalog: Catalog) -> None:
        self.chosen = settings
        self.weights = placed(state, positions(state["item_ids"], catalog, self.name), len(catalog))

    def settings(self) -> dict[str, Any]:
        return dict(self.chosen)


def walk(likes: Any, alpha: float, beta: float, neighbours: float) -> Any:
    """The weights of RP3beta, CSR `[n_items, n_items]` float32 without diagonal.

    Args:
        likes: CSR `[n_users, n_items]` of 0 and 1.
        alpha: Exponent of the probabilities of the walk.
        beta: Exponent of the popularity that weights are divided by.
        neighbours: Entries kept a row.
    """
    to_people = (sparse.diags(_power(likes.sum(axis=0), -alpha)) @ likes.T).tocsr()
    to_items = sparse.diags(_power(likes.sum(axis=1), -alpha)) @ likes
    to_items = (to_items @ sparse.diags(_power(likes.sum(axis=0), -beta))).tocsr()
    blocks = [keep_largest(rows, int(neighbours)) for rows in rows_of_product(to_people, to_items)]
    return sparse.vstack(blocks, format="csr").astype(np.float32)


def _power(counts: Any, exponent: float) -> npt.NDArray[np.float64]:
    """`counts ** exponent` with 0 for 0."""
    flat = np.asarray(counts, np.float64).ravel()
    return np.where(flat > 0, np.maximum(flat, 1.0) ** exponent, 0.0)
