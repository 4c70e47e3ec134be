"""Files of publications on any fsspec file system: the few operations that publishing needs, each safe to repeat."""

from __future__ import annotations

import contextlib
import hashlib
import io
import time
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


class Store:
    """A folder on a local disk or an object store.

    Example:
        ```python
        store = Store("s3://bucket/publications")
        store.write("run_date=2026-03-01/CURRENT", b"id")
        ```
    """

    def __init__(self, url: str) -> None:
        import fsspec

        self.url = url
        self.fs, self.root = fsspec.core.url_to_fs(url)

    def path(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}"

    def exists(self, name: str) -> bool:
        self.fs.invalidate_cache()  # another process may have written it
        return bool(self.fs.exists(self.path(name)))

    def names(self, folder: str) -> list[str]:
        """Names of the files in a folder, sorted; empty where there is none. Unfinished files are left out."""
        if not self.exists(folder):
            return []
        found = [entry["name"].rsplit("/", 1)[-1] for entry in self.fs.ls(self.path(folder), detail=True)]
        return sorted(name for name in found if not name.startswith("."))

    def read(self, name: str) -> bytes:
        data: bytes = self.fs.cat_file(self.path(name))
        return data

    def write(self, name: str, data: bytes) -> None:
        """Writes a file whole or not at all: an object store does that itself, a disk by a rename."""
        if self.local:
            self._aside(name, data).replace(self.path(name))
        else:
            self.fs.pipe_file(self.path(name), data)

    def create(self, name: str, data: bytes) -> bool:
        """Writes a file unless it is there; of several at once exactly one gets True."""
        if not self.local:
            try:
                self.fs.pipe_file(self.path(name), data, mode="create")
            except FileExistsError:
                return False
            return True
        aside = self._aside(name, data)
        try:
            Path(self.path(name)).hardlink_to(aside)
        except FileExistsError:
            return False
        finally:
            aside.unlink()
        return True

    @property
    def local(self) -> bool:
        protocol = self.fs.protocol
        return "file" in ((protocol,) if isinstance(protocol, str) else protocol)

    def _aside(self, name: str, data: bytes) -> Path:
        target = Path(self.path(name))
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
        try:
            aside.write_bytes(data)
        except OSError:  # a full disk: what could be written must not go on taking the room
            aside.unlink(missing_ok=True)
            raise
        return aside

    def sweep(self, older_than_s: float = 3600.0) -> int:
        """Removes what killed writers left unfinished on a disk; returns how many. A live one is younger than that."""
        if not self.local:
            return 0  # an object store shows no unfinished file
        limit = time.time() - older_than_s
        left = [p for p in Path(self.root).rglob(".*") if p.is_file() and p.stat().st_mtime < limit]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def read_table(self, name: str) -> pa.Table:
        return pq.read_table(io.BytesIO(self.read(name)))

    def write_table(self, name: str, table: pa.Table) -> str:
        """Writes a table as Parquet and returns the SHA-256 of its bytes; equal tables give equal bytes."""
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd", store_schema=False)
        data = buffer.getvalue()
        self.write(name, data)
        return hashlib.sha256(data).hexdigest()

    def hash(self, name: str) -> str:
        return hashlib.sha256(self.read(name)).hexdigest()

    def copy(self, source: str, target: str) -> None:
        self.write(target, self.read(source))

    def remove(self, folder: str) -> None:
        """Removes a folder and all in it; nothing happens where there is none, or another removes it just now."""
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm(self.path(folder), recursive=True)
