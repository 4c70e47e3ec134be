"""A graph of people and items, and one of items that look, sound and read alike; both carry vectors to neighbours."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from avrec.matching.base import FitReport, id_array, positions
from avrec.matching.data import Arrays, Catalog, Floats, Interactions, Longs, Mask
from avrec.matching.likeness import Neighbourhood
from avrec.matching.vectors import MeanMatcher, unit
from avrec.params import GraphParams
from avrec.schema import MODALITIES


class Graph(MeanMatcher):
    """Item vectors, carried along likes and along likeness; a person is the mean of what they liked.

    Along likes: the propagation of LightGCN (He et al., "LightGCN", SIGIR 2020), items to people to items, without
    vectors that belong to single people, so that anybody with a history can be scored. Along likeness: the mean of an
    item's nearest neighbours, by modality, weighted by learned importance (in the spirit of Zhang et al., "Mining
    latent structures for multimedia recommendation", MM 2021, and, for frozen graphs, Zhou and Shen, "A tale of two
    graphs", MM 2023). A new item has only the second, and training leaves the first out at random.

    Example:
        ```python
        matcher = Graph(GraphParams(layers=3))
        report = matcher.fit(catalog, train, validation)
        report.importance  # {"visual": 0.6, "audio": 0.4}
        ```

    Attributes:
        own: What items hand to those that are like them `[n_items, dim]`.
        known: Items with a like in training `[n_items]` bool.
        logits: Of the modalities' importance `[modalities]`.
        gain: Weight of likeness beside likes `[1]`.
    """

    name: ClassVar[str] = "graph"
    uses_features: ClassVar[bool] = True
    own: Floats
    known: Mask
    logits: Floats
    gain: Floats

    def __init__(self, params: GraphParams, seed: int = 7, frozen: dict[str, Any] | None = None) -> None:
        values = {**params.model_dump(exclude={"enabled"}), **(frozen or {})}
        self.best_epoch: int | None = values.pop("best_epoch", None)
        self.seed = values.pop("seed", seed)
        self.params = GraphParams(**values)

    def fit(self, catalog: Catalog, train: Interactions, validation: Interactions | None = None) -> FitReport:
        from avrec.matching.graph_training import train_graph

        self.look(catalog, train)
        epochs = train_graph(self, catalog, train, validation)
        self.catalog = catalog
        return FitReport(self.settings(), epochs, importance=self.importance)

    def look(self, catalog: Catalog, train: Interactions) -> None:
        """Takes from the catalogue what does not need training: modalities and who may be a neighbour."""
        known = np.zeros(len(catalog), bool)
        known[train.positives().item] = True
        self.modalities = tuple(name for name in MODALITIES if name in catalog.features)
        self.neighbourhoods = {
            name: Neighbourhood.of(catalog.features[name], known, self.params.neighbours) for name in self.modalities
        }

    @property
    def importance(self) -> dict[str, float]:
        """Learned share of each modality in the item-item graph, for an item that has all of them."""
        odds = np.exp(self.logits - self.logits.max(initial=0.0))
        shares = odds / max(float(odds.sum()), 1e-12)
        return {name: float(share) for name, share in zip(self.modalities, shares, strict=True)}

    def modality_shares(self, catalog: Catalog, items: Longs) -> Floats:
        """The same for each of `items`, `[len(items), modalities]`; 0 for what an item lacks."""
        nothing = np.zeros(len(catalog), bool)
        have = [catalog.features[n].present if n in catalog.features else nothing for n in self.modalities]
        present = np.stack([*have, nothing], axis=1)[items, :-1].astype(np.float32)
        odds = np.exp(self.logits - self.logits.max(initial=0.0))[None, :] * present
        shares: Floats = (odds / np.maximum(odds.sum(axis=1, keepdims=True), 1e-12)).astype(np.float32)
        return shares

    def alike(self, catalog: Catalog, items: Longs) -> Floats:
        """What `items` get from their neighbours, `[len(items), dim]` float32."""
        shares = self.modality_shares(catalog, items)
        total: Floats = np.zeros((len(items), self.own.shape[1]), np.float32)
        for i, name in enumerate(self.modalities):
            if name in catalog.features:
                graph = self.neighbourhoods[name].graph(catalog.features[name], items)
                total += shares[:, i : i + 1] * (graph @ self.own)
        return total * self.gain

    def _state(self) -> Arrays:
        arrays: Arrays = {
            "item_ids": id_array(self._require_fitted()), "vectors": self.vectors, "bias": self.bias, "own": self.own,
            "kernel": self.kernel, "nobody": self.nobody, "modalities": np.array(self.modalities, dtype=np.str_),
            "logits": self.logits, "gain": self.gain, "known": self.known,
        }  # fmt: skip
        return {**arrays, **{f"centre_{name}": near.centre for name, near in self.neighbourhoods.items()}}

    def _restore(self, state: Arrays, settings: dict[str, Any], catalog: Catalog) -> None:
        self.__init__(GraphParams(), frozen=settings)  # type: ignore[misc]
        self.kernel, self.nobody, self.logits = state["kernel"], state["nobody"], state["logits"]
        self.gain, self.modalities = state["gain"], tuple(state["modalities"].tolist())
        place = positions(state["item_ids"], catalog, self.name)
        arrays = {"vectors": np.float32, "own": np.float32, "bias": np.float32, "known": np.bool_}
        for name, dtype in arrays.items():
            values = np.zeros((len(catalog), *state[name].shape[1:]), dtype)
            values[place] = state[name]
            setattr(self, name, values)
        self.neighbourhoods = {
            name: Neighbourhood(state[f"centre_{name}"], self.known, self.params.neighbours) for name in self.modalities
        }
        newer = np.setdiff1d(np.arange(len(catalog)), place)
        if len(newer):
            self.vectors[newer] = unit(self.alike(catalog, newer))
        self.prepare()

    def settings(self) -> dict[str, Any]:
        values = self.params.model_dump(mode="json", exclude={"enabled"})
        return {**values, "best_epoch": self.best_epoch, "seed": self.seed}
