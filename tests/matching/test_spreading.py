from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from avrec.features.base import Features
from avrec.matching.data import Catalog
from avrec.matching.spreading import METHODS, Likeness, ListRules, arrange, spread, worth

N, GROUPS, K = 40, 4, 8


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """Items of four groups that look alike; the last one has no features."""
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(GROUPS, 6))[np.arange(N) % GROUPS] + 0.2 * rng.normal(size=(N, 6))
    present = np.arange(N) < N - 1
    features = {"visual": Features("visual", (vectors * present[:, None]).astype(np.float32), present)}
    ids, zeros = tuple(f"i{i}" for i in range(N)), np.zeros(N, np.int64)
    category = np.where(np.arange(N) < N - 2, np.arange(N) % GROUPS, -1).astype(np.int32)
    return Catalog(ids, zeros, category, category, ("video",) * N, features, {})


def scores_of(catalog: Catalog, rows: int = 5) -> np.ndarray:
    """People who like group 0 most."""
    rng = np.random.default_rng(6)
    own = np.where(np.arange(N) % GROUPS == 0, 2.0, 0.0)
    return (own + rng.normal(size=(rows, N))).astype(np.float32)


def lists(catalog: Catalog, rules: ListRules) -> np.ndarray:
    return arrange(scores_of(catalog), K, rules, Likeness(catalog), catalog.category)[0]


@pytest.mark.parametrize("method", METHODS)
def test_more_diversity_is_less_alike_and_none_is_the_order_of_the_scores(catalog: Catalog, method: str) -> None:
    likeness = Likeness(catalog)

    def alike(items: np.ndarray) -> float:
        found = np.stack([likeness.among(row) - 2 * np.eye(K) for row in items])
        # Marginal relevance looks at the nearest item of the list, the others at all of them.
        return float(found.max(axis=2).mean() if method == "mmr" else found.mean())

    order = np.argsort(-scores_of(catalog), axis=1)[:, :K]
    np.testing.assert_array_equal(lists(catalog, ListRules(0.0, method)), order)
    found = [alike(lists(catalog, ListRules(d, method))) for d in (0.0, 0.5, 0.9)]
    assert found[0] > found[1] > found[2]
    for row in lists(catalog, ListRules(0.9, method)):
        assert len(set(row.tolist())) == K


def test_dpp_picks_greedily_what_spans_the_largest_volume(catalog: Catalog) -> None:
    """Against determinants written out: relevance enters as exp(r (1 - d) / 2d) on both sides of the kernel."""
    scores, likeness, d = scores_of(catalog, 1)[:, :9], Likeness(catalog), 0.6
    items = np.argsort(-scores, axis=1)
    values = np.take_along_axis(scores, items, axis=1)
    picked, _ = spread(items, values, likeness, 3, ListRules(d, "dpp"))
    relevance = (values[0] - values[0].min()) / (values[0].max() - values[0].min())
    kernel = likeness.among(items[0]) * np.exp(np.add.outer(relevance, relevance) * (1 - d) / (2 * d))
    chosen: list[int] = []
    for _ in range(3):
        volumes = {j: np.linalg.det(kernel[np.ix_([*chosen, j], [*chosen, j])]) for j in range(9) if j not in chosen}
        chosen.append(max(volumes, key=lambda j: volumes[j]))
    assert picked[0].tolist() == items[0][sorted(chosen)].tolist()


def test_sum_picks_greedily_the_worth_and_the_mean_distance(catalog: Catalog) -> None:
    scores, likeness, d = scores_of(catalog, 1)[:, :9], Likeness(catalog), 0.6
    items = np.argsort(-scores, axis=1)
    picked, values = spread(items, np.take_along_axis(scores, items, axis=1), likeness, 4, ListRules(d, "sum"))
    np.testing.assert_allclose(worth(scores[0])[items[0]], 1 / np.log2(np.arange(9) + 2), rtol=1e-6)
    alike, chosen = likeness.among(items[0]), [0]
    while len(chosen) < 4:
        value = (1 - d) / np.log2(np.arange(9) + 2) + d * (1 - alike[chosen].mean(axis=0))
        chosen.append(int(np.argmax([-np.inf if j in chosen else value[j] for j in range(9)])))
    assert picked[0].tolist() == items[0][sorted(chosen)].tolist()
    assert (np.diff(values[0]) <= 0).all()  # best first


@pytest.mark.parametrize(
    "rules", [ListRules(0.0), ListRules(0.3), ListRules(0.3, "dpp"), ListRules(0.3, "sum")], ids=["plain", *METHODS]
)
def test_a_category_has_at_most_its_places(catalog: Catalog, rules: ListRules) -> None:
    capped = ListRules(rules.diversity, rules.spread, max_per_category=2)
    assert max(np.bincount(catalog.category[row] + 1)[1:].max() for row in lists(catalog, rules)) > 2
    for row in lists(catalog, capped):
        assert len(set(row.tolist())) == K
        assert np.bincount(catalog.category[row] + 1)[1:].max() == 2


def test_the_cap_gives_way_only_where_nothing_else_is_left(catalog: Catalog) -> None:
    rules, scores = ListRules(max_per_category=1), scores_of(catalog)
    found, values = arrange(scores, K, rules, Likeness(catalog), catalog.category)
    for row in found:
        assert len(set(row.tolist())) == K
        first = catalog.category[row][: GROUPS + 2]  # two items have no category
        assert sorted(first[first >= 0].tolist()) == list(range(GROUPS))
    few = np.full_like(scores, -np.inf)
    few[:, [0, 4]] = scores[:, [0, 4]]  # one category, two items
    found, values = arrange(few, K, rules, Likeness(catalog), catalog.category)
    assert sorted(found[0, :2].tolist()) == [0, 4]
    assert (found[:, 2:] == -1).all()
    assert (values[:, 2:] == -np.inf).all()


def test_items_of_which_nothing_is_known_are_like_themselves_only(catalog: Catalog) -> None:
    alike = Likeness(catalog).among(np.array([0, 4, N - 1]))
    assert alike[0, 1] > 0.5
    np.testing.assert_array_equal(alike[2], [0.0, 0.0, 1.0])
    assert all(abs(alike[a, b]) <= 1.0 + 1e-6 for a, b in combinations(range(3), 2))
