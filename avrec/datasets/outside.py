"""What sources of outside data have in common: they are read into DuckDB once, and loaded from a snapshot ever after.

A subclass says in `read` how its files become raw tables. The rest (types, checks, pseudonyms, hashes, the snapshot) is
done for all of them by `avrec.datasets.importing`.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avrec.datasets.base import Source
from avrec.datasets.dataset import Dataset
from avrec.errors import DataError
from avrec.params import DatasetParams
from avrec.schema import TABLES

MOST_COLUMNS, LONGEST_NAME, LONGEST_LINE = 1_000, 512, 2_000_000
"""Columns a file may have, characters of a column's name, and bytes of a line."""
SHOWN = 20
"""Names that a message lists."""

Columns = Mapping[str, Mapping[str, str]]
"""`dataset.columns`: by table, our column name to theirs."""


@dataclass(frozen=True)
class Raw:
    """What a source found. The rows themselves are in tables `raw_NAME` of the connection.

    Attributes:
        has_time: Interactions carry timestamps; otherwise `given_split`.
        media_root: Folder below which `media_uri` values are; None without media.
        given: By modality, a `.npy` file of ready-made vectors `[n_items, dim]` in the order of the items.
        notes: Sentences for the report of the import.
    """

    has_time: bool
    media_root: Path | None = None
    given: Mapping[str, Path] = field(default_factory=dict)
    notes: Sequence[str] = ()


class OutsideSource(Source):
    """Base of every source that reads files of others."""

    @abstractmethod
    def read(self, path: Path, connection: Any, columns: Columns) -> Raw:
        """Fills `raw_items`, `raw_interactions` and, if there are any, `raw_users`, `raw_impressions`, `raw_comments`.

        A raw table has our column names, any types, user ids as they are, and a column `row`: the number of the row in
        its file, from 0. Rows that cannot even be read go to the table `unreadable` (see `csv_table`).

        Raises:
            DataError: a file or column that is needed is missing.
        """

    def load(self, params: DatasetParams, folder: Path, media: Path) -> Dataset:
        """Copies the snapshot named by `params.snapshot`, cut at `params.as_of`, to `folder`."""
        from avrec.datasets.snapshots import load_snapshot

        return load_snapshot(params, folder)


def start(connection: Any) -> None:
    """Sets what every import relies on: instants in UTC, rows in the order of their file, and a place for rejects."""
    connection.execute("set TimeZone = 'UTC'")
    connection.execute("set preserve_insertion_order = true")
    connection.execute('create table unreadable ("table" varchar, line bigint, message varchar)')


def csv_table(connection: Any, path: Path, table: str, **options: Any) -> list[str]:
    """Reads a CSV file into table `file_TABLE`, every value as text, with its row number. Returns its column names.

    Rows that are not CSV (too many columns, broken quotes or encoding) go to `unreadable` with the line number.

    Args:
        connection: DuckDB connection.
        path: The file.
        table: Table of ours it is for.
        options: Further arguments of DuckDB's `read_csv`, such as `delim`, `header` and `names`.
    """
    arguments = {"header": True, "all_varchar": True, "store_rejects": True, "rejects_table": f"rejects_{table}",
                 "rejects_scan": f"scans_{table}", **options}  # fmt: skip
    spelled = ", ".join(f"{name} = {_literal(value)}" for name, value in arguments.items())
    query = (
        f'create or replace table "file_{table}" as '
        f"select row_number() over () - 1 as row, * from read_csv({_literal(plain_path(path))}, {spelled})"
    )
    if arguments["header"]:
        _check_first_line(path, str(options.get("delim", ",;|\t")))
    _read(connection, query, path)
    connection.execute(
        f"insert into unreadable select distinct on (line) '{table}', line, error_message "
        f"from rejects_{table} order by line"
    )
    connection.execute(f"drop table rejects_{table}; drop table scans_{table}")
    return _columns(connection, table)


def parquet_table(connection: Any, path: Path, table: str) -> list[str]:
    """Reads a Parquet file into table `file_TABLE` with its row number. Returns its column names."""
    _check_footer(path)
    query = (
        f'create or replace table "file_{table}" as '
        f"select row_number() over () - 1 as row, * from read_parquet({_literal(plain_path(path))})"
    )
    _read(connection, query, path)
    return _columns(connection, table)


