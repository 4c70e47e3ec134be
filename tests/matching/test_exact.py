from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from avrec.matching.exact import Exact


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 300), spread=st.integers(0, 12))
def test_an_entry_depends_on_its_row_and_column_alone(seed: int, k: int, spread: int) -> None:
    rng = np.random.default_rng(seed)
    left = rng.normal(size=(37, k)) * 10.0 ** rng.integers(-spread, spread + 1, (37, 1))
    right = rng.normal(size=(53, k)) * 10.0 ** rng.integers(-spread, spread + 1, (53, 1))
    whole, order = Exact(right).dot(left), rng.permutation(k)
    np.testing.assert_array_equal(Exact(right[20:21]).dot(left[5:6])[0, 0], whole[5, 20])
    np.testing.assert_array_equal(Exact(right[:, order]).dot(left[:, order]), whole)  # no order of adding matters


def test_is_as_good_as_float32() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(20, 64)), rng.normal(size=(30, 64))
    scale = np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=1)
    assert (np.abs(Exact(right).dot(left) - left @ right.T) < 4e-7 * scale).all()


def test_rows_of_zeros_and_none_at_all() -> None:
    assert Exact(np.zeros((2, 3))).dot(np.ones((1, 3))).tolist() == [[0.0, 0.0]]
    assert Exact(np.ones((2, 3))).dot(np.zeros((0, 3))).shape == (0, 2)
