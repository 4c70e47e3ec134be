from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avrec.matching.base import Matcher
from avrec.matching.data import Histories
from avrec.matching.ease import Ease
from avrec.matching.ease_sparse import HeadWeights
from avrec.matching.loading import val_histories, validation_halves
from avrec.matching.neighbours import likes_of
from avrec.matching.registry import load_matcher
from avrec.matching.selection import quality
from avrec.params import EaseParams

from .conftest import World
from .suite import MatcherSuite


class TestSparseEase(MatcherSuite):
    """The whole contract once more, with a threshold that every catalogue is beyond."""

    name = "ease"

    @pytest.fixture
    def matcher(self, world: World) -> Matcher:
        matcher = Ease(EaseParams(dense_items=40))
        matcher.fit(world.catalog, world.split.train, validation_halves(world.split.val, 7)[0])
        return matcher


def test_every_column_is_the_ridge_regression_on_the_inputs(world: World) -> None:
    matcher = Ease(EaseParams(l2=20.0, dense_items=25))
    matcher.fit(world.catalog, world.split.train)
    x = likes_of(world.split.train.positives(), len(world.catalog)).toarray()
    inputs = np.sort(np.lexsort((np.arange(80), -x.sum(0)))[:25])
    history = np.flatnonzero(x[4])
    scores = matcher.score(Histories.of([history.tolist()]))[0]
    for item in range(72):
        among = inputs[inputs != item]
        a = x[:, among]
        weights = np.linalg.solve(a.T @ a + 20.0 * np.eye(len(among)), a.T @ x[:, item])
        assert scores[item] == pytest.approx(weights[np.isin(among, history)].sum(), abs=1e-4)


def test_the_threshold_decides_and_half_the_inputs_are_nearly_as_good(world: World) -> None:
    dense, sparse = Ease(EaseParams(dense_items=72)), Ease(EaseParams(dense_items=36))
    for matcher in (dense, sparse):
        report = matcher.fit(world.catalog, world.split.train, world.split.val)
    assert isinstance(dense.weights, np.ndarray)  # 72 liked items are not more than 72
    assert isinstance(sparse.weights, HeadWeights)
    assert report.settings == {"l2": max(report.trials, key=lambda trial: trial["ndcg@20"])["l2"]}
    judged = val_histories(world.split)
    assert quality(sparse.score, judged)["ndcg@20"] > 0.85 * quality(dense.score, judged)["ndcg@20"]


def test_removing_the_named_cause_lowers_the_score(world: World, tmp_path: Path) -> None:
    matcher = Ease(EaseParams(dense_items=40))
    matcher.fit(world.catalog, world.split.train)
    matcher.save(tmp_path / "ease")
    loaded = load_matcher(tmp_path / "ease", world.catalog)
    train = world.split.train.positives()
    history = sorted(set(train.item[train.user == 4].tolist()))
    items, scores = loaded.recommend(Histories.of([history]), 5)
    for item, score, cause in zip(
        items[0], scores[0], loaded.explain(Histories.of([history]), items).item[0], strict=True
    ):
        assert loaded.score(Histories.of([[i for i in history if i != cause]]))[0, item] < score
