"""Hashes of media files, remembered by path, size, time and inode, so that an unchanged file is not read again."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path

from avrec.errors import MediaError
from avrec.media.location import is_url, locate, open_bytes
from avrec.settings import settings

CHUNK = 1 << 20
CHANGES = ("ETag", "etag", "md5Hash", "content_md5", "CRC", "mtime", "LastModified", "last_modified")
"""What stores say of a file that is new when its content is: S3, GCS, Azure, HTTP, archives, other machines."""


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
            MediaError: the file is not where it may be, is empty, holds more than `limit` bytes, or has a name that no
                table can hold.
        """
        if not _encodable(uri):
            raise MediaError("its name is not UTF-8; rename it")
        address = locate(uri, root)
        stamp = _remote_stamp(address) if is_url(address) else _stamp(address)
        known = self._known.get(address)
        if known is not None and known[:3] == stamp and known[0]:
            return known[3]
        digest = _digest(address, limit)
        if stamp is not None:
            self._known[address] = self._new[address] = (*stamp, digest)
        return digest

    def close(self) -> None:
        """Writes what was learnt."""
        rows = [(path, *values) for path, values in self._new.items()]
        with self._db:
            self._db.executemany("insert or replace into hashes values (?, ?, ?, ?, ?)", rows)
        self._db.close()


def _encodable(uri: str) -> bool:
    try:
        uri.encode("utf-8")
    except UnicodeEncodeError:  # bytes of a file name that are no text
        return False
    return True


def _stamp(path: str) -> tuple[int, int, int]:
    stat = Path(path).stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _remote_stamp(address: str) -> tuple[int, int, int] | None:
    """Size and a hash of what the store says changes with the content; None where it says nothing of the kind."""
    import fsspec

    try:
        fs, path = fsspec.core.url_to_fs(address)
        info = fs.info(path)
    except Exception:  # fsspec backends raise what they like; reading will say what is wrong
        return None
    marks = sorted((name, str(info[name])) for name in CHANGES if info.get(name))
    digest = hashlib.sha256(json.dumps(marks).encode()).digest()
    return (int(info.get("size") or 0), int.from_bytes(digest[:7], "big"), 0) if marks else None


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
