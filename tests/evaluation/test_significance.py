"""Bootstrap intervals: repeatable, paired, and about as wide as theory says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avrec.evaluation import significance
from avrec.evaluation.significance import bootstrap_interval, paired_bootstrap, resampled_means

RNG = np.random.default_rng(5)


def test_an_interval_is_as_wide_as_the_standard_error_says() -> None:
    values = RNG.normal(3, 2, 2000)
    interval = bootstrap_interval(values, samples=2000)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert interval.mean == pytest.approx(values.mean())
    assert interval.lower == pytest.approx(values.mean() - half, abs=half / 8)
    assert interval.upper == pytest.approx(values.mean() + half, abs=half / 8)


def test_equal_seeds_give_equal_bounds_and_others_do_not() -> None:
    values = RNG.random(100)
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


def test_pairing_sees_a_difference_that_two_intervals_do_not() -> None:
    people = RNG.random(300)
    better, worse = people + 0.01 + RNG.normal(0, 0.01, 300), people
    found = paired_bootstrap(better, worse)
    assert found.significant
    assert found.difference.lower > 0
    assert found.ratio.lower > 1
    assert bootstrap_interval(worse).upper > bootstrap_interval(better).lower


def test_the_same_model_differs_from_itself_by_nothing() -> None:
    values = RNG.random(50)
    found = paired_bootstrap(values, values)
    assert (found.difference.mean, found.difference.lower, found.difference.upper) == (0, 0, 0)
    assert found.ratio.mean == 1
    assert not found.significant


def test_people_without_a_value_are_left_out_of_both() -> None:
    a, b = np.array([1.0, np.nan, 0.5]), np.array([0.5, 1.0, 0.5])
    found = paired_bootstrap(a, b)
    assert found.users == 2
    assert found.difference.mean == pytest.approx(0.25)


def test_nobody_has_no_interval() -> None:
    assert np.isnan(bootstrap_interval(np.array([np.nan])).mean)
    assert paired_bootstrap(np.array([np.nan]), np.array([1.0])).users == 0


def test_no_quotient_where_the_other_has_nothing() -> None:
    assert np.isnan(paired_bootstrap(np.ones(5), np.zeros(5)).ratio.mean)


def test_values_of_different_people_are_refused() -> None:
    with pytest.raises(ValueError, match="same people"):
        paired_bootstrap(np.ones(3), np.ones(4))


@given(st.integers(1, 40), st.integers(100, 130), st.integers(1, 500))
def test_the_size_of_a_step_only_bounds_memory(n: int, samples: int, cells: int) -> None:
    values = np.column_stack([np.arange(n, dtype=float), np.full(n, 4.0)])
    before = significance._CELLS
    try:
        significance._CELLS = cells
        means = resampled_means(values, samples, 3)
    finally:
        significance._CELLS = before
    assert means.shape == (samples, 2)
    np.testing.assert_allclose(means[:, 1], 4.0)
    assert ((means[:, 0] >= 0) & (means[:, 0] <= n - 1)).all()
