"""Matchers whose items are an id and what they are made of, mixed by a fusion layer."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from avrec.matching.base import id_array, positions
from avrec.matching.data import Arrays, Catalog, Floats, Interactions, Longs
from avrec.matching.inputs import Projection
from avrec.matching.vectors import VectorMatcher
from avrec.params import FusedParams
from avrec.schema import MODALITIES

ID = "id"
"""What the id is called among the modalities."""


class FusedItems(VectorMatcher):
    """Base: keeps what the item tower made, and places items that are newer than the training by their content.

    Attributes:
        shares: What id and modalities counted in each item's vector `[n_items, 1 + modalities]`, as the fusion layer
            says; rows add up to 1.
        modalities: Names, in the order of the tower's inputs.
        projections: What makes inputs of features, by modality.
        content_weights: What the tower needs for items without an id.
    """

    uses_features: ClassVar[bool] = True
    params_class: ClassVar[type[FusedParams]]
    shares: Floats
    modalities: tuple[str, ...]
    projections: dict[str, Projection]
    content_weights: Arrays

    @abstractmethod
    def _learned(self) -> Arrays:
        """Arrays of the subclass, to be saved."""

    @abstractmethod
    def _adopt(self, state: Arrays) -> None:
        """Takes them back."""

    def _configure(self, params: Any, seed: int, frozen: dict[str, Any] | None) -> None:
        values = {**params.model_dump(exclude={"enabled"}), **(frozen or {})}
        self.best_epoch: int | None = values.pop("best_epoch", None)
        self.seed = values.pop("seed", seed)
        self.params = self.params_class(**values)

    def look(self, catalog: Catalog, train: Interactions) -> None:
        """Takes from the catalogue what does not need training: modalities and their projections."""
        liked = np.zeros(len(catalog), bool)
        liked[train.positives().item] = True
        self.modalities = tuple(name for name in MODALITIES if name in catalog.features)
        width = self.params.feature_dim
        self.projections = {name: Projection.of(catalog.features[name], liked, width) for name in self.modalities}

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

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return int(self.params.dim)

    @property
    def importance(self) -> dict[str, float]:
        """What id and each modality count, on average over the items that have several."""
        several = (self.shares > 0).sum(axis=1) > 1
        mean = self.shares[several].mean(axis=0) if several.any() else np.zeros(self.shares.shape[1])
        return {name: float(share) for name, share in zip((ID, *self.modalities), mean, strict=True)}

    def _from_content(self, items: Longs, catalog: Catalog) -> tuple[Floats, Floats, Floats]:
        """Vectors `[n, dim]`, biases `[n]` and shares `[n, 1 + modalities]` of items whose ids are left out."""
        from avrec.matching.towers import content_tower, item_vectors

        tower = content_tower(self.content_weights, self.dim, self.params.fusion)
        values, present = self.inputs(catalog)
        with_id = np.hstack([np.zeros((len(items), 1), np.float32), present[items]])
        return item_vectors(tower, np.zeros(len(items), np.int32), [v[items] for v in values], with_id)

    def _state(self) -> Arrays:
        arrays: Arrays = {
            "item_ids": id_array(self._require_fitted()), "vectors": self.vectors, "bias": self.bias,
            "shares": self.shares, "modalities": np.array(self.modalities, dtype=np.str_), **self._learned(),
        }  # fmt: skip
        for name, projection in self.projections.items():
            arrays[f"centre_{name}"], arrays[f"basis_{name}"] = projection.centre, projection.basis
        return {**arrays, **{f"tower_{name}": value for name, value in self.content_weights.items()}}

    def _restore(self, state: Arrays, settings: dict[str, Any], catalog: Catalog) -> None:
        self._configure(self.params_class(), 0, settings)
        self._adopt(state)
        self.modalities = tuple(state["modalities"].tolist())
        self.projections = {n: Projection(state[f"centre_{n}"], state[f"basis_{n}"]) for n in self.modalities}
        self.content_weights = {n.removeprefix("tower_"): v for n, v in state.items() if n.startswith("tower_")}
        known = positions(state["item_ids"], catalog, self.name)
        newer = np.setdiff1d(np.arange(len(catalog)), known)
        placed = self._from_content(newer, catalog) if len(newer) else None
        for i, name in enumerate(("vectors", "bias", "shares")):
            values = np.zeros((len(catalog), *state[name].shape[1:]), np.float32)
            values[known] = state[name]
            if placed is not None:
                values[newer] = placed[i]
            setattr(self, name, values)
        self.prepare()

    def settings(self) -> dict[str, Any]:
        values: dict[str, Any] = self.params.model_dump(mode="json", exclude={"enabled"})
        return {**values, "best_epoch": self.best_epoch, "seed": self.seed}
