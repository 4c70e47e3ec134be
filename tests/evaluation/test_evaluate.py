"""Evaluation of a whole matcher: masking, slices, agreement with a direct computation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from avrec.evaluation import metrics
from avrec.evaluation.evaluate import Yardstick, evaluate_matcher, fused_vectors
from avrec.evaluation.protocol import groups_of
from avrec.evaluation.slices import Slice, Traits, build_slices, cold_items, incomplete_items
from avrec.evaluation.truth import Truth
from avrec.features.base import Features
from avrec.matching.data import Histories
from avrec.schema import USERS

from .matchers import catalog_of, fitted, interactions_of


def traits(n_items: int, n: int, cold: list[int] | None = None, light: list[int] | None = None) -> Traits:
    return Traits(
        np.isin(np.arange(n_items), cold or []),
        np.isin(np.arange(n), light or []),
        np.zeros(n_items, bool),
        [None] * n_items,
    )


def plain_yardstick(n_items: int) -> Yardstick:
    return Yardstick(np.ones(n_items), np.eye(n_items, dtype=np.float32))


def by_name(slices: list[Slice]) -> dict[str, Slice]:
    return {part.name: part for part in slices}


def test_cold_truth_is_ranked_against_all_and_against_cold_alone() -> None:
    catalog = catalog_of(6)
    matcher = fitted(np.array([[9, 8, 7, 3, 2, 1]]), catalog)
    slices = build_slices(Truth.of([[2, 4]]), traits(6, 1, cold=[4, 5]))
    result = evaluate_matcher(matcher, Histories.of([[0]], user=[0]), slices, [2, 4], plain_yardstick(6))
    # 0 is seen. Against all: 1 2 3 4; the truth 2 is second, 4 is fourth. Against cold alone: 4 5.
    assert result["all"].values["recall@2"] == 0.5
    assert result["all"].values["recall@4"] == 1.0
    assert result["cold_all"].values["recall@2"] == 0.0
    assert result["cold_all"].values["mrr@4"] == 0.25
    assert result["cold_only"].values["mrr@2"] == 1.0
    assert result["cold_only"].values["coverage@2"] == 1.0  # of the two cold ones


def test_slices_hold_only_people_with_truth_in_them() -> None:
    truth = Truth.of([[0], [], [1, 3], [3]])
    shape = Traits(
        cold=np.array([0, 0, 0, 1], bool),
        light=np.array([1, 1, 0, 0], bool),
        incomplete=np.array([0, 1, 0, 0], bool),
        categories=["a", "b", None, "b"],
    )
    slices = by_name(build_slices(truth, shape))
    assert {name: part.rows.tolist() for name, part in slices.items()} == {
        "all": [0, 2, 3],
        "cold_all": [2, 3],
        "cold_only": [2, 3],
        "light_users": [0],
        "missing_modality": [2],
        "category=a": [0],
        "category=b": [2, 3],
    }
    assert slices["cold_all"].truth.row(0).tolist() == [3]
    assert slices["cold_only"].allowed is not None
    assert slices["cold_only"].allowed.tolist() == [False, False, False, True]


def test_categories_are_those_with_most_truth() -> None:
    shape = Traits(np.zeros(3, bool), np.zeros(3, bool), np.zeros(3, bool), ["rare", "big", "also"])
    names = [part.name for part in build_slices(Truth.of([[0, 1], [1, 2], [2, 1]]), shape, 2) if not part.detail]
    assert names == ["category=also", "category=big"]


def test_cold_and_incomplete() -> None:
    train = interactions_of([(0, 1, 1), (0, 2, -1), (1, 1, 1), (1, 3, 1)], 3)
    assert cold_items(train, 5).tolist() == [True, False, False, False, True]
    have = {
        name: Features(name, np.ones((3, 2), np.float32), np.array(present))
        for name, present in (("visual", [True, True, False]), ("audio", [True, False, False]), ("text", [False] * 3))
    }
    # A modality that the data set does not have at all is missing nowhere in particular.
    assert incomplete_items(catalog_of(3, have)).tolist() == [False, True, True]


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_ranking_everything_at_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, m, k = 700, 40, 10  # more people than a block holds
    scores = rng.normal(size=(n, m)).astype(np.float32)
    seen = [rng.choice(m, 5, replace=False).tolist() for _ in range(n)]
    truth = Truth.of([[i for i in rng.choice(m, 4).tolist() if i not in seen[r]] for r in range(n)])
    slices = build_slices(truth, traits(m, n, cold=[1, 2, 3], light=list(range(0, n, 7))))
    result = evaluate_matcher(
        fitted(scores, catalog_of(m)), Histories.of(seen, user=list(range(n))), slices, [5, k], plain_yardstick(m)
    )
    masked = scores.copy()
    for row, items in enumerate(seen):
        masked[row, items] = -np.inf
    for part in slices:
        direct = masked[part.rows].copy()
        if part.allowed is not None:
            direct[:, ~part.allowed] = -np.inf
        ranked = np.argsort(-direct, axis=1, kind="stable")
        ranked[np.take_along_axis(direct, ranked, 1) == -np.inf] = -1
        for name, values in metrics.per_user(ranked, part.truth, [5, k]).items():
            np.testing.assert_array_equal(result[part.name].people[name], values)
            assert result[part.name].values[name] == pytest.approx(values.mean())


def test_nobody_with_truth_is_an_empty_result() -> None:
    slices = build_slices(Truth.of([[], []]), traits(4, 2))
    histories = Histories.of([[0], [1]], user=[0, 1])
    assert evaluate_matcher(fitted(np.ones((2, 4)), catalog_of(4)), histories, slices, [2], plain_yardstick(4)) == {}


def test_fused_vectors_weigh_present_modalities_alike() -> None:
    rng = np.random.default_rng(3)
    present = np.array([True, True, False, False])
    visual = Features(
        "visual", np.where(present[:, None], rng.normal(size=(4, 3)), 0).astype(np.float32) * 100, present
    )
    audio = Features("audio", rng.normal(size=(4, 2)).astype(np.float32), np.array([True, False, True, True]))
    fused = fused_vectors(catalog_of(4, {"visual": visual, "audio": audio}))
    np.testing.assert_allclose(np.linalg.norm(fused, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(
        np.linalg.norm(fused[0, :2]), np.sqrt(0.5), rtol=1e-5
    )  # audio block of an item with both
    np.testing.assert_allclose(np.linalg.norm(fused[2, 2:]), 0, atol=1e-7)
    assert fused_vectors(catalog_of(4)).shape == (4, 1)


def test_yardstick_counts_people_not_interactions() -> None:
    train = interactions_of([(0, 0, 1), (0, 0, 1), (1, 0, 1), (2, 1, 1), (2, 2, -1)], 3)
    np.testing.assert_allclose(Yardstick.of(catalog_of(3), train).information, [-np.log2(3 / 4), 1, 2])


def test_groups_of_people_are_looked_at_on_their_own() -> None:
    truth = Truth.of([[0]] * 30 + [[]] * 30 + [[1]] * 25 + [[1]] * 5)
    spoken: list[str | None] = ["de"] * 30 + ["fr"] * 30 + ["en"] * 25 + [None] * 5
    shape = traits(2, 90)
    slices = by_name(
        build_slices(truth, replace(shape, groups={"language": spoken, "country": ["X"] * 19 + [None] * 71}))
    )
    assert [name for name in slices if "=" in name] == ["language=de", "language=en"]  # fr has no truth, X too few
    assert slices["language=en"].rows.tolist() == list(range(60, 85))


def test_groups_follow_the_people_and_not_the_table() -> None:
    users = USERS.conform(pa.table({"user_id": ["a", "b"], "language": ["de", "en"]}))
    assert groups_of(users, ["b", "x", "a"]) == {
        "language": ["en", None, "de"], "country": [None] * 3, "segment": [None] * 3
    }  # fmt: skip
