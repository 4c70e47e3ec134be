"""Ragged truth: what counts as a hit, and whose."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from avrec.evaluation.truth import Truth, select
from avrec.matching.data import Histories

from .matchers import interactions_of

ROWS = st.lists(st.lists(st.integers(0, 9), max_size=5), min_size=1, max_size=6)


def as_lists(truth: Truth) -> list[list[int]]:
    return [truth.row(r).tolist() for r in range(len(truth))]


@given(ROWS)
def test_rows_come_back_sorted_and_unique(rows: list[list[int]]) -> None:
    truth = Truth.of(rows)
    assert as_lists(truth) == [sorted(set(row)) for row in rows]
    assert truth.sizes.tolist() == [len(set(row)) for row in rows]


@given(ROWS, st.data())
def test_take_gives_the_rows_asked_for(rows: list[list[int]], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8))
    taken = Truth.of(rows).take(np.array(wanted, np.int64))
    assert as_lists(taken) == [sorted(set(rows[i])) for i in wanted]


@given(ROWS, st.sets(st.integers(0, 9)))
def test_restricted_keeps_rows_and_drops_items(rows: list[list[int]], kept: set[int]) -> None:
    mask = np.isin(np.arange(10), list(kept))
    assert as_lists(Truth.of(rows).restricted(mask)) == [sorted(set(row) & kept) for row in rows]


def test_only_likes_of_things_not_seen_before_are_truth() -> None:
    before = interactions_of([(0, 1, 1), (0, 2, -1), (1, 5, 1)], 2)
    later = interactions_of([(0, 1, 1), (0, 2, 1), (0, 3, 1), (0, 4, -1), (0, 3, 1), (1, 1, 0)], 2)
    users = np.array([0, 1], np.int32)
    assert as_lists(Truth.from_interactions(later, users, Histories.from_interactions(before, users))) == [[3], []]
    assert as_lists(Truth.from_interactions(later, users)) == [[1, 2, 3], []]


@given(ROWS, st.data())
def test_select_keeps_order_of_time_and_users(rows: list[list[int]], data: st.DataObject) -> None:
    histories = Histories.of(rows, seen=[[*row, 9] for row in rows], user=list(range(len(rows))))
    wanted = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8))
    chosen = select(histories, np.array(wanted, np.int64))
    assert chosen.user.tolist() == wanted
    assert [chosen.liked(i).tolist() for i in range(len(wanted))] == [rows[i] for i in wanted]
    assert [chosen.seen(i).tolist() for i in range(len(wanted))] == [[*rows[i], 9] for i in wanted]
