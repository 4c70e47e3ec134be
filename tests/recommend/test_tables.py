from __future__ import annotations

from datetime import date
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from avrec.datasets.dataset import Dataset
from avrec.errors import DataError
from avrec.recommend.bundle import Bundle
from avrec.recommend.filters import end_of
from avrec.recommend.recipe import DEFAULT_USER, ROW_VALUES, Recipe, stamp
from avrec.recommend.tables import count_users, histories_on, remake, shard_rows, shards, users_of

from .conftest import RUN_DATE, make_plan

RECIPE = Recipe(RUN_DATE, k=5)


def whole(bundle: Bundle, dataset: Dataset, users_per_shard: int) -> pa.Table:
    ranges = shards(count_users(dataset, RUN_DATE), users_per_shard)
    return pa.concat_tables([t for r in ranges for t in shard_rows(bundle, dataset, RECIPE, *r)]).combine_chunks()


@pytest.fixture(scope="module")
def table(bundle: Bundle, dataset: Dataset) -> pa.Table:
    return whole(bundle, dataset, 10_000)


def test_shards_are_whole_blocks_that_cover_everybody() -> None:
    assert shards(700, 256) == [(0, 256), (256, 512), (512, 700)]
    assert shards(700, 300) == [(0, 512), (512, 700)]
    assert shards(0, 300) == [(0, 1)]
    many = shards(10_000_000, 1)
    assert len(many) <= 1000
    assert many[0][0] == 0
    assert many[-1][1] == 10_000_000
    assert all(left[1] == right[0] for left, right in pairwise(many))


def test_rows_have_the_same_bits_in_any_shards(bundle: Bundle, dataset: Dataset, table: pa.Table) -> None:
    assert whole(bundle, dataset, 256).equals(table)
    assert whole(bundle, dataset, 512).equals(table)


def test_rows_made_again_have_the_same_bits(bundle: Bundle, dataset: Dataset, table: pa.Table) -> None:
    users = users_of(dataset, RUN_DATE)
    for user in (users[0], users[300], users[-1], DEFAULT_USER):
        mine = table.filter(pa.array([u == user for u in table["user_id"].to_pylist()])).combine_chunks()
        assert mine.num_rows == 5
        assert remake(bundle, dataset, RECIPE, user).combine_chunks().equals(mine)


def test_a_person_without_history_has_no_rows(bundle: Bundle, dataset: Dataset) -> None:
    with pytest.raises(DataError, match="no history"):
        remake(bundle, dataset, RECIPE, "nobody")


def test_nothing_seen_or_unavailable_is_listed(dataset: Dataset, table: pa.Table) -> None:
    seen = {
        (row["user_id"], row["item_id"])
        for row in dataset.table("interactions").to_pylist()
        if row["timestamp"] < end_of(RUN_DATE)
    }
    listed = set(zip(table["user_id"].to_pylist(), table["item_id"].to_pylist(), strict=True))
    assert len(listed) == table.num_rows
    assert not listed & seen
    assert not {"i058", "i059"} & set(table["item_id"].to_pylist())


def test_ranks_are_contiguous_and_scores_fall(table: pa.Table) -> None:
    frame = table.to_pandas()
    assert frame.groupby("user_id")["rank"].apply(list).map(lambda r: r == list(range(1, len(r) + 1))).all()
    assert frame.groupby("user_id")["score"].apply(lambda s: (np.diff(s) <= 0).all()).all()
    assert frame["user_id"].iloc[0] == DEFAULT_USER


def test_the_future_does_not_count(bundle: Bundle, dataset: Dataset) -> None:
    early = date(2026, 1, 20)
    users = users_of(dataset, early)
    assert 0 < len(users) < count_users(dataset, RUN_DATE) + 1
    before = sum(t < end_of(early) for t in dataset.table("interactions")["timestamp"].to_pylist())
    histories = histories_on(bundle, dataset, early, users)
    assert histories.seen_indptr[-1] == before


def test_people_the_model_never_saw_get_a_list(bundle: Bundle, dataset: Dataset) -> None:
    histories = histories_on(bundle, dataset, RUN_DATE, [users_of(dataset, RUN_DATE)[0], "stranger"])
    assert histories.user[0] >= 0
    assert histories.user[1] == -1


def test_a_date_without_items_is_named(bundle: Bundle, dataset: Dataset) -> None:
    with pytest.raises(DataError, match="no item is available on 2020-01-01"):
        list(shard_rows(bundle, dataset, Recipe(date(2020, 1, 1), k=5), 0, 256))


def test_shards_must_start_at_blocks(bundle: Bundle, dataset: Dataset) -> None:
    with pytest.raises(DataError, match="multiple of 256"):
        list(shard_rows(bundle, dataset, RECIPE, 100, 200))


def test_stamped_rows_name_their_origin(dataset: Dataset, table: pa.Table) -> None:
    plan = make_plan(dataset)
    rows = stamp(table, plan.recipe, plan.provenance)
    assert rows.select(list(ROW_VALUES)).to_pylist() == table.to_pylist()
    first = rows.slice(0, 1).to_pylist()[0]
    assert first["publication_id"] == plan.publication_id
    assert first["run_date"] == RUN_DATE
    assert first["model_version"] == "1"
