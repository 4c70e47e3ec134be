"""Popularity with time decay: the baseline that everything personal has to beat."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from avrec.matching.base import REASON_KINDS, FitReport, Matcher, Reasons, id_array, positions
from avrec.matching.data import Arrays, Catalog, Floats, Histories, Interactions, Longs
from avrec.params import PopularityParams

DAY = 86_400.0


class Popularity(Matcher):
    """Scores an item by its liked interactions, each worth half as much for every `half_life_days` of age.

    Age is counted from the last training interaction, never from the clock. Without a half life, or where the data
    set has no time, it counts.

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
        liked = train.positives()
        worth = liked.weight.astype(np.float64)
        if self.half_life_days is not None and len(liked):
            age = (train.timestamp.max() - liked.timestamp) / DAY
            worth = worth * 0.5 ** (age / self.half_life_days)
        self.popularity = np.bincount(liked.item, worth, minlength=len(catalog)).astype(np.float32)
        self.catalog = catalog
        return FitReport(self.settings())

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
