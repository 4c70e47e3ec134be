"""Layers that make one vector of several, some of which may be missing. Keras; any of them by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import keras
from keras import ops

LOWEST = -1e9
"""Logit of what must not be chosen: its softmax is exactly 0 in float32."""


class Fusion(keras.layers.Layer, ABC):  # type: ignore[misc]
    """Base: mixes `m` vectors of length `dim` by weights that add up to 1 over those present.

    Input is `vectors [n, m, dim]` and `present [n, m]` (1 or 0), output `[n, dim]`. What is not present is masked: it
    has the weight 0, and its vector no influence.
    """

    @abstractmethod
    def mixing(self, vectors: Any, present: Any) -> Any:
        """The weights `[n, m]`, to be read by people too; rows without anything present are 0."""

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
class Attention(Fusion):
    """Weights by scaled dot-product attention: the mean of what is present asks, each modality answers.

    Vaswani et al., "Attention is all you need", NeurIPS 2017, with one query an item. It starts as a plain mean.
    """

    def build(self, shape: Any, *_: Any) -> None:
        _, modalities, dim = shape
        self.query = self.add_weight(shape=(dim, dim), initializer="zeros", name="query")
        self.key = self.add_weight(shape=(dim, dim), initializer="glorot_uniform", name="key")
        self.bias = self.add_weight(shape=(modalities,), initializer="zeros", name="bias")

    def mixing(self, vectors: Any, present: Any) -> Any:
        known = vectors * present[..., None]
        mean = ops.sum(known, axis=1) / ops.maximum(ops.sum(present, axis=1, keepdims=True), 1.0)
        asked, answers = ops.matmul(mean, self.query), ops.matmul(known, self.key)
        logits = ops.sum(asked[:, None, :] * answers, axis=-1) / vectors.shape[2] ** 0.5
        return masked_softmax(logits + self.bias, present)


@keras.saving.register_keras_serializable("avrec")
class Bilinear(Fusion):
    """A weighted sum, and what every two modalities say together: the product of their maps, entry by entry.

    Low-rank bilinear pooling (Kim et al., "Hadamard product for low-rank bilinear pooling", ICLR 2017), summed over
    all pairs of which both are present, by the square of a sum (Rendle, "Factorization machines", ICDM 2010).
    """

    def build(self, shape: Any, *_: Any) -> None:
        _, modalities, dim = shape
        self.logits = self.add_weight(shape=(modalities,), initializer="zeros", name="logits")
        self.maps = self.add_weight(shape=(modalities, dim, dim), initializer="glorot_uniform", name="maps")

    def mixing(self, vectors: Any, present: Any) -> Any:
        return masked_softmax(self.logits[None, :] + 0.0 * present, present)

    def call(self, vectors: Any, present: Any) -> Any:
        weighted = vectors * self.mixing(vectors, present)[..., None]
        mapped = ops.einsum("nmd,mde->nme", weighted, self.maps)
        total = ops.sum(mapped, axis=1)
        return ops.sum(weighted, axis=1) + (total * total - ops.sum(mapped * mapped, axis=1)) / 2


@keras.saving.register_keras_serializable("avrec")
class Concat(Fusion):
    """All vectors side by side, missing ones as a learned stand-in, through one linear layer.

    A modality's weight is the length of what it adds to the fused vector, over that of all present.
    """

    def build(self, shape: Any, *_: Any) -> None:
        _, modalities, dim = shape
        self.stand_in = self.add_weight(shape=(modalities, dim), initializer="zeros", name="stand_in")
        self.kernel = self.add_weight(shape=(modalities * dim, dim), initializer="glorot_uniform", name="kernel")

    def mixing(self, vectors: Any, present: Any) -> Any:
        kernels = ops.reshape(self.kernel, (vectors.shape[1], vectors.shape[2], -1))
        parts = ops.einsum("nmd,mde->nme", vectors * present[..., None], kernels)
        lengths = ops.sqrt(ops.sum(parts * parts, axis=-1) + 1e-12) * present
        return lengths / ops.maximum(ops.sum(lengths, axis=1, keepdims=True), 1e-12)

    def call(self, vectors: Any, present: Any) -> Any:
        known = vectors * present[..., None] + self.stand_in * (1.0 - present[..., None])
        return ops.matmul(ops.reshape(known, (-1, vectors.shape[1] * vectors.shape[2])), self.kernel)


FUSIONS: dict[str, type[Fusion]] = {
    "weighted": Weighted, "gated": Gated, "attention": Attention, "bilinear": Bilinear, "concat": Concat,
}  # fmt: skip


def masked_softmax(logits: Any, present: Any) -> Any:
    """Softmax `[n, m]` over the present; rows without any are zero."""
    if logits.shape[1] == 1:
        return present + 0.0 * logits  # keeps the gate in the graph: its gradient is 0, not absent
    shares = ops.softmax(ops.where(present > 0, logits, LOWEST), axis=1)
    return shares * present
