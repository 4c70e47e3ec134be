"""Metrics against examples worked by hand, against scikit-learn, and against what must hold for any lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score
from sklearn.metrics import f1_score as sk_f1
from sklearn.metrics import precision_score as sk_precision
from sklearn.metrics import recall_score as sk_recall

from avrec.evaluation import metrics
from avrec.evaluation.truth import Truth

FUNCTIONS = {
    "recall": metrics.recall,
    "precision": metrics.precision,
    "f1": metrics.f1,
    "ndcg": metrics.ndcg,
    "map": metrics.average_precision,
    "mrr": metrics.reciprocal_rank,
    "hit_rate": metrics.hit_rate,
}

# Row 0: hits at ranks 1 and 3, a third liked item missed. Row 1: one hit at rank 2 of a short list. Row 2: none.
RANKED = np.array([[7, 1, 5, 2], [3, 4, -1, -1], [0, 1, 2, 3]])
TRUTH = Truth.of([[5, 7, 9], [4], [8, 9]])
L2 = np.log2
BY_HAND = {
    "recall": [2 / 3, 1, 0],
    "precision": [2 / 4, 1 / 4, 0],
    "f1": [4 / 7, 2 / 5, 0],
    "ndcg": [(1 + 1 / L2(4)) / (1 + 1 / L2(3) + 1 / L2(4)), (1 / L2(3)) / 1, 0],
    "map": [(1 / 1 + 2 / 3) / 3, (1 / 2) / 1, 0],
    "mrr": [1, 1 / 2, 0],
    "hit_rate": [1, 1, 0],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_by_hand(name: str) -> None:
    np.testing.assert_allclose(FUNCTIONS[name](RANKED, TRUTH, 4), BY_HAND[name])
    np.testing.assert_allclose(metrics.per_user(RANKED, TRUTH, [2, 4])[f"{name}@4"], BY_HAND[name])


def test_the_ideal_list_and_the_precision_sum_are_cut_at_k() -> None:
    truth = Truth.of([[1, 2, 3, 4, 5]])
    ranked = np.array([[1, 2, 9]])
    assert metrics.ndcg(ranked, truth, 2) == pytest.approx(1.0)
    assert metrics.average_precision(ranked, truth, 2) == pytest.approx(1.0)
    assert metrics.recall(ranked, truth, 2) == pytest.approx(2 / 5)


def test_a_person_without_truth_has_no_value() -> None:
    values = metrics.per_user(np.array([[1, 2], [1, 2]]), Truth.of([[], [1]]), [2])
    for name, value in values.items():
        assert np.isnan(value[0]), name
        assert not np.isnan(value[1]), name


def test_lists_narrower_than_k_count_their_missing_places_as_misses() -> None:
    assert metrics.precision(np.array([[3]]), Truth.of([[3]]), 5) == pytest.approx(1 / 5)
    assert metrics.ndcg(np.array([[3]]), Truth.of([[3, 4]]), 5) == pytest.approx(1 / (1 + 1 / L2(3)))


def test_a_list_that_names_an_item_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="row 1 lists an item twice"):
        metrics.recall(np.array([[1, 2], [4, 4]]), Truth.of([[1], [4]]), 2)


def test_lists_and_truth_of_different_people_are_refused() -> None:
    with pytest.raises(ValueError, match="a list for each of 2 rows"):
        metrics.recall(np.array([[1, 2]]), Truth.of([[1], [4]]), 2)


@pytest.mark.parametrize("seed", range(5))
def test_against_scikit_learn(seed: int) -> None:
    """Full rankings of distinct scores: NDCG at any k, the rest where the definitions coincide."""
    rng = np.random.default_rng(seed)
    n, m, k = 40, 25, 10
    scores = rng.permuted(np.tile(np.arange(m, dtype=float), (n, 1)), axis=1)
    liked = rng.random((n, m)) < 0.2
    liked[:, 0] = True
    ranked, truth = np.argsort(-scores, axis=1), Truth.of([np.flatnonzero(row).tolist() for row in liked])
    assert metrics.ndcg(ranked, truth, k).mean() == pytest.approx(ndcg_score(liked, scores, k=k))
    assert metrics.average_precision(ranked, truth, m) == pytest.approx(
        [average_precision_score(liked[i], scores[i]) for i in range(n)]
    )
    listed = scores >= m - k
    for ours, theirs in ((metrics.precision, sk_precision), (metrics.recall, sk_recall), (metrics.f1, sk_f1)):
        assert ours(ranked, truth, k).mean() == pytest.approx(theirs(liked, listed, average="samples"))


@st.composite
def rankings(draw: st.DrawFn) -> tuple[np.ndarray, Truth, int]:
    m = draw(st.integers(3, 12))
    n = draw(st.integers(1, 4))
    k = draw(st.integers(1, m))
    ranked = np.full((n, m), -1)
    for row in range(n):
        items = draw(st.permutations(range(m)))[: draw(st.integers(0, m))]
        ranked[row, : len(items)] = items
    truth = Truth.of([sorted(draw(st.sets(st.integers(0, m - 1), min_size=1))) for _ in range(n)])
    return ranked, truth, k


@given(rankings())
def test_what_must_hold_for_any_lists(case: tuple[np.ndarray, Truth, int]) -> None:
    ranked, truth, k = case
    values = {name: function(ranked, truth, k) for name, function in FUNCTIONS.items()}
    for name, value in values.items():
        assert ((value >= 0) & (value <= 1 + 1e-12)).all(), name
        assert ((value > 0) == (values["hit_rate"] > 0)).all(), name
    p, r = values["precision"], values["recall"]
    np.testing.assert_allclose(values["f1"] * (p + r), 2 * p * r, atol=1e-12)
    assert (values["f1"] <= np.maximum(p, r) + 1e-12).all()
    assert (values["f1"] >= np.minimum(p, r) - 1e-12).all()
    assert (values["map"] <= values["ndcg"] + 1e-12).all()


@given(rankings())
def test_a_perfect_list_has_the_highest_value_possible(case: tuple[np.ndarray, Truth, int]) -> None:
    _, truth, k = case
    perfect = np.full((len(truth), int(max(truth.sizes.max(), k))), -1)
    for row in range(len(truth)):
        perfect[row, : truth.sizes[row]] = truth.row(row)
    for name in ("ndcg", "map", "mrr", "hit_rate"):
        np.testing.assert_allclose(FUNCTIONS[name](perfect, truth, k), 1.0)
    np.testing.assert_allclose(metrics.recall(perfect, truth, k), np.minimum(1, k / truth.sizes))


@given(rankings(), st.randoms())
def test_nobody_else_changes_a_persons_value(case: tuple[np.ndarray, Truth, int], random: object) -> None:
    ranked, truth, k = case
    for row in range(len(ranked)):
        alone = metrics.per_user(ranked[row : row + 1], truth.take(np.array([row])), [k])
        for name, value in metrics.per_user(ranked, truth, [k]).items():
            assert alone[name][0] == value[row]


def test_coverage_and_gini_by_hand() -> None:
    ranked = np.array([[0, 1], [0, 2], [0, -1]])
    assert metrics.coverage(ranked, 2, 5) == pytest.approx(3 / 5)
    assert metrics.coverage(ranked, 1, 5) == pytest.approx(1 / 5)
    # Exposure 0 0 1 1 3: sum of (2i - n - 1) x / (n sum x) = (-4*0 - 2*0 + 0*1 + 2*1 + 4*3) / (5 * 5)
    assert metrics.gini(ranked, 2, 5) == pytest.approx(14 / 25)
    assert metrics.gini(np.array([[0, 1], [2, 3]]), 2, 4) == pytest.approx(0.0)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=12).filter(lambda counts: sum(counts) > 0))
def test_gini_is_the_mean_absolute_difference_over_twice_the_mean(counts: list[int]) -> None:
    lists = np.repeat(np.arange(len(counts)), counts)[:, None]
    x = np.array(counts, float)
    expected = np.abs(x[:, None] - x).mean() / (2 * x.mean())
    assert metrics.gini(lists, 1, len(counts)) == pytest.approx(expected)


def test_novelty_by_hand() -> None:
    information = metrics.self_information(np.array([7, 3, 0]), 7)
    np.testing.assert_allclose(information, [0, 1, 3])
    np.testing.assert_allclose(metrics.novelty(np.array([[0, 1], [2, -1]]), 2, information), [0.5, 3])
    assert np.isnan(metrics.novelty(np.array([[-1, -1]]), 2, information)[0])


def test_intra_list_diversity_is_one_less_the_mean_pairwise_cosine() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(9, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[8] = 0  # no modality present: in no pair
    ranked = np.array([[0, 1, 2, 8], [3, 3 + 1, -1, -1], [5, 8, -1, -1]])
    got = metrics.intra_list_diversity(ranked, 4, vectors.astype(np.float32))
    pairs = [vectors[0] @ vectors[1], vectors[0] @ vectors[2], vectors[1] @ vectors[2]]
    np.testing.assert_allclose(got[:2], [1 - np.mean(pairs), 1 - vectors[3] @ vectors[4]], rtol=1e-5)
    assert np.isnan(got[2])


def test_the_example_of_the_article() -> None:
    """It prints .4545 for this cosine and calls F1 the mean of accuracy and recall; neither is so."""
    assert metrics.cosine([0.1, 0.2, 0.3], [0.4, 0.5, 0.6]) == pytest.approx(0.9746, abs=5e-5)
    # Precision 1/4, recall 1: F1 is their harmonic mean .4, whatever the accuracy is.
    ranked, truth = np.array([[3, 0, 1, 2]]), Truth.of([[3]])
    p, r = metrics.precision(ranked, truth, 4)[0], metrics.recall(ranked, truth, 4)[0]
    assert (p, r) == (0.25, 1.0)
    assert metrics.f1(ranked, truth, 4)[0] == pytest.approx(2 * p * r / (p + r)) == pytest.approx(0.4)
