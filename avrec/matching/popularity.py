"""Popularity with time decay: the baseline that everything personal has to beat."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from avrec.matching.base import REASON_KINDS, FitReport, Matcher, Reasons, id_array, positions
from avrec.matching.data import Arrays, Catalog, Floats, Histories, Interactions, Longs
from avrec.matching.loading import EvaluationSet
from avrec.matching.selection import SELECT_K, quality, selection_set
from avrec.params import PopularityParams

DAY = 86_400.0
HALF_LIVES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 10000.0)
"""Days that are tried on validation, after the value in params; the last hardly forgets."""


class Popularity(Matcher):
    """Scores an item by its liked interactions, each worth half as much for every `half_life_days` of age.

    Age is counted from the last training interaction, never from the clock. Without a half life, or where the data
    set has no time, it counts. How fast a catalogue forgets differs from news to old films, so the half life is looked
    for on validation, where there is one; the value in params is tried first and kept where no other is better.

    Example:
        ```python
        matcher = Popularity(PopularityParams(half_life_days=7))
        matcher.fit(catalog, train)
        items, scores = matcher.recommend(Histories.of([[3, 5]]), k=10)
        ```
    """

    name: ClassVar[str] = "popularity"
    exact_rows = True

    def __init__(self, params: PopularityParams, seed: int = 7, frozen: dict[str, Any] | None = None) -> None:
        self.half_life_days = frozen["half_life_days"] if frozen else params.half_life_days

    def fit(self, catalog: Catalog, train: Interactions, validation: Interactions | None = None) -> FitReport:
        self.catalog = catalog
        judged = selection_set(train, validation) if train.timestamp.any() else None
        trials = self._search(train, judged) if judged else []
        self.popularity = self._count(train, self.half_life_days)
        return FitReport(self.settings(), trials=trials)

    def _search(self, train: Interactions, judged: EvaluationSet) -> list[dict[str, float]]:
        """Sets the half life; the first of equally good ones."""
        figures: dict[float | None, float] = {}
        for half_life in dict.fromkeys([self.half_life_days, *HALF_LIVES]):
            self.popularity = self._count(train, half_life)
            figures[half_life] = quality(self._score, judged)[f"ndcg@{SELECT_K}"]
        self.half_life_days = max(figures, key=lambda half_life: figures[half_life])
        return [
            {**({} if half_life is None else {"half_life_days": half_life}), f"ndcg@{SELECT_K}": figure}
            for half_life, figure in figures.items()
        ]

    def _count(self, train: Interactions, half_life: float | None) -> Floats:
        """Worth of the likes of every item `[n_items]`."""
        liked = train.positives()
        worth = liked.weight.astype(np.float64)
        if half_life is not None and len(liked):
            worth = worth * 0.5 ** ((train.timestamp.max() - liked.timestamp) / DAY / half_life)
        return np.bincount(liked.item, worth, minlength=len(self._require_fitted())).astype(np.float32)

    def _score(self, histories: Histories) -> Floats:
        return np.tile(self.popularity, (len(histories), 1))

    def _explain(self, histories: Histories, items: Longs) -> Reasons:
        reasons = Reasons.empty(items.shape)
        reasons.kind[self.popularity[items] > 0] = REASON_KINDS.index("popular")
        return reasons

    def _state(self) -> Arrays:
        return {"item_ids": id_array(self._require_fitted()), "popularity": self.popularity}

    def _restore(self, state: Arrays, settings: dict[str, Any], catalog: Catalog) -> None:
        self.half_life_days = settings["half_life_days"]
        self.popularity = np.zeros(len(catalog), np.float32)
        self.popularity[positions(state["item_ids"], catalog, self.name)] = state["popularity"]

    def settings(self) -> dict[str, Any]:
        return {"half_life_days": self.half_life_days}
