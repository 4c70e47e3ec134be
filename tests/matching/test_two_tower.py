from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from avrec.errors import ParamsError
from avrec.matching.base import twin_catalog
from avrec.matching.data import Histories
from avrec.matching.examples import Examples
from avrec.matching.selection import validation_quality
from avrec.matching.softmax import accidental_hits, products, retrieval_logits, retrieval_loss
from avrec.matching.towers import content_tower, item_vectors
from avrec.matching.two_tower import TwoTower
from avrec.matching.two_tower_training import TowerLearner
from avrec.params import TwoTowerParams, parse_params

from .conftest import PARAMS, World
from .planted import new_items_in_order
from .suite import MatcherSuite, larger


class TestTwoTower(MatcherSuite):
    name = "two_tower"


def probabilities(log_q: np.ndarray | None = None) -> np.ndarray:
    """Two people, candidates 4, 7, 4, 9 of 10 items; the first person likes 4 (wanted) and 9, the second 7."""
    rng = np.random.default_rng(0)
    users, items = rng.normal(size=(2, 3)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)
    q = None if log_q is None else tf.constant(log_q, tf.float32)
    logits = retrieval_logits(
        tf.constant(users), tf.constant(items), tf.zeros(4), tf.constant([4, 7, 4, 9]), tf.constant([0, 1]),
        tf.constant([[9, 10], [10, 10]]), 10, 0.5, q,
    )  # fmt: skip
    return tf.nn.softmax(logits).numpy()


def test_accidental_hits_have_no_part_in_the_softmax() -> None:
    shares = probabilities()
    assert shares[0, 2] == 0.0  # the wanted item once more
    assert shares[0, 3] == 0.0  # another one the person liked
    assert (shares[0, :2] > 0).all()
    assert (shares[1] > 0).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-6)


def test_naming_no_candidates_is_naming_all() -> None:
    rng = np.random.default_rng(0)
    users, items = (tf.constant(rng.normal(size=(n, 3)).astype(np.float32)) for n in (2, 6))
    target, others = tf.constant([4, 0]), tf.constant([[1, 5, 6], [6, 6, 6]])
    losses = []
    for candidates in (tf.range(6), None):
        logits = retrieval_logits(users, items, tf.zeros(6), candidates, target, others, 6, 0.5)
        shares = tf.nn.softmax(logits).numpy()
        assert shares[0, [1, 5]].tolist() == [0.0, 0.0]
        losses.append(float(retrieval_loss(logits, target, tf.ones(2))))
    assert losses[0] == losses[1]


def test_filling_of_short_histories_hits_nothing() -> None:
    hits = accidental_hits(tf.constant([0, 1]), tf.constant([0]), tf.constant([[2, 2]]), 2)
    assert not hits.numpy().any()


def test_log_q_divides_the_odds_by_the_chance_of_being_drawn() -> None:
    q = np.array([0.4, 0.1, 0.4, 0.1])
    plain, corrected = probabilities()[1], probabilities(np.log(q))[1]
    expected = plain / q / (plain / q).sum()
    np.testing.assert_allclose(corrected, expected, rtol=1e-5)


def test_loss_is_the_weighted_mean_of_minus_log_of_the_share() -> None:
    logits = tf.constant([[0.0, np.log(3.0)], [0.0, 0.0]], tf.float32)
    loss = retrieval_loss(logits, tf.constant([1, 0]), tf.constant([1.0, 3.0]))
    assert float(loss) == pytest.approx((-np.log(0.75) - 3 * np.log(0.5)) / 4)


def test_examples_count_a_pair_once_and_keep_the_newest_likes_last(world: World) -> None:
    train = world.split.train
    examples = Examples.of(train, len(world.catalog))
    assert len({*zip(examples.user.tolist(), examples.item.tolist(), strict=True)}) == len(examples.user)
    likes = train.positives()
    for user in (0, 5):
        last = list(dict.fromkeys(likes.item[likes.user == user][::-1].tolist()))[::-1]
        row = examples.liked[user]
        assert row[row < len(world.catalog)].tolist() == last


def test_stops_at_the_best_epoch_and_refit_trains_as_long(world: World) -> None:
    matcher = world.matcher("two_tower")
    settings = matcher.settings()
    again = TwoTower(TwoTowerParams(), frozen=settings)
    report = again.fit(world.catalog, world.split.train)
    assert len(report.epochs) == settings["best_epoch"]
    np.testing.assert_array_equal(again.vectors, matcher.vectors)  # same data, same epochs, same weights


def test_a_new_item_lies_where_its_content_says(world: World) -> None:
    matcher = world.matcher("two_tower")
    assert isinstance(matcher, TwoTower)
    inputs, present = matcher.inputs(world.catalog)
    tower = content_tower(matcher.content_weights, matcher.params.dim, matcher.params.fusion)
    rows = np.zeros(len(world.catalog), np.int32)
    no_id = np.hstack([np.zeros((len(rows), 1), np.float32), present])
    vectors, bias, shares = item_vectors(tower, rows, inputs, no_id)
    cold = ~np.isin(np.arange(len(rows)), world.split.train.positives().item)
    assert cold.any()
    np.testing.assert_allclose(vectors[cold], matcher.vectors[cold], atol=1e-6)
    assert (bias == 0).all()
    assert (shares[:, 0] == 0).all()
    np.testing.assert_allclose(shares[cold], matcher.shares[cold], atol=1e-6)
    few, *_ = item_vectors(tower, rows[:3], [x[40:43] for x in inputs], no_id[40:43])
    np.testing.assert_array_equal(few, vectors[40:43])


