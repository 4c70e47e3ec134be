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


def test_the_half_life_is_the_one_that_validation_prefers(world: World) -> None:
    """Item 5 was liked often long ago, item 6 a few times lately; which of them is liked next decides."""
    days, items = np.r_[np.zeros(6), np.full(3, 100.0)], np.r_[np.full(6, 5), np.full(3, 6)]
    rows = np.arange(9)

    def part(user: np.ndarray, item: np.ndarray, day: np.ndarray) -> Interactions:
        when = (10**9 + day * DAY).astype(np.int64)
        n, names = len(user), tuple(f"u{i}" for i in range(20))
        return Interactions(user.astype(np.int32), item.astype(np.int32), when, np.ones(n, np.int8),
                            np.ones(n, np.float32), names)  # fmt: skip

    train = part(rows, items, days)
    for wanted in (6, 5):
        matcher = Popularity(PopularityParams(half_life_days=50 if wanted == 5 else None))
        report = matcher.fit(world.catalog, train, part(rows + 10, np.full(9, wanted), np.full(9, 101.0)))
        assert int(matcher.score(Histories.of([[]]))[0].argmax()) == wanted
        assert len(report.trials) == 9


def test_what_nobody_likes_is_not_called_popular(world: World) -> None:
    matcher = Popularity(PopularityParams())
    matcher.fit(world.catalog, small(world))
    assert matcher.explain(Histories.of([[]]), np.array([[0, 2]])).names() == [["popular", "none"]]
