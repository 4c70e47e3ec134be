"""The source `folder`: a folder of media, and tables beside them where there are any. The way to bring one's own data.

`items`, `users`, `interactions`, `impressions` and `comments`, each as `.csv` or `.parquet`, all optional, with our
column names or with yours, mapped in params.yaml under `dataset.columns`. Without `items` every media file is one: its
id is its path, its title comes from the name of the file, its category is the folder it lies in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from avrec.datasets.media_files import AUDIO, media_below
from avrec.datasets.outside import Columns, OutsideSource, Raw, csv_table, map_columns, one_file, parquet_table, some
from avrec.errors import DataError

REQUIRED = {
    "items": ("item_id",),
    "users": ("user_id",),
    "interactions": ("user_id", "item_id"),
    "impressions": ("user_id", "item_id", "timestamp"),
    "comments": ("user_id", "item_id", "timestamp", "text"),
}

TABULAR = frozenset({".csv", ".tsv", ".parquet", ".xlsx", ".xls", ".json", ".jsonl", ".ndjson"})


class FolderSource(OutsideSource):
    """Reads a folder of one's own."""

    name = "folder"

    def read(self, path: Path, connection: Any, columns: Columns) -> Raw:
        notes = [*read_tables(path, connection, columns), *_tables_not_read(path)]
        files = list(media_below(path))
        connection.register("files", _files(files))
        if _has(connection, "items"):
            _find_media(connection)
        else:
            _items_from_files(connection, path, files)
        has_time = _settle_time(path, connection)
        return Raw(has_time=has_time, media_root=path, notes=notes)


def read_tables(path: Path, connection: Any, columns: Columns) -> list[str]:
    """Reads every table that is there. Returns sentences about what was not used.

    Raises:
        DataError: a table or column that `columns` names is not there, or a required one is missing.
    """
    unknown = sorted(set(columns) - set(REQUIRED))
    if unknown:
        raise DataError(f"dataset.columns: {unknown} are no tables; expected some of {list(REQUIRED)}.")
    ignored = {table: _read_table(path, connection, table, columns) for table in REQUIRED}
    return [f"{table}: columns {some(names)} are not used" for table, names in ignored.items() if names]


def _tables_not_read(path: Path) -> list[str]:
    """A sentence about files that look like tables and have no name of ours; a log of another name is easily missed."""
    ours = {f"{table}{suffix}" for table in REQUIRED for suffix in (".csv", ".parquet")}
    others = sorted(
        file.name
        for file in path.iterdir()
        if file.suffix.lower() in TABULAR and file.name not in ours and file.is_file()
    )
    return [f"{some(others)} are not read; a table is one of {', '.join(sorted(ours))}"] if others else []


def read_batch(path: Path, connection: Any, columns: Columns) -> list[str]:
    """As a source of its own, but nothing has to be there: a batch may hold events alone, or media alone.

    Raises:
        DataError: it holds nothing at all, or events without an instant.
    """
    there = {name for name in REQUIRED if one_file(path, f"{name}.csv", f"{name}.parquet")}
    notes = read_tables(path, connection, {name: names for name, names in columns.items() if name in there})
    files = list(media_below(path))
    if not there and not files:
        raise DataError(f"{path.name} holds neither tables nor media.")
    connection.register("files", _files(files))
    if _has(connection, "items"):
        _find_media(connection)
    elif files:
        _items_from_files(connection, path, files)
    if _has(connection, "interactions") and not _settle_time(path, connection):
        raise DataError(f"{path.name}: interactions have no timestamp; what is added to a log must say when it was.")
    return notes


def _read_table(path: Path, connection: Any, table: str, columns: Columns) -> list[str]:
    """Reads one table where it is there. Returns the columns nobody asked for."""
    files = [file for file in (one_file(path, f"{table}.csv"), one_file(path, f"{table}.parquet")) if file]
    if len(files) > 1:
        raise DataError(f"{path} holds both {files[0].name} and {files[1].name}; leave one.")
    if not files:
        if columns.get(table):
            raise DataError(
                f"dataset.columns.{table} maps columns, but {path} holds neither {table}.csv nor {table}.parquet."
            )
        return []
    file = files[0]
    found = csv_table(connection, file, table) if file.suffix == ".csv" else parquet_table(connection, file, table)
    if file.suffix == ".parquet":
        _lists_as_text(connection, table)
    return map_columns(connection, file, table, found, columns, REQUIRED[table])


def _lists_as_text(connection: Any, table: str) -> None:
    """Lists (tags) as text with bars between, the form in which CSV files have them."""
    for name, kind, *_ in connection.execute(f'describe "file_{table}"').fetchall():
        if kind.endswith("[]"):
            connection.execute(
                f'alter table "file_{table}" alter "{name}" type varchar '
                f"using array_to_string(\"{name}\"::varchar[], '|')"
            )


def _files(uris: list[str]) -> pa.Table:
    return pa.table({"uri": pa.array(uris, pa.string()), "stem": pa.array([Path(u).stem for u in uris], pa.string())})


def _find_media(connection: Any) -> None:
    """Fills in what the items do not say: media type, and the one file that is named by the item's id."""
    names = {row[0] for row in connection.execute("describe raw_items").fetchall()}
    if "media_uri" not in names:
        connection.execute("alter table raw_items add column media_uri varchar")
        connection.execute(
            """update raw_items set media_uri = f.uri from
            (select stem, any_value(uri) as uri from files group by stem having count(*) = 1) f
            where f.stem = raw_items.item_id::varchar"""
        )
    if "media_type" not in names:
        connection.execute("alter table raw_items add column media_type varchar")
    suffixes = "', '".join(sorted(AUDIO))
    connection.execute(
        f"""update raw_items set media_type = case when media_uri is null then 'text'
        when lower(regexp_extract(media_uri, '\\.[^./]*$')) in ('{suffixes}') then 'audio' else 'video' end
        where nullif(trim(media_type), '') is null"""
    )


def _items_from_files(connection: Any, path: Path, uris: list[str]) -> None:
    if not uris:
        raise DataError(f"{path} holds neither media nor items.csv nor items.parquet.")
    rows = [
        {
            "row": row,
            "item_id": uri,
            "media_type": "audio" if Path(uri).suffix.lower() in AUDIO else "video",
            "title": " ".join(Path(uri).stem.replace("_", " ").replace("-", " ").split()),
            "category": Path(uri).parent.name or None,
            "media_uri": uri,
        }
        for row, uri in enumerate(uris)
    ]
    connection.register("found", pa.Table.from_pylist(rows))
    connection.execute("create table raw_items as select * from found")


def _settle_time(path: Path, connection: Any) -> bool:
    """Whether interactions have time; makes an empty table where there are none."""
    if not _has(connection, "interactions"):
        connection.execute(
            "create table raw_interactions "
            "(row bigint, user_id varchar, item_id varchar, timestamp varchar, event varchar)"
        )
        return True
    names = {row[0] for row in connection.execute("describe raw_interactions").fetchall()}
    if "timestamp" not in names and "given_split" not in names:
        raise DataError(
            f"{path}: interactions have neither a column timestamp nor given_split; name the column that holds "
            "the time in params.yaml under dataset.columns.interactions.timestamp."
        )
    return "timestamp" in names


def _has(connection: Any, table: str) -> bool:
    query = "select count(*) from information_schema.tables where table_name = ?"
    return bool(connection.execute(query, [f"raw_{table}"]).fetchone()[0])