def test_what_id_and_modalities_count_can_be_read_by_item_and_by_run(world: World) -> None:
    matcher = world.matcher("two_tower")
    assert isinstance(matcher, TwoTower)
    present = np.stack([world.catalog.features[name].present for name in matcher.modalities], axis=1)
    np.testing.assert_allclose(matcher.shares.sum(axis=1), 1, atol=1e-5)
    assert (matcher.shares[:, 1:][~present] == 0).all()
    assert list(matcher.importance) == ["id", "visual", "audio", "text"]
    assert sum(matcher.importance.values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("fusion", ["attention", "bilinear"])
def test_towers_are_trained_with_any_fusion(world: World, fusion: str, tmp_path: Path) -> None:
    matcher = TwoTower(PARAMS.two_tower.model_copy(update={"fusion": fusion, "epochs": 2}))
    report = matcher.fit(world.catalog, world.split.train, world.split.val)
    assert report.epochs[-1]["loss"] < report.epochs[0]["loss"]
    matcher.save(tmp_path)
    loaded = TwoTower.load(tmp_path, larger(world.catalog))  # places new items through the layer
    assert isinstance(loaded, TwoTower)
    np.testing.assert_array_equal(loaded.vectors[5:], matcher.vectors)
    np.testing.assert_allclose(np.linalg.norm(loaded.vectors[:5], axis=1), 1, rtol=1e-5)


def test_hard_negatives_are_what_the_towers_put_highest_and_nobody_liked(world: World) -> None:
    params = PARAMS.two_tower.model_copy(update={"loss": "in_batch", "hard_negatives": 3, "epochs": 2})
    matcher = TwoTower(params)
    matcher.look(world.catalog, world.split.train)
    examples = Examples.of(world.split.train, len(world.catalog))
    learner = TowerLearner(params, 7, examples, *matcher.inputs(world.catalog))
    learner.epoch(1)
    learner.write_into(matcher)
    matcher.catalog = world.catalog
    hard = learner.mined()
    for user in (0, 3, 50):
        liked = examples.liked[user][examples.liked[user] < len(world.catalog)]
        best, _ = matcher.recommend(Histories.of([liked.tolist()]), 3)
        assert hard[user].tolist() == best[0].tolist()
    assert next(learner.batches(2))[2].shape == (128, 3)
    assert learner.epoch(2) > 0


def test_hard_negatives_need_a_loss_that_lacks_them() -> None:
    with pytest.raises(ParamsError, match="hard_negatives need loss 'in_batch'"):
        parse_params({"matching": {"two_tower": {"hard_negatives": 5}}})


def test_a_hit_that_is_not_masked_stops_the_training(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avrec.matching.softmax.LOWEST", 0.0)
    matcher = TwoTower(PARAMS.two_tower)
    with pytest.raises(tf.errors.InvalidArgumentError, match="accidental hits have a part in the softmax"):
        matcher.fit(world.catalog, world.split.train)


def test_short_products_are_near_the_long_ones() -> None:
    rng = np.random.default_rng(0)
    left, right = (rng.normal(size=(n, 8)).astype(np.float32) for n in (3, 5))
    short = products(tf.constant(left), tf.constant(right), "mixed_bfloat16")
    assert short.dtype == tf.float32
    np.testing.assert_allclose(short, left @ right.T, atol=0.15)
    assert not np.array_equal(short, products(left, right, "float32"))


@pytest.mark.parametrize("change", [{"precision": "mixed_bfloat16"}, {"xla": True}])
def test_other_precision_and_compiler_learn_about_the_same(world: World, change: dict[str, object]) -> None:
    plain, other = (TwoTower(PARAMS.two_tower.model_copy(update=u)) for u in ({"epochs": 2}, {"epochs": 2, **change}))
    for matcher in (plain, other):
        matcher.fit(world.catalog, world.split.train)
    assert np.mean(np.sum(plain.vectors * other.vectors, axis=1)) > 0.95


def test_in_batch_learns_too(world: World) -> None:
    quick = PARAMS.two_tower.model_copy(update={"loss": "in_batch"})
    matcher = TwoTower(quick)
    report = matcher.fit(world.catalog, world.split.train, world.split.val)
    assert report.epochs[-1]["loss"] < report.epochs[0]["loss"]
    figures = validation_quality(matcher, world.split.train, world.split.val)
    assert figures["recall@10"] > 2 * 10 / len(world.catalog)


def test_the_shuffled_twin_does_not_know_new_items(world: World) -> None:
    twin = TwoTower(PARAMS.two_tower)
    twin.fit(twin_catalog(world.catalog, 7), world.split.train, world.split.val)
    assert new_items_in_order(world.matcher("two_tower"), world.catalog, world.split) > 0.85
    assert new_items_in_order(twin, world.catalog, world.split) < 0.7


def test_removing_the_named_cause_lowers_the_score(world: World) -> None:
    matcher = world.matcher("two_tower")
    history = [1, 6, 22]
    items, _ = matcher.recommend(Histories.of([history]), 3)
    cause = matcher.explain(Histories.of([history]), items).item[0, 0]
    without = [i for i in history if i != cause]
    before, after = (matcher.score(Histories.of([h]))[0, items[0, 0]] for h in (history, without))
    assert after < before
