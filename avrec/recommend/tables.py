"""The rows of a recommendation table: a function of bundle, data set, run date and recipe, and of nothing else.

Rows are computed in blocks of users that depend on neither the number of shards nor on who computes them, so that a
row made again anywhere has the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from avrec.datasets.dataset import Dataset
from avrec.errors import DataError
from avrec.matching.base import BLOCK, REASON_KINDS
from avrec.matching.data import Histories, Interactions, Ints, Mask
from avrec.recommend.bundle import Bundle, Lists
from avrec.recommend.catalogs import seconds
from avrec.recommend.filters import end_of
from avrec.recommend.recipe import DEFAULT_USER, Recipe


def shards(n_users: int, users_per_shard: int) -> list[tuple[int, int]]:
    """Ranges over the list of users, `[start, stop)`, in whole blocks; at least one, at most 1,000.

    Airflow maps at most 1,000 tasks; beyond 1,000 shards each becomes larger.
    """
    blocks = max(1, -(-n_users // BLOCK))
    size = max(-(-users_per_shard // BLOCK), -(-blocks // 1000))
    return [(b * BLOCK, min((b + size) * BLOCK, max(n_users, 1))) for b in range(0, blocks, size)]


def users_of(dataset: Dataset, run_date: date, start: int = 0, stop: int | None = None) -> list[str]:
    """People with a history on that day, in order of their first row: no pseudonym key changes that."""
    import duckdb

    limit = "" if stop is None else f"limit {stop - start}"
    query = f"select user_id from ({_FIRST_ROWS}) order by first_row {limit} offset {start}"
    rows = duckdb.connect().execute(query, [str(dataset.path("interactions")), end_of(run_date)]).fetchall()
    return [row[0] for row in rows]


def count_users(dataset: Dataset, run_date: date) -> int:
    """How many people have a history on that day."""
    import duckdb

    parameters = [str(dataset.path("interactions")), end_of(run_date)]
    found = duckdb.connect().execute(f"select count(*) from ({_FIRST_ROWS})", parameters).fetchone()
    assert found is not None
    return int(found[0])


def histories_on(bundle: Bundle, dataset: Dataset, run_date: date, users: Sequence[str]) -> Histories:
    """What these people had liked and seen when the day ended, oldest first; items the bundle lacks are left out."""
    import duckdb

    connection = duckdb.connect()
    connection.register("wanted", pa.table({"user_id": pa.array(users, pa.string())}))
    parameters = [str(dataset.path("interactions")), end_of(run_date)]
    rows = connection.execute(_HISTORY_ROWS, parameters).to_arrow_table()
    item = _places(rows["item_id"], bundle.catalog.item_ids)
    interactions = Interactions(
        user=_places(rows["user_id"], users),
        item=item,
        timestamp=seconds(rows["timestamp"]),
        label=np.asarray(_places(rows["label"], _LABELS) - 1, dtype=np.int8),
        weight=rows["weight"].to_numpy().astype(np.float32),
        user_ids=tuple(users),
    ).where(item >= 0)
    found = Histories.from_interactions(interactions, np.arange(len(users), dtype=np.int32))
    return Histories(bundle.users(users), found.indptr, found.items, found.seen_indptr, found.seen_items)


def shard_rows(bundle: Bundle, dataset: Dataset, recipe: Recipe, start: int, stop: int) -> Iterator[pa.Table]:
    """Tables of the columns `ROW_VALUES`, one a block of users; the default list comes with the first shard.

    Raises:
        DataError: `start` is not the start of a block.
    """
    if start % BLOCK:
        raise DataError(f"start: expected a multiple of {BLOCK}, so that blocks do not depend on shards; got {start}.")
    allowed = _allowed(bundle, dataset, recipe)
    if not allowed.any():
        raise DataError(
            f"no item is available on {recipe.run_date}: all are published later, withdrawn or filtered out."
        )
    if start == 0:
        for name in default_users(bundle):
            yield _default_rows(bundle, name, recipe, allowed)
    users = users_of(dataset, recipe.run_date, start, stop)
    histories = histories_on(bundle, dataset, recipe.run_date, users)
    for first in range(0, len(users), BLOCK):
        last = min(first + BLOCK, len(users))
        yield _rows(bundle, users[first:last], _lists(bundle, histories.slice(first, last), recipe, allowed))


def remake(bundle: Bundle, dataset: Dataset, recipe: Recipe, user_id: str) -> pa.Table:
    """One person's rows (columns `ROW_VALUES`) made again: the block they are in is computed, as for the table.

    Raises:
        DataError: the person has no history on that day; their list is the default one, `*`.
    """
    allowed = _allowed(bundle, dataset, recipe)
    if user_id in default_users(bundle):
        return _default_rows(bundle, user_id, recipe, allowed)
    users = users_of(dataset, recipe.run_date)
    if user_id not in users:
        raise DataError(f"user '{user_id}' has no history on {recipe.run_date}; such people get the list of '*'.")
    start = users.index(user_id) // BLOCK * BLOCK
    block = users[start : start + BLOCK]
    histories = histories_on(bundle, dataset, recipe.run_date, block)
    rows = _rows(bundle, block, _lists(bundle, histories, recipe, allowed))
    return rows.filter(pa.array([user == user_id for user in rows["user_id"].to_pylist()]))


def default_users(bundle: Bundle) -> list[str]:
    """Whom default lists are for: `*`, all people the table does not know; `*COLUMN=VALUE`, those of a segment."""
    return [DEFAULT_USER, *(DEFAULT_USER + name for name in bundle.segments.names)]


def _default_rows(bundle: Bundle, user_id: str, recipe: Recipe, allowed: Mask) -> pa.Table:
    segment = user_id.removeprefix(DEFAULT_USER) or None
    lists = bundle.default_list(recipe.k, allowed, segment=segment, rules=recipe.rules)
    return _rows(bundle, [user_id], lists)


def _lists(bundle: Bundle, histories: Histories, recipe: Recipe, allowed: Mask) -> Lists:
    return bundle.recommend(histories, recipe.k, allowed, rules=recipe.rules)


def _allowed(bundle: Bundle, dataset: Dataset, recipe: Recipe) -> Mask:
    """Items that pass the recipe's filter and that the data set still has, `[n_items]` bool."""
    there = _places(bundle.items["item_id"], dataset.table("items")["item_id"].to_pylist()) >= 0
    return np.asarray(bundle.allowed(recipe.filter) & there)


