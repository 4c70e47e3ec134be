"""Trains the two towers: batches, losses, hard negatives. The same data and seed give the same weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from avrec.matching.base import BLOCK
from avrec.matching.checkpoints import Checkpoint, training_key
from avrec.matching.data import Catalog, Floats, Interactions, Ints
from avrec.matching.examples import Examples
from avrec.matching.learner import Learner
from avrec.matching.softmax import accidental_hits, check_masked, known_from, retrieval_logits, retrieval_loss
from avrec.matching.stopping import fit_epochs
from avrec.matching.tower_items import TowerItems
from avrec.matching.towers import UserTower
from avrec.params import TwoTowerParams

if TYPE_CHECKING:
    from avrec.matching.two_tower import TwoTower


class TowerLearner(Learner):
    """The towers and their loss."""

    def __init__(self, params: TwoTowerParams, seed: int, examples: Examples, inputs: list[Floats],
                 present: Floats) -> None:  # fmt: skip
        super().__init__(params, seed)
        self.params, self.n_items, self.examples = params, len(present), examples
        with self.scope():
            self.items = TowerItems(params, examples, inputs, present, seed)
            self.users = UserTower(params.dim, seed)
            self.compile([*self.items.variables, *self.users.trainable_variables], params.learning_rate)
        self.liked = tf.constant(examples.liked)
        self.log_q = tf.constant(examples.log_q)

    def loss(self, rows: tuple[Any, ...], seed: Any) -> Any:
        """Loss of a batch: of each like given the person's other likes."""
        logits, target = self.logits(rows, seed)
        return retrieval_loss(logits, target, tf.ones_like(target, tf.float32))

    def logits(self, rows: tuple[Any, ...], seed: Any) -> tuple[Any, Any]:
        """Logits of the candidates `[b, c]`, and which of them is the right one `[b]`."""
        user, item, hard = rows
        others = self._others(user, item)
        if self.params.loss == "full_softmax":
            return self._among_all(item, others, *self.items.of(tf.range(self.n_items), seed)), item
        history, known = self._history(others)
        needed, (history, asked, harder) = _compact(history, item, hard)
        vectors, bias = self.items.of(needed, seed)
        people, target = self.users(tf.gather(vectors, history), known), tf.range(tf.shape(item)[0])
        logits = retrieval_logits(people, tf.gather(vectors, asked), tf.gather(bias, asked), item, target, others,
                                  self.n_items, self.params.temperature, tf.gather(self.log_q, item),
                                  self.params.precision)  # fmt: skip
        # Chosen, not sampled: there is no chance to correct for.
        cosines = tf.einsum("bd,bhd->bh", people, tf.gather(vectors, harder))
        wrong = cosines / self.params.temperature + tf.gather(bias, harder)
        return tf.concat([logits, wrong], axis=1), target

    def _among_all(self, item: Any, others: Any, vectors: Any, bias: Any) -> Any:
        """Logits `[b, n_items]` of people who liked `others [b, l]`, the wanted `item [b]` aside."""
        history, known = self._history(others)
        people = self.users(tf.gather(vectors, history), known)
        return retrieval_logits(people, vectors, bias, None, item, others, self.n_items,
                                self.params.temperature, precision=self.params.precision)  # fmt: skip

    def _history(self, likes: Any) -> tuple[Any, Any]:
        """The newest of `likes [b, l]` as indices `[b, h]` and which of them there are, 1 or 0."""
        newest = likes[:, -self.params.history :]
        return tf.minimum(newest, self.n_items - 1), tf.cast(newest < self.n_items, tf.float32)

    def _others(self, user: Any, item: Any) -> Any:
        """What people liked beside `item`, `[b, l]`, filled up with `n_items`."""
        liked = tf.gather(self.liked, user)
        return tf.where(liked == item[:, None], self.n_items, liked)

    def check(self, rows: tuple[Any, ...], seed: Any) -> None:
        user, item, _ = rows
        full = self.params.loss == "full_softmax"
        candidates = tf.range(self.n_items) if full else item
        logits, target = self.logits(rows, seed)
        hits = accidental_hits(candidates, target, self._others(user, item), self.n_items)
        check_masked(logits[:, : tf.shape(hits)[1]], hits)

    def batches(self, number: int) -> Iterator[tuple[Ints, ...]]:
        hard = np.zeros((len(self.examples.liked), 0), np.int32)
        if self.params.hard_negatives and number > 1:  # before the first epoch the towers know nothing
            hard = self.mined()
        seed = self.seed * 1000 + number
        for user, item in self.examples.batches(self.params.batch_size, seed, self.replicas):
            yield user, item, hard[user]

    def mined(self) -> Ints:
        """By person the items they did not like that the towers put highest now, `[n_people, hard_negatives]`."""
        vectors, bias = (tf.constant(x) for x in self.items.arrays()[:2])
        count = min(self.params.hard_negatives, max(self.n_items - self.liked.shape[1], 1))
        found = []
        for start in range(0, self.liked.shape[0], BLOCK):
            liked = self.liked[start : start + BLOCK]
            history, known = self._history(liked)
            scores = tf.matmul(self.users(tf.gather(vectors, history), known), vectors, transpose_b=True)
            scores = known_from(
                scores / self.params.temperature + bias, liked, tf.cast(liked < self.n_items, tf.float32)
            )
            found.append(tf.math.top_k(scores, count).indices.numpy())
        hardest: Ints = np.concatenate(found).astype(np.int32)
        return hardest

    def write_into(self, matcher: TwoTower) -> None:
        self.items.write_into(matcher)
        matcher.kernel, matcher.nobody = np.array(self.users.kernel), np.array(self.users.nobody)
        matcher.prepare()


LEARNED = ("vectors", "bias", "shares", "kernel", "nobody", "content_weights")


def train_towers(
    matcher: TwoTower, catalog: Catalog, train: Interactions, validation: Interactions | None
) -> list[dict[str, float]]:
    """Fits `matcher`: until validation stops getting better, or for the frozen number of epochs.

    Returns:
        Loss and validation figures an epoch.
    """
    examples = Examples.of(train, len(catalog))
    learner = TowerLearner(matcher.params, matcher.seed, examples, *matcher.inputs(catalog))
    checkpoint = Checkpoint(training_key(matcher, catalog, train, validation))
    return fit_epochs(matcher, learner, LEARNED, train, validation, checkpoint)


def _compact(*items: Any) -> tuple[Any, list[Any]]:
    """The different items of several arrays, and where among them each entry is."""
    flat = [tf.reshape(part, [-1]) for part in items]
    needed, places = tf.unique(tf.concat(flat, axis=0))
    split = tf.split(places, [tf.size(part) for part in flat])
    return needed, [tf.reshape(place, tf.shape(part)) for place, part in zip(split, items, strict=True)]
