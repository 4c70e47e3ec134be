"""The feature store: what an extractor found, under the content it found it in. Written by many, never half-written.

A store is a folder (any fsspec URL) with one folder an extractor identity, holding immutable Parquet shards. A shard is
written aside and put in place in one step, named by the hash of its bytes; pages carry checksums. A shard that is
damaged all the same is set aside and what it held is extracted again. Failures are kept too, so that a broken file is
not opened on every run.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from avrec.features.base import Extraction, Extractor

ROWS_PER_GROUP = 64
COMPACT_ABOVE = 64
"""Shards of one extractor beyond which small ones are merged, so that a lookup stays a few files."""

SCHEMA = pa.schema([
    ("key", pa.string()),
    ("reason", pa.string()),
    ("vector", pa.list_(pa.float32())),
    ("segments", pa.list_(pa.float32())),
    ("starts", pa.list_(pa.float32())),
    ("ends", pa.list_(pa.float32())),
    ("signals", pa.string()),
])  # fmt: skip
DAMAGED = (pa.ArrowException, OSError, ValueError, KeyError, UnicodeDecodeError)


@dataclass(frozen=True)
class Place:
    """Where one extraction is: shard and row; why it is a failure, or None; about how many bytes it takes."""

    shard: str
    row: int
    reason: str | None
    size: int


class FeatureStore:
    """Extractions by key, for any number of readers and writers.

    Example:
        ```python
        store = FeatureStore("var/features")
        store.write(extractor, [("ab12...", extraction)])
        store.read(extractor, ["ab12..."])
        ```
    """

    def __init__(self, url: str) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(url)
        self._local = isinstance(self._fs, LocalFileSystem)

    def folder(self, extractor: Extractor) -> str:
        return f"{self._root}/{extractor.modality}/{extractor.identity}"

    def index(self, extractor: Extractor) -> dict[str, Place]:
        """Every key that this store holds for `extractor`."""
        places: dict[str, Place] = {}
        for shard in self._shards(extractor):
            places |= self._places(shard)
        return places

    def missing(self, extractor: Extractor, keys: Iterable[str], retry: bool = False) -> list[str]:
        """Those of `keys` not in the store, in order and once; with `retry` also those that failed."""
        index = self.index(extractor)
        wanted = dict.fromkeys(keys)
        return [key for key in wanted if key not in index or (retry and index[key].reason is not None)]

    def read(
        self, extractor: Extractor, keys: Iterable[str], index: Mapping[str, Place] | None = None
    ) -> dict[str, Extraction]:
        """The extractions of those of `keys` that are there. Reads only the row groups that hold them.

        Args:
            extractor: Whose extractions.
            keys: What is wanted.
            index: What `index` said a moment ago, to save asking again.
        """
        places = self.index(extractor) if index is None else index
        by_shard: dict[str, list[int]] = {}
        for key in dict.fromkeys(keys):
            if key in places:
                by_shard.setdefault(places[key].shard, []).append(places[key].row)
        found: dict[str, Extraction] = {}
        for shard, rows in by_shard.items():
            found |= self._rows(shard, rows, extractor.dim)
        return found

    def signals(self, extractor: Extractor, keys: Iterable[str], index: Mapping[str, Place]) -> dict[str, Extraction]:
        """As `read`, but without vectors and segments, which are most of the bytes."""
        wanted = {key: index[key].shard for key in keys if key in index}
        found: dict[str, Extraction] = {}
        for shard in dict.fromkeys(wanted.values()):
            with _open(self, shard, ["key", "reason", "signals"]) as table:
                for row in [] if table is None else table.to_pylist():
                    if wanted.get(row["key"]) == shard:
                        known = None if row["signals"] is None else json.loads(row["signals"])
                        found[row["key"]] = replace(Extraction.missing(row["reason"], extractor.dim), signals=known)
        return found

    def write(self, extractor: Extractor, rows: Sequence[tuple[str, Extraction]]) -> None:
        """Adds one shard. Rows of a key that is there already are harmless: equal content, equal extraction."""
        if rows:
            self._put(self.folder(extractor), _to_table(rows))

    def compact(self, extractor: Extractor) -> None:
        """Merges all shards into one when there are too many. Two at once do the same work twice and no harm."""
        shards = self._shards(extractor)
        if len(shards) <= COMPACT_ABOVE:
            return
        tables = [table for shard in shards if (table := self._table(shard)) is not None]
        latest: dict[str, tuple[int, int]] = {}
        for number, table in enumerate(tables):
            for row, (key, reason) in enumerate(zip(*(table[c].to_pylist() for c in ("key", "reason")), strict=True)):
                if reason is None or key not in latest:
                    latest[key] = (number, row)
        kept = [
            table.take(pa.array([row for number, row in sorted(latest.values()) if number == n], pa.int64()))
            for n, table in enumerate(tables)
        ]
        whole = self._put(self.folder(extractor), pa.concat_tables(kept))
        for shard in shards:
            if shard != whole:
                self._remove(shard)

    def forget(self, keys: Collection[str]) -> int:
        """Removes what any extractor found under these keys, shards rewritten; returns the number of rows removed."""
        wanted, removed = pa.array(sorted(keys), pa.string()), 0
        self._fs.invalidate_cache()
        shards = self._fs.find(self._root) if keys and self._fs.exists(self._root) else []
        for shard in [str(name) for name in shards if str(name).endswith(".parquet")]:
            table = self._table(shard)
            if table is None or not (gone := pc.is_in(table["key"], wanted)).to_pylist().count(True):
                continue
            kept = table.filter(pc.invert(gone))
            if kept.num_rows:
                self._put(shard.rpartition("/")[0], kept)
            self._remove(shard)
            removed += table.num_rows - kept.num_rows
        return removed

    def _shards(self, extractor: Extractor) -> list[str]:
        folder = self.folder(extractor)
        self._fs.invalidate_cache()
        try:
            names = self._fs.ls(folder, detail=False)
        except FileNotFoundError:
            return []
        return sorted(str(name) for name in names if str(name).endswith(".parquet"))

    def _places(self, shard: str) -> dict[str, Place]:
        with _open(self, shard, ["key", "reason"]) as table:
            if table is None:
                return {}
            pairs = zip(table["key"].to_pylist(), table["reason"].to_pylist(), strict=True)
            size = int(self._fs.size(shard) or 0) // max(table.num_rows, 1)
            return {key: Place(shard, row, reason, size) for row, (key, reason) in enumerate(pairs)}

    def _rows(self, shard: str, rows: Sequence[int], dim: int) -> dict[str, Extraction]:
        groups = sorted({row // ROWS_PER_GROUP for row in rows})
        with _open(self, shard, None, groups) as table:
            if table is None:
                return {}
            order = {group: place for place, group in enumerate(groups)}
            local = [order[row // ROWS_PER_GROUP] * ROWS_PER_GROUP + row % ROWS_PER_GROUP for row in sorted(rows)]
            try:
                return dict(_from_table(table.take(local), dim))
            except DAMAGED as error:
                self._set_aside(shard, error)
                return {}

    def _table(self, shard: str) -> pa.Table | None:
        with _open(self, shard) as table:
            return table

    def _put(self, folder: str, table: pa.Table) -> str:
        buffer = io.BytesIO()
        pq.write_table(
            table, buffer, row_group_size=ROWS_PER_GROUP, compression="none", use_dictionary=False,
            write_page_checksum=True, store_schema=False,
        )  # fmt: skip
        data = buffer.getvalue()
        path = f"{folder}/{hashlib.sha256(data).hexdigest()[:32]}.parquet"
        if self._local:
            _place(Path(path), data)
        else:
            self._fs.pipe_file(path, data)
        return path

    def _set_aside(self, shard: str, error: BaseException) -> None:
        print(f"feature store: {shard} is damaged ({type(error).__name__}); set aside", file=sys.stderr, flush=True)
        try:
            self._fs.mv(shard, shard.removesuffix(".parquet") + ".damaged")
        except (OSError, ValueError):
            return  # another process was faster, or we may not: it stays unread all the same

    def _remove(self, shard: str) -> None:
        try:
            self._fs.rm_file(shard)
        except FileNotFoundError:
            return  # another process compacted too


class _open:
    """Reads a shard: the wanted columns of the wanted row groups, or None where it is gone or damaged."""

    def __init__(
        self, store: FeatureStore, shard: str, columns: list[str] | None = None, groups: list[int] | None = None
    ) -> None:
        self._args = (store, shard, columns, groups)

    def __enter__(self) -> pa.Table | None:
        store, shard, columns, groups = self._args
        try:
            with store._fs.open(shard, "rb") as file:
                parquet = pq.ParquetFile(file, page_checksum_verification=True)
                wanted = range(parquet.num_row_groups) if groups is None else groups
                return parquet.read_row_groups(list(wanted), columns=columns, use_threads=False)
        except FileNotFoundError:
            return None
        except DAMAGED as error:
            store._set_aside(shard, error)
            return None

    def __exit__(self, *_: object) -> None:
        return


def _place(path: Path, data: bytes) -> None:
    """Puts a whole file in place in one step; a kill leaves at most a file no reader looks at."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:  # a full disk: what could be written must not go on taking the room
        aside.unlink(missing_ok=True)
        raise
    aside.replace(path)