def map_columns(connection: Any, path: Path, table: str, found: Sequence[str], columns: Columns,
                required: Sequence[str]) -> list[str]:  # fmt: skip
    """Makes `raw_TABLE` from `file_TABLE`: our names for theirs. Returns the names of columns nobody asked for.

    Raises:
        DataError: a required or a mapped column is missing; says which there are.
    """
    mapping = dict(columns.get(table, {}))
    known = TABLES[table].schema.names
    unknown = sorted(set(mapping) - set(known))
    if unknown:
        raise DataError(f"dataset.columns.{table}: {unknown} are no columns of {table}; expected some of {known}.")
    by_lower = {name.lower(): name for name in found}
    sources = {ours: by_lower.get(mapping.get(ours, ours).lower()) for ours in known}
    for ours in (*required, *mapping):
        if sources[ours] is None:
            raise DataError(
                f"{path}: column '{mapping.get(ours, ours)}' is missing; it has {some(found)}. Name the column that "
                f"holds {ours} in params.yaml under dataset.columns.{table}.{ours}."
            )
    picked = {ours: theirs for ours, theirs in sources.items() if theirs is not None}
    selection = ", ".join(f"{quoted(theirs)} as {quoted(ours)}" for ours, theirs in picked.items())
    connection.execute(f'create table "raw_{table}" as select row, {selection} from "file_{table}" order by row')
    connection.execute(f'drop table "file_{table}"')
    return [name for name in found if name not in picked.values()]


def some(names: Sequence[str]) -> str:
    """Names for a message, not more than a person reads."""
    shown = ", ".join(f"'{name[:60]}'" for name in names[:SHOWN])
    return f"[{shown}]" if len(names) <= SHOWN else f"[{shown}, and {len(names) - SHOWN} more]"


def plain_path(path: Path) -> str:
    """A path that DuckDB takes for one file even if it holds characters of a pattern."""
    return re.sub(r"([\[*?])", r"[\1]", str(path))


def quoted(name: str) -> str:
    """A column name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def one_file(folder: Path, *patterns: str) -> Path | None:
    """The file of a folder that matches the first pattern that any matches, None where none does.

    Raises:
        DataError: two files match the same pattern.
    """
    for pattern in patterns:
        matches = sorted(folder.glob(pattern))
        if len(matches) > 1:
            raise DataError(f"{folder}: {[m.name for m in matches]} all match {pattern}; leave one.")
        if matches:
            return matches[0]
    return None


def require_file(folder: Path, *patterns: str) -> Path:
    """As `one_file`, but the file has to be there.

    Raises:
        DataError: it is not.
    """
    path = one_file(folder, *patterns)
    if path is None:
        raise DataError(f"{folder}: no file {' or '.join(patterns)}; is this the right folder?")
    return path


def _read(connection: Any, query: str, path: Path) -> None:
    import duckdb

    try:
        connection.execute(query)
    except duckdb.Error as error:
        first, *more = str(error).splitlines()
        too_long = next((line for line in more if "Maximum line size" in line), "")
        raise DataError(f"{path} cannot be read: {first} {too_long}".rstrip()) from error


def _check_first_line(path: Path, delimiters: str) -> None:
    """Before the whole file is looked at: thousands of columns take minutes and gigabytes."""
    with path.open("rb") as file:
        head = file.readline(LONGEST_LINE)
    if not head:
        raise DataError(f"{path} is empty; expected a first line with the names of the columns.")
    try:
        line = head.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not text in UTF-8 (its first line: {error.reason} at byte {error.start}). Save it as UTF-8."
        ) from error
    _check_names(path, max((line.split(mark) for mark in delimiters), key=len))


def _check_footer(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:  # gives the names of nested columns once for each leaf
            names = list(file.schema.names) if file.metadata.num_columns > MOST_COLUMNS else file.schema_arrow.names
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    _check_names(path, names)


def _check_names(path: Path, names: Sequence[str]) -> None:
    if len(names) > MOST_COLUMNS:
        raise DataError(f"{path} has {len(names)} columns; at most {MOST_COLUMNS} are read. Keep those that are used.")
    if longest := next((name for name in names if len(name) > LONGEST_NAME), None):
        raise DataError(f"{path}: a column's name has {len(longest)} characters, at most {LONGEST_NAME} are read: "
                        f"'{longest[:60]}…'. Is its first line the header?")  # fmt: skip


def _columns(connection: Any, table: str) -> list[str]:
    rows = connection.execute(f'describe "file_{table}"').fetchall()
    return [str(row[0]) for row in rows if row[0] != "row"]


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_literal(v) for v in value) + "]"
    return "'" + str(value).replace("'", "''") + "'"
