"""Two towers: people and items as unit vectors, learned so that a person lies close to what they like."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from avrec.matching.base import FitReport, id_array, positions
from avrec.matching.data import Arrays, Catalog, Floats, Interactions, Longs
from avrec.matching.inputs import Projection
from avrec.matching.vectors import VectorMatcher
from avrec.params import TwoTowerParams
from avrec.schema import MODALITIES


class TwoTower(VectorMatcher):
    """Item tower: id and modalities through a fusion layer. User tower: a linear map of the mean of the likes.

    Trained by a softmax over items (`avrec.matching.softmax`), stopped early on validation. TensorFlow is needed for
    training, and to load it with items newer than the training; scoring is plain numpy over the stored vectors.

    Example:
        ```python
        matcher = TwoTower(TwoTowerParams(epochs=5))
        report = matcher.fit(catalog, train, validation)
        ```
    """

    name: ClassVar[str] = "two_tower"
    uses_features: ClassVar[bool] = True

    def __init__(self, params: TwoTowerParams, seed: int = 7, frozen: dict[str, Any] | None = None) -> None:
        values = {**params.model_dump(exclude={"enabled"}), **(frozen or {})}
        self.best_epoch: int | None = values.pop("best_epoch", None)
        self.seed = values.pop("seed", seed)
        self.params = TwoTowerParams(**values)
        self.history, self.temperature = self.params.history, self.params.temperature

    def fit(self, catalog: Catalog, train: Interactions, validation: Interactions | None = None) -> FitReport:
        from avrec.matching.two_tower_training import train_towers

        liked = np.zeros(len(catalog), bool)
        liked[train.positives().item] = True
        self.modalities = tuple(name for name in MODALITIES if name in catalog.features)
        self.projections = {
            name: Projection.of(catalog.features[name], liked, self.params.feature_dim) for name in self.modalities
        }
        epochs = train_towers(self, catalog, train, validation)
        self.catalog = catalog
        return FitReport(self.settings(), epochs)

    def inputs(self, catalog: Catalog) -> tuple[list[Floats], Floats]:
        """Inputs of the item tower `[n_items, width]` by modality, and which are present `[n_items, modalities]`."""
        have = [catalog.features.get(name) for name in self.modalities]
        present = np.zeros((len(catalog), len(have)), np.float32)
        values = []
        for i, (name, features) in enumerate(zip(self.modalities, have, strict=True)):
            projection = self.projections[name]
            if features is None:
                values.append(np.zeros((len(catalog), projection.basis.shape[1]), np.float32))
                continue
            values.append(projection.apply(features))
            present[:, i] = features.present
        return values, present

    def _state(self) -> Arrays:
        arrays: Arrays = {
            "item_ids": id_array(self._require_fitted()), "vectors": self.vectors, "bias": self.bias,
            "kernel": self.kernel, "nobody": self.nobody, "modalities": np.array(self.modalities, dtype=np.str_),
        }  # fmt: skip
        for name, projection in self.projections.items():
            arrays[f"centre_{name}"], arrays[f"basis_{name}"] = projection.centre, projection.basis
        return {**arrays, **{f"tower_{name}": value for name, value in self.content_weights.items()}}

    def _restore(self, state: Arrays, settings: dict[str, Any], catalog: Catalog) -> None:
        self.__init__(TwoTowerParams(), frozen=settings)  # type: ignore[misc]
        self.kernel, self.nobody = state["kernel"], state["nobody"]
        self.modalities = tuple(state["modalities"].tolist())
        self.projections = {n: Projection(state[f"centre_{n}"], state[f"basis_{n}"]) for n in self.modalities}
        self.content_weights = {n.removeprefix("tower_"): v for n, v in state.items() if n.startswith("tower_")}
        known = positions(state["item_ids"], catalog, self.name)
        self.vectors = np.zeros((len(catalog), self.params.dim), np.float32)
        self.bias = np.zeros(len(catalog), np.float32)
        self.vectors[known], self.bias[known] = state["vectors"], state["bias"]
        newer = np.setdiff1d(np.arange(len(catalog)), known)
        if len(newer):
            self._place(newer, catalog)
        self.prepare()

    def _place(self, newer: Longs, catalog: Catalog) -> None:
        """Vectors of items that are newer than the training, from what they are made of."""
        from avrec.matching.towers import content_tower, item_vectors

        tower = content_tower(self.content_weights, self.params.dim, self.params.fusion)
        values, present = self.inputs(catalog)
        with_id = np.hstack([np.zeros((len(newer), 1), np.float32), present[newer]])
        rows = np.zeros(len(newer), np.int32)
        self.vectors[newer], self.bias[newer] = item_vectors(tower, rows, [v[newer] for v in values], with_id)

    def settings(self) -> dict[str, Any]:
        values = self.params.model_dump(mode="json", exclude={"enabled"})
        return {**values, "best_epoch": self.best_epoch, "seed": self.seed}
