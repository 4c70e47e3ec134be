"""Two towers: people and items as unit vectors, learned so that a person lies close to what they like."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from avrec.matching.base import REASON_KINDS, FitReport, Matcher, Reasons, id_array, positions
from avrec.matching.data import Arrays, Catalog, Floats, Histories, Interactions, Longs
from avrec.matching.exact import Exact
from avrec.matching.inputs import Projection
from avrec.matching.selection import liked_matrix
from avrec.params import TwoTowerParams
from avrec.schema import MODALITIES


class TwoTower(Matcher):
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
    exact_rows = True

    def __init__(self, params: TwoTowerParams, seed: int = 7, frozen: dict[str, Any] | None = None) -> None:
        values = {**params.model_dump(exclude={"enabled"}), **(frozen or {})}
        self.best_epoch: int | None = values.pop("best_epoch", None)
        self.seed = values.pop("seed", seed)
        self.params = TwoTowerParams(**values)

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

    def prepare(self) -> None:
        """What scoring needs beside the weights; to be called whenever vectors or kernel changed."""
        self._exact = Exact(self.vectors)
        # The user tower is linear in the likes, so each of them goes through it once, here.
        self.likes = Exact(self.kernel.T).dot(self.vectors)

    def people(self, histories: Histories) -> Floats:
        """Unit vectors `[n, dim]` of the people with these histories."""
        likes = liked_matrix(histories, len(self.vectors), self.params.history)
        count = np.diff(likes.indptr).astype(np.float32)[:, None]
        person = np.where(count > 0, (likes @ self.likes) / np.maximum(count, 1.0), self.nobody)
        norms = np.sqrt((person * person).sum(axis=1, keepdims=True))
        units: Floats = (person / np.maximum(norms, 1e-6)).astype(np.float32)
        return units

    def _score(self, histories: Histories) -> Floats:
        scores = self._exact.dot(self.people(histories))
        scores /= np.float32(self.params.temperature)
        scores += self.bias
        return scores

    def _explain(self, histories: Histories, items: Longs) -> Reasons:
        reasons = Reasons.empty(items.shape)
        for row in range(len(items)):
            liked = np.unique(histories.liked(row)[-self.params.history :])
            if not len(liked):
                continue
            # The person is a sum over likes, so each like has its own share of the score.
            shares: npt.NDArray[Any] = self.likes[liked] @ self.vectors[items[row]].T
            cause = shares.argmax(axis=0)
            speaks = shares[cause, np.arange(items.shape[1])] > 0
            reasons.kind[row, speaks] = REASON_KINDS.index("taste")
            reasons.item[row, speaks] = liked[cause][speaks]
        return reasons

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
