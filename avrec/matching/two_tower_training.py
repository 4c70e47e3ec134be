"""Trains the two towers: batches, steps, early stopping. The same data and seed give the same weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from avrec.matching.data import Catalog, Floats, Interactions, Ints
from avrec.matching.selection import SELECT_K, quality, selection_set
from avrec.matching.softmax import retrieval_logits, retrieval_loss
from avrec.matching.towers import ItemTower, UserTower, content_weights, item_vectors
from avrec.params import TwoTowerParams

if TYPE_CHECKING:
    from avrec.matching.two_tower import TwoTower

MAX_LIKED = 200
"""Liked items of one person, the newest, that are kept from counting as wrong answers."""

MAX_STEPS = 64
"""Steps an epoch takes at most. With a softmax over all items a step costs nearly the same whatever the batch."""


@dataclass(frozen=True)
class Examples:
    """Who liked what.

    Attributes:
        user, item: One row an example, int32; each pair once.
        liked: By user the newest likes `[n_users, l]` int32, newest last, filled up in front with `n_items`.
        log_q: Log of the share of the examples that are of each item `[n_items]` float32.
    """

    user: Ints
    item: Ints
    liked: Ints
    log_q: Floats

    @classmethod
    def of(cls, train: Interactions, n_items: int) -> Examples:
        likes = train.positives()
        pairs = likes.user.astype(np.int64) * n_items + likes.item
        newest = len(pairs) - 1 - np.unique(pairs[::-1], return_index=True)[1]
        newest.sort()
        user, item = likes.user[newest], likes.item[newest]
        order = np.argsort(user, kind="stable")
        counts = np.bincount(user, minlength=train.n_users)
        width = int(min(max(counts.max(initial=1), 1), MAX_LIKED))
        place = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)  # within the user, oldest first
        column = place - np.repeat(counts, counts) + width
        liked = np.full((train.n_users, width), n_items, np.int32)
        kept = column >= 0
        liked[user[order][kept], column[kept]] = item[order][kept]
        share = np.bincount(item, minlength=n_items) / max(len(item), 1)
        return cls(user, item, liked, np.log(np.maximum(share, 1e-9)).astype(np.float32))

    def batches(self, size: int, seed: int) -> Iterator[tuple[Ints, Ints]]:
        """Users and items in random order; the last batch is filled up from the first, so that shapes are equal."""
        order = np.random.default_rng(seed).permutation(len(self.user))
        size = min(max(size, -(-len(order) // MAX_STEPS)), len(order))
        order = np.resize(order, -(-len(order) // size) * size)
        for rows in order.reshape(-1, size):
            yield self.user[rows], self.item[rows]


class Trainer:
    """The towers, their optimiser and one compiled step."""

    def __init__(self, params: TwoTowerParams, seed: int, examples: Examples, inputs: list[Floats],
                 present: Floats) -> None:  # fmt: skip
        n_items = len(present)
        has_id = np.zeros(n_items, bool)
        has_id[examples.item] = True
        self.params, self.n_items, self.seed = params, n_items, seed
        self.rows = np.where(has_id, np.arange(n_items), n_items).astype(np.int32)
        self.inputs = inputs
        self.present = np.hstack([has_id[:, None].astype(np.float32), present])
        widths = [x.shape[1] for x in inputs]
        dropouts = (params.id_dropout if inputs else 0.0, params.modality_dropout)
        self.items = ItemTower(n_items, widths, params.dim, params.fusion, dropouts, seed)
        self.users = UserTower(params.dim, seed)
        self.optimizer = keras.optimizers.Adam(params.learning_rate)
        self.variables = [*self.items.trainable_variables, *self.users.trainable_variables]
        self.optimizer.build(self.variables)
        self.liked = tf.constant(examples.liked)
        self.log_q = tf.constant(examples.log_q)
        self.step = tf.function(self._step)
        self._tensors = [tf.constant(x) for x in (self.rows, self.present)]
        self._inputs = [tf.constant(x) for x in inputs]

    def _step(self, user: Any, item: Any, seed: Any) -> Any:
        """One step of gradient descent on a batch; returns the loss."""
        with tf.GradientTape() as tape:
            loss = self.loss(user, item, seed)
        gradients = tape.gradient(loss, self.variables)
        self.optimizer.apply_gradients(zip(gradients, self.variables, strict=True))
        return loss

    def loss(self, user: Any, item: Any, seed: Any) -> Any:
        """Loss of a batch: of each like given the person's other likes."""
        liked = tf.gather(self.liked, user)
        others = tf.where(liked == item[:, None], self.n_items, liked)
        history = others[:, -self.params.history :]
        if self.params.loss == "full_softmax":
            candidates, target, log_q = tf.range(self.n_items), item, None
            needed, history_at, candidates_at = candidates, tf.minimum(history, self.n_items - 1), candidates
        else:
            candidates, target, log_q = item, tf.range(tf.shape(item)[0]), tf.gather(self.log_q, item)
            asked = tf.concat([tf.reshape(tf.minimum(history, self.n_items - 1), [-1]), item], axis=0)
            needed, places = tf.unique(asked)
            history_at = tf.reshape(places[: -tf.shape(item)[0]], tf.shape(history))
            candidates_at = places[-tf.shape(item)[0] :]
        rows, present = (tf.gather(x, needed) for x in self._tensors)
        vectors, bias = self.items(rows, [tf.gather(x, needed) for x in self._inputs], present, seed)
        known = tf.cast(history < self.n_items, tf.float32)
        people = self.users(tf.gather(vectors, history_at), known)
        logits = retrieval_logits(
            people, tf.gather(vectors, candidates_at), tf.gather(bias, candidates_at), candidates, target,
            others, self.n_items, self.params.temperature, log_q,
        )  # fmt: skip
        return retrieval_loss(logits, target, tf.ones_like(target, tf.float32))

    def epoch(self, examples: Examples, number: int) -> float:
        """One pass over the examples; returns the mean loss."""
        losses = [
            self.step(tf.constant(user), tf.constant(item), tf.constant([self.seed + number, i]))
            for i, (user, item) in enumerate(examples.batches(self.params.batch_size, self.seed * 1000 + number))
        ]
        return float(np.mean([loss.numpy() for loss in losses]))

    def write_into(self, matcher: TwoTower) -> None:
        """Hands the current weights to the matcher as arrays."""
        matcher.vectors, matcher.bias = item_vectors(self.items, self.rows, self.inputs, self.present)
        matcher.kernel, matcher.nobody = np.array(self.users.kernel), np.array(self.users.nobody)
        matcher.content_weights = content_weights(self.items)
        matcher.prepare()


