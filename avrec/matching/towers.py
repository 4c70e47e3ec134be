"""The two towers: an item from its id and what it is made of, a person from what they liked."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from avrec.matching.base import BLOCK
from avrec.matching.data import Arrays, Floats
from avrec.matching.fusion import FUSIONS

ID_SCALE = 0.05


class ItemTower(keras.Model):  # type: ignore[misc]
    """Unit vectors and biases of items.

    The id is one modality among the others: an item that was never interacted with has none, and in training it is
    left out at random (`id_dropout`), so that the tower learns to do without. Its bias goes with it.

    Args:
        n_ids: Number of learned ids.
        widths: Length of the input of each modality, in order.
        dim: Length of the vectors.
        fusion: Name of a layer of `avrec.matching.fusion`.
        dropouts: Shares of ids and of modalities left out in training.
        seed: Of the initial weights.
    """

    def __init__(self, n_ids: int, widths: list[int], dim: int, fusion: str, dropouts: tuple[float, float],
                 seed: int) -> None:  # fmt: skip
        super().__init__()
        start = keras.initializers.RandomNormal(stddev=ID_SCALE, seed=seed)
        self.ids = self.add_weight(shape=(n_ids + 1, dim), initializer=start, name="ids")  # the last row: no id
        self.id_bias = self.add_weight(shape=(n_ids + 1,), initializer="zeros", name="id_bias")
        self.projections = [
            self.add_weight(shape=(width, dim), name=f"projection_{i}",
                            initializer=keras.initializers.GlorotUniform(seed=seed + 1 + i))
            for i, width in enumerate(widths)
        ]  # fmt: skip
        self.fusion = FUSIONS[fusion]()
        self.fusion.build((None, 1 + len(widths), dim), (None, 1 + len(widths)))
        self.dropouts, self.n_ids = dropouts, n_ids

    def call(self, rows: Any, inputs: list[Any], present: Any, seed: Any = None) -> tuple[Any, Any]:
        """Vectors `[n, dim]` and biases `[n]`.

        Args:
            rows: Id of each item `[n]` int32, `n_ids` for none.
            inputs: By modality `[n, width]`.
            present: `[n, 1 + modalities]` float, the id first.
            seed: Two integers that decide what is left out; None outside training.
        """
        if seed is not None:
            present = self._drop(present, seed)
        fused = self.fusion.call(self._parts(rows, inputs), present)
        return tf.math.l2_normalize(fused, axis=1, epsilon=1e-12), tf.gather(self.id_bias, rows) * present[:, 0]

    def shares(self, rows: Any, inputs: list[Any], present: Any) -> Any:
        """What id and modalities count in each item's vector `[n, 1 + modalities]`, as the fusion layer says."""
        return self.fusion.mixing(self._parts(rows, inputs), present)

    def _parts(self, rows: Any, inputs: list[Any]) -> Any:
        vectors = [tf.matmul(x, p) for x, p in zip(inputs, self.projections, strict=True)]
        return tf.stack([tf.gather(self.ids, rows), *vectors], axis=1)

    def _drop(self, present: Any, seed: Any) -> Any:
        """Leaves out ids and modalities at random, but never all that an item has."""
        drop_id, drop_modality = self.dropouts
        chance = tf.constant([drop_id] + [drop_modality] * len(self.projections))
        kept = present * tf.cast(tf.random.stateless_uniform(tf.shape(present), seed) >= chance, tf.float32)
        return tf.where(tf.reduce_any(kept > 0, axis=1, keepdims=True), kept, present)


class UserTower(keras.Model):  # type: ignore[misc]
    """Unit vectors of people: a linear map of the mean of their likes; one learned vector for those without any."""

    def __init__(self, dim: int, seed: int) -> None:
        super().__init__()
        self.kernel = self.add_weight(shape=(dim, dim), initializer="identity", name="kernel")
        start = keras.initializers.RandomNormal(stddev=ID_SCALE, seed=seed)
        self.nobody = self.add_weight(shape=(dim,), initializer=start, name="nobody")

    def call(self, likes: Any, known: Any) -> Any:
        """Vectors `[b, dim]` from `likes [b, l, dim]` of which `known [b, l]` (1 or 0) count."""
        return person_vectors(likes, known, self.kernel, self.nobody)


def person_vectors(likes: Any, known: Any, kernel: Any, nobody: Any) -> Any:
    """What `UserTower` makes of likes, from its weights `kernel [dim, dim]` and `nobody [dim]`."""
    count = tf.reduce_sum(known, axis=1, keepdims=True)
    mean = tf.reduce_sum(likes * known[..., None], axis=1) / tf.maximum(count, 1.0)
    person = tf.where(count > 0, tf.matmul(mean, kernel), nobody[None, :])
    return tf.math.l2_normalize(person, axis=1, epsilon=1e-12)


def item_vectors(tower: ItemTower, rows: Any, inputs: list[Floats], present: Floats) -> tuple[Floats, Floats, Floats]:
    """Vectors, biases and shares of any number of items, in padded blocks: an item's bits depend on no other item."""
    n = len(rows)
    parts: list[tuple[Floats, ...]] = []
    for start in range(0, n, BLOCK):
        missing = max(0, start + BLOCK - n)
        block = slice(start, start + BLOCK)
        padded = [np.pad(x[block], [(0, missing)] + [(0, 0)] * (x.ndim - 1)) for x in (rows, *inputs, present)]
        asked = tf.constant(padded[0]), [tf.constant(x) for x in padded[1:-1]], tf.constant(padded[-1])
        parts.append(tuple(x.numpy()[: BLOCK - missing] for x in (*tower(*asked), tower.shares(*asked))))
    empty = np.zeros((0, tower.ids.shape[1]), np.float32), np.zeros(0, np.float32), np.zeros_like(present[:0])
    vectors, bias, shares = (np.concatenate([e, *(p[i] for p in parts)]) for i, e in enumerate(empty))
    return vectors, bias, shares


def content_weights(tower: ItemTower) -> Arrays:
    """What the tower needs for items without an id, as arrays by name."""
    arrays = {f"projection_{i}": np.array(p) for i, p in enumerate(tower.projections)}
    return {**arrays, **{f"fusion_{i}": np.array(w) for i, w in enumerate(tower.fusion.weights)}}


def content_tower(weights: Arrays, dim: int, fusion: str) -> ItemTower:
    """A tower for items without an id, from `content_weights`."""
    projections = [weights[f"projection_{i}"] for i in range(sum(name.startswith("projection_") for name in weights))]
    tower = ItemTower(0, [len(p) for p in projections], dim, fusion, (0.0, 0.0), seed=0)
    for variable, value in zip(tower.projections, projections, strict=True):
        variable.assign(value)
    for i, variable in enumerate(tower.fusion.weights):
        variable.assign(weights[f"fusion_{i}"])
    return tower
