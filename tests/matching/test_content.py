from __future__ import annotations

import numpy as np
import pytest

from avrec.matching.base import twin_catalog
from avrec.matching.content import WHITENING, Content
from avrec.matching.data import Histories
from avrec.matching.loading import evaluation_set, test_histories
from avrec.matching.selection import validation_quality
from avrec.params import ContentParams

from .conftest import World
from .suite import MatcherSuite


class TestContent(MatcherSuite):
    name = "content"


def alone(world: World, modality: str) -> Content:
    matcher = Content(ContentParams())
    matcher.fit(world.catalog.with_features({modality: world.catalog.features[modality]}), world.split.train)
    return matcher


def test_what_is_alike_comes_first_and_says_how(world: World) -> None:
    for modality, kind in (("visual", "picture"), ("audio", "sound"), ("text", "text")):
        matcher = alone(world, modality)
        liked = int(np.flatnonzero(world.catalog.features[modality].present)[0])
        history = Histories.of([[liked]])
        items, _ = matcher.recommend(history, 5)
        assert (world.catalog.category[items[0]] == world.catalog.category[liked]).mean() >= 0.8
        assert set(matcher.explain(history, items).names()[0]) == {kind}
        assert set(matcher.explain(history, items).item[0]) == {liked}


def test_an_item_without_the_modality_is_neither_liked_nor_disliked(world: World) -> None:
    matcher = alone(world, "visual")
    missing = ~world.catalog.features["visual"].present
    scores = matcher.score(Histories.of([[1, 6], np.flatnonzero(missing).tolist()]))
    assert (scores[0, missing] == 0).all()
    assert (scores[0, ~missing] != 0).all()
    assert (scores[1] == 0).all()


def test_items_of_the_future_do_not_move_the_centre(world: World) -> None:
    features = world.catalog.features["visual"]
    matcher, shifted = alone(world, "visual"), features.vectors.copy()
    met = np.isin(np.arange(len(world.catalog)), world.split.train.item)
    shifted[~met] += 100.0
    moved = Content(ContentParams())
    altered = type(features)("visual", shifted, features.present)
    moved.fit(world.catalog.with_features({"visual": altered}), world.split.train)
    np.testing.assert_array_equal(moved.centres["visual"], matcher.centres["visual"])


def test_a_loud_direction_does_not_drown_the_others(world: World) -> None:
    rng, features = np.random.default_rng(0), world.catalog.features["visual"]
    noise = rng.normal(size=(len(world.catalog), 1)) * rng.normal(size=(1, features.dim))
    louder = type(features)("visual", (features.vectors + 3 * noise).astype(np.float32), features.present)
    figures = []
    for whitening in (0.0, WHITENING):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("avrec.matching.content.WHITENING", whitening)
            matcher = alone(World(world.catalog.with_features({"visual": louder}), world.split), "visual")
        figures.append(validation_quality(matcher, world.split.train, world.split.val)["ndcg@20"])
    assert figures[1] > 1.1 * figures[0], figures


def test_a_block_of_noise_has_little_say(world: World) -> None:
    audio = world.catalog.features["audio"]
    noise = np.random.default_rng(1).normal(size=audio.vectors.shape).astype(np.float32)
    features = {**world.catalog.features, "audio": type(audio)("audio", noise, audio.present)}
    matcher = Content(ContentParams())
    matcher.fit(world.catalog.with_features(features), world.split.train, world.split.val)
    assert matcher.weights["audio"] < 0.2 < max(matcher.weights["visual"], matcher.weights["text"])


def test_reasons_add_up_to_the_score(world: World) -> None:
    matcher = world.matcher("content")
    assert isinstance(matcher, Content)
    liked, items = np.array([1, 6, 22]), np.array([11, 40, 70])
    parts = sum(part.sum(axis=0) for part in matcher._contributions(liked, items).values())
    np.testing.assert_allclose(parts, matcher.score(Histories.of([liked.tolist()]))[0, items], atol=1e-5)


def test_the_shuffled_twin_loses(world: World) -> None:
    train, val = world.split.train, world.split.val
    twin = Content(ContentParams())
    twin.fit(twin_catalog(world.catalog, 7), train, val)
    real = validation_quality(world.matcher("content"), train, val)["recall@10"]
    assert len(evaluation_set(train, val).truth) > 40
    assert real > 1.5 * validation_quality(twin, train, val)["recall@10"]


def test_without_the_named_cause_the_score_is_lower(world: World) -> None:
    matcher, people = world.matcher("content"), test_histories(world.split).histories
    items, scores = matcher.recommend(people, 5)
    reasons, checked = matcher.explain(people, items), 0
    for row in range(len(people)):
        liked = np.unique(people.liked(row))
        for place in np.flatnonzero(reasons.item[row] >= 0).tolist():
            rest = liked[liked != reasons.item[row, place]].tolist()
            assert matcher.score(Histories.of([rest]))[0, items[row, place]] < scores[row, place]
            checked += 1
    assert checked > 100
