"""Publishing as it happens: crashes between steps, the same again, two at once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from avrec.datasets.dataset import Dataset
from avrec.errors import DataError
from avrec.recommend.bundle import Bundle
from avrec.recommend.plan import Plan, read_plan, write_plan
from avrec.recommend.publication import Publisher
from avrec.recommend.store import Store

from .conftest import RUN_DATE, make_plan, stage_all


@pytest.fixture
def publisher(tables_database: str) -> Publisher:
    return Publisher.of_settings()


@pytest.fixture
def plan(publisher: Publisher, bundle: Bundle, dataset: Dataset) -> Plan:
    plan = write_plan(publisher.store, make_plan(dataset))
    stage_all(publisher, bundle, dataset, plan)
    return plan


@pytest.fixture
def second(publisher: Publisher, bundle: Bundle, dataset: Dataset) -> Plan:
    plan = write_plan(publisher.store, make_plan(dataset, version="2"))
    stage_all(publisher, bundle, dataset, plan)
    return plan


def in_force(publisher: Publisher) -> str | None:
    """What a reader of SQL sees, checked to be one whole table."""
    with publisher.tables.engine.connect() as connection:
        query = "select publication_id, count(*) from recommendations_current group by 1"
        found = connection.execute(sa.text(query)).all()
    assert len(found) <= 1
    current = publisher.tables.current(RUN_DATE)
    assert [tuple(row) for row in found] == ([(current.id, current.row_count)] if current else [])
    return current.id if current else None


def pointed(publisher: Publisher) -> str | None:
    folder = publisher.current_folder(RUN_DATE)
    return folder.rsplit("=", 1)[-1] if folder else None


def test_a_publication_is_the_same_in_parquet_and_sql(publisher: Publisher, plan: Plan) -> None:
    assert publisher.publish(plan)
    assert in_force(publisher) == pointed(publisher) == plan.publication_id
    folder = publisher.current_folder(RUN_DATE)
    assert folder is not None
    parquet = pq.read_table(sorted(Path(folder).glob("part-*.parquet")), partitioning=None)
    user = parquet["user_id"].to_pylist()[-1]
    mine = parquet.filter(pa.array([u == user for u in parquet["user_id"].to_pylist()]))
    assert publisher.tables.rows(plan.publication_id, user).equals(mine.combine_chunks())
    assert not publisher.store.exists(plan.staging)


def test_publishing_the_same_again_changes_nothing(publisher: Publisher, plan: Plan) -> None:
    publisher.publish(plan)
    before = publisher.tables.all()
    files = {name: publisher.store.hash(f"{plan.folder}/{name}") for name in publisher.store.names(plan.folder)}
    assert not publisher.publish(plan)
    assert publisher.tables.all() == before
    assert files == {name: publisher.store.hash(f"{plan.folder}/{name}") for name in publisher.store.names(plan.folder)}


def test_superseded_publications_are_kept_and_can_return(publisher: Publisher, plan: Plan, second: Plan) -> None:
    publisher.publish(plan)
    publisher.publish(second)
    assert in_force(publisher) == pointed(publisher) == second.publication_id
    assert [p.status for p in publisher.tables.all()] == ["superseded", "current"]
    assert publisher.tables.rows(plan.publication_id, "*").num_rows == 5
    assert publisher.publish(plan)  # nothing is scored again
    assert in_force(publisher) == pointed(publisher) == plan.publication_id
    assert len(publisher.tables.all()) == 2


def test_nothing_unvalidated_is_published(publisher: Publisher, plan: Plan) -> None:
    publisher.store.remove(f"{plan.staging}/validated.json")
    with pytest.raises(DataError, match="was not validated"):
        publisher.publish(plan)
    assert in_force(publisher) is None


def test_what_changed_after_validation_is_refused(publisher: Publisher, plan: Plan) -> None:
    rows = publisher.store.read_table(f"{plan.staging}/{plan.part(1)}")
    publisher.store.write_table(f"{plan.staging}/{plan.part(1)}", rows.slice(1))
    with pytest.raises(DataError, match="changed after validation"):
        publisher.publish(plan)
    assert in_force(publisher) is None


def test_a_missing_shard_is_named(publisher: Publisher, plan: Plan) -> None:
    publisher.store.remove(f"{plan.staging}/{plan.part(2)}")
    with pytest.raises(DataError, match="part-00002"):
        list(publisher.staged(plan))


def test_the_first_plan_is_kept(publisher: Publisher, plan: Plan) -> None:
    later = replace(plan, generated_at=plan.generated_at.replace(hour=9))
    assert later.publication_id == plan.publication_id
    assert write_plan(publisher.store, later) == plan
    assert read_plan(publisher.store, plan.publication_id) == plan


def _killed(work: Callable[[], None]) -> None:
    """Runs `work` in a process that dies in the middle of it, with no chance to tidy up."""
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(60)
    assert child.exitcode == 9


def _die(*_: object, **__: object) -> None:
    import os

    os._exit(9)


@pytest.mark.parametrize(
    ("dies_in", "nth", "published"),
    [
        ("assemble", 0, False),
        ("write", 0, False),  # before the first part
        ("write", 1, False),  # between parts
        ("write", 3, False),  # parts are there, the folder is not complete
        ("switch", 0, False),
        ("insert", 2, False),  # in the transaction, rows written
        ("commit", 0, False),  # just before it commits
        ("point", 0, True),
        ("write", 4, True),  # before the pointer
        ("clear", 0, True),
    ],
)
def test_killed_anywhere_leaves_one_whole_table_and_can_be_repeated(
    publisher: Publisher, plan: Plan, second: Plan, dies_in: str, nth: int, published: bool
) -> None:
    publisher.publish(plan)

    def work() -> None:
        mine = Publisher.of_settings()
        _arm(mine, dies_in, nth)
        mine.publish(second)

    _killed(work)
    expected = second if published else plan
    assert in_force(publisher) == expected.publication_id
    publisher.publish(second)
    assert in_force(publisher) == pointed(publisher) == second.publication_id
    assert not publisher.store.exists(second.staging)


def _arm(publisher: Publisher, where: str, nth: int) -> None:
    """Makes a publisher die at the `nth` call of a step."""
    import avrec.recommend.sql as sql

    if where == "insert":
        real, left = sql._insert, nth

        def insert(connection: sa.Connection, batches: object, row_count: int) -> None:
            def some() -> object:
                for position, batch in enumerate(batches):  # type: ignore[call-overload]
                    if position == left:
                        _die()
                    yield batch

            real(connection, some(), row_count)  # type: ignore[arg-type]

        sql._insert = insert  # in the child only
    elif where == "commit":
        sa.event.listen(publisher.tables.engine, "commit", _die)
    elif where == "write":
        write, calls = publisher.store.write, iter(range(100))

        def counted(name: str, data: bytes) -> None:
            if next(calls) == nth:
                _die()
            write(name, data)

        publisher.store.write = counted  # type: ignore[method-assign]
    else:
        setattr(publisher, where, _die)


def _publish(plan: Plan) -> None:
    Publisher.of_settings().publish(plan)


@pytest.mark.parametrize("same", [True, False])
def test_two_at_once_leave_one_whole_table(publisher: Publisher, plan: Plan, second: Plan, same: bool) -> None:
    context = multiprocessing.get_context("fork")
    plans = [plan, plan, plan] if same else [plan, second, plan]
    children = [context.Process(target=_publish, args=(p,)) for p in plans]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
    exits = [child.exitcode for child in children]
    assert 0 in exits
    assert in_force(publisher) == pointed(publisher)
    assert in_force(publisher) in {p.publication_id for p in plans}
    if same:
        assert exits == [0, 0, 0]
        assert len(publisher.tables.all()) == 1


def test_an_object_store_works_too(publisher: Publisher, bundle: Bundle, dataset: Dataset) -> None:
    remote = Publisher(Store("memory://publications"), publisher.tables)
    plan = write_plan(remote.store, make_plan(dataset, version="7"))
    stage_all(remote, bundle, dataset, plan)
    assert remote.publish(plan)
    assert not remote.publish(plan)
    folder = remote.current_folder(RUN_DATE)
    assert folder is not None
    assert folder.endswith(plan.publication_id)
    remote.store.remove("")


def test_other_databases_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVREC_TABLES_URL", "mysql://nowhere/x")
    with pytest.raises(DataError, match="sqlite or postgresql, got 'mysql'"):
        Publisher.of_settings()
