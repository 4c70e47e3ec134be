from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avrec.matching.data import Catalog, Histories, Interactions
from avrec.matching.knowledge_graph import KnowledgeGraph
from avrec.matching.registry import load_matcher
from avrec.params import KnowledgeGraphParams

from .conftest import World
from .suite import MatcherSuite


class TestKnowledgeGraph(MatcherSuite):
    name = "knowledge_graph"


def small(**entities: list[tuple[str, ...]]) -> tuple[Catalog, Interactions]:
    """Items a, b, c, d; one person likes a and b."""
    codes = np.full(4, -1, np.int32)
    catalog = Catalog(tuple("abcd"), np.zeros(4, np.int64), codes, codes, ("video",) * 4, {}, entities)
    likes = Interactions(np.zeros(2, np.int32), np.array([0, 1], np.int32), np.zeros(2, np.int64), np.ones(2, np.int8),
                         np.ones(2, np.float32), ("u",))  # fmt: skip
    return catalog, likes


def fitted(catalog: Catalog, likes: Interactions, **settings: float) -> KnowledgeGraph:
    matcher = KnowledgeGraph(KnowledgeGraphParams(**{"popularity": 0.0, "restart": 0.25, **settings}))
    matcher.fit(catalog, likes)
    return matcher


def test_one_step_by_hand() -> None:
    catalog, likes = small(tag=[("x",), (), ("x",), ("x",)])
    scores = fitted(catalog, likes, steps=1, tag=1.0).score(Histories.of([[0]]))[0]
    # From a, half the walks go over the person to a or b, half over the tag to a, c or d; a quarter began again.
    np.testing.assert_allclose(scores, 0.75 * np.array([1 / 4 + 1 / 6, 1 / 4, 1 / 6, 1 / 6]), rtol=1e-6)


def test_two_steps_reach_what_one_cannot_and_say_that_it_is_a_path() -> None:
    catalog, likes = small(creator=[(), ("me",), ("me",), ()])
    one, two = (fitted(catalog, likes, steps=n) for n in (1, 2))
    history = Histories.of([[0]])
    assert one.score(history)[0, 2] == 0 < two.score(history)[0, 2]
    assert two.score(history)[0, 3] == 0  # nothing leads there
    reasons = two.explain(history, np.array([[1, 2, 3]]))
    assert reasons.names() == [["watched", "path", "none"]]
    assert reasons.item.tolist() == [[0, 0, -1]]
    assert two.explain(Histories.of([[1]]), np.array([[2]])).names() == [["creator"]]


def test_a_catalogue_that_knows_nothing_leaves_the_people(world: World) -> None:
    bare = replace(world.catalog, entities={})
    matcher = KnowledgeGraph(KnowledgeGraphParams())
    report = matcher.fit(bare, world.split.train, world.split.val)
    assert matcher.score(Histories.of([[1, 2]]))[0].max() > 0
    assert all(trial["tag"] == KnowledgeGraphParams().tag for trial in report.trials)  # nothing to look for


def test_what_nobody_liked_is_placed_by_what_is_known_of_it(world: World, tmp_path: Path) -> None:
    matcher = world.matcher("knowledge_graph")
    scores = matcher.score(Histories.of([[1, 6, 11, 16]]))[0, 72:]
    same = np.arange(72, 80) % 5 == 1
    assert scores[same].min() > scores[~same].max()
    # What is newer than the training, by its creator alone.
    catalog = world.catalog
    entities = {kind: [*names, (names[1] if kind == "creator" else ())] for kind, names in catalog.entities.items()}
    newer = Catalog((*catalog.item_ids, "newest"), *(np.append(a, 0) for a in (catalog.published_at, catalog.category,
                    catalog.creator)), (*catalog.media_type, "video"), {}, entities)  # fmt: skip
    matcher.save(tmp_path / "knowledge_graph")
    loaded = load_matcher(tmp_path / "knowledge_graph", newer)
    history = Histories.of([[1]])
    assert loaded.score(history)[0, -1] > 0
    assert loaded.explain(history, np.array([[80]])).names() == [["creator"]]


def test_tags_of_extractors_are_kept_where_the_catalogue_lacks_them(world: World, tmp_path: Path) -> None:
    matcher = world.matcher("knowledge_graph")
    matcher.save(tmp_path / "knowledge_graph")
    entities = {kind: names for kind, names in world.catalog.entities.items() if kind != "heard"}
    loaded = load_matcher(tmp_path / "knowledge_graph", replace(world.catalog, entities=entities))
    people = Histories.of([[1, 2, 9]])
    np.testing.assert_array_equal(loaded.score(people), matcher.score(people))


@pytest.mark.parametrize("steps", [1, 3])
def test_removing_the_named_cause_lowers_the_score_most(world: World, steps: int) -> None:
    matcher = KnowledgeGraph(KnowledgeGraphParams(steps=steps, people=0.2))
    matcher.fit(world.catalog, world.split.train)
    train = world.split.train.positives()
    history = sorted(set(train.item[train.user == 4].tolist()))
    items, scores = matcher.recommend(Histories.of([history]), 60)
    reasons = matcher.explain(Histories.of([history]), items)
    assert {"watched", "tag"} <= set(reasons.names()[0])
    for item, score, cause in zip(items[0], scores[0], reasons.item[0].tolist(), strict=True):
        drops = {i: score - matcher.score(Histories.of([[j for j in history if j != i]]))[0, item] for i in history}
        assert drops[cause] > 0
        assert drops[cause] >= max(drops.values()) - 1e-6


def test_removing_the_named_link_lowers_the_score(world: World) -> None:
    """The kind of a reason is true too: an item recommended for its tags scores lower without them."""
    settings = KnowledgeGraphParams(steps=1, people=0.01, tag=1.0)
    whole = KnowledgeGraph(settings)
    whole.fit(world.catalog, world.split.train)
    history = Histories.of([[1, 7, 13]])
    scores = whole.score(history)[0]
    tagged = np.flatnonzero(np.array(whole.explain(history, np.arange(80)[None]).names()[0]) == "tag")
    unseen = tagged[~np.isin(tagged, history.items)]
    assert len(unseen) > 10
    for item in unseen[:5].tolist():
        tags = [() if i == item else mine for i, mine in enumerate(world.catalog.entities["tag"])]
        less = KnowledgeGraph(settings)
        less.fit(replace(world.catalog, entities={**world.catalog.entities, "tag": tags}), world.split.train)
        assert less.score(history)[0, item] < scores[item]
