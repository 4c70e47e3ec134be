"""Snapshots of outside data: a data set folder under the hash of its content, never changed once it is there."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from avrec.datasets.cleaning import TIMED
from avrec.datasets.dataset import META, Dataset, write_meta
from avrec.datasets.forgetting import Found, drop_older, forget
from avrec.datasets.hashing import sha256_of
from avrec.datasets.outside import plain_path
from avrec.datasets.streams import write_query
from avrec.errors import DataError
from avrec.params import DatasetParams
from avrec.privacy.receipts import Receipts, Subjects
from avrec.schema import TABLES
from avrec.settings import settings

ABANDONED_S = 24 * 3600.0
"""A working folder nobody has written to for so long is one of a killed import."""


@contextmanager
def making() -> Iterator[tuple[Any, Path]]:
    """A DuckDB connection and an empty folder for the next snapshot, on the disk of the others; both go afterwards.

    What the block hands to `keep` stays; what a killed import left here is removed.
    """
    import duckdb

    beside = Path(settings().imports) if "://" not in settings().imports else settings().home
    beside.mkdir(parents=True, exist_ok=True)
    _sweep(beside)
    work = Path(tempfile.mkdtemp(prefix=".import-", dir=beside))
    try:
        staging = work / "snapshot"
        staging.mkdir()
        connection = duckdb.connect(str(work / "work.duckdb"))
        try:
            yield connection, staging
        finally:
            connection.close()
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Removes what imports left that were killed; one that still works writes more often than `ABANDONED_S`."""
    for left in folder.glob(".import-*"):
        newest = max((path.stat().st_mtime for path in (left, *left.rglob("*")) if path.exists()), default=0.0)
        if time.time() - newest > ABANDONED_S:
            shutil.rmtree(left, ignore_errors=True)


