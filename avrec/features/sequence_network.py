"""The networks that read an item's tokens: a transformer, or a recurrent network, and pooling by attention on top."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from avrec.params import SemanticParams

LOWEST = -1e9
"""Logit of what must not be looked at."""
WAVES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Half turns over an item's length by which times are told apart."""


class SequenceNetwork(keras.Model):  # type: ignore[misc]
    """Tokens to states `[n, length, dim]` and their pooled vector `[n, dim]`.

    `transformer`: blocks of attention over all tokens (BERT: Devlin et al., NAACL 2019), normalised before each part.
    `gru`, `lstm`: recurrent layers in both directions. Both are pooled by attention (Yang et al., "Hierarchical
    attention networks", NAACL 2016), which begins as the plain mean.

    A token is its vector, which modality it is of, when it is, and which modalities the item has at all: what is
    missing is told, not guessed.
    """

    def __init__(self, params: SemanticParams, width: int, modalities: int) -> None:
        super().__init__()
        dim = params.dim
        self.modalities = modalities
        self.into = keras.layers.Dense(dim, name="into")
        self.kinds = keras.layers.Embedding(modalities + 1, dim, name="kinds")
        self.times = keras.layers.Dense(dim, name="times")
        self.has = keras.layers.Dense(dim, use_bias=False, name="has")
        self.stand_in = self.add_weight(shape=(width,), initializer="zeros", name="stand_in")
        self.first = keras.layers.LayerNormalization(name="first")
        self.blocks = [_block(params, number) for number in range(params.blocks)]
        self.last = keras.layers.LayerNormalization(name="last")
        self.asked = keras.layers.Dense(dim, "tanh", name="asked")
        self.shares = keras.layers.Dense(1, kernel_initializer="zeros", name="shares")
        self.back = keras.layers.Dense(width, name="back")
        self.side = keras.Sequential([keras.layers.Dense(dim, "gelu"), keras.layers.Dense(dim)], name="side")
        self.built = True  # the one weight of its own is there; its layers are made by the call below
        states, pooled = self(np.zeros((1, 2, width), np.float32), np.ones((1, 2), np.int32),
                              np.zeros((1, 2, 2), np.float32), np.zeros((1, 2), bool))  # fmt: skip
        self.back(states), self.side(pooled)

    def call(self, vectors: Any, kind: Any, when: Any, hidden: Any, training: bool = False) -> tuple[Any, Any]:
        """Reads sequences.

        Args:
            vectors: `[n, length, width]`; not looked at where hidden or padding.
            kind: Number of the modality, 0 for padding, `[n, length]`.
            when: Start and length `[n, length, 2]`, as parts of the item's length.
            hidden: Tokens whose vector is replaced by the stand-in `[n, length]` bool.
            training: Whether this is a step of training.
        """
        there = kind > 0
        seen = ops.where((hidden | ~there)[..., None], self.stand_in, vectors)
        numbers = ops.arange(1, self.modalities + 1)
        has = ops.cast(ops.any(kind[..., None] == numbers, axis=1), "float32")
        # Sines and cosines tell near times apart; a transformer has no other sense of order.
        turns = [bend(when * (np.pi * wave)) for wave in WAVES for bend in (ops.sin, ops.cos)]
        marks = self.kinds(kind) + self.times(ops.concatenate(turns, -1)) + self.has(has)[:, None]
        states = self.first(self.into(seen) + marks)
        for block in self.blocks:
            states = block(states, there, training=training)
        states = self.last(states)
        logits = ops.where(there, self.shares(self.asked(states))[..., 0], LOWEST)
        return states, ops.sum(ops.softmax(logits, axis=1)[..., None] * states, axis=1)


class _Attentive(keras.layers.Layer):  # type: ignore[misc]
    """A block of a transformer, normalised before each part (Xiong et al., ICML 2020)."""

    def __init__(self, params: SemanticParams, name: str) -> None:
        super().__init__(name=name)
        self.attention = keras.layers.MultiHeadAttention(params.heads, params.dim // params.heads)
        self.wide = keras.layers.Dense(4 * params.dim, "gelu")
        self.narrow = keras.layers.Dense(params.dim)
        self.norms = [keras.layers.LayerNormalization() for _ in range(2)]

    def call(self, states: Any, there: Any, training: bool = False) -> Any:
        normal = self.norms[0](states)
        states = states + self.attention(normal, normal, attention_mask=there[:, None, :], training=training)
        return states + self.narrow(self.wide(self.norms[1](states)))


class _Recurrent(keras.layers.Layer):  # type: ignore[misc]
    """A recurrent layer read in both directions, beside what went in."""

    def __init__(self, params: SemanticParams, name: str) -> None:
        super().__init__(name=name)
        cell = keras.layers.GRU if params.encoder == "gru" else keras.layers.LSTM
        # cuDNN wants padding at the end alone; a view that lacks a modality has gaps.
        layer = cell(params.dim // 2, return_sequences=True, use_cudnn=False)
        self.both = keras.layers.Bidirectional(layer)
        self.norm = keras.layers.LayerNormalization()

    def call(self, states: Any, there: Any, training: bool = False) -> Any:
        return states + self.both(self.norm(states), mask=there, training=training)


def _block(params: SemanticParams, number: int) -> Any:
    made = _Attentive if params.encoder == "transformer" else _Recurrent
    return made(params, f"block_{number}")
