from __future__ import annotations

import numpy as np
import pytest

from avrec.matching import ease
from avrec.matching.data import Histories
from avrec.matching.ease import Ease, ease_weights
from avrec.params import EaseParams

from .conftest import World
from .suite import MatcherSuite


class TestEase(MatcherSuite):
    name = "ease"


def likes(world: World) -> np.ndarray:
    train = world.split.train.positives()
    matrix = np.zeros((train.n_users, len(world.catalog)))
    matrix[train.user, train.item] = 1.0
    return matrix


def test_agrees_with_the_closed_form_of_the_paper(world: World) -> None:
    x, l2 = likes(world), 20.0
    p = np.linalg.inv(x.T @ x + l2 * np.eye(x.shape[1]))
    b = p / -np.diag(p)
    np.fill_diagonal(b, 0)
    matcher = Ease(EaseParams(l2=l2))
    matcher.fit(world.catalog, world.split.train)
    history = np.flatnonzero(x[3])
    np.testing.assert_allclose(matcher.score(Histories.of([history.tolist()]))[0], x[3] @ b, atol=1e-5)


def test_float32_of_large_catalogues_is_close_to_float64(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gram = (likes(world).T @ likes(world)).astype(np.float32)
    exact = ease_weights(gram, 10.0)
    monkeypatch.setattr(ease, "LARGE", 1)
    np.testing.assert_allclose(ease_weights(gram, 10.0), exact, atol=1e-4)


def test_chooses_the_best_l2_it_tried_and_says_so(world: World) -> None:
    matcher = Ease(EaseParams(l2=5000.0))
    report = matcher.fit(world.catalog, world.split.train, world.split.val)
    best = max(report.trials, key=lambda trial: trial["ndcg@20"])
    assert report.settings == {"l2": best["l2"]}
    assert len(report.trials) > 1


def test_refit_takes_the_frozen_setting(world: World) -> None:
    matcher = Ease(EaseParams(), frozen={"l2": 12.5})
    assert matcher.fit(world.catalog, world.split.train).settings == {"l2": 12.5}


def test_removing_the_named_cause_lowers_the_score(world: World) -> None:
    matcher = world.matcher("ease")
    history = np.flatnonzero(likes(world)[4]).tolist()
    items, scores = matcher.recommend(Histories.of([history]), 5)
    reasons = matcher.explain(Histories.of([history]), items)
    for item, score, cause in zip(items[0], scores[0], reasons.item[0].tolist(), strict=True):
        others = [liked for liked in history if liked != cause]
        assert matcher.score(Histories.of([others]))[0, item] < score
