"""A database that is locked and a disk that is full: nothing half-published, and the same again finishes."""

from __future__ import annotations

import socket
import sqlite3
import threading
from pathlib import Path

import duckdb
import pytest

from avrec.datasets.dataset import Dataset
from avrec.errors import DataError, PlatformError, not_written, told
from avrec.recommend.bundle import Bundle
from avrec.recommend.publication import Publisher
from avrec.recommend.sql import Tables
from avrec.recommend.store import Store
from avrec.recommend.tables import shard_rows
from avrec.settings import settings
from tests.small_disk import full_disk

from .conftest import make_plan, stage_all


def test_a_locked_database_is_waited_for(bundle: Bundle, dataset: Dataset) -> None:
    publisher, plan = Publisher.of_settings(), make_plan(dataset)
    stage_all(publisher, bundle, dataset, plan)
    held, free, done = threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        with publisher.tables.locked():
            held.set()
            free.wait(60)

    def publish() -> None:
        Publisher.of_settings().publish(plan)
        done.set()

    threads = [threading.Thread(target=hold), threading.Thread(target=publish)]
    threads[0].start()
    assert held.wait(60)
    threads[1].start()
    assert not done.wait(2)
    assert publisher.tables.all() == []
    free.set()
    for thread in threads:
        thread.join(60)
    assert publisher.current().id == plan.publication_id


def test_a_database_that_is_gone_is_named_without_its_password() -> None:
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        port = nobody_listens.getsockname()[1]
        with pytest.raises(PlatformError, match="run the same again") as caught:
            Tables(f"postgresql+psycopg://avrec:hidden@127.0.0.1:{port}/tables")
    assert f"127.0.0.1:{port}/tables" in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_a_full_disk_leaves_the_table_in_force(bundle: Bundle, dataset: Dataset) -> None:
    publisher, first, second = Publisher.of_settings(), make_plan(dataset), make_plan(dataset, "2")
    stage_all(publisher, bundle, dataset, first)
    publisher.publish(first)
    rows = list(shard_rows(bundle, dataset, second.recipe, *second.shards[0]))
    with full_disk(1000), pytest.raises(OSError) as caught:
        publisher.stage(second, 0, rows)
    assert "run the same again" in str(not_written(caught.value))
    assert not publisher.has_part(second, 0)
    assert [p for p in Path(settings().publications).rglob(".*") if p.is_file()] == []
    stage_all(publisher, bundle, dataset, second)
    with full_disk(1000), pytest.raises(OSError):
        publisher.publish(second)
    assert publisher.current().id == first.publication_id
    publisher.publish(second)
    assert publisher.current().id == second.publication_id


def test_each_reason_of_a_failed_write_is_called_by_its_name(tmp_path: Path) -> None:
    assert "no right to it" in str(not_written(PermissionError(13, "Permission denied", "x")))
    assert not_written(FileNotFoundError(2, "No such file", "x")) is None
    assert not_written(ValueError()) is None
    database = sqlite3.connect(tmp_path / "x.db")
    database.execute("create table t (x)")
    database.execute("pragma max_page_count = 3")
    with pytest.raises(sqlite3.OperationalError) as full:
        database.execute("insert into t values (zeroblob(1000000))")
    database.close()
    with pytest.raises(sqlite3.OperationalError) as read_only:
        sqlite3.connect(f"file:{tmp_path}/x.db?mode=ro", uri=True).execute("insert into t values (1)")
    assert "no room to write" in str(not_written(full.value))
    assert "no right to it" in str(not_written(read_only.value))


def test_a_full_disk_is_no_traceback_where_a_database_finds_it(tmp_path: Path) -> None:
    with full_disk(1000), pytest.raises(duckdb.Error) as caught:
        connection = duckdb.connect(str(tmp_path / "x.duckdb"))
        connection.execute("create table t as select range as x from range(100000)")
    assert not_written(caught.value) is not None


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write("folder/whole", b"x")
    (tmp_path / "folder" / ".part.1234").write_bytes(b"half")
    assert store.sweep() == 0
    assert store.sweep(older_than_s=-1.0) == 1
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["whole"]


def test_what_is_meant_for_people_is_one_line_and_the_rest_is_not_swallowed(capsys: pytest.CaptureFixture[str]) -> None:
    assert told("gc", DataError("no such run"), 3) == 3
    assert told("gc", OSError(28, "No space left on device"), 3) == 1  # there may be room by the next try
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "gc: no such run" and lines[1].startswith("gc: no room to write") and len(lines) == 2
    with pytest.raises(KeyError):
        told("gc", KeyError("a fault of ours"))
