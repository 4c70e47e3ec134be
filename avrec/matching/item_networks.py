"""A network over frames or sound as the source of one modality of the item tower, so that gradients can reach it."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from avrec.features.augment import augment_frames, augment_patches
from avrec.features.base import Features
from avrec.features.top_layers import TopLayers
from avrec.features.views import Views
from avrec.matching.data import Arrays, Floats, Ints
from avrec.matching.inputs import Projection
from avrec.params import AugmentParams

BLOCK = 16
"""Items whose views go through a network at once where nothing is learned."""


class ItemNetwork:
    """From views to the inputs of the item tower.

    Args:
        modality: visual or audio.
        network: Its top layers can be trained.
        views: Of all items.
        beside: What stands behind the network's vector in the feature table, and does not move, `[n_items, m]`.
        augmentation: Of what is learned from; None: as it is.
    """

    def __init__(self, modality: str, network: TopLayers, views: Views, beside: Floats,
                 augmentation: AugmentParams | None) -> None:  # fmt: skip
        self.modality, self.network, self._augmentation = modality, network, augmentation
        visual = modality == "visual"
        self._views: Any = views.frames if visual else views.patches
        self.present = views.seen if visual else views.heard
        self._beside = beside
        self._vectors = tf.function(self._of)
        self.projection: Projection | None = None

    def drawn(self, items: Ints, seed: tuple[int, int]) -> Any:
        """Views of `items` to learn from `[m * views, ...]`, changed at random."""
        flat = self._views[items].reshape(-1, *self._views.shape[2:])
        if self._augmentation is None:
            return tf.constant(flat)
        augment = augment_frames if self.modality == "visual" else augment_patches
        return augment(tf.constant(flat), self._augmentation, seed)

    def inputs(self, items: Any, drawn: Any) -> Any:
        """Inputs of the item tower `[m, width]` from views of `items [m]`; differentiable.

        Args:
            items: Item indices.
            drawn: Of `drawn`.
        """
        assert self.projection is not None
        vectors = tf.concat([self._of(drawn), tf.gather(tf.constant(self._beside), items)], axis=1)
        units = tf.math.l2_normalize(vectors, axis=1, epsilon=1e-12)
        return tf.matmul(units - self.projection.centre, tf.constant(self.projection.basis))

    def _of(self, views: Any) -> Any:
        count = self._views.shape[1]
        return tf.reduce_mean(tf.reshape(self.network(views), [-1, count, 1024]), axis=1)

    def features(self) -> Features:
        """The vectors that extraction would find, of these views as they are: nothing is changed at random."""
        n = len(self._views)
        found = np.zeros((n, 1024), np.float32)
        for start in range(0, n, BLOCK):
            rows = np.arange(start, start + BLOCK) % n  # blocks of one shape: see `run_padded`
            flat = self._views[rows].reshape(-1, *self._views.shape[2:])
            found[start : start + BLOCK] = self._vectors(tf.constant(flat)).numpy()[: n - start]
        vectors = np.where(self.present[:, None], np.hstack([found, self._beside]), 0.0)
        return Features(self.modality, vectors.astype(np.float32), self.present)

    def arrays(self) -> Arrays:
        """The top layers as they are now."""
        return dict(self.network.arrays())
