from __future__ import annotations

import numpy as np

from avrec.matching.data import Histories, Interactions
from avrec.matching.popularity import Popularity
from avrec.params import PopularityParams

from .conftest import World
from .planted import DAY
from .suite import MatcherSuite


class TestPopularity(MatcherSuite):
    name = "popularity"


def small(world: World) -> Interactions:
    """Item 0: liked now and 14 days ago. Item 1: liked 7 days ago. Item 2: disliked."""
    days = np.array([0, 7, 14, 14])
    return Interactions(
        np.zeros(4, np.int32), np.array([0, 1, 0, 2], np.int32), (10**9 + days * DAY).astype(np.int64),
        np.array([1, 1, 1, -1], np.int8), np.ones(4, np.float32), ("a",),
    )  # fmt: skip


def test_a_like_counts_half_after_its_half_life(world: World) -> None:
    matcher = Popularity(PopularityParams(half_life_days=7))
    matcher.fit(world.catalog, small(world))
    np.testing.assert_allclose(matcher.score(Histories.of([[]]))[0, :4], [1.25, 0.5, 0.0, 0.0])


def test_without_half_life_it_counts(world: World) -> None:
    matcher = Popularity(PopularityParams(half_life_days=None))
    matcher.fit(world.catalog, small(world))
    np.testing.assert_array_equal(matcher.score(Histories.of([[]]))[0, :4], [2, 1, 0, 0])


def test_what_nobody_likes_is_not_called_popular(world: World) -> None:
    matcher = Popularity(PopularityParams())
    matcher.fit(world.catalog, small(world))
    assert matcher.explain(Histories.of([[]]), np.array([[0, 2]])).names() == [["popular", "none"]]
