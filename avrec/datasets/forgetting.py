"""Takes erased people and items out of a data set folder; all other rows stay as they are, in their order."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from avrec.datasets.outside import plain_path, quoted
from avrec.datasets.streams import write_query
from avrec.privacy.pseudonyms import LENGTH
from avrec.privacy.receipts import Subjects
from avrec.schema import TABLES

FILES = {"items": "items", "users": "users", "interactions": "interactions", "impressions": "impressions",
         "comments": "comments", "media": "media", "rejected": "quarantine"}  # fmt: skip
"""Files of a data set and the tables of `avrec.schema` they hold."""
_PSEUDONYM = re.compile(rf"u[0-9a-f]{{{LENGTH}}}")


@dataclass
class Found:
    """What of the erased a data set held.

    Attributes:
        people: Pseudonyms.
        items: Item ids.
        media: Hash and address of the media of erased items, by item.
        rows: Rows taken out, by table.
    """

    people: list[str]
    items: list[str]
    media: dict[str, tuple[str | None, str | None]]
    rows: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.people or self.items)


def find(folder: Path, subjects: Subjects) -> Found:
    """Whom and what of the erased a data set folder holds; reads, changes nothing."""
    connection = _connect(folder)
    try:
        return _find(connection, folder, subjects)
    finally:
        connection.close()


def forget(folder: Path, subjects: Subjects, media: Path | None = None) -> Found:
    """Takes them out, in place. A folder that holds none keeps its bytes.

    Args:
        folder: Folder of the tables.
        subjects: Who and what is erased.
        media: Folder of media the source made beside the tables; files of erased items go too.
    """
    connection = _connect(folder)
    try:
        found = _find(connection, folder, subjects)
        if not found:
            return found
        connection.register("gone_people", pa.table({"id": pa.array(found.people, pa.string())}))
        connection.register("gone_items", pa.table({"id": pa.array(found.items, pa.string())}))
        _cut_vectors(connection, folder)
        for name in _present(folder):
            if rows := _rewrite(connection, folder, name, _names_the_gone(name)):
                found.rows[name] = rows
    finally:
        connection.close()
    _put_in_place(folder)
    if media is not None:
        for _, uri in found.media.values():
            (media / str(uri)).unlink(missing_ok=True)
    return found


def drop_older(folder: Path, days: int) -> int:
    """Takes out events older than so many days before the newest one; returns how many."""
    connection = _connect(folder)
    try:
        timed = [name for name in ("interactions", "impressions", "comments") if name in _present(folder)]
        moments = " union all ".join(f"select max(timestamp) as t from all_{name}" for name in timed)
        old = f"timestamp < (select max(t) from ({moments})) - interval {int(days)} day"
        return sum(_rewrite(connection, folder, name, old) for name in timed)
    finally:
        connection.close()
        _put_in_place(folder)


def _put_in_place(folder: Path) -> None:
    for path in sorted(folder.glob("*.kept")):
        path.replace(path.with_suffix(".parquet"))


def _present(folder: Path) -> list[str]:
    return [name for name in FILES if (folder / f"{name}.parquet").is_file()]


def _connect(folder: Path) -> Any:
    import duckdb

    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    for name in _present(folder):
        connection.read_parquet(plain_path(folder / f"{name}.parquet")).create_view(f"all_{name}")
    return connection


def _find(connection: Any, folder: Path, subjects: Subjects) -> Found:
    present = _present(folder)
    parts = [f"select user_id from all_{name}" for name in present if "user_id" in TABLES[FILES[name]].schema.names]
    known = (row[0] for row in _rows(connection, " union ".join(parts))) if parts else ()
    people = set(subjects.people_in(known))
    if "rejected" in present:
        for (content,) in _rows(connection, "select content from all_rejected where content is not null"):
            people |= set(subjects.people_in(_PSEUDONYM.findall(content)))
    items = [] if "items" not in present else list(
        _rows(connection, "select item_id, creator_id, media_sha256, media_uri from all_items"))  # fmt: skip
    gone = set(subjects.items_in([row[0] for row in items], [row[1] for row in items])) if items else set()
    media = {row[0]: (row[2], row[3]) for row in items if row[0] in gone}
    return Found(sorted(people), sorted(gone), media)


def _rows(connection: Any, query: str) -> Iterable[tuple[Any, ...]]:
    cursor = connection.execute(query)
    while block := cursor.fetchmany(1 << 16):
        yield from block


def _names_the_gone(name: str) -> str:
    """SQL that is true for rows of erased people and items."""
    columns = TABLES[FILES[name]].schema.names
    gone = []
    if "user_id" in columns:
        gone.append("user_id in (select id from gone_people)")
    if "item_id" in columns:
        gone.append("coalesce(item_id, '') in (select id from gone_items)")
    if name == "rejected":
        gone.append("exists (select 1 from gone_people where contains(coalesce(content, ''), id))")
    return " or ".join(gone)


def _rewrite(connection: Any, folder: Path, name: str, where: str) -> int:
    """Writes the rows of a table for which `where` is not true beside it; returns the number of the others."""
    columns = TABLES[FILES[name]].schema.names
    rows = int(connection.execute(f"select count(*) from all_{name} where {where}").fetchone()[0])
    if rows:
        selection = ", ".join(quoted(column) for column in columns)
        query = f"select {selection} from all_{name} where not coalesce({where}, false)"
        write_query(connection, query, folder / f"{name}.kept", FILES[name])
    return rows


def _cut_vectors(connection: Any, folder: Path) -> None:
    """Ready-made vectors are in the order of the items: those of erased items go."""
    files = sorted((folder / "given").glob("*.npy"))
    if not files:
        return
    ids = [row[0] for row in _rows(connection, "select item_id in (select id from gone_items) from all_items")]
    keep = ~np.array(ids, dtype=bool)
    for path in files:
        aside = path.with_suffix(".part")
        with aside.open("wb") as file:
            np.save(file, np.load(path, allow_pickle=False)[keep])
        aside.replace(path)
