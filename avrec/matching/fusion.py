"""Layers that make one vector of several, some of which may be missing. Keras; any of them by name."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

LOWEST = -1e9
"""Logit of what must not be chosen: its softmax is exactly 0 in float32."""


class Fusion(keras.layers.Layer):  # type: ignore[misc]
    """Base: mixes `m` vectors of length `dim` by weights that add up to 1 over those present.

    Input is `vectors [n, m, dim]` and `present [n, m]` (1 or 0), output `[n, dim]`; zero where nothing is present.
    """

    def mixing(self, vectors: Any, present: Any) -> Any:
        """The weights `[n, m]`, to be read by people too."""
        raise NotImplementedError

    def call(self, vectors: Any, present: Any) -> Any:
        return ops.sum(vectors * self.mixing(vectors, present)[..., None], axis=1)


@keras.saving.register_keras_serializable("avrec")
class Weighted(Fusion):
    """One learned weight a modality, the same for every item."""

    def build(self, shape: Any, *_: Any) -> None:
        self.logits = self.add_weight(shape=(shape[1],), initializer="zeros", name="logits")

    def mixing(self, vectors: Any, present: Any) -> Any:
        return masked_softmax(self.logits[None, :] + 0.0 * present, present)


@keras.saving.register_keras_serializable("avrec")
class Gated(Fusion):
    """Weights that depend on the item: a gate looks at all present vectors and says whom to trust.

    Gated multimodal units (Arevalo et al., 2017) with a softmax over more than two modalities.
    """

    def build(self, shape: Any, *_: Any) -> None:
        _, modalities, dim = shape
        self.kernel = self.add_weight(shape=(modalities * dim, modalities), initializer="zeros", name="kernel")
        self.bias = self.add_weight(shape=(modalities,), initializer="zeros", name="bias")

    def mixing(self, vectors: Any, present: Any) -> Any:
        known = vectors * present[..., None]
        flat = ops.reshape(known, (-1, vectors.shape[1] * vectors.shape[2]))
        return masked_softmax(ops.matmul(flat, self.kernel) + self.bias, present)


@keras.saving.register_keras_serializable("avrec")
class Concat(Fusion):
    """All vectors side by side, missing ones as a learned stand-in, through one linear layer."""

    def build(self, shape: Any, *_: Any) -> None:
        _, modalities, dim = shape
        self.stand_in = self.add_weight(shape=(modalities, dim), initializer="zeros", name="stand_in")
        self.kernel = self.add_weight(shape=(modalities * dim, dim), initializer="glorot_uniform", name="kernel")

    def mixing(self, vectors: Any, present: Any) -> Any:
        share = present / ops.maximum(ops.sum(present, axis=1, keepdims=True), 1.0)
        return share + 0.0 * vectors[..., 0]

    def call(self, vectors: Any, present: Any) -> Any:
        known = vectors * present[..., None] + self.stand_in * (1.0 - present[..., None])
        return ops.matmul(ops.reshape(known, (-1, vectors.shape[1] * vectors.shape[2])), self.kernel)


FUSIONS: dict[str, type[Fusion]] = {"weighted": Weighted, "gated": Gated, "concat": Concat}


def masked_softmax(logits: Any, present: Any) -> Any:
    """Softmax `[n, m]` over the present; rows without any are zero."""
    if logits.shape[1] == 1:
        return present + 0.0 * logits  # keeps the gate in the graph: its gradient is 0, not absent
    shares = ops.softmax(ops.where(present > 0, logits, LOWEST), axis=1)
    return shares * present
