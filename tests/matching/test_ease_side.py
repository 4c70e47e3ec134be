from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avrec.matching.data import Histories
from avrec.matching.ease import Ease
from avrec.matching.ease_side import EaseSide
from avrec.matching.neighbours import likes_of
from avrec.matching.registry import load_matcher
from avrec.params import EaseParams, EaseSideParams

from .conftest import World
from .suite import MatcherSuite


class TestEaseSide(MatcherSuite):
    name = "ease_side"


def fitted(world: World, **settings: float) -> EaseSide:
    matcher = EaseSide(EaseSideParams(**settings))
    matcher.fit(world.catalog, world.split.train)
    return matcher


def history_of(world: World) -> list[int]:
    train = world.split.train.positives()
    return sorted(set(train.item[train.user == 4].tolist()))


def test_without_side_information_it_is_ease(world: World) -> None:
    ease = Ease(EaseParams(l2=20.0))
    ease.fit(world.catalog, world.split.train)
    bare = EaseSide(EaseSideParams(l2=20.0, side_weight=0.0))
    bare.fit(world.catalog, world.split.train)
    people = Histories.of([history_of(world), [1, 2]])
    np.testing.assert_allclose(bare.score(people)[:, ease.active], ease.score(people)[:, ease.active], atol=1e-4)


@pytest.mark.parametrize("max_items", [10_000, 20])
def test_every_column_is_the_regression_it_says(world: World, max_items: int) -> None:
    """Against ordinary least squares over people and item vectors, a column at a time."""
    matcher = fitted(world, l2=20.0, side_weight=7.0, max_items=max_items)
    x = likes_of(world.split.train.positives(), len(world.catalog)).toarray()
    rows = np.concatenate([x, np.sqrt(7.0) * matcher.side.T.astype(np.float64)])
    history = [i for i in history_of(world) if i in matcher.inputs]
    scores = matcher.score(Histories.of([history]))[0]
    assert len(matcher.inputs) == min(max_items, int((x.sum(0) > 0).sum()))
    for item in (int(matcher.inputs[0]), int(matcher.inputs[-1]), 75, 79):
        among = matcher.inputs[matcher.inputs != item]
        a = rows[:, among]
        weights = np.linalg.solve(a.T @ a + 20.0 * np.eye(len(among)), a.T @ rows[:, item])
        assert scores[item] == pytest.approx(weights[np.isin(among, history)].sum(), abs=1e-4)


def test_what_nobody_liked_is_placed_by_what_it_is_made_of(world: World) -> None:
    matcher = world.matcher("ease_side")
    new = np.arange(72, 80)  # nobody met them in training
    scores = matcher.score(Histories.of([[1, 6, 11, 16]]))[0, new]  # one topic
    same = new % 5 == 1
    assert scores[same].min() > scores[~same].max()


def test_chooses_the_best_it_tried_and_refit_keeps_it(world: World) -> None:
    matcher = EaseSide(EaseSideParams(l2=0.5))
    report = matcher.fit(world.catalog, world.split.train, world.split.val)
    best = max(report.trials, key=lambda trial: trial["ndcg@20"])
    assert best["ndcg@20"] > report.trials[0]["ndcg@20"]
    assert {name: report.settings[name] for name in ("side_weight", "l2")} == {
        name: best[name] for name in ("side_weight", "l2")
    }
    again = EaseSide(EaseSideParams(), frozen=report.settings)
    assert again.fit(world.catalog, world.split.train).settings == report.settings


@pytest.mark.parametrize("max_items", [10_000, 20])
def test_removing_the_named_cause_lowers_the_score(world: World, max_items: int) -> None:
    matcher = fitted(world, max_items=max_items)
    history = history_of(world)
    items = np.array([[i for i in range(len(world.catalog)) if i not in history]])
    scores = matcher.score(Histories.of([history]))[0]
    reasons = matcher.explain(Histories.of([history]), items)
    kinds = set()
    for item, cause, kind in zip(items[0], reasons.item[0].tolist(), reasons.names()[0], strict=True):
        if cause >= 0:
            kinds.add(kind)
            rest = [i for i in history if i != cause]
            assert matcher.score(Histories.of([rest]))[0, item] < scores[item]
    assert "watched" in kinds
    assert kinds & {"picture", "sound", "text"}  # of what nobody liked


def test_what_is_beside_the_inputs_is_kept(world: World, tmp_path: Path) -> None:
    matcher = fitted(world, max_items=20)
    matcher.save(tmp_path / "ease_side")
    loaded = load_matcher(tmp_path / "ease_side", world.catalog)
    people = Histories.of([history_of(world)])
    np.testing.assert_array_equal(loaded.score(people), matcher.score(people))
