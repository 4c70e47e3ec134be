"""How a sequence network learns from a catalogue alone, without labels and without people.

Some segments are hidden and must be told from those of other items by their surroundings in every modality: the masked
training of BERT (Devlin et al., NAACL 2019), with the contrastive loss of wav2vec 2.0 (Baevski et al., NeurIPS 2020)
because segments are vectors and no words. And two views of an item, each hidden, shifted, cut, made noisy and robbed of
modalities in its own way, must be nearer to one another than to other items (SimCLR: Chen et al., ICML 2020): that is
what teaches the pooling, and to do without a modality.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from avrec.features.sequence_network import LOWEST, SequenceNetwork
from avrec.features.tokens import Longs, Tokens
from avrec.params import SemanticParams

TEMPERATURE = 0.1
HIDDEN = 0.3
"""Share of the segments that is hidden."""
NOISE = 0.1
"""Deviation of the noise on a segment of unit variance."""
SHIFT = 0.1
"""Most by which times are shifted, as part of the item's length."""
CROPPED = 0.2
"""Most that is cut off at the end of a view, as part of the item's length."""

Told = Callable[[int, float], None]


def train(tokens: Tokens, params: SemanticParams, modalities: int, told: Told | None = None) -> SequenceNetwork:
    """A network that learned from these items; equal arguments give equal weights.

    Args:
        tokens: Of the items to learn from; each has one.
        params: How; `encoder` names the network.
        modalities: How many there are.
        told: Called with number and mean loss of each epoch.
    """
    keras.utils.set_random_seed(params.seed)
    tf.config.experimental.enable_op_determinism()
    network = SequenceNetwork(params, tokens.vectors.shape[2], modalities)
    step = _step(network, keras.optimizers.Adam(params.learning_rate, clipnorm=1.0))
    rng = np.random.default_rng(params.seed)
    for epoch in range(1, params.epochs + 1):
        losses = [float(step(*batch)) for batch in _batches(tokens, params, rng)]
        if told:
            told(epoch, float(np.mean(losses)))
    return network


def _batches(tokens: Tokens, params: SemanticParams, rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Two views of each of some items; batches of one size, so that the step is traced once."""
    size = min(params.batch_size, len(tokens))
    order = rng.permutation(len(tokens))
    for start in range(0, len(order) - size + 1, size):
        part = order[start : start + size]
        views = (view(tokens, part, params, rng), view(tokens, part, params, rng))
        yield tuple(tf.constant(np.concatenate(pair)) for pair in zip(*views, strict=True))


def view(tokens: Tokens, rows: Longs, params: SemanticParams, rng: np.random.Generator) -> tuple[Any, ...]:
    """Clean vectors, noisy vectors, kinds, times and what is hidden, of some items: augmented, each time otherwise."""
    clean, kind, when = tokens.vectors[rows], tokens.kind[rows], tokens.when[rows].copy()
    noisy = clean + rng.normal(0, NOISE, clean.shape).astype(np.float32)
    kept = kind * (when[..., 0] < 1.0 - rng.uniform(0, CROPPED, (len(rows), 1)))
    for number in range(1, int(tokens.kind.max()) + 1):
        without = (rng.random((len(rows), 1)) < params.modality_dropout) & (kept == number)
        some_left = ((kept > 0) & ~without).any(axis=1, keepdims=True)
        kept = np.where(without & some_left, 0, kept)
    kind = np.where((kept > 0).any(axis=1, keepdims=True), kept, kind).astype(np.int32)
    when[..., 0] += rng.uniform(-SHIFT, SHIFT, (len(rows), 1))
    hidden = (rng.random(kind.shape) < HIDDEN) & (kind > 0)
    return clean, noisy, kind, when, hidden


def _step(network: SequenceNetwork, optimizer: Any) -> Callable[..., Any]:
    def step(clean: Any, noisy: Any, kind: Any, when: Any, hidden: Any) -> Any:
        with tf.GradientTape() as tape:
            states, pooled = network(noisy, kind, when, hidden, training=True)
            loss = masked_loss(network.back(states), clean, kind, hidden) + view_loss(network.side(pooled))
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
        return loss

    compiled: Callable[..., Any] = tf.function(step)
    return compiled


def masked_loss(guessed: Any, clean: Any, kind: Any, hidden: Any) -> Any:
    """Mean cross-entropy of finding each hidden segment among all hidden ones of its modality in the batch.

    All are `[2n, length, ...]`, and the two views of an item are `n` rows apart.
    """
    places = tf.where(hidden)
    guess, truth = (tf.math.l2_normalize(tf.gather_nd(values, places), axis=1) for values in (guessed, clean))
    of = tf.gather_nd(kind, places)
    logits = tf.matmul(guess, truth, transpose_b=True) / TEMPERATURE
    # The same segment hidden in both views is no wrong answer.
    half, number = tf.shape(hidden, tf.int64)[0] // 2, tf.shape(places)[0]
    segment = (places[:, 0] % half) * tf.shape(hidden, tf.int64)[1] + places[:, 1]
    twin = (segment[:, None] == segment[None, :]) & ~tf.eye(number, dtype=tf.bool)
    logits = tf.where((of[:, None] == of[None, :]) & ~twin, logits, LOWEST)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.range(number), logits)
    return tf.reduce_sum(losses) / tf.cast(tf.maximum(number, 1), tf.float32)


def view_loss(pooled: Any) -> Any:
    """Mean cross-entropy of finding the other view of an item; views of one are half a batch apart."""
    unit = tf.math.l2_normalize(pooled, axis=1)
    number = tf.shape(unit)[0]
    logits = tf.matmul(unit, unit, transpose_b=True) / TEMPERATURE + LOWEST * tf.eye(number)
    other = tf.math.floormod(tf.range(number) + number // 2, number)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(other, logits))
