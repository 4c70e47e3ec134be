from __future__ import annotations

import numpy as np
import pytest

from avrec.matching.base import mask_scores, top_k
from avrec.matching.data import Histories
from avrec.matching.exposure import (
    DEPTH,
    FIRST,
    MOST,
    PEOPLE,
    entry_levels,
    lift_first,
    offset_for,
    sample_people,
    share_at,
)

from .conftest import World


def scores(n: int, known: int, new: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, known)).astype(np.float32), (rng.normal(size=(n, new)) - 3).astype(np.float32)


def new_in_lists(known: np.ndarray, new: np.ndarray, offset: float) -> np.ndarray:
    """How many new items are among the first `DEPTH` of each person."""
    items, _ = top_k(np.hstack([known, new + np.float32(offset)]), DEPTH)
    counts: np.ndarray = (items >= known.shape[1]).sum(axis=1)
    return counts


def test_a_level_is_what_it_takes_to_enter() -> None:
    known, new = scores(1, 60, 30)
    levels = entry_levels(known, new)[0]
    assert (np.diff(levels) >= 0).all()
    for place, level in enumerate(levels):
        assert new_in_lists(known, new, level - 1e-3)[0] <= place
        assert new_in_lists(known, new, level + 1e-3)[0] >= place + 1


def test_new_items_get_their_share_on_average_and_those_who_like_them_more_of_it() -> None:
    known, new = scores(400, 200, 80)
    new[:100] += 1.0  # these people like what is new
    levels = entry_levels(known, new)
    offset = offset_for(levels, 0.15, 80 / 280)
    found = new_in_lists(known, new, offset)
    assert found.mean() / DEPTH == pytest.approx(0.15, abs=0.005)
    assert share_at(levels, offset) == pytest.approx(found.mean() / DEPTH, abs=0.005)
    assert found[:100].mean() > 2 * found[100:].mean()


def test_without_a_share_no_new_item_is_listed() -> None:
    known, new = scores(50, 200, 80)
    assert new_in_lists(known, new, offset_for(entry_levels(known, new), 0.0, 0.3)).sum() == 0


def test_a_single_new_item_is_not_shown_to_everybody() -> None:
    known, new = scores(1000, 199, 1)
    found = new_in_lists(known, new, offset_for(entry_levels(known, new), 0.15, 1 / 200))
    assert found.mean() == pytest.approx(MOST * DEPTH / 200, abs=0.01)


def test_the_first_places_are_given_without_favour() -> None:
    known = np.array([True] * 6 + [False] * 3)
    row = np.array([9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 8.5, 7.5, 11.5], np.float32)  # new items, 3 of it a favour
    people = Histories.of([[0], []])
    lifted = lift_first(np.stack([row, row]), people, known, 3.0)
    items, _ = top_k(mask_scores(lifted, people, None), 9)
    # The best three that the person has not seen come first, but for the new item that is better all the same.
    assert items[0].tolist() == [8, 1, 2, 3, 6, 7, 4, 5, -1]
    assert items[1].tolist() == [0, 8, 1, 2, 6, 7, 3, 4, 5]
    np.testing.assert_array_equal(np.flatnonzero(lifted[1] != row), np.arange(FIRST))
    np.testing.assert_array_equal(lift_first(row[None], people.slice(0, 1), known, -1.0), row[None])


def test_nothing_new_or_nobody_there_raises_nothing() -> None:
    known, _ = scores(3, 40, 1)
    assert offset_for(entry_levels(known, np.zeros((3, 0), np.float32)), 0.2, 0.1) == 0.0
    assert offset_for(np.zeros((0, DEPTH), np.float32), 0.2, 0.1) == 0.0
    assert share_at(np.zeros((0, DEPTH), np.float32), 1.0) == 0.0


def test_people_are_drawn_by_the_seed_and_have_histories(world: World) -> None:
    one, same, other = (sample_people(world.split.train, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.user, same.user)
    assert len(one) == len(np.unique(world.split.train.user)) <= PEOPLE
    np.testing.assert_array_equal(one.user, other.user)  # all of them, since there are so few
    assert all(len(one.seen(row)) for row in range(len(one)))
