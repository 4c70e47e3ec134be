from __future__ import annotations

import numpy as np
from scipy import sparse

from avrec.matching.data import Histories
from avrec.matching.factors import Factors
from avrec.params import FactorsParams

from .conftest import World
from .suite import MatcherSuite


class TestFactors(MatcherSuite):
    name = "factors"


def test_people_are_folded_in_as_the_library_does(world: World) -> None:
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    matcher = Factors(FactorsParams(dim=16, regularization=2.0, confidence=10.0))
    matcher.fit(world.catalog, world.split.train)
    place = np.searchsorted(matcher.active, [3, 4, 9])
    likes = sparse.csr_matrix((np.ones(3, np.float32), place.astype(np.int32), [0, 3]), shape=(1, len(matcher.active)))
    with threadpool_limits(limits=1, user_api="blas"):
        library = AlternatingLeastSquares(factors=16, regularization=2.0, alpha=10.0)
        library.item_factors = matcher.vectors
        person = library.recalculate_user(0, likes)
    found = matcher.score(Histories.of([[9, 3, 4, 3]]))[0]
    np.testing.assert_allclose(found[matcher.active], matcher.vectors @ person, atol=1e-4)


def test_equal_seeds_give_equal_bits_and_others_do_not(world: World) -> None:
    def vectors(seed: int) -> np.ndarray:
        matcher = Factors(FactorsParams(dim=8, iterations=3), seed=seed)
        matcher.fit(world.catalog, world.split.train)
        return matcher.vectors

    np.testing.assert_array_equal(vectors(7), vectors(7))
    assert not np.array_equal(vectors(7), vectors(8))


def test_chooses_the_best_it_tried_and_refit_keeps_it(world: World) -> None:
    matcher = Factors(FactorsParams(dim=16, regularization=1000.0))
    report = matcher.fit(world.catalog, world.split.train, world.split.val)
    best = max(report.trials, key=lambda trial: trial["ndcg@20"])
    assert report.settings["regularization"] == best["regularization"] < 1000.0
    again = Factors(FactorsParams(), frozen=report.settings)
    assert again.fit(world.catalog, world.split.train).settings == report.settings


def test_the_named_cause_is_the_one_without_which_the_score_falls_most(world: World) -> None:
    matcher = world.matcher("factors")
    train = world.split.train.positives()
    history = sorted(set(train.item[train.user == 4].tolist()))
    items, scores = matcher.recommend(Histories.of([history]), 5)
    causes = matcher.explain(Histories.of([history]), items).item[0].tolist()
    assert max(causes) >= 0
    for item, score, cause in zip(items[0], scores[0], causes, strict=True):
        drops = {i: score - matcher.score(Histories.of([[j for j in history if j != i]]))[0, item] for i in history}
        assert cause < 0 or drops[cause] > 0
        assert cause < 0 or drops[cause] >= max(drops.values()) - 1e-5
