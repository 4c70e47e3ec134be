"""Traces outside the tables: log lines, and texts and free pages of SQLite databases."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path

from avrec.errors import PlatformError
from avrec.privacy.pseudonyms import LENGTH
from avrec.privacy.receipts import Subjects

PSEUDONYM = re.compile(rb"(?<![0-9A-Za-z])u[0-9a-f]{%d}(?![0-9A-Za-z])" % LENGTH)
WAIT_S = 60.0
DAY_S = 86400.0


class Redaction:
    """Overwrites what gives an erased person away, letter by letter, so that nothing else moves.

    Args:
        subjects: Who is erased: their pseudonyms are recognised wherever they stand.
        marks: Further texts, such as the raw id of a request.
    """

    def __init__(self, subjects: Subjects, marks: Sequence[str] = ()) -> None:
        self._subjects = subjects
        spelled = sorted({mark.encode() for mark in marks if mark}, key=len, reverse=True)
        # A short id must not eat the middle of other words.
        words = [rb"(?<![0-9A-Za-z])" + re.escape(mark) + rb"(?![0-9A-Za-z])" for mark in spelled]
        self._marks = re.compile(b"|".join(words)) if words else None
        self._known: dict[bytes, bool] = {}

    def of(self, text: bytes) -> bytes:
        """The text with every trace replaced by as many `x`."""
        if self._marks is not None:
            text = self._marks.sub(_crossed, text)
        return PSEUDONYM.sub(lambda found: _crossed(found) if self._erased(found.group()) else found.group(), text)

    def _erased(self, pseudonym: bytes) -> bool:
        if pseudonym not in self._known:
            self._known[pseudonym] = bool(self._subjects.people_in([pseudonym.decode()]))
        return self._known[pseudonym]

    def files(self, folders: Iterable[Path]) -> int:
        """Crosses out in every file below some folders, in place: a server may be writing to it. Returns how many."""
        return sum(self._file(path) for folder in folders for path in sorted(folder.rglob("*")) if path.is_file())

    def _file(self, path: Path) -> int:
        changed = 0
        with path.open("r+b") as file:
            position = 0
            for line in iter(file.readline, b""):
                crossed = self.of(line)
                if crossed != line:
                    file.seek(position)
                    file.write(crossed)
                    changed = 1
                position += len(line)
                file.seek(position)
        return changed

    def databases(self, paths: Iterable[Path]) -> int:
        """Crosses out in every text of some SQLite databases and gives their free pages back. Returns changed rows.

        Raises:
            PlatformError: a database stays locked.
        """
        return sum(_database(path, self.of) for path in paths)


def sqlite_files(folder: Path) -> list[Path]:
    """The SQLite databases below a folder."""
    return [path for path in sorted(folder.rglob("*.db")) if path.is_file() and _is_sqlite(path)]


def remove_old(folders: Iterable[Path], days: int, now: float | None = None) -> int:
    """Removes files nobody has written to for so many days; returns how many."""
    limit = (time.time() if now is None else now) - days * DAY_S
    old = [p for f in folders for p in sorted(f.rglob("*")) if p.is_file() and p.stat().st_mtime < limit]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def _database(path: Path, redact: Callable[[bytes], bytes]) -> int:
    try:
        with closing(sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)) as connection:
            connection.execute("pragma secure_delete = on")
            connection.create_function("redact", 1, lambda value: _redacted(value, redact), deterministic=True)
            tables = "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'"
            changed = sum(_table(connection, row[0]) for row in connection.execute(tables).fetchall())
            connection.execute("vacuum")  # also what was deleted before somebody turned secure_delete on
            connection.execute("pragma wal_checkpoint(truncate)")
            return changed
    except sqlite3.OperationalError as error:
        raise PlatformError(
            f"{path} cannot be cleaned: {error}. Stop what uses it (`avrec down`) and run `avrec forget --due` again."
        ) from error


def _table(connection: sqlite3.Connection, name: str) -> int:
    quoted = '"' + name.replace('"', '""') + '"'
    changed: int = 0
    for column in [row[1] for row in connection.execute(f"pragma table_info({quoted})").fetchall()]:
        field = '"' + column.replace('"', '""') + '"'
        spoken = f"typeof({field}) in ('text', 'blob') and redact({field}) is not {field}"
        changed += connection.execute(f"update {quoted} set {field} = redact({field}) where {spoken}").rowcount
    return changed


def _redacted(value: str | bytes, redact: Callable[[bytes], bytes]) -> str | bytes:
    if isinstance(value, bytes):
        return redact(value)
    return redact(value.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _crossed(found: re.Match[bytes]) -> bytes:
    return b"x" * len(found.group())
