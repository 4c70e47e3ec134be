"""Default lists by segment: people of DE like groups 0 and 1, those of BR groups 2 and 3; five people are of LI."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from avrec.datasets.dataset import Dataset
from avrec.matching.base import REASON_KINDS
from avrec.matching.spreading import ListRules
from avrec.recommend.bundle import Bundle
from avrec.recommend.recipe import Recipe, is_default
from avrec.recommend.tables import remake, shard_rows
from avrec.serving.answering import Answerer

from .conftest import GROUPS, N_ITEMS, RUN_DATE


@pytest.fixture(scope="module")
def popular(bundle: Bundle) -> Bundle:
    """Served by popularity, which has something to say to people it does not know."""
    return replace(bundle, info={**bundle.info, "serve": "popularity"})


def groups(items: np.ndarray) -> set[int]:
    return set((items[items >= 0] % GROUPS).tolist())


def test_too_few_people_are_no_segment(bundle: Bundle) -> None:
    assert bundle.segments.names == ("country=BR", "country=DE")


def test_a_segment_moves_up_what_its_people_like_more(popular: Bundle) -> None:
    germany, brazil = (popular.segments.of(f"country={name}") for name in ("DE", "BR"))
    assert germany is not None and brazil is not None
    known = np.arange(N_ITEMS - 2)
    assert (germany[known[known % GROUPS < 2]] > 0).mean() > 0.9
    assert (brazil[known[known % GROUPS < 2]] < 0).mean() > 0.9
    assert germany[N_ITEMS - 1] == brazil[N_ITEMS - 1] == 0.0  # nobody met it: nobody likes it more


def test_the_named_segment_is_what_raised_the_item(bundle: Bundle) -> None:
    """`ease` has nothing to say without a history: what is listed is listed for the segment."""
    lists = bundle.default_list(10, segment="country=BR")
    assert groups(lists.items) == {2, 3}
    assert lists.reasons is not None
    assert set(lists.reasons.names()[0]) == {"segment"}
    without = bundle.default_list(N_ITEMS)
    assert (without.scores[0] < lists.scores[0].min()).all()
    assert "segment" not in (without.reasons.names()[0] if without.reasons else [])
    assert REASON_KINDS[-1] == "segment"


def test_segments_nobody_knows_and_none_give_the_default_list(popular: Bundle) -> None:
    plain = popular.default_list(8)
    for name in ("country=LI", "shoe size=44", None):
        np.testing.assert_array_equal(popular.default_list(8, segment=name).items, plain.items)


def test_rules_hold_for_segments_too(bundle: Bundle) -> None:
    allowed = np.arange(N_ITEMS) % 5 == 0
    lists = bundle.default_list(6, allowed, "country=DE", rules=ListRules(max_per_category=2))
    assert (lists.items % 5 == 0).all()
    assert np.bincount(lists.items[0] % GROUPS).max() <= 2


def test_default_lists_are_published_and_made_again(bundle: Bundle, dataset: Dataset) -> None:
    recipe = Recipe(RUN_DATE, k=5)
    rows = pa.concat_tables(list(shard_rows(bundle, dataset, recipe, 0, 256)))
    names = [user for user in dict.fromkeys(rows["user_id"].to_pylist()) if is_default(user)]
    assert names == ["*", "*country=BR", "*country=DE"]
    mine = rows.filter(pa.array([user == "*country=DE" for user in rows["user_id"].to_pylist()])).combine_chunks()
    assert mine.num_rows == 5
    assert remake(bundle, dataset, recipe, "*country=DE").combine_chunks().equals(mine)


def test_a_request_names_its_segment(bundle: Bundle) -> None:
    answerer = Answerer(bundle)
    at = {"at": "2026-03-01T00:00:00Z"}
    stranger, known = answerer.answer(
        [{"user_id": "stranger", "segment": "country=DE", "k": 6, "filters": at},
         {"user_id": bundle.user_ids[0], "segment": "country=DE", "k": 6, "filters": at}]
    )  # fmt: skip
    assert {int(item["item_id"][1:]) % GROUPS for item in stranger["items"]} == {0, 1}
    assert {item["reason_kind"] for item in stranger["items"]} == {"segment"}
    assert "segment" not in {item["reason_kind"] for item in known["items"]}


def test_a_newer_catalogue_keeps_its_segments(bundle: Bundle) -> None:
    newer = bundle.items.slice(0, 1).to_pylist()
    table = pa.Table.from_pylist([{**newer[0], "item_id": "new"}], schema=bundle.items.schema)
    grown = bundle.with_catalog(table, {})
    lift = grown.segments.of("country=DE")
    assert lift is not None and len(lift) == N_ITEMS + 1 and lift[-1] == 0.0
    assert len(grown.default_list(5, segment="country=DE").items[0]) == 5
