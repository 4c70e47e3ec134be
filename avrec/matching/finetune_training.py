"""Trains the top layers of the networks together with the two towers, from frames and log-mel.

A step takes a few items, runs their views through the networks, and asks for likes of whatever items among all: the
others are taken as the networks saw them at the end of the epoch before. So memory and time of a step depend on neither
the size of the catalogue nor the length of the histories (compare Wang et al., "Cross-batch memory for embedding
learning", CVPR 2020, whose memory is refreshed by the batches themselves).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from avrec.errors import ParamsError
from avrec.features.base import Features
from avrec.matching.checkpoints import Checkpoint, training_key
from avrec.matching.data import Arrays, Catalog, Floats, Interactions, Ints
from avrec.matching.examples import Examples
from avrec.matching.item_networks import ItemNetwork
from avrec.matching.stopping import fit_epochs
from avrec.matching.two_tower import TwoTower
from avrec.matching.two_tower_training import LEARNED, TowerLearner
from avrec.params import CompressionParams, FinetuneParams, TwoTowerParams


class FinetunedTowers(TwoTower):
    """Two towers and the networks below them.

    Attributes:
        networks: Top layers by `MODALITY.NAME`.
    """

    name: ClassVar[str] = "finetune"
    networks: Arrays

    def __init__(self, params: TwoTowerParams, tuning: FinetuneParams, seed: int) -> None:
        changes = {
            "epochs": 1 + tuning.epochs, "patience": tuning.patience, "id_dropout": tuning.id_dropout,
            "loss": "full_softmax", "hard_negatives": 0, "compression": CompressionParams(), "strategy": "none",
            "batch_size": tuning.batch_size,
        }  # fmt: skip
        super().__init__(params.model_copy(update=changes), seed)
        self.tuning = tuning

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "tuning": self.tuning.model_dump(mode="json")}


class NetworkLearner(TowerLearner):
    """The towers, and below them networks whose top layers move.

    The first epoch is the towers' alone: as long as these are random, what they tell the networks is noise.
    """

    may_rest = True  # the networks, in the first epoch: Adam leaves where it is what has always had zeros

    def __init__(self, matcher: FinetunedTowers, examples: Examples, inputs: list[Floats], present: Floats,
                 networks: list[ItemNetwork]) -> None:  # fmt: skip
        super().__init__(matcher.params, matcher.seed, examples, inputs, present)
        self.tuning, self.networks = matcher.tuning, networks
        self._places = [matcher.modalities.index(network.modality) for network in networks]
        self.memory = [tf.Variable(x, trainable=False) for x in inputs]
        moving = [variable for network in networks for variable in network.network.variables]
        self.compile([*self.variables, *moving], self.params.learning_rate)

    def logits(self, rows: tuple[Any, ...], seed: Any) -> tuple[Any, Any]:
        """As the towers', with the views of some items in place of what is remembered of them.

        Args:
            rows: Person `[b]`, item `[b]`, items seen anew `[m]`, and by network their views; no views at all: the
                towers' own.
            seed: Decides what is left out.
        """
        user, item, items, *drawn = rows
        inputs = [tf.identity(x) for x in self.memory]
        for place, network, views in zip(self._places, self.networks, drawn, strict=bool(drawn)):
            anew = network.inputs(items, views)
            inputs[place] = tf.tensor_scatter_nd_update(inputs[place], items[:, None], anew)
        return self._among_all(item, self._others(user, item), *self.items.made_of(inputs, seed)), item

    def batches(self, number: int) -> Iterator[tuple[Any, ...]]:
        if number > 1:
            yield from self._with_views(number)
            return
        for epoch in range(self.tuning.warm_epochs):
            yield from super().batches(1 - self.tuning.warm_epochs + epoch)

    def _with_views(self, number: int) -> Iterator[tuple[Any, ...]]:
        """Every liked item seen anew once, in groups; with each group likes by chance, as in the first epoch.

        Likes of the group's items alone would teach that whatever is looked at is popular.
        """
        rng = np.random.default_rng(self.seed * 1000 + number)
        order = rng.permutation(np.unique(self.examples.item))
        size = min(self.tuning.items, len(order))
        for step in range(-(-len(order) // size)):
            group = np.roll(order, -step * size)[:size].astype(np.int32)
            asked = np.resize(rng.permutation(len(self.examples.item)), self.tuning.batch_size)
            seed = self.seed * 1000 + number, 1000 * step
            yield (self.examples.user[asked], self.examples.item[asked], group,
                   *(network.drawn(group, seed) for network in self.networks))  # fmt: skip

    def epoch(self, number: int) -> float:
        loss = super().epoch(number)
        if not np.isfinite(loss):
            raise ParamsError(f"the loss of epoch {number} is {loss}; give a lower finetune.learning_rate.")
        if number > 1:
            self._remember()
        return loss

    def restore(self, state: Arrays) -> None:
        super().restore(state)
        self._remember()

    def _remember(self) -> None:
        """All items as the networks see them now."""
        for place, network in zip(self._places, self.networks, strict=True):
            assert network.projection is not None
            self.items.inputs[place] = network.projection.apply(network.features())
            self.memory[place].assign(self.items.inputs[place])

    def write_into(self, matcher: Any) -> None:
        super().write_into(matcher)
        matcher.networks = {f"{n.modality}.{name}": a for n in self.networks for name, a in n.arrays().items()}


def finetune_networks(
    matcher: FinetunedTowers, networks: list[ItemNetwork], catalog: Catalog, train: Interactions,
    validation: Interactions | None,
) -> list[dict[str, float]]:  # fmt: skip
    """Fits `matcher` and the top layers of `networks`, until validation stops getting better.

    Args:
        matcher: Gets the best top layers as `networks`, and the number of their epoch as `best_epoch`; 1: as given.
        networks: Views of all items of `catalog` in its order.
        catalog: Modalities without a network keep the features they have.
        train: Learned from.
        validation: Decides when to stop.

    Returns:
        Loss and validation figures an epoch; the first is that of the towers alone, the networks as given.
    """
    seen: dict[str, Features] = {network.modality: network.features() for network in networks}
    catalog = catalog.with_features({**catalog.features, **seen})
    matcher.look(catalog, train)
    for network in networks:
        network.projection = matcher.projections[network.modality]
    examples = Examples.of(train, len(catalog))
    learner = NetworkLearner(matcher, examples, *matcher.inputs(catalog), networks)
    checkpoint = Checkpoint(training_key(matcher, catalog, train, validation))
    return fit_epochs(matcher, learner, (*LEARNED, "networks"), train, validation, checkpoint)


def sample_of(
    catalog: Catalog, parts: list[Interactions], most: int, seed: int
) -> tuple[Ints, Catalog, list[Interactions]]:
    """At most so many items, by chance, with what happened to them."""
    n = len(catalog)
    rows = np.sort(np.random.default_rng(seed).permutation(n)[:most]).astype(np.int32)
    place = np.full(n, -1, np.int32)
    place[rows] = np.arange(len(rows))
    features = {name: Features(name, f.vectors[rows], f.present[rows]) for name, f in catalog.features.items()}
    fewer = Catalog(
        tuple(catalog.item_ids[row] for row in rows), catalog.published_at[rows], catalog.category[rows],
        catalog.creator[rows], tuple(catalog.media_type[row] for row in rows), features,
    )  # fmt: skip
    kept = [part.where(place[part.item] >= 0) for part in parts]
    return (
        rows,
        fewer,
        [
            Interactions(part.user, place[part.item], part.timestamp, part.label, part.weight, part.user_ids)
            for part in kept
        ],
    )
