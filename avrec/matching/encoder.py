"""The encoder of the sequence matcher as plain numpy: what training learned, with the same bits in any company."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from avrec.matching.data import Arrays, Floats, Mask
from avrec.matching.exact import Exact, batched_dot
from avrec.matching.vectors import unit

LOWEST = np.float32(-1e9)


@dataclass(frozen=True)
class Encoder:
    """Blocks of causal attention over item vectors; `avrec.matching.sequence_training.CausalEncoder` in numpy.

    Attributes:
        weights: Arrays by name, `BLOCK/NAME`; of each block `query`, `key`, `value`, `output` `[dim, dim]`, `recency`
            `[heads, length]`, `scale_attention`, `scale_feed` `[dim]`, `up`, `down` `[dim, dim]`, `up_bias` `[dim]`.
    """

    weights: Arrays

    @property
    def blocks(self) -> int:
        return sum(name.endswith("/query") for name in self.weights)

    def last(self, vectors: Floats, known: Mask) -> Floats:
        """What the newest like says after all before it, `[n, dim]` unit vectors.

        Args:
            vectors: Of likes, newest last `[n, length, dim]`.
            known: Which of them there are `[n, length]`; the last one always.
        """
        state = vectors
        for block in range(self.blocks):
            part = {n.split("/")[1]: w for n, w in self.weights.items() if n.startswith(f"{block}/")}
            state = _block(part, state, known, only_last=block == self.blocks - 1)
        return unit(state[:, -1])


def _block(weights: Arrays, state: Floats, known: Mask, only_last: bool) -> Floats:
    heads, length = weights["recency"].shape[0], state.shape[1]
    normal = unit(state) * weights["scale_attention"]
    asking = normal[:, -1:] if only_last else normal
    query, key, value = (
        _split(_linear(x, weights[name]), heads) for x, name in ((asking, "query"), (normal, "key"), (normal, "value"))
    )
    ages = np.arange(length)[:, None] - np.arange(length)[None, :]
    ages = ages[-asking.shape[1] :]
    bias = np.where(ages >= 0, weights["recency"][:, np.maximum(ages, 0)], LOWEST)  # [heads, asking, length]
    logits = batched_dot(query, key) / np.float32(np.sqrt(query.shape[2]))
    logits += np.tile(bias, (len(state), 1, 1))
    logits = np.where(np.repeat(known, heads, axis=0)[:, None, :], logits, LOWEST)
    heard = batched_dot(_softmax(logits), np.ascontiguousarray(value.transpose(0, 2, 1)))
    state = (state[:, -1:] if only_last else state) + _linear(_joined(heard, heads), weights["output"])
    hidden = np.maximum(_linear(unit(state) * weights["scale_feed"], weights["up"]) + weights["up_bias"], 0)
    result: Floats = (state + _linear(hidden, weights["down"])).astype(np.float32)
    return result


def _linear(vectors: Floats, kernel: Any) -> Floats:
    flat = Exact(kernel.T).dot(np.ascontiguousarray(vectors).reshape(-1, vectors.shape[-1]))
    return flat.reshape(*vectors.shape[:-1], kernel.shape[1])


def _softmax(logits: Floats) -> Floats:
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Floats = odds / odds.sum(axis=-1, keepdims=True)
    return shares


def _split(vectors: Floats, heads: int) -> Floats:
    """`[n, l, dim]` as `[n * heads, l, dim / heads]`."""
    n, length, dim = vectors.shape
    parts = vectors.reshape(n, length, heads, dim // heads).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(parts).reshape(n * heads, length, dim // heads)


def _joined(vectors: Floats, heads: int) -> Floats:
    """The other way round."""
    m, length, width = vectors.shape
    parts = vectors.reshape(m // heads, heads, length, width).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(parts).reshape(m // heads, length, heads * width)
