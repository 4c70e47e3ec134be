from __future__ import annotations

import numpy as np
import pytest

from avrec.matching.base import twin_catalog
from avrec.matching.data import Histories
from avrec.matching.graph import Graph
from avrec.matching.likeness import Neighbourhood
from avrec.matching.selection import validation_quality

from .conftest import PARAMS, World
from .planted import new_items_in_order
from .suite import MatcherSuite


class TestGraph(MatcherSuite):
    name = "graph"


def fitted(world: World) -> Graph:
    matcher = world.matcher("graph")
    assert isinstance(matcher, Graph)
    return matcher


def test_it_learns_what_people_like(world: World) -> None:
    matcher = fitted(world)
    figures = validation_quality(matcher, world.split.train, world.split.val)
    assert figures["recall@10"] > 2 * 10 / len(world.catalog)


def test_stops_at_the_best_epoch_and_refit_trains_as_long(world: World) -> None:
    matcher = fitted(world)
    again = Graph(PARAMS.graph, frozen=matcher.settings())
    report = again.fit(world.catalog, world.split.train)
    assert len(report.epochs) == matcher.settings()["best_epoch"]
    np.testing.assert_array_equal(again.vectors, matcher.vectors)  # same data, same epochs, same weights


def test_a_new_item_lies_where_its_neighbours_do(world: World) -> None:
    matcher = fitted(world)
    new = np.flatnonzero(~matcher.known)
    raw = matcher.alike(world.catalog, new)
    units = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    np.testing.assert_allclose(units, matcher.vectors[new], atol=1e-5)
    assert (matcher.bias[new] == 0).all()


def test_new_items_are_put_in_order_by_likeness_and_the_shuffled_twin_cannot(world: World) -> None:
    twin = Graph(PARAMS.graph)
    twin.fit(twin_catalog(world.catalog, 7), world.split.train, world.split.val)
    assert new_items_in_order(fitted(world), world.catalog, world.split) > 0.85
    assert new_items_in_order(twin, world.catalog, world.split) < 0.7


def test_importance_adds_up_to_one_and_is_shared_out_among_what_an_item_has(world: World) -> None:
    matcher = fitted(world)
    assert list(matcher.importance) == ["visual", "audio", "text"]
    assert sum(matcher.importance.values()) == pytest.approx(1)
    shares = matcher.modality_shares(world.catalog, np.arange(len(world.catalog)))
    present = np.stack([world.catalog.features[name].present for name in matcher.importance], axis=1)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    assert (shares[~present] == 0).all()


def test_removing_the_named_cause_lowers_the_score(world: World) -> None:
    matcher = fitted(world)
    history = [1, 6, 22]
    items, _ = matcher.recommend(Histories.of([history]), 3)
    cause = matcher.explain(Histories.of([history]), items).item[0, 0]
    without = [i for i in history if i != cause]
    before, after = (matcher.score(Histories.of([h]))[0, items[0, 0]] for h in (history, without))
    assert after < before


def test_neighbours_are_the_nearest_known_items_that_have_the_modality(world: World) -> None:
    features = world.catalog.features["visual"]
    known = np.arange(len(world.catalog)) % 3 > 0
    near = Neighbourhood.of(features, known, 4)
    items = np.arange(len(world.catalog))
    graph = near.graph(features, items).toarray()
    centred = features.normalised() - near.centre
    units = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    candidates = np.flatnonzero(known & features.present)
    for item in (1, 2, 3, 40):
        if not features.present[item]:
            continue
        others = candidates[candidates != item]
        nearest = others[np.argsort(-(units[others] @ units[item]))[:4]]
        assert set(np.flatnonzero(graph[item])) == set(nearest)
    np.testing.assert_allclose(graph.sum(axis=1), features.present, atol=1e-6)
    np.testing.assert_array_equal(near.graph(features, items[7:9]).toarray(), graph[7:9])  # alone as in company
