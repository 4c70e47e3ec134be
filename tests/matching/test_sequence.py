from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from avrec.matching.base import twin_catalog
from avrec.matching.data import Histories, Interactions
from avrec.matching.encoder import Encoder
from avrec.matching.examples import Examples
from avrec.matching.selection import validation_quality
from avrec.matching.sequence import Sequence
from avrec.matching.sequence_training import CausalEncoder, windows
from avrec.params import SequenceParams

from .conftest import PARAMS, World
from .planted import new_items_in_order
from .suite import MatcherSuite


class TestSequence(MatcherSuite):
    name = "sequence"


def fitted(world: World) -> Sequence:
    matcher = world.matcher("sequence")
    assert isinstance(matcher, Sequence)
    return matcher


def encoder() -> CausalEncoder:
    made = CausalEncoder(SequenceParams(dim=8, heads=2, blocks=2, history=5), seed=1)
    for i, variable in enumerate(made.trainable_variables):
        variable.assign(np.random.default_rng(i).normal(size=variable.shape) * 0.5)
    return made


def test_numpy_says_what_tensorflow_learned() -> None:
    made = encoder()
    vectors = np.random.default_rng(0).normal(size=(4, 5, 8)).astype(np.float32)
    known = np.array([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 1], [0, 1, 1, 1, 1]], bool)
    expected = made(tf.constant(vectors), tf.constant(known)).numpy()[:, -1]
    np.testing.assert_allclose(Encoder(made.arrays()).last(vectors, known), expected, atol=1e-5)


def test_a_like_hears_nothing_of_what_came_after_it() -> None:
    made, known = encoder(), tf.ones((1, 5), tf.bool)
    vectors = np.random.default_rng(0).normal(size=(1, 5, 8)).astype(np.float32)
    before = made(tf.constant(vectors), known).numpy()
    vectors[0, 3:] = 9.0
    after = made(tf.constant(vectors), known).numpy()
    np.testing.assert_array_equal(before[0, :3], after[0, :3])
    assert not np.allclose(before[0, 3:], after[0, 3:])


def test_what_is_missing_is_not_heard() -> None:
    made = encoder()
    vectors = np.random.default_rng(0).normal(size=(1, 5, 8)).astype(np.float32)
    known = tf.constant([[False, False, True, True, True]])
    before = made(tf.constant(vectors), known).numpy()[0, -1]
    vectors[0, :2] = 7.0
    np.testing.assert_array_equal(before, made(tf.constant(vectors), known).numpy()[0, -1])


def test_windows_tell_each_like_once_from_those_before_it() -> None:
    user, item = np.array([0, 1, 0, 0, 0, 0], np.int32), np.array([5, 9, 6, 7, 8, 4], np.int32)
    examples = Examples(user, item, np.zeros((2, 1), np.int32), np.zeros(10, np.float32))
    owner, rows = windows(examples, 2, None)
    found = sorted(zip(owner.tolist(), rows.tolist(), strict=True))
    assert found == [(0, [-1, -1, 5]), (0, [5, 6, 7]), (0, [7, 8, 4]), (1, [-1, -1, 9])]
    owner, rows = windows(examples, 4, np.random.default_rng(0))
    assert sorted(rows[owner == 0][0].tolist()) == [4, 5, 6, 7, 8]


def test_it_learns_what_people_like(world: World) -> None:
    figures = validation_quality(fitted(world), world.split.train, world.split.val)
    assert figures["recall@10"] > 1.5 * 10 / len(world.catalog)


def test_it_learns_what_comes_next() -> None:
    """After item `i` comes `i + 1`: nothing but the order tells which item is next."""
    from .planted import planted_catalog

    catalog = planted_catalog(20).with_features({})
    starts = np.random.default_rng(0).integers(0, 20, 120)
    item = (starts[:, None] + np.arange(6)) % 20
    n = item.size
    train = Interactions(np.repeat(np.arange(120), 6).astype(np.int32), item.ravel().astype(np.int32),
                         np.arange(n, dtype=np.int64) + 1, np.ones(n, np.int8), np.ones(n, np.float32),
                         tuple(map(str, range(120))))  # fmt: skip
    matcher = Sequence(SequenceParams(dim=16, epochs=25, learning_rate=0.02, history=5, batch_size=20))
    matcher.fit(catalog, train)
    rows = [[(i + j) % 20 for j in range(3)] for i in range(20)]
    best, _ = matcher.recommend(Histories.of(rows), 1)
    assert np.mean(best[:, 0] == (np.arange(20) + 3) % 20) > 0.8


def test_stops_at_the_best_epoch_and_refit_trains_as_long(world: World) -> None:
    matcher = fitted(world)
    again = Sequence(PARAMS.sequence, frozen=matcher.settings())
    report = again.fit(world.catalog, world.split.train)
    assert len(report.epochs) == matcher.settings()["best_epoch"]
    np.testing.assert_array_equal(again.vectors, matcher.vectors)  # same data, same epochs, same weights


def test_the_shuffled_twin_does_not_know_new_items(world: World) -> None:
    twin = Sequence(PARAMS.sequence)
    twin.fit(twin_catalog(world.catalog, 7), world.split.train, world.split.val)
    assert new_items_in_order(fitted(world), world.catalog, world.split) > 0.85
    assert new_items_in_order(twin, world.catalog, world.split) < 0.75


def test_in_batch_learns_too(world: World) -> None:
    matcher = Sequence(PARAMS.sequence.model_copy(update={"loss": "in_batch"}))
    report = matcher.fit(world.catalog, world.split.train, world.split.val)
    assert report.epochs[-1]["loss"] < report.epochs[0]["loss"]
    figures = validation_quality(matcher, world.split.train, world.split.val)
    assert figures["recall@10"] > 1.5 * 10 / len(world.catalog)


def test_removing_the_named_cause_lowers_the_score_most(world: World) -> None:
    matcher = fitted(world)
    history = [1, 6, 22, 4]
    items, scores = matcher.recommend(Histories.of([history]), 3)
    reasons = matcher.explain(Histories.of([history]), items)
    for place in range(3):
        without = {
            cause: matcher.score(Histories.of([[i for i in history if i != cause]]))[0, items[0, place]]
            for cause in history
        }
        assert reasons.names()[0][place] == "taste"
        assert without[reasons.item[0, place]] == pytest.approx(min(without.values()), abs=1e-4)
        assert min(without.values()) < scores[0, place]
