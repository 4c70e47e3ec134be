"""Appending a batch to a snapshot: the next snapshot, made aside, a function of the two and of nothing else.

A batch is read like a folder of one's own (`avrec.datasets.folder`) and cleaned by the same rules. Items and people
that are known take what the batch says anew and keep the rest; events whose key is in the log already are left out.
Whether the result becomes what is current is not decided here: the same batch over the same snapshot gives the same
bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from avrec.datasets.cleaning import POSITIVE_EVENTS, TIMED, clean
from avrec.datasets.dataset import Dataset, DatasetMeta, write_meta
from avrec.datasets.folder import read_batch
from avrec.datasets.importing import check_media, instant_after, pseudonym_of, say, table_exists
from avrec.datasets.ingest_media import MediaStore
from avrec.datasets.outside import Columns, plain_path, quoted, start
from avrec.datasets.snapshots import keep, making
from avrec.datasets.streams import write_query
from avrec.errors import DataError
from avrec.privacy.pseudonyms import Pseudonyms
from avrec.schema import DATASET_TABLES, TABLES, TableSpec
from avrec.settings import settings

UPSERTED = ("items", "users")
_LOCAL_MEDIA = "select row, media_uri, media_sha256"
_IS_LOCAL = "where media_sha256 is not null and not media_uri like '%://%'"


@dataclass(frozen=True)
class Appended:
    """What a batch added.

    Attributes:
        snapshot: Content hash of the next snapshot.
        source: Source of the line of snapshots.
        as_of: ISO instant the next snapshot is a picture of.
        added, updated, repeated, rejected: Rows by table: new, known and told anew, there already, not taken.
        totals: Rows of the next snapshot by table.
        reasons: Most frequent reasons of rejected rows, with their number.
    """

    snapshot: str
    source: str
    as_of: str | None
    added: Mapping[str, int]
    updated: Mapping[str, int]
    repeated: Mapping[str, int]
    rejected: Mapping[str, int]
    totals: Mapping[str, int]
    reasons: Mapping[str, int] = field(default_factory=dict)


def append(base: Dataset | None, batch: Path, columns: Columns, names: Pseudonyms, max_rejected: float) -> Appended:
    """Makes the snapshot that follows `base` when `batch` is added, and keeps it.

    Args:
        base: The current snapshot; None to begin with the batch.
        batch: Folder with tables and media.
        columns: `dataset.columns` of params.yaml.
        names: Pseudonyms under the key the base was made with.
        max_rejected: Share of the batch's rows above which it is refused whole: it is then not what it should be.

    Raises:
        DataError: the batch or the base cannot be used; nothing is kept.
    """
    if base is not None:
        check_base(base.meta, names)
    with making() as (connection, staging):
        added = _Addition(connection, base, batch, MediaStore(settings().media), names)
        return replace(added.write(columns, max_rejected, staging), snapshot=keep(staging))


def check_base(meta: DatasetMeta, names: Pseudonyms) -> None:
    """Whether anything can be added to a data set.

    Raises:
        DataError: it has no time, came with ready-made vectors, or was made under another key.
    """
    if not meta.has_time:
        raise DataError(f"a data set of source '{meta.source}' has no time; nothing can be added to it.")
    if meta.given_features:
        raise DataError(f"the data set came with ready-made vectors ({', '.join(meta.given_features)}); new items have "
                        "none. Import it again as a whole.")  # fmt: skip
    if meta.key_fingerprint != names.fingerprint:
        raise DataError(f"the data set was made under key {meta.key_fingerprint}, this home has {names.fingerprint}: "
                        "the same people would get other pseudonyms. Restore secrets/pseudonym.key.")  # fmt: skip


class _Addition:
    """One batch on its way: tables `batch_NAME` beside `base_NAME`, and the views of both together, `NAME`."""

    def __init__(
        self, connection: Any, base: Dataset | None, batch: Path, media: MediaStore, names: Pseudonyms
    ) -> None:
        self.connection, self.base, self.batch, self.media, self.names = connection, base, batch, media, names
        start(connection)
        connection.create_function("pseudonym", pseudonym_of(names), ["VARCHAR"], "VARCHAR", type="arrow")

    def write(self, columns: Columns, max_rejected: float, staging: Path) -> Appended:
        for note in read_batch(self.batch, self.connection, columns):
            say(note)
        came = [spec.name for spec in DATASET_TABLES if table_exists(self.connection, f"raw_{spec.name}")]
        rows = {name: self._count(f"raw_{name}") for name in came}
        for spec in DATASET_TABLES:
            self._base_table(spec)
        for spec in DATASET_TABLES:
            if spec.name in came:
                self._clean(spec)
            self._together(spec, spec.name in came)
        counts = self._counts(came)
        self._check_share(rows, counts["rejected"], max_rejected)
        totals = self._write_tables(staging)
        reasons = self._write_rejected(came, staging)
        meta = self._meta()
        write_meta(staging, meta)
        return Appended("", meta.source, meta.as_of, totals=totals, reasons=reasons, **counts)

    def _base_table(self, spec: TableSpec) -> None:
        """`base_NAME` with `row`; empty where the base has no such table."""
        name, columns = spec.name, ", ".join(quoted(c.name) for c in spec.columns)
        if self.base is not None and self.base.has(name):
            path = plain_path(self.base.path(name)).replace("'", "''")
            kind = "table" if name in UPSERTED else "view"  # logs are streamed, never copied
            self.connection.execute(
                f'create {kind} "base_{name}" as select file_row_number as row, {columns} '
                f"from read_parquet('{path}', file_row_number = true)"
            )
        else:
            self.connection.register(f"none_{name}", spec.empty())
            self.connection.execute(f'create table "base_{name}" as select 0::bigint as row, * from "none_{name}"')
        if name == "items":
            self._adopt_media()

    def _adopt_media(self) -> None:
        """Brings the media of a base that was imported into the store: one data set has one media folder."""
        root = self.base.meta.media_root if self.base else None
        if root is None or root == self.media.root:
            return
        rows = self.connection.execute(f"{_LOCAL_MEDIA} from base_items {_IS_LOCAL}").fetchall()
        say(f"{len(rows)} media of the data set so far are brought into {self.media.root}")
        self._name_media("base_items", [(row, self.media.put(f"{root}/{uri}", sha)) for row, uri, sha in rows])

    def _name_media(self, table: str, uris: list[tuple[int, str]]) -> None:
        columns = {"row": pa.array([row for row, _ in uris], pa.int64()),
                   "uri": pa.array([uri for _, uri in uris], pa.string())}  # fmt: skip
        self.connection.register("stored", pa.table(columns))
        self.connection.execute(
            f'update "{table}" set media_uri = stored.uri from stored where "{table}".row = stored.row'
        )
        self.connection.unregister("stored")

    def _clean(self, spec: TableSpec) -> None:
        """`batch_NAME`: the rows of the batch that can be used, with pseudonyms and media in the store."""
        name, connection = spec.name, self.connection
        told = f"select count(*) from base_interactions where event in {POSITIVE_EVENTS}"
        clean(connection, name, True, tells_more=bool(connection.execute(told).fetchone()[0]))
        if name == "items":
            self._store_media()
        connection.execute(f'alter table "{name}" rename to "batch_{name}"')
        if "user_id" in spec.schema.names:
            connection.execute(f'update "batch_{name}" set user_id = pseudonym(user_id)')

    def _store_media(self) -> None:
        check_media(self.connection, self.batch)
        rows = self.connection.execute(f"{_LOCAL_MEDIA} from items {_IS_LOCAL}").fetchall()
        self._name_media("items", [(row, self.media.put(str(self.batch / uri), sha)) for row, uri, sha in rows])

    def _together(self, spec: TableSpec, came: bool) -> None:
        """View NAME: base and batch, with `origin` and `row` to order by."""
        name, columns = spec.name, [quoted(c.name) for c in spec.columns]
        plain = ", ".join(columns)
        if not came:
            self.connection.execute(f'create view "{name}" as select 0 as origin, row, {plain} from "base_{name}"')
            return
        key = ", ".join(quoted(c) for c in spec.key)
        last = (
            "desc" if name in UPSERTED else "asc"
        )  # of two that say the same the later one holds; of two events the first
        self.connection.execute(
            f'create table "fresh_{name}" as select * from "batch_{name}" '
            f"qualify row_number() over (partition by {key} order by row {last}) = 1"
        )
        old = self._updated(spec) if name in UPSERTED else f'select 0 as origin, row, {plain} from "base_{name}"'
        # Items are looked up for every event that follows, so that they are made once; logs stay views.
        kind = "table" if name in UPSERTED else "view"
        self.connection.execute(
            f'create {kind} "{name}" as {old} union all select 1 as origin, row, {plain} from "fresh_{name}" '
            f'anti join "base_{name}" using ({key})'
        )

    def _updated(self, spec: TableSpec) -> str:
        """Known rows with what the batch says anew; an empty cell says nothing."""
        name, (key,) = spec.name, spec.key
        kept = {"media_type": "case when f.media_sha256 is null then b.media_type else f.media_type end",
                "media_uri": "case when f.media_sha256 is null then b.media_uri else f.media_uri end"}  # fmt: skip
        values = ", ".join(
            f"coalesce({kept.get(c.name, f'f.{quoted(c.name)}')}, b.{quoted(c.name)}) as {quoted(c.name)}"
            for c in spec.columns
        )
        return (
            f'select 0 as origin, b.row as row, {values} from "base_{name}" b left join "fresh_{name}" f using ({key})'
        )

    def _counts(self, came: list[str]) -> dict[str, dict[str, int]]:
        added = {name: self._count(f'select * from "{name}" where origin = 1') for name in came}
        known = {name: self._count(f'select * from "batch_{name}"') - added[name] for name in came}
        rejected = {name: self._count(f'select * from "rejected_{name}"') for name in came}
        unreadable = dict(self.connection.execute('select "table", count(*) from unreadable group by 1').fetchall())
        return {
            "added": added,
            "updated": {name: count for name, count in known.items() if name in UPSERTED},
            "repeated": {name: count for name, count in known.items() if name in TIMED},
            "rejected": {name: rejected.get(name, 0) + unreadable.get(name, 0) for name in {*rejected, *unreadable}},
        }

    def _check_share(self, rows: Mapping[str, int], rejected: Mapping[str, int], most: float) -> None:
        for name, count in rejected.items():
            if count > most * max(rows.get(name, 0), 1):
                example = self.connection.execute(f'select any_value(reason) from "rejected_{name}"').fetchone()[0]
                raise DataError(f"{count} of {rows.get(name, 0)} rows of {name} cannot be used, more than "
                                f"ingest.max_rejected allows ({most:g}); one of them: {example}")  # fmt: skip

    def _write_tables(self, staging: Path) -> dict[str, int]:
        totals = {}
        for spec in DATASET_TABLES:
            if spec.optional and not self._count(f'select 1 from "{spec.name}" limit 1'):
                continue
            columns = ", ".join(quoted(c.name) for c in spec.columns)
            order = "timestamp nulls first, origin, row" if spec.name in TIMED else "origin, row"
            query = f'select {columns} from "{spec.name}" order by {order}'
            totals[spec.name] = write_query(self.connection, query, staging / f"{spec.name}.parquet", spec.name)
        return totals

    def _write_rejected(self, came: list[str], staging: Path) -> dict[str, int]:
        """`rejected.parquet`: what was not taken, ever; returns the reasons of this batch."""
        new = [
            f'select 1 as origin, \'{n}\' as "table", row, item_id, reason, content from "rejected_{n}"' for n in came
        ]
        new.append("select 1, \"table\", line - 1, null, 'line ' || line || ': ' || message, null from unreadable")
        self.connection.execute(f"create view new_rejected as {' union all '.join(new)}")
        parts = ["select * from new_rejected"]
        if self.base is not None and self.base.path("rejected").is_file():
            path = plain_path(self.base.path("rejected")).replace("'", "''")
            parts.append('select 0, "table", row, item_id, reason, content '
                         f"from read_parquet('{path}')")  # fmt: skip
        names = ", ".join(quoted(c.name) for c in TABLES["quarantine"].columns)
        query = f'select {names} from ({" union all ".join(parts)}) order by origin, "table", row, reason'
        write_query(self.connection, query, staging / "rejected.parquet", "quarantine")
        kinds = (
            "select \"table\" || ': ' || any_value(reason), count(*) n from new_rejected "
            "group by \"table\", regexp_replace(reason, '''[^'']*''', '…', 'g') order by n desc, 1 limit 20"
        )
        return dict(self.connection.execute(kinds).fetchall())

    def _meta(self) -> DatasetMeta:
        newest = instant_after(self.connection)
        if self.base is None:
            return DatasetMeta("folder", False, newest, True, self.media.root, self.names.fingerprint)
        before = self.base.meta
        as_of = max(filter(None, (before.as_of, newest)), key=datetime.fromisoformat, default=None)
        return replace(before, as_of=as_of, media_root=self.media.root)

    def _count(self, query: str) -> int:
        source = f"({query})" if query.startswith("select") else f'"{query}"'
        return int(self.connection.execute(f"select count(*) from {source}").fetchone()[0])
