"""What chance alone would get: the row of a benchmark that every other is to be seen against."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from avrec.matching.base import FitReport, Matcher, Reasons
from avrec.matching.data import Arrays, Catalog, Floats, Histories, Interactions, Longs


class Chance(Matcher):
    """Every item as likely as any other, for each person by themselves."""

    name: ClassVar[str] = "random"
    exact_rows = True

    def __init__(self, seed: int = 7) -> None:
        self.seed = seed

    def fit(self, catalog: Catalog, train: Interactions, validation: Interactions | None = None) -> FitReport:
        self.catalog = catalog
        return FitReport(self.settings())

    def _score(self, histories: Histories) -> Floats:
        n_items = len(self._require_fitted())
        rows = [np.random.default_rng([self.seed, int(user) + 1]).random(n_items) for user in histories.user]
        return np.array(rows, np.float32).reshape(len(histories), n_items)

    def _explain(self, histories: Histories, items: Longs) -> Reasons:
        return Reasons.empty(items.shape)

    def _state(self) -> Arrays:
        return {}

    def _restore(self, state: Arrays, settings: dict[str, Any], catalog: Catalog) -> None:
        self.seed = settings["seed"]

    def settings(self) -> dict[str, Any]:
        return {"seed": self.seed}
