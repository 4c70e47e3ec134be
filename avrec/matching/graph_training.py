"""Trains the graph matcher: propagation, and a softmax over all items. The same data and seed give the same weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from scipy import sparse

from avrec.matching.checkpoints import Checkpoint, training_key
from avrec.matching.data import Catalog, Interactions, Ints
from avrec.matching.examples import Examples
from avrec.matching.fusion import masked_softmax
from avrec.matching.learner import Learner
from avrec.matching.softmax import check_masked, held_out, item_logits, known_from, multinomial_loss
from avrec.matching.stopping import fit_epochs
from avrec.matching.towers import ID_SCALE, UserTower
from avrec.params import GraphParams

if TYPE_CHECKING:
    from avrec.matching.graph import Graph

LEAST_BATCHES = 4
"""Batches of an epoch at least: people in a batch are taken out of the graph, and most must stay in it."""


class Propagation(keras.Model):  # type: ignore[misc]
    """Vectors of all items from the vectors they own, along likes and along likeness.

    Args:
        likes: Who liked what, sparse `[n_people, n_items]`, scaled as in LightGCN.
        graphs: By modality the neighbours of every item, sparse `[n_items, n_items]`.
        present: Which modalities an item has `[n_items, modalities]`.
        params: Of the matcher.
        seed: Of the initial vectors.
    """

    def __init__(self, likes: Any, graphs: list[Any], present: Any, params: GraphParams, seed: int) -> None:
        super().__init__()
        n_items = likes.shape[1]
        start = keras.initializers.RandomNormal(stddev=ID_SCALE, seed=seed)
        self.ids = self.add_weight(shape=(n_items, params.dim), initializer=start, name="ids")
        self.id_bias = self.add_weight(shape=(n_items,), initializer="zeros", name="id_bias")
        self.logits = self.add_weight(shape=(len(graphs),), initializer="zeros", name="logits")
        self.gain = self.add_weight(shape=(), initializer="ones", name="gain")
        self.hops = (params.layers - 1) // 2
        self.likes, self.liked_by = sparse_tensor(likes), sparse_tensor(likes.T)
        self.graphs = [sparse_tensor(graph) for graph in graphs]
        self.present = tf.constant(present, tf.float32)
        self.known = tf.constant(np.asarray(likes.getnnz(axis=0) > 0), tf.float32)
        self.lonely = tf.constant(~np.any(present, axis=1), tf.float32)

    @property
    def learned(self) -> list[Any]:
        """The variables that have a part in the vectors: without graphs, logits and gain have none."""
        return [self.ids, self.id_bias, *([self.logits, self.gain] if self.graphs else [])]

    def call(self, inside: Any, kept: Any) -> tuple[Any, Any, Any]:
        """Unit vectors `[n_items, dim]`, biases `[n_items]`, and what items own `[n_items, dim]`.

        Args:
            inside: Who carries vectors, `[n_people]` (1, or 0 for those who are being asked about).
            kept: Which items have a vector of their own, `[n_items]` (1 or 0).
        """
        carried = self.ids * self.known[:, None]
        own, share = carried, tf.cast(tf.size(inside), tf.float32) / tf.maximum(tf.reduce_sum(inside), 1.0)
        for _ in range(self.hops):
            people = tf.sparse.sparse_dense_matmul(self.likes, carried) * inside[:, None]
            carried = tf.sparse.sparse_dense_matmul(self.liked_by, people) * share
            own += carried
        own /= self.hops + 1.0
        kept = self.known * tf.maximum(kept, self.lonely)
        vectors = own * kept[:, None]
        if self.graphs:
            shares = masked_softmax(self.logits[None, :] + 0.0 * self.present, self.present)
            for i, graph in enumerate(self.graphs):
                vectors += self.gain * shares[:, i : i + 1] * tf.sparse.sparse_dense_matmul(graph, own)
        return tf.math.l2_normalize(vectors, axis=1, epsilon=1e-12), self.id_bias * kept, own


def sparse_tensor(matrix: Any) -> Any:
    """A scipy matrix as TensorFlow's, rows in order."""
    matrix = sparse.csr_matrix(matrix).sorted_indices().tocoo()
    places = np.stack([matrix.row, matrix.col], axis=1).astype(np.int64)
    return tf.SparseTensor(places, matrix.data.astype(np.float32), matrix.shape)


def scaled_likes(examples: Examples, n_items: int) -> Any:
    """Likes over the root of how many the person and the item have, sparse `[n_people, n_items]` float32."""
    shape = (len(examples.liked), n_items)
    likes = sparse.csr_matrix((np.ones(len(examples.user), np.float32), (examples.user, examples.item)), shape=shape)
    people, items = (1.0 / np.sqrt(np.maximum(likes.getnnz(axis=a), 1)) for a in (1, 0))
    return (sparse.diags(people) @ likes @ sparse.diags(items)).astype(np.float32)