def content_hash(folder: Path) -> str:
    """SHA-256 over the names and hashes of all files below `folder`."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256_of(path)}\n".encode())
    return digest.hexdigest()


def keep(staging: Path) -> str:
    """Puts a finished folder in its place under `settings().imports`, in one step. Returns its hash.

    A snapshot with the same content is left as it is. In a remote store `dataset.json`, without which a folder is no
    data set, is written last. Whoever was erased is left out: that an old file is imported again brings nobody back.
    """
    if subjects := Receipts.of_settings().subjects():
        forget(staging, subjects)
    name, store = content_hash(staging), settings().imports
    if "://" not in store:
        target = Path(store) / name
        try:
            staging.rename(target)
        except OSError:  # it is there already, perhaps since a moment ago
            if not (target / META).is_file():
                raise
            shutil.rmtree(staging)
        return name
    filesystem, root = _open(store)
    target_url = f"{root}/{name}"
    if not filesystem.exists(f"{target_url}/{META}"):
        files = sorted(p for p in staging.rglob("*") if p.is_file())
        for path in sorted(files, key=lambda p: p.name == META):
            filesystem.makedirs(f"{target_url}/{path.parent.relative_to(staging).as_posix()}", exist_ok=True)
            filesystem.put_file(str(path), f"{target_url}/{path.relative_to(staging).as_posix()}")
    shutil.rmtree(staging)
    return name


def open_snapshot(name: str, into: Path) -> Dataset:
    """A snapshot to read from: where it lies, or fetched to `into` from a remote store. It must not be written to.

    Raises:
        DataError: there is no such snapshot.
    """
    local = Path(settings().imports) / name
    if "://" not in settings().imports and (local / META).is_file():
        return Dataset(local)
    fetch(name, into)
    return Dataset(into)


def load_snapshot(params: DatasetParams, folder: Path) -> Dataset:
    """Copies the snapshot `params.snapshot` to `folder`, checked against its hash, without anything from `as_of` on.

    Raises:
        DataError: it is not there, is damaged, or came from another source.
    """
    name = str(params.snapshot)
    fetch(name, folder)
    found = content_hash(folder)
    if found != name:
        raise DataError(
            f"snapshot {name} is damaged: its content has hash {found}. Remove it from {settings().imports} and run "
            f"`avrec data import {params.source} PATH` again."
        )
    dataset = Dataset(folder)
    if dataset.meta.source != params.source:
        raise DataError(
            f"snapshot {name} came from source '{dataset.meta.source}', but dataset.source is '{params.source}'."
        )
    if params.as_of and dataset.meta.has_time:
        _cut(dataset, params.as_of.astimezone(UTC) if params.as_of.tzinfo else params.as_of.replace(tzinfo=UTC))
    return Dataset(folder)


def snapshots() -> list[str]:
    """Names of the snapshots in the store."""
    filesystem, root = _open(settings().imports)
    filesystem.invalidate_cache()
    if not filesystem.exists(root):
        return []
    names = [str(path).rstrip("/").rsplit("/", 1)[-1] for path in filesystem.ls(root, detail=False)]
    return sorted(name for name in names if filesystem.exists(f"{root}/{name}/{META}"))


def rewrite(name: str, subjects: Subjects, events_from: int | None = None) -> tuple[str, Found]:
    """A snapshot without the erased and, with `events_from`, without events older than so many days before the newest.

    Returns:
        The name of the snapshot that takes its place (its own where nothing changed) and what was found. The old one
        stays until `remove_snapshot`, so that a crash in between loses nothing.
    """
    work = Path(tempfile.mkdtemp(prefix=".forget-", dir=_beside()))
    try:
        folder = work / "snapshot"
        fetch(name, folder)
        found = forget(folder, subjects)
        cut = drop_older(folder, events_from) if events_from else 0
        return (keep(folder) if found or cut else name), found
    finally:
        shutil.rmtree(work, ignore_errors=True)


def remove_snapshot(name: str) -> None:
    """Removes a snapshot; what makes it one goes first, so that no half of it is ever read."""
    filesystem, root = _open(settings().imports)
    if filesystem.exists(f"{root}/{name}/{META}"):
        filesystem.rm_file(f"{root}/{name}/{META}")
    if filesystem.exists(f"{root}/{name}"):
        filesystem.rm(f"{root}/{name}", recursive=True)


def _beside() -> Path:
    store = settings().imports
    folder = Path(store) if "://" not in store else settings().home
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fetch(name: str, folder: Path) -> None:
    """Copies a snapshot to a folder, unchecked.

    Raises:
        DataError: it is not in the store.
    """
    store = settings().imports
    filesystem, root = _open(store)
    if not filesystem.exists(f"{root}/{name}/{META}"):
        raise DataError(
            f"snapshot {name} is not in {store}. Run `avrec data import SOURCE PATH` here, or point AVREC_IMPORTS "
            "at the store that has it."
        )
    prefix = f"{root}/{name}/"
    for remote in sorted(filesystem.find(prefix)):
        path = folder / remote[remote.index(f"{name}/") + len(name) + 1 :]
        path.parent.mkdir(parents=True, exist_ok=True)
        filesystem.get_file(remote, str(path))


def _open(store: str) -> tuple[Any, str]:
    import fsspec

    filesystem, root = fsspec.core.url_to_fs(store)
    return filesystem, root.rstrip("/")


def _cut(dataset: Dataset, as_of: datetime) -> None:
    """Takes rows from `as_of` on out of the data set, into `rejected`, and says so in its meta."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    late = []
    for name in TIMED:
        if not dataset.has(name):
            continue
        path = dataset.path(name)
        connection.read_parquet(plain_path(path)).create_view(f"whole_{name}")
        moment = f"timestamptz '{as_of.isoformat()}'"
        columns = ", ".join(f'"{column}"' for column in TABLES[name].schema.names)
        if connection.sql(f"select count(*) from whole_{name} where timestamp >= {moment}").fetchone()[0]:
            aside = path.with_suffix(".cut")
            write_query(
                connection,
                f"select {columns} from whole_{name} where timestamp < {moment} or timestamp is null",
                aside,
                name,
            )
            late.append(
                f"select '{name}' as \"table\", null::bigint as row, item_id, "
                f"'timestamp ' || timestamp || ' is not before dataset.as_of' as reason, "
                f"null::varchar as content from whole_{name} where timestamp >= {moment}"
            )
    if late:
        rejected = dataset.path("rejected")
        connection.read_parquet(plain_path(rejected)).create_view("whole_rejected")
        query = " union all ".join(['select "table", row, item_id, reason, content from whole_rejected', *late])
        write_query(connection, query, rejected.with_suffix(".cut"), "quarantine")
    connection.close()
    for path in sorted(dataset.folder.glob("*.cut")):
        path.replace(path.with_suffix(".parquet"))
    write_meta(dataset.folder, replace(dataset.meta, as_of=as_of.isoformat()))
