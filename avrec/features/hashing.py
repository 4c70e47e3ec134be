"""Hashes of media files, remembered by path, size, time and inode, so that an unchanged file is not read again."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

from avrec.errors import MediaError
from avrec.media.location import is_url, locate, open_bytes
from avrec.settings import settings

CHUNK = 1 << 20


class HashCache:
    """SHA-256 of files. The cache is a SQLite file in the home; losing it costs reading, never a wrong answer."""

    def __init__(self) -> None:
        path = settings().home / "hashes.db"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=30.0, isolation_level=None)
        self._db.execute("pragma journal_mode=wal")
        self._db.execute(
            "create table if not exists hashes (path text primary key, size int, mtime int, inode int, sha256 text)"
        )
        self._known: dict[str, tuple[int, int, int, str]] = {
            row[0]: row[1:] for row in self._db.execute("select path, size, mtime, inode, sha256 from hashes")
        }
        self._new: dict[str, tuple[int, int, int, str]] = {}

    def sha256(self, uri: str, root: str | None, limit: int) -> str:
        """The hash of a file's bytes.

        Raises:
            MediaError: the file is not where it may be, is empty, or holds more than `limit` bytes.
        """
        address = locate(uri, root)
        if is_url(address):
            return _digest(address, limit)
        stat = Path(address).stat()
        stamp = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        known = self._known.get(address)
        if known is not None and known[:3] == stamp and stat.st_size:
            return known[3]
        digest = _digest(address, limit)
        self._known[address] = self._new[address] = (*stamp, digest)
        return digest

    def close(self) -> None:
        """Writes what was learnt."""
        rows = [(path, *values) for path, values in self._new.items()]
        with self._db:
            self._db.executemany("insert or replace into hashes values (?, ?, ?, ?, ?)", rows)
        self._db.close()


def _digest(address: str, limit: int) -> str:
    file, _ = open_bytes(address, limit)
    digest = hashlib.sha256()
    try:
        with file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise MediaError(f"cannot be read: {error.strerror or type(error).__name__}") from error
    return digest.hexdigest()