def train_towers(
    matcher: TwoTower, catalog: Catalog, train: Interactions, validation: Interactions | None
) -> list[dict[str, float]]:
    """Fits `matcher`: until validation stops getting better, or for the frozen number of epochs.

    Returns:
        Loss and validation figures an epoch.
    """
    keras.utils.set_random_seed(matcher.seed)
    tf.config.experimental.enable_op_determinism()
    params = matcher.params
    examples = Examples.of(train, len(catalog))
    trainer = Trainer(params, matcher.seed, examples, *matcher.inputs(catalog))
    judged = selection_set(train, validation)
    last = params.epochs if judged or matcher.best_epoch is None else matcher.best_epoch
    history: list[dict[str, float]] = []
    best: tuple[float, int, dict[str, npt.NDArray[Any]]] | None = None
    for number in range(1, last + 1 if len(examples.user) else 1):
        history.append({"epoch": number, "loss": trainer.epoch(examples, number)})
        if not judged:
            continue
        trainer.write_into(matcher)
        figures = quality(matcher._score, judged)
        history[-1].update({f"val_{name}": value for name, value in figures.items()})
        if best is None or figures[f"ndcg@{SELECT_K}"] > best[0]:
            best = figures[f"ndcg@{SELECT_K}"], number, _weights(matcher)
        elif number - best[1] >= params.patience:
            break
    if best is None:
        trainer.write_into(matcher)
        matcher.best_epoch = len(history)
    else:
        matcher.best_epoch = best[1]
        for name, value in best[2].items():
            setattr(matcher, name, value)
        matcher.prepare()
    return history


def _weights(matcher: TwoTower) -> dict[str, Any]:
    return {name: getattr(matcher, name) for name in ("vectors", "bias", "kernel", "nobody", "content_weights")}
