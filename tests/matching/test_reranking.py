from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from avrec.errors import DataError
from avrec.matching.boosting import _GROWTH, DEPTH, Trees
from avrec.matching.data import Histories
from avrec.matching.hybrid import Hybrid
from avrec.matching.hybrid_learning import keep_share
from avrec.matching.loading import test_histories, validation_halves
from avrec.matching.reranking import Ranker, _grown
from avrec.matching.selection import restricted, selection_set
from avrec.matching.training import saved_ranker
from avrec.params import RankParams

from .conftest import PARAMS, World
from .suite import saved

NAMES = ("content", "ease", "popularity")


@pytest.fixture(scope="module")
def boosted(world: World) -> Hybrid:
    _, learn = validation_halves(world.split.val, PARAMS.seed)
    hybrid = Hybrid(RankParams(method="boosting", trees=30), {name: world.matcher(name) for name in NAMES})
    hybrid.fit(world.catalog, world.split.train, learn)
    # People of the planted world choose by a sum, so that trees are worth nothing there: here they are made to count.
    judged = selection_set(world.split.train, learn)
    assert judged
    trees = _grown(hybrid, restricted(judged, hybrid.warm))
    assert trees
    hybrid.ranker = Ranker(trees, blend=0.8, boost=0.5, candidates=60)
    keep_share(hybrid)
    return hybrid


def grown(trees: int = 40) -> tuple[Trees, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    columns = rng.normal(size=(4000, 4)).astype(np.float32)
    wanted = rng.random(4000) < 1 / (1 + np.exp(2 - columns[:, 0] * np.where(columns[:, 1] > 0, 3, 0)))
    return Trees.grow(columns, wanted, np.ones(4000), [True, False, False, True], trees, 7), columns, wanted


def test_the_arrays_say_what_the_library_says() -> None:
    trees, columns, wanted = grown()
    model = HistGradientBoostingClassifier(
        max_iter=40, max_depth=DEPTH, early_stopping=False, random_state=7, monotonic_cst=[1, 0, 0, 1], **_GROWTH
    ).fit(columns, wanted, sample_weight=np.ones(4000))
    theirs = model.decision_function(columns)
    np.testing.assert_allclose(trees.sum(columns) - trees.sum(columns[:1]), theirs - theirs[0], atol=1e-9)
    np.testing.assert_array_equal(trees.sum(columns[17:18]), trees.sum(columns)[17:18])
    assert trees.sum(columns).min() >= trees.floor
    again = Trees.restored(trees.state())
    np.testing.assert_array_equal(again.sum(columns), trees.sum(columns))


def test_what_rises_never_lowers_the_sum() -> None:
    trees, columns, _ = grown()
    more = columns + np.array([0.5, 0, 0, 0.5], np.float32)
    assert (trees.sum(more) >= trees.sum(columns)).all()
    assert (trees.sum(more) > trees.sum(columns)).mean() > 0.3


def test_trees_order_known_items_and_leave_new_ones_their_share(world: World, boosted: Hybrid) -> None:
    people = test_histories(world.split).histories
    plain = Hybrid(RankParams(), boosted.members, frozen={**boosted.settings(), "ranker": None})
    plain.fit(world.catalog, world.split.train)
    plain.weights, block = boosted.weights, people.slice(0, 50)
    assert plain.ranker is None
    assert (boosted.recommend(block, 10)[0] != plain.recommend(block, 10)[0]).any()
    new = ~boosted.warm
    np.testing.assert_array_equal(boosted.score(block)[:, new], plain.score(block)[:, new])
    lists, _ = boosted.recommend(boosted.people, 20)
    assert new[lists].mean() == pytest.approx(boosted.share, abs=0.01)


def test_without_the_named_cause_the_score_is_lower(world: World, boosted: Hybrid) -> None:
    people = test_histories(world.split).histories
    items, scores = boosted.recommend(people, 5)
    reasons, lower = boosted.explain(people, items), []
    for row in range(len(people)):
        named = np.flatnonzero(reasons.item[row] >= 0)
        rest = [[item for item in people.liked(row).tolist() if item != reasons.item[row, at]] for at in named]
        if rest:
            after = boosted.score(Histories.of(rest), exact_block=False)
            lower += [after[i, items[row, at]] < scores[row, at] for i, at in enumerate(named)]
    # Scores are standardised over the catalogue, person by person: what leaves may shift all others by a hair more.
    assert len(lower) > 100
    assert np.mean(lower) >= 0.98


def test_what_is_saved_scores_the_same_and_refit_needs_the_trees(world: World, boosted: Hybrid, tmp_path: Path) -> None:
    people = test_histories(world.split).histories.slice(0, 20)
    folder = saved(boosted, tmp_path)
    again = Hybrid.load(folder, world.catalog)
    np.testing.assert_array_equal(again.score(people), boosted.score(people))
    ranker = saved_ranker(folder)
    assert isinstance(ranker, Ranker)
    refitted = Hybrid(boosted.params, boosted.members, frozen=boosted.settings(), ranker=ranker)
    refitted.fit(world.catalog, world.split.train)
    np.testing.assert_allclose(refitted.score(people)[:, boosted.warm], boosted.score(people)[:, boosted.warm])
    with pytest.raises(DataError, match="evaluated with boosted trees, and they are not given"):
        Hybrid(boosted.params, boosted.members, frozen=boosted.settings())


def test_too_few_people_leave_the_blend_as_it_is(world: World) -> None:
    _, learn = validation_halves(world.split.val, PARAMS.seed)
    few = learn.where(learn.user < np.unique(learn.user)[10])
    hybrid = Hybrid(RankParams(method="boosting"), {name: world.matcher(name) for name in NAMES})
    hybrid.fit(world.catalog, world.split.train, few)
    assert hybrid.ranker is None
