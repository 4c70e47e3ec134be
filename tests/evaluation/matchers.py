"""Small matchers under the real contract, for tests of what measures them."""

from __future__ import annotations

from typing import Any

import numpy as np

from avrec.features.base import Features
from avrec.matching.base import FitReport, Matcher, Reasons
from avrec.matching.data import Catalog, Floats, Histories, Interactions, Longs


class Table(Matcher):
    """Scores looked up in a table `[n_users, n_items]`; people it does not know get the mean row."""

    name = "table"

    def __init__(self, scores: np.ndarray) -> None:
        self.table = np.asarray(scores, np.float32)

    def fit(self, catalog: Catalog, train: Interactions, validation: Interactions | None = None) -> FitReport:
        self.catalog = catalog
        return FitReport()

    def _score(self, histories: Histories) -> Floats:
        mean = self.table.mean(axis=0, keepdims=True)
        return np.where(histories.user[:, None] >= 0, self.table[histories.user], mean).astype(np.float32)

    def _explain(self, histories: Histories, items: Longs) -> Reasons:
        return Reasons.empty(items.shape)

    def _state(self) -> dict[str, np.ndarray]:
        return {"table": self.table}

    def _restore(self, state: dict[str, np.ndarray], settings: dict[str, Any], catalog: Catalog) -> None:
        self.table = state["table"]

    def settings(self) -> dict[str, Any]:
        return {}


def catalog_of(n: int, features: dict[str, Features] | None = None) -> Catalog:
    codes = np.full(n, -1, np.int32)
    return Catalog(
        tuple(f"i{i}" for i in range(n)), np.zeros(n, np.int64), codes, codes, ("video",) * n, features or {}
    )


def interactions_of(rows: list[tuple[int, int, int]], n_users: int) -> Interactions:
    """From (user, item, label) in time order."""
    values = np.array(rows, np.int64).reshape(-1, 3)
    return Interactions(
        values[:, 0].astype(np.int32),
        values[:, 1].astype(np.int32),
        np.arange(len(values), dtype=np.int64),
        values[:, 2].astype(np.int8),
        np.ones(len(values), np.float32),
        tuple(f"u{i}" for i in range(n_users)),
    )


def fitted(scores: np.ndarray, catalog: Catalog) -> Table:
    matcher = Table(scores)
    matcher.fit(catalog, interactions_of([], len(scores)))
    return matcher