def _rows(bundle: Bundle, users: Sequence[str], lists: Lists) -> pa.Table:
    """Lists as rows, in the order of users and ranks."""
    row, position = np.nonzero(lists.items >= 0)
    assert lists.reasons is not None
    ids = np.array(bundle.catalog.item_ids, dtype=object)
    why = lists.reasons.item[row, position]
    because = [ids[item] if item >= 0 else None for item in why]
    return pa.table({
        "user_id": pa.array(np.array(users, dtype=object)[row], pa.string()),
        "rank": pa.array(position + 1, pa.int32()),
        "item_id": pa.array(ids[lists.items[row, position]], pa.string()),
        "score": pa.array(lists.scores[row, position], pa.float32()),
        "reason_kind": pa.array(np.array(REASON_KINDS, dtype=object)[lists.reasons.kind[row, position]], pa.string()),
        "reason_item_id": pa.array(because, pa.string()),
    })  # fmt: skip


_LABELS = ("negative", "unknown", "positive")
"""In the order of their codes -1, 0, 1."""


def _places(values: pa.ChunkedArray, among: Sequence[str]) -> Ints:
    """Position of each value in `among`, int32; -1 where it is not there."""
    found = pc.index_in(values, value_set=pa.array(among, pa.string()))
    return np.asarray(pc.fill_null(found, -1), dtype=np.int32)


_FIRST_ROWS = """
    select user_id, min(file_row_number) as first_row
    from read_parquet(?, file_row_number=true)
    where "timestamp" is null or "timestamp" < ?::timestamptz
    group by user_id
"""

_HISTORY_ROWS = """
    select user_id, item_id, "timestamp", label, weight
    from read_parquet(?, file_row_number=true) semi join wanted using (user_id)
    where "timestamp" is null or "timestamp" < ?::timestamptz
    order by "timestamp" nulls first, file_row_number
"""
