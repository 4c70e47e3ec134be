"""The decision "will they like it": thresholds from validation, true negatives only, a baseline beside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from avrec.evaluation.decision import (
    Labelled,
    auc,
    best_threshold,
    calibration,
    decide,
    fit_logistic,
    quality_of,
    scores_of,
)

from .matchers import catalog_of, fitted, interactions_of

RNG = np.random.default_rng(11)


def world(noise: float, n: int = 120, m: int = 30, seed: int = 2) -> tuple[np.ndarray, Labelled, Labelled]:
    """Scores and labelled interactions; a score tells like from dislike but for `noise`."""
    rng = np.random.default_rng(seed)
    taste = rng.normal(size=(n, m))
    rows = [(u, i, 1 if taste[u, i] > 0.4 else -1) for u in range(n) for i in rng.choice(m, 8, replace=False).tolist()]
    before = interactions_of([(u, 0, 1) for u in range(n)], n)
    fresh = [row for row in rows if row[1] != 0]
    half = len(fresh) // 2
    parts = [Labelled.of(interactions_of(part, n), before) for part in (fresh[:half], fresh[half:])]
    return (taste + noise * rng.normal(size=taste.shape)), parts[0], parts[1]


def test_good_scores_beat_the_majority_and_noise_does_not() -> None:
    scores, validation, test = world(noise=0.1)
    good = decide(fitted(scores, catalog_of(30)), validation, test)
    noise = decide(fitted(RNG.normal(size=scores.shape), catalog_of(30)), validation, test)
    assert good is not None
    assert noise is not None
    assert good.quality.accuracy > 0.9 > good.majority.accuracy
    assert good.quality.f1 > 0.85
    assert good.auc > 0.95
    assert noise.auc == pytest.approx(0.5, abs=0.08)
    assert noise.quality.accuracy < noise.majority.accuracy + 0.03
    # Most are dislikes: the majority says no to all, and finds no like.
    assert good.majority.accuracy == pytest.approx(good.negatives / (good.positives + good.negatives))
    assert (good.majority.precision, good.majority.recall, good.majority.f1) == (0, 0, 0)


def test_nothing_is_said_without_true_negatives() -> None:
    likes = interactions_of([(u, i, 1) for u in range(10) for i in range(1, 4)], 10)
    labelled = Labelled.of(likes, interactions_of([(0, 0, 1)], 10))
    assert decide(fitted(np.ones((10, 5)), catalog_of(5)), labelled, labelled) is None


def test_unknown_labels_and_seen_items_are_left_out() -> None:
    before = interactions_of([(0, 1, 1), (2, 3, -1)], 3)
    held_out = interactions_of([(0, 1, 1), (0, 2, -1), (2, 3, 1), (2, 4, 1), (1, 1, 0)], 3)
    labelled = Labelled.of(held_out, before)
    users = labelled.histories.user[labelled.row]
    assert list(zip(users.tolist(), labelled.item.tolist(), labelled.liked.tolist(), strict=True)) == [
        (0, 2, False),
        (2, 4, True),
    ]


def test_the_threshold_knows_nothing_of_the_test() -> None:
    scores, validation, test = world(noise=0.5)
    turned = Labelled(test.row, test.item, ~test.liked, test.histories)
    matcher = fitted(scores, catalog_of(30))
    straight, other = decide(matcher, validation, test), decide(matcher, validation, turned)
    assert straight is not None
    assert other is not None
    assert straight.threshold == other.threshold
    np.testing.assert_array_equal(straight.probability, other.probability)


def test_scores_are_standardised_by_person() -> None:
    table = RNG.normal(size=(300, 12)).astype(np.float32)
    stretched = table * np.linspace(1, 50, 300)[:, None] + np.arange(300)[:, None]
    labelled = Labelled.of(interactions_of([(u, u % 12, 1) for u in range(300)], 300), interactions_of([], 300))
    got = scores_of(fitted(table, catalog_of(12)), labelled)
    np.testing.assert_allclose(scores_of(fitted(stretched, catalog_of(12)), labelled), got, atol=1e-3)
    z = (table - table.mean(1, keepdims=True)) / table.std(1, keepdims=True)
    np.testing.assert_allclose(got, z[np.arange(300), np.arange(300) % 12], rtol=1e-4, atol=1e-5)


def test_the_logistic_fit_agrees_with_scikit_learn() -> None:
    x = RNG.normal(size=5000)
    liked = RNG.random(5000) < 1 / (1 + np.exp(-(1.5 * x - 0.7)))
    slope, offset = fit_logistic(x, liked)
    model = LogisticRegression(C=1e9).fit(x[:, None], liked)
    assert slope == pytest.approx(model.coef_[0, 0], rel=0.01)
    assert offset == pytest.approx(model.intercept_[0], rel=0.01)


def test_separable_scores_stay_finite_and_wrong_ones_are_not_turned_around() -> None:
    x = np.linspace(-1, 1, 100)
    slope, offset = fit_logistic(x, x > 0)
    assert np.isfinite([slope, offset]).all()
    assert slope > 0
    assert fit_logistic(-x, x > 0)[0] == 0


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=25))
def test_no_threshold_is_more_accurate(pairs: list[tuple[int, bool]]) -> None:
    probability, liked = np.array([p / 6 for p, _ in pairs]), np.array([y for _, y in pairs])
    chosen = ((probability >= best_threshold(probability, liked)) == liked).mean()
    candidates = [-1.0, 2.0, *(probability + 1e-9), *(probability - 1e-9)]
    assert chosen == max(((probability >= t) == liked).mean() for t in candidates)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.booleans()), min_size=2, max_size=30))
def test_quality_and_auc_agree_with_scikit_learn(triples: list[tuple[int, bool, bool]]) -> None:
    scores, answers, liked = (np.array(x) for x in zip(*triples, strict=True))
    q = quality_of(answers, liked)
    assert q.accuracy == pytest.approx(accuracy_score(liked, answers))
    assert q.precision == pytest.approx(precision_score(liked, answers, zero_division=0))
    assert q.recall == pytest.approx(recall_score(liked, answers, zero_division=0))
    assert q.f1 == pytest.approx(f1_score(liked, answers, zero_division=0))
    if liked.any() and not liked.all():
        assert auc(scores, liked) == pytest.approx(roc_auc_score(liked, scores))


def test_f1_is_not_the_mean_of_accuracy_and_recall() -> None:
    answers, liked = np.array([1, 1, 1, 0, 0], bool), np.array([1, 0, 0, 0, 1], bool)
    q = quality_of(answers, liked)
    assert (q.accuracy, q.precision, q.recall) == (0.4, pytest.approx(1 / 3), 0.5)
    assert q.f1 == pytest.approx(0.4)  # 2 * (1/3 * 1/2) / (1/3 + 1/2)
    assert q.f1 != pytest.approx((q.accuracy + q.recall) / 2)


def test_calibration_bins_hold_everybody_once() -> None:
    probability = RNG.random(1003)
    bins = calibration(probability, RNG.random(1003) < probability)
    assert sum(b.count for b in bins) == 1003
    assert [b.predicted for b in bins] == sorted(b.predicted for b in bins)
    assert all(abs(b.predicted - b.observed) < 0.15 for b in bins)
