from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avrec.matching.base import Matcher
from avrec.matching.data import Histories, Interactions
from avrec.matching.ease import Ease
from avrec.matching.loading import val_histories, validation_halves
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
        matcher = Ease(EaseParams(dense_items=0, neighbours=30))
        matcher.fit(world.catalog, world.split.train, validation_halves(world.split.val, 7)[0])
        return matcher


def test_with_all_neighbours_it_is_ease(world: World) -> None:
    """People who like half of all items each: every two items have somebody in common."""
    rng = np.random.default_rng(0)
    user, item = (part.astype(np.int32) for part in np.nonzero(rng.random((60, len(world.catalog))) < 0.5))
    n = len(user)
    likes = Interactions(user, item, np.zeros(n, np.int64), np.ones(n, np.int8), np.ones(n, np.float32), ("u",) * 60)
    dense, sparse = Ease(EaseParams(l2=20.0, dense_items=80)), Ease(EaseParams(l2=20.0, dense_items=79, neighbours=79))
    for matcher in (dense, sparse):
        matcher.fit(world.catalog, likes)
    assert isinstance(dense.weights, np.ndarray)  # 80 liked items are not more than 80
    assert not isinstance(sparse.weights, np.ndarray)
    people = val_histories(world.split).histories
    np.testing.assert_allclose(sparse.score(people), dense.score(people), atol=1e-5)


def test_with_few_neighbours_it_is_nearly_as_good_and_never_has_more(world: World) -> None:
    dense, sparse = Ease(EaseParams()), Ease(EaseParams(dense_items=0, neighbours=15))
    for matcher in (dense, sparse):
        report = matcher.fit(world.catalog, world.split.train, world.split.val)
    assert np.diff(sparse.weights.tocsc().indptr).max() == 15
    assert len(report.trials) == 5
    assert report.settings == {"l2": max(report.trials, key=lambda t: t["ndcg@20"])["l2"], "neighbours": 15}
    judged = val_histories(world.split)
    assert quality(sparse.score, judged)["ndcg@20"] > 0.85 * quality(dense.score, judged)["ndcg@20"]


def test_removing_the_named_cause_lowers_the_score(world: World, tmp_path: Path) -> None:
    matcher = Ease(EaseParams(dense_items=0, neighbours=30))
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