def _to_table(rows: Sequence[tuple[str, Extraction]]) -> pa.Table:
    def listed(values: Any) -> Any:
        return np.asarray(values, np.float32).reshape(-1)

    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for key, extraction in rows:
        columns["key"].append(key)
        columns["reason"].append(extraction.reason)
        columns["vector"].append(None if extraction.vector is None else listed(extraction.vector))
        for name in ("segments", "starts", "ends"):
            columns[name].append(listed(getattr(extraction, name)))
        signals = extraction.signals
        columns["signals"].append(None if signals is None else json.dumps(signals, sort_keys=True, ensure_ascii=False))
    return pa.table(columns, schema=SCHEMA)


def _from_table(table: pa.Table, dim: int) -> Iterator[tuple[str, Extraction]]:
    vectors = {name: table[name].combine_chunks() for name in ("vector", "segments", "starts", "ends")}

    def array(name: str, row: int) -> Any:
        return np.array(vectors[name][row].values, dtype=np.float32)

    for row in range(table.num_rows):
        reason, text = table["reason"][row].as_py(), table["signals"][row].as_py()
        yield (
            table["key"][row].as_py(),
            Extraction(
                vector=array("vector", row) if vectors["vector"][row].is_valid else None,
                segments=array("segments", row).reshape(-1, dim),
                starts=array("starts", row),
                ends=array("ends", row),
                reason=reason,
                signals=None if text is None else json.loads(text),
            ),
        )
