"""How far a difference could be chance: bootstrap over people (Efron, 1979; Sakai, 2006 for ranking metrics)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avrec.evaluation.metrics import Reals

LEVEL = 0.95
_CELLS = 4_000_000  # resampling counts held at once


@dataclass(frozen=True)
class Interval:
    """A mean over people and its percentile interval at `LEVEL`."""

    mean: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Comparison:
    """One model less another on the same people, and their quotient; bounds at `LEVEL`."""

    users: int
    difference: Interval
    ratio: Interval

    @property
    def significant(self) -> bool:
        """The interval of the difference excludes zero."""
        return self.difference.lower > 0 or self.difference.upper < 0


def resampled_means(values: Reals, samples: int, seed: int) -> Reals:
    """Means of `values` `[n, m]` over people drawn with replacement, `[samples, m]`.

    All columns are drawn with the same people, which is what makes a comparison paired.
    """
    n = len(values)
    if not n:
        raise ValueError("values: expected at least one person.")
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // n)
    parts = []
    for start in range(0, samples, step):
        size = min(step, samples - start)
        drawn = rng.integers(0, n, (size, n)) + np.arange(size)[:, None] * n
        parts.append(np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n) @ values / n)
    return np.concatenate(parts)


def bootstrap_interval(values: Reals, samples: int = 1000, seed: int = 7, level: float = LEVEL) -> Interval:
    """Mean of `values` `[n]` and its percentile interval; people without a value (NaN) are left out."""
    known = values[~np.isnan(values)]
    if not len(known):
        return Interval(float("nan"), float("nan"), float("nan"))
    return _interval(float(known.mean()), resampled_means(known[:, None], samples, seed)[:, 0], level)


def paired_bootstrap(a: Reals, b: Reals, samples: int = 1000, seed: int = 7, level: float = LEVEL) -> Comparison:
    """Compares `a` with `b` `[n]`, value by value of the same people.

    Raises:
        ValueError: they are not of the same people.
    """
    if a.shape != b.shape:
        raise ValueError(f"a and b: expected values of the same people, got {a.shape} and {b.shape}.")
    known = ~(np.isnan(a) | np.isnan(b))
    if not known.any():
        nothing = Interval(float("nan"), float("nan"), float("nan"))
        return Comparison(0, nothing, nothing)
    means = resampled_means(np.column_stack([a[known], b[known]]), samples, seed)
    mean_a, mean_b = float(a[known].mean()), float(b[known].mean())
    difference = _interval(mean_a - mean_b, means[:, 0] - means[:, 1], level)
    return Comparison(int(known.sum()), difference, _ratio(mean_a, mean_b, means, level))


def _ratio(mean_a: float, mean_b: float, means: Reals, level: float) -> Interval:
    if mean_b <= 0 or (means[:, 1] <= 0).any():  # no quotient that a resample could not break
        return Interval(float("nan"), float("nan"), float("nan"))
    return _interval(mean_a / mean_b, means[:, 0] / means[:, 1], level)


def _interval(mean: float, resampled: Reals, level: float) -> Interval:
    lower, upper = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(lower), float(upper))
