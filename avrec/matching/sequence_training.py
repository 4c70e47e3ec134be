"""Trains the sequence matcher. The same data and seed give the same weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from avrec.matching.checkpoints import Checkpoint, training_key
from avrec.matching.data import Catalog, Interactions, Ints
from avrec.matching.examples import MAX_STEPS, Examples
from avrec.matching.fusion import LOWEST
from avrec.matching.learner import Learner
from avrec.matching.softmax import accidental_hits, check_masked, retrieval_logits, retrieval_loss
from avrec.matching.stopping import fit_epochs
from avrec.matching.tower_items import TowerItems
from avrec.matching.towers import ID_SCALE
from avrec.params import SequenceParams

if TYPE_CHECKING:
    from avrec.matching.sequence import Sequence


class CausalEncoder(keras.Model):  # type: ignore[misc]
    """Blocks of attention in which a like hears those before it, and a map of each by itself.

    It starts as the mean of a person's likes so far: queries are zero, values and outputs are passed on as they are.

    Args:
        params: Of the matcher.
        seed: Of the initial weights.
    """

    def __init__(self, params: SequenceParams, seed: int) -> None:
        super().__init__()
        self.heads, dim = params.heads, params.dim
        starts = {
            "query": ("zeros", (dim, dim)), "value": ("identity", (dim, dim)), "output": ("identity", (dim, dim)),
            "down": ("zeros", (dim, dim)), "up_bias": ("zeros", (dim,)), "scale_attention": ("ones", (dim,)),
            "scale_feed": ("ones", (dim,)), "recency": ("zeros", (params.heads, params.history)),
        }  # fmt: skip
        self.parts: list[dict[str, Any]] = []
        for block in range(params.blocks):
            random = {
                name: self.add_weight(shape=(dim, dim), name=f"{name}_{block}",
                                      initializer=keras.initializers.GlorotUniform(seed + 2 * block + i))
                for i, name in enumerate(("key", "up"))
            }  # fmt: skip
            plain = {
                name: self.add_weight(shape=shape, name=f"{name}_{block}", initializer=start)
                for name, (start, shape) in starts.items()
            }
            self.parts.append({**random, **plain})
        start = keras.initializers.RandomNormal(stddev=ID_SCALE, seed=seed)
        self.nobody = self.add_weight(shape=(dim,), initializer=start, name="nobody")

    def call(self, vectors: Any, known: Any, dropout: float = 0.0, seed: Any = None) -> Any:
        """Unit vectors `[b, l, dim]`: what each like says after all before it.

        Args:
            vectors: Of likes, newest last `[b, l, dim]`.
            known: Which of them there are `[b, l]` bool.
            dropout: Share of the entries left out of what is added to the likes.
            seed: Two integers; None outside training.
        """
        state = vectors
        for block, part in enumerate(self.parts):
            heard = tf.matmul(self._attention(part, unit(state) * part["scale_attention"], known), part["output"])
            state += _dropped(heard, dropout, seed, 2 * block)
            hidden = tf.nn.relu(tf.matmul(unit(state) * part["scale_feed"], part["up"]) + part["up_bias"])
            state += _dropped(tf.matmul(hidden, part["down"]), dropout, seed, 2 * block + 1)
        return unit(state)

    def _attention(self, part: dict[str, Any], normal: Any, known: Any) -> Any:
        length = normal.shape[1]
        query, key, value = (self._split(tf.matmul(normal, part[name])) for name in ("query", "key", "value"))
        ages = np.arange(length)[:, None] - np.arange(length)[None, :]
        logits = tf.einsum("bhqd,bhkd->bhqk", query, key) / tf.sqrt(float(query.shape[3]))
        logits += tf.gather(part["recency"], np.maximum(ages, 0), axis=1)[None]
        heard = known[:, None, None, :] & (ages >= 0)[None, None]
        shares = tf.nn.softmax(tf.where(heard, logits, LOWEST))
        mixed = tf.einsum("bhqk,bhkd->bqhd", shares, value)
        return tf.reshape(mixed, tf.shape(normal))

    def _split(self, vectors: Any) -> Any:
        length, dim = vectors.shape[1:]
        parts = tf.reshape(vectors, [-1, length, self.heads, dim // self.heads])
        return tf.transpose(parts, [0, 2, 1, 3])

    def arrays(self) -> dict[str, Any]:
        """Weights as `avrec.matching.encoder.Encoder` wants them."""
        return {f"{i}/{name}": np.array(w) for i, part in enumerate(self.parts) for name, w in part.items()}


def unit(vectors: Any) -> Any:
    """Vectors of length 1 along the last axis."""
    return tf.math.l2_normalize(vectors, axis=-1, epsilon=1e-12)


def _dropped(vectors: Any, share: float, seed: Any, number: int) -> Any:
    if seed is None or not share:
        return vectors
    return tf.nn.experimental.stateless_dropout(vectors, share, seed + number)


def windows(examples: Examples, length: int, shuffled: np.random.Generator | None) -> tuple[Ints, Ints]:
    """Likes in order as rows of `length + 1`, so that each like is once to be told from those before it.

    Args:
        examples: Whose `user` and `item` are in time order.
        length: Likes from which the next one is told, at most.
        shuffled: Draws the order of each person's likes anew; None to keep it.

    Returns:
        The person of each row `[w]`, and its items, newest last, filled up in front with -1 `[w, length + 1]`.
    """
    chance = shuffled.random(len(examples.user)) if shuffled else np.arange(len(examples.user))
    order = np.lexsort((chance, examples.user))
    user, item = examples.user[order], examples.item[order]
    counts = np.bincount(user)
    place = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
    age = np.repeat(counts, counts) - 1 - place  # 0 for a person's newest
    owners, rows = [], []
    for start in range(0, int(age.max(initial=-1)) + 1, length):
        inside = (age >= start) & (age <= start + length)
        people, row = np.unique(user[inside], return_inverse=True)
        window = np.full((len(people), length + 1), -1, np.int32)
        window[row, length - (age[inside] - start)] = item[inside]
        owners.append(people)
        rows.append(window)
    if not owners:
        return np.zeros(0, np.int32), np.zeros((0, length + 1), np.int32)
    return np.concatenate(owners).astype(np.int32), np.concatenate(rows)


class SequenceLearner(Learner):
    """Item tower, encoder, and a softmax over all items or those of the batch."""

    def __init__(self, matcher: Sequence, catalog: Catalog, train: Interactions) -> None:
        super().__init__(matcher.params, matcher.seed)
        self.params, self.n_items = matcher.params, len(catalog)
        self.examples = Examples.of(train, self.n_items)
        self.timed = bool(train.timestamp.any())
        with self.scope():
            self.tower = TowerItems(self.params, self.examples, *matcher.inputs(catalog), self.seed)
            self.encoder = CausalEncoder(self.params, self.seed)
            self.compile([*self.tower.variables, *self.encoder.trainable_variables], self.params.learning_rate)
        self.liked, self.log_q = tf.constant(self.examples.liked), tf.constant(self.examples.log_q)

    def loss(self, rows: tuple[Any, ...], seed: Any) -> Any:
        """Of each like given those before it; of a person's first like, given nothing."""
        logits, target, *_ = self.logits(rows, seed)
        return retrieval_loss(logits, target, tf.ones_like(target, tf.float32))

    def logits(self, rows: tuple[Any, ...], seed: Any) -> tuple[Any, ...]:
        """Logits `[r, c]` and right answers `[r]` of all likes of a batch, the candidates, and other likes `[r, l]`."""
        owner, window = rows
        vectors, bias = self.tower.of(tf.range(self.n_items), seed)
        before, after = window[:, :-1], window[:, 1:]
        known = before >= 0
        said = self.encoder(
            tf.gather(vectors, tf.maximum(before, 0)), known, dropout=self.params.dropout, seed=seed + 7
        )
        first = ~known & (after >= 0)  # nobody has liked anything before their first like
        said = tf.where(first[..., None], unit(self.encoder.nobody), said)
        asked = after >= 0
        people, item = tf.boolean_mask(said, asked), tf.boolean_mask(after, asked)
        liked = tf.gather(self.liked, tf.boolean_mask(tf.repeat(owner[:, None], tf.shape(after)[1], 1), asked))
        others = tf.where(liked == item[:, None], self.n_items, liked)
        full = self.params.loss == "full_softmax"
        if full:
            candidates, target, log_q = tf.range(self.n_items), item, None
        else:
            candidates, target = tf.unique(item)
            log_q = tf.gather(self.log_q, candidates)
            vectors, bias = tf.gather(vectors, candidates), tf.gather(bias, candidates)
        logits = retrieval_logits(people, vectors, bias, None if full else candidates, target, others, self.n_items,
                                  self.params.temperature, log_q, self.params.precision)  # fmt: skip
        return logits, target, candidates, others

    def check(self, rows: tuple[Any, ...], seed: Any) -> None:
        logits, target, candidates, others = self.logits(rows, seed)
        check_masked(logits, accidental_hits(candidates, target, others, self.n_items))

    def batches(self, number: int) -> Iterator[tuple[npt.NDArray[Any], ...]]:
        rng = np.random.default_rng(self.seed * 1000 + number)
        owner, window = windows(self.examples, self.params.history, None if self.timed else rng)
        order = rng.permutation(len(owner))
        size = max(1, min(max(self.params.batch_size, -(-len(order) // MAX_STEPS)), len(order)))
        size = -(-size // self.replicas) * self.replicas
        for rows in np.resize(order, -(-len(order) // size) * size).reshape(-1, size):
            yield owner[rows], window[rows]

    def write_into(self, matcher: Sequence) -> None:
        self.tower.write_into(matcher)
        matcher.nobody, matcher.encoder_weights = unit(self.encoder.nobody).numpy(), self.encoder.arrays()
        matcher.prepare()


LEARNED = ("vectors", "bias", "shares", "content_weights", "nobody", "encoder_weights")


def train_sequence(
    matcher: Sequence, catalog: Catalog, train: Interactions, validation: Interactions | None
) -> list[dict[str, float]]:
    """Fits `matcher`: until validation stops getting better, or for the frozen number of epochs.

    Returns:
        Loss and validation figures an epoch.
    """
    learner = SequenceLearner(matcher, catalog, train)
    checkpoint = Checkpoint(training_key(matcher, catalog, train, validation))
    return fit_epochs(matcher, learner, LEARNED, train, validation, checkpoint)