class GraphLearner(Learner):
    """Propagation, people, and a softmax over all items."""

    def __init__(self, matcher: Graph, catalog: Catalog, examples: Examples) -> None:
        super().__init__(matcher.params, matcher.seed)
        self.params, self.n_items = matcher.params, len(catalog)
        everything = np.arange(self.n_items)
        features = {name: catalog.features[name] for name in matcher.modalities}
        graphs = [matcher.neighbourhoods[name].graph(f, everything) for name, f in features.items()]
        present = np.stack([f.present for f in features.values()], axis=1) if features else np.zeros((self.n_items, 0))
        likes = scaled_likes(examples, self.n_items)
        self.asked = np.flatnonzero(likes.getnnz(axis=1)).astype(np.int32)
        self.liked = tf.constant(examples.liked)
        with self.scope():
            self.items = Propagation(likes, graphs, present, self.params, self.seed)
            self.people = UserTower(self.params.dim, self.seed)
            self.compile([*self.items.learned, *self.people.trainable_variables], self.params.learning_rate)
        self._judge = self.jit(self.judge)

    def loss(self, rows: tuple[Any, ...], seed: Any) -> Any:
        """Of a part of each person's likes, given the rest of them. Their own likes are not in the graph."""
        return self._judge(*self._asked(rows, seed))

    def _asked(self, rows: tuple[Any, ...], seed: Any) -> tuple[Any, ...]:
        """Arguments of `judge` for a batch."""
        (people,) = rows
        liked = tf.gather(self.liked, people)
        given, wanted = held_out(liked < self.n_items, self.params.given, seed)
        inside = 1.0 - tf.scatter_nd(people[:, None], tf.ones_like(people, tf.float32), [tf.shape(self.liked)[0]])
        chance = tf.random.stateless_uniform([self.n_items], seed + 1)
        kept = tf.cast(chance >= (self.params.id_dropout if self.items.graphs else 0.0), tf.float32)
        vectors, bias, _ = self.items(inside, kept)
        return vectors, bias, liked, given, wanted

    def judge(self, vectors: Any, bias: Any, liked: Any, given: Any, wanted: Any) -> Any:
        """Loss of finding the likes `wanted` from those `given`, both `[b, l]` (1 or 0) of `liked`."""
        logits = self.logits(vectors, bias, liked, given)
        return multinomial_loss(logits, tf.minimum(liked, self.n_items - 1), wanted)

    def logits(self, vectors: Any, bias: Any, liked: Any, given: Any) -> Any:
        """Of all items for people with the likes `given`, `[b, n_items]`."""
        newest = slice(-self.params.history, None)
        places = tf.minimum(liked, self.n_items - 1)[:, newest]
        asking = self.people(tf.gather(vectors, places), given[:, newest])
        logits = item_logits(asking, vectors, bias, self.params.temperature, self.params.precision)
        return known_from(logits, liked, given)

    def check(self, rows: tuple[Any, ...], seed: Any) -> None:
        vectors, bias, liked, given, _ = self._asked(rows, seed)
        logits = self.logits(vectors, bias, liked, given)
        check_masked(logits, known_from(tf.zeros_like(logits), liked, given) < 0)

    def batches(self, number: int) -> Iterator[tuple[Ints, ...]]:
        """People in random order; the last batch is filled up from the first, so that shapes are equal."""
        order = np.random.default_rng(self.seed * 1000 + number).permutation(self.asked)
        size = max(1, min(self.params.batch_size, len(order) // LEAST_BATCHES))
        size = -(-size // self.replicas) * self.replicas
        for people in np.resize(order, -(-len(order) // size) * size).reshape(-1, size):
            yield (people,)

    def write_into(self, matcher: Graph) -> None:
        everyone, everything = tf.ones(tf.shape(self.liked)[0]), tf.ones(self.n_items)
        matcher.vectors, matcher.bias, matcher.own = (x.numpy() for x in self.items(everyone, everything))
        matcher.kernel, matcher.nobody = np.array(self.people.kernel), np.array(self.people.nobody)
        matcher.logits, matcher.gain = np.array(self.items.logits), np.array(self.items.gain).reshape(1)
        matcher.known = self.items.known.numpy() > 0
        matcher.prepare()


LEARNED = ("vectors", "bias", "own", "kernel", "nobody", "logits", "gain")


def train_graph(
    matcher: Graph, catalog: Catalog, train: Interactions, validation: Interactions | None
) -> list[dict[str, float]]:
    """Fits `matcher`: until validation stops getting better, or for the frozen number of epochs.

    Returns:
        Loss and validation figures an epoch.
    """
    learner = GraphLearner(matcher, catalog, Examples.of(train, len(catalog)))
    checkpoint = Checkpoint(training_key(matcher, catalog, train, validation))
    return fit_epochs(matcher, learner, LEARNED, train, validation, checkpoint)
