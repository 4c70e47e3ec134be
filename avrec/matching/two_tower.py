"""Two towers: people and items as unit vectors, learned so that a person lies close to what they like."""

from __future__ import annotations

from typing import Any, ClassVar

from avrec.matching.base import FitReport
from avrec.matching.data import Arrays, Catalog, Interactions
from avrec.matching.fused import FusedItems
from avrec.matching.vectors import MeanMatcher
from avrec.params import TwoTowerParams


class TwoTower(MeanMatcher, FusedItems):
    """Item tower: id and modalities through a fusion layer. User tower: a linear map of the mean of the likes.

    Trained by a softmax over items (`avrec.matching.softmax`), stopped early on validation. TensorFlow is needed for
    training, and to load it with items newer than the training; scoring is plain numpy over the stored vectors.

    Example:
        ```python
        matcher = TwoTower(TwoTowerParams(epochs=5))
        report = matcher.fit(catalog, train, validation)
        report.importance  # {"id": 0.7, "visual": 0.2, "text": 0.1}
        ```
    """

    name: ClassVar[str] = "two_tower"
    params_class = TwoTowerParams
    params: TwoTowerParams

    def __init__(self, params: TwoTowerParams, seed: int = 7, frozen: dict[str, Any] | None = None) -> None:
        self._configure(params, seed, frozen)

    def fit(self, catalog: Catalog, train: Interactions, validation: Interactions | None = None) -> FitReport:
        from avrec.matching.two_tower_training import train_towers

        self.look(catalog, train)
        epochs = train_towers(self, catalog, train, validation)
        self.catalog = catalog
        return FitReport(self.settings(), epochs, importance=self.importance)

    def _learned(self) -> Arrays:
        return {"kernel": self.kernel, "nobody": self.nobody}

    def _adopt(self, state: Arrays) -> None:
        self.kernel, self.nobody = state["kernel"], state["nobody"]
