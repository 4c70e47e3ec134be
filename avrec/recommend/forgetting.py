"""Takes erased people and items out of published tables: the one case in which a publication is edited.

Everybody else keeps their list. A list that named an erased item has a gap at that rank until the day is published
again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from avrec.privacy.receipts import Subjects
from avrec.recommend.plan import COMPLETE, STAGING
from avrec.recommend.publication import Publisher
from avrec.recommend.sql import SUPERSEDED, Tables, publications, recommendations
from avrec.recommend.store import Store

_CHUNK = 500


def forget_published(
    publisher: Publisher, subjects: Subjects, dropped_runs: Collection[str] = ()
) -> tuple[int, set[date]]:
    """Takes the erased out of every publication, in force or not, Parquet and SQL; safe to repeat.

    Args:
        publisher: Whose publications.
        subjects: Who and what is erased.
        dropped_runs: Runs whose data held them: what is staged from these is thrown away.

    Returns:
        Rows taken out, and the days they were of.
    """
    publisher.store.sweep()
    _throw_away_staged(publisher.store, subjects, dropped_runs)
    rows = 0
    days: set[date] = set()
    for day, folder in _folders(publisher.store):
        if gone := _parquet(publisher.store, folder, subjects):
            rows, days = rows + gone, days | {day}
    in_sql, more = _sql(publisher.tables, subjects)
    return rows + in_sql, days | more


def remove_superseded(publisher: Publisher, days: int, today: date | None = None) -> int:
    """Removes publications that are not in force and whose day is older than so many days; returns how many."""
    limit = (today or datetime.now(UTC).date()) - timedelta(days=days)
    old = [p for p in publisher.tables.all() if p.status == SUPERSEDED and p.run_date < limit]
    for one in old:
        publisher.store.remove(one.plan.folder)
        with publisher.tables.locked() as connection:
            connection.execute(recommendations.delete().where(recommendations.c.publication_id == one.id))
            connection.execute(publications.delete().where(publications.c.id == one.id))
    return len(old)


def _folders(store: Store) -> Iterable[tuple[date, str]]:
    for day in store.names(""):
        if day.startswith("run_date="):
            for name in store.names(day):
                if name.startswith("publication_id="):
                    yield date.fromisoformat(day.removeprefix("run_date=")), f"{day}/{name}"


def _throw_away_staged(store: Store, subjects: Subjects, dropped_runs: Collection[str]) -> None:
    for name in store.names(STAGING):
        folder = f"{STAGING}/{name}"
        plan = json.loads(store.read(f"{folder}/plan.json")) if store.exists(f"{folder}/plan.json") else {}
        parts = [part for part in store.names(folder) if part.endswith(".parquet")]
        if {plan.get("run_id"), plan.get("data_run")} & set(dropped_runs) or any(
            _touched(store.read_table(f"{folder}/{part}"), subjects)[0].num_rows for part in parts
        ):
            store.remove(folder)


def _touched(table: pa.Table, subjects: Subjects) -> tuple[pa.Table, pa.Table]:
    """Rows to take out, and the others with erased items no longer given as reasons."""
    people = subjects.people_in(pc.unique(table["user_id"]).to_pylist())
    items = subjects.items_in(
        {*pc.unique(table["item_id"]).to_pylist(), *pc.unique(table["reason_item_id"]).to_pylist()}
    )
    gone_items = pa.array(items, pa.string())
    gone = pc.or_(pc.is_in(table["user_id"], pa.array(people, pa.string())), pc.is_in(table["item_id"], gone_items))
    because = pc.is_in(table["reason_item_id"], gone_items)
    at = table.schema.get_field_index("reason_item_id")
    field = table.schema.field(at)
    cleaned = table.set_column(at, field, pc.if_else(because, pa.scalar(None, pa.string()), table["reason_item_id"]))
    return table.filter(pc.or_(gone, because)), cleaned.filter(pc.invert(gone))


def _parquet(store: Store, folder: str, subjects: Subjects) -> int:
    """Rewrites the parts that hold the erased; the record of the folder follows, so that a repeat mends it."""
    counts, gone = {}, 0
    for part in [name for name in store.names(folder) if name.endswith(".parquet")]:
        table = store.read_table(f"{folder}/{part}")
        touched, kept = _touched(table, subjects)
        if touched.num_rows:
            store.write_table(f"{folder}/{part}", kept)
        counts[part] = kept.num_rows
        gone += table.num_rows - kept.num_rows
    if store.exists(f"{folder}/{COMPLETE}"):
        record = json.loads(store.read(f"{folder}/{COMPLETE}"))
        if record["rows"] != counts:
            record |= {"rows": counts, "row_count": sum(counts.values())}
            store.write(f"{folder}/{COMPLETE}", json.dumps(record, indent=2, sort_keys=True).encode())
    return gone


def _sql(tables: Tables, subjects: Subjects) -> tuple[int, set[date]]:
    rows = 0
    days: set[date] = set()
    for one in tables.all():
        gone = _sql_publication(tables, one.id, subjects)
        if gone:
            rows, days = rows + gone, days | {one.run_date}
    return rows, days


def _sql_publication(tables: Tables, publication_id: str, subjects: Subjects) -> int:
    t, here = recommendations.c, recommendations.c.publication_id == publication_id
    with tables.locked() as connection:
        if tables.kind == "sqlite":
            connection.exec_driver_sql("pragma secure_delete = on")

        def distinct(column: sa.Column[str]) -> Iterable[str]:
            return (row[0] for row in connection.execute(sa.select(column).where(here).distinct()))

        people = subjects.people_in(distinct(t.user_id))
        items = subjects.items_in({*distinct(t.item_id), *distinct(t.reason_item_id)})
        gone = 0
        for column, values in ((t.user_id, people), (t.item_id, items)):
            for start in range(0, len(values), _CHUNK):
                some = column.in_(values[start : start + _CHUNK])
                gone += connection.execute(recommendations.delete().where(here, some)).rowcount
        for start in range(0, len(items), _CHUNK):
            because = t.reason_item_id.in_(items[start : start + _CHUNK])
            connection.execute(recommendations.update().where(here, because).values(reason_item_id=None))
        if gone:
            left = sa.select(sa.func.count()).select_from(recommendations).where(here).scalar_subquery()
            connection.execute(publications.update().where(publications.c.id == publication_id).values(row_count=left))
    return gone


def vacuum(tables: Tables) -> None:
    """Gives the pages of deleted rows back."""
    with tables.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("vacuum")
        if tables.kind == "sqlite":
            connection.exec_driver_sql("pragma wal_checkpoint(truncate)")
