from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avrec.matching.base import mask_scores, top_k
from avrec.matching.data import Floats, Histories, Longs, Mask
from avrec.matching.exact import Exact
from avrec.matching.retrieval import MARGIN, ROWS, Retrieval

TEMPERATURE = 0.2


def units(rng: np.random.Generator, n: int, dim: int) -> Floats:
    rows = rng.normal(size=(n, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def dense(
    items: Floats, bias: Floats, people: Floats, seen: Histories, k: int, allowed: Mask | None
) -> tuple[Longs, Floats]:
    scores = Exact(items).dot(people) / np.float32(TEMPERATURE) + bias
    return top_k(mask_scores(scores, seen, allowed), k)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6), n=st.sampled_from([1, 8, ROWS + 9]), k=st.sampled_from([10, 150]),
    filtered=st.booleans(), different=st.sampled_from([500, 30, 2]),
)  # fmt: skip
def test_lists_are_those_of_the_dense_way_bit_for_bit(
    seed: int, n: int, k: int, filtered: bool, different: int
) -> None:
    rng = np.random.default_rng(seed)
    items, people = units(rng, 500, 16), units(rng, n, 16)
    if different < 500:
        items = items[rng.integers(0, different, 500)]  # more equal scores than the margin or the proposals hold
    bias = rng.normal(size=500).astype(np.float32) if different == 500 else np.zeros(500, np.float32)
    seen = Histories.of([[] for _ in range(n)], [rng.integers(0, 500, 20).tolist() for _ in range(n)])
    allowed = rng.random(500) < 0.5 if filtered else None
    found = Retrieval(items, bias, TEMPERATURE, Exact(items)).best(people, seen, k, allowed)
    wanted = dense(items, bias, people, seen, k, allowed)
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_array_equal(found[1], wanted[1])


@pytest.mark.parametrize("n", [1, 20])
def test_too_few_allowed_items_end_in_minus_one(n: int) -> None:
    rng = np.random.default_rng(0)
    items, allowed = units(rng, 200, 8), np.zeros(200, bool)
    allowed[[3, 50, 9]] = True
    seen = Histories.of([[] for _ in range(n)], [[9]] * n)
    found, scores = Retrieval(items, np.zeros(200, np.float32), 1.0, Exact(items)).best(
        units(rng, n, 8), seen, 5, allowed
    )
    assert {tuple(sorted(row[:2])) for row in found.tolist()} == {(3, 50)}
    assert (found[:, 2:] == -1).all()
    assert (scores[:, 2:] == -np.inf).all()


def test_a_list_depends_on_its_own_row_alone() -> None:
    rng = np.random.default_rng(1)
    items, people = units(rng, 300, 8), units(rng, 2 * MARGIN, 8)
    bias = rng.normal(size=300).astype(np.float32)
    retrieval = Retrieval(items, bias, TEMPERATURE, Exact(items))
    nobody_saw = Histories.of([[] for _ in people])
    whole = retrieval.best(people, nobody_saw, 7, None)
    for row in (0, 11):
        alone = retrieval.best(people[row : row + 1], nobody_saw.slice(row, row + 1), 7, None)
        np.testing.assert_array_equal(alone[0][0], whole[0][row])
        np.testing.assert_array_equal(alone[1][0], whole[1][row])
