from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from avrec.matching import neighbours
from avrec.matching.data import Histories
from avrec.matching.item_knn import ItemKnn, walk
from avrec.matching.neighbours import keep_largest, likes_of
from avrec.matching.search import by_coordinates
from avrec.params import ItemKnnParams

from .conftest import World
from .suite import MatcherSuite


class TestItemKnn(MatcherSuite):
    name = "item_knn"


def test_agrees_with_the_walk_of_the_paper(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    likes = likes_of(world.split.train.positives(), len(world.catalog))
    x = likes.toarray()
    people = np.maximum(x.sum(1, keepdims=True), 1)
    counts = np.maximum(x.sum(0), 1)
    expected = (x.T / counts[:, None]) ** 0.7 @ (x / people) ** 0.7 / counts**0.3
    np.fill_diagonal(expected, 0)
    monkeypatch.setattr(neighbours, "ROWS", 7)  # several blocks
    found = walk(likes, alpha=0.7, beta=0.3, neighbours=len(counts)).toarray()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)


def test_only_the_largest_are_kept_and_ties_go_to_the_lower_column() -> None:
    rows = sparse.csr_matrix(np.array([[0.0, 2, 3, 2, 1], [0, 0, 0, 0, 5], [0, 0, 0, 0, 0]]))
    kept = keep_largest(rows, 2).toarray()
    np.testing.assert_array_equal(kept, [[0, 2, 3, 0, 0], [0, 0, 0, 0, 5], [0, 0, 0, 0, 0]])


def test_chooses_the_best_it_tried_and_refit_keeps_it(world: World) -> None:
    matcher = ItemKnn(ItemKnnParams(beta=2.0))
    report = matcher.fit(world.catalog, world.split.train, world.split.val)
    best = max(report.trials, key=lambda trial: trial["ndcg@20"])
    assert best["ndcg@20"] > report.trials[0]["ndcg@20"]
    assert report.settings == {name: best[name] for name in ("alpha", "beta", "neighbours")}
    again = ItemKnn(ItemKnnParams(), frozen=report.settings)
    assert again.fit(world.catalog, world.split.train).settings == report.settings


def test_settings_are_looked_for_one_after_the_other() -> None:
    best, trials = by_coordinates(
        {"a": 0.0, "b": 0.0},
        {"a": (0.0, 1.0, 2.0), "b": (1.0, 2.0)},
        lambda s: s["a"] * (3 - s["a"]) - (s["b"] - 1) ** 2,
    )
    assert best == {"a": 1.0, "b": 1.0}  # a = 2 is as good, and came later
    assert [(t["a"], t["b"]) for t in trials] == [(0, 0), (1, 0), (2, 0), (1, 1), (1, 2)]


def test_removing_the_named_cause_lowers_the_score(world: World) -> None:
    matcher = world.matcher("item_knn")
    train = world.split.train.positives()
    history = sorted(set(train.item[train.user == 4].tolist()))
    items, scores = matcher.recommend(Histories.of([history]), 5)
    causes = matcher.explain(Histories.of([history]), items).item[0].tolist()
    for item, score, cause in zip(items[0], scores[0], causes, strict=True):
        drops = {i: score - matcher.score(Histories.of([[j for j in history if j != i]]))[0, item] for i in history}
        assert drops[cause] > 0
        assert drops[cause] >= max(drops.values()) - 1e-6
