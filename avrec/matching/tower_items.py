"""The items of a catalogue as the item tower reads them in training."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from avrec.matching.data import Floats
from avrec.matching.examples import Examples
from avrec.matching.towers import ItemTower, content_weights, item_vectors
from avrec.params import FusedParams


class TowerItems:
    """An item tower and its inputs.

    Args:
        params: Of the matcher.
        examples: Items in them have an id.
        inputs: By modality `[n_items, width]`.
        present: Which modalities an item has `[n_items, modalities]`.
        seed: Of the initial weights.
    """

    def __init__(self, params: FusedParams, examples: Examples, inputs: list[Floats], present: Floats,
                 seed: int) -> None:  # fmt: skip
        n_items = len(present)
        has_id = np.zeros(n_items, bool)
        has_id[examples.item] = True
        self.rows = np.where(has_id, np.arange(n_items), n_items).astype(np.int32)
        self.inputs, self.present = inputs, np.hstack([has_id[:, None].astype(np.float32), present])
        dropouts = (params.id_dropout if inputs else 0.0, params.modality_dropout)
        self.tower = ItemTower(n_items, [x.shape[1] for x in inputs], params.dim, params.fusion, dropouts, seed)
        self._tensors = [tf.constant(x) for x in (self.rows, self.present)]
        self._inputs = [tf.constant(x) for x in inputs]

    @property
    def variables(self) -> list[Any]:
        return list(self.tower.trainable_variables)

    def of(self, items: Any, seed: Any) -> tuple[Any, Any]:
        """Vectors `[n, dim]` and biases `[n]` of `items`; `seed` decides what is left out."""
        rows, present = (tf.gather(x, items) for x in self._tensors)
        vectors, bias = self.tower(rows, [tf.gather(x, items) for x in self._inputs], present, seed)
        return vectors, bias

    def made_of(self, inputs: list[Any], seed: Any) -> tuple[Any, Any]:
        """Vectors and biases of all items with other inputs, by modality `[n_items, width]`."""
        rows, present = self._tensors
        vectors, bias = self.tower(rows, inputs, present, seed)
        return vectors, bias

    def arrays(self) -> tuple[Floats, Floats, Floats]:
        """Vectors, biases and shares of all items, nothing left out."""
        return item_vectors(self.tower, self.rows, self.inputs, self.present)

    def write_into(self, matcher: Any) -> None:
        """Hands the current weights to a matcher of fused items as arrays."""
        matcher.vectors, matcher.bias, matcher.shares = self.arrays()
        matcher.content_weights = content_weights(self.tower)
