"""The inbox: batches of new data arrive as folders, and count once `_READY` is in them.

A folder is taken whole or not at all. Whoever fills it writes `_READY` last; the file may be empty, or hold the SHA-256
of every other file as JSON, `{"files": {"items.csv": "…"}}`, which is then checked. A batch that was taken is marked
`_TAKEN` before it is removed, one that cannot be used `_REFUSED`, with the reason in the file: it waits for a person.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from avrec.datasets.hashing import sha256_of
from avrec.errors import DataError

READY, TAKEN, REFUSED = "_READY", "_TAKEN", "_REFUSED"
MARKS = (READY, TAKEN, REFUSED)


class Inbox:
    """Batches below a folder or an fsspec URL.

    Example:
        ```python
        inbox = Inbox("s3://bucket/inbox")
        for name in inbox.ready():
            with inbox.opened(name) as folder:
                digest = batch_hash(folder)
        ```
    """

    def __init__(self, url: str) -> None:
        import fsspec

        self.url = url
        self.fs, root = fsspec.core.url_to_fs(url)
        self.root = root.rstrip("/")

    def ready(self) -> list[str]:
        """Names of the batches that wait, in the order of their names."""
        marks = self._marks()
        return [name for name, found in sorted(marks.items()) if READY in found and not found & {TAKEN, REFUSED}]

    def taken(self) -> list[str]:
        """Names of the batches that were taken and are not yet removed."""
        return [name for name, found in sorted(self._marks().items()) if TAKEN in found]

    def refused(self) -> dict[str, str]:
        """Names of the batches that wait for a person, with the reason."""
        marks = self._marks()
        return {n: self._read(f"{n}/{REFUSED}").decode() for n, found in sorted(marks.items()) if REFUSED in found}

    @contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        """The batch as a local folder: where it lies, or fetched for a while.

        Raises:
            DataError: it holds a link, or is not what its own `_READY` says.
        """
        if self.local:
            folder = Path(self.root) / name
            _check(folder)
            yield folder
            return
        with tempfile.TemporaryDirectory(prefix="avrec-batch-") as scratch:
            folder = Path(scratch) / name
            for remote in sorted(self.fs.find(f"{self.root}/{name}")):
                path = folder / remote.removeprefix(f"{self.root}/{name}/")
                path.parent.mkdir(parents=True, exist_ok=True)
                self.fs.get_file(remote, str(path))
            _check(folder)
            yield folder

    def take(self, name: str, digest: str) -> None:
        """Marks a batch as taken: from now on it is only to be removed."""
        self._write(f"{name}/{TAKEN}", digest)

    def refuse(self, name: str, reason: str) -> None:
        """Marks a batch as not usable. Removing the file `_REFUSED` offers it again."""
        self._write(f"{name}/{REFUSED}", reason + "\n")

    def remove(self, name: str) -> None:
        """Removes a taken batch; the marks go last, so that half a batch never looks like one that waits."""
        folder = f"{self.root}/{name}"
        self.fs.invalidate_cache()
        files = sorted(self.fs.find(folder), key=lambda path: path.rsplit("/", 1)[-1] in MARKS)
        for path in (f for f in files if not f.endswith(f"/{TAKEN}")):
            self.fs.rm_file(path)
        if self.local:
            self.fs.rm(folder, recursive=True)
        else:
            self.fs.rm_file(f"{folder}/{TAKEN}")

    @property
    def local(self) -> bool:
        protocol = self.fs.protocol
        return "file" in ((protocol,) if isinstance(protocol, str) else protocol)

    def _marks(self) -> dict[str, set[str]]:
        self.fs.invalidate_cache()
        if not self.fs.exists(self.root):
            return {}
        found: dict[str, set[str]] = {}
        for entry in self.fs.ls(self.root, detail=True):
            name = entry["name"].rstrip("/").rsplit("/", 1)[-1]
            if entry["type"] == "directory" and not name.startswith((".", "_")):
                inside = {path.rstrip("/").rsplit("/", 1)[-1] for path in self.fs.ls(entry["name"], detail=False)}
                found[name] = inside & set(MARKS)
        return found

    def _read(self, name: str) -> bytes:
        data: bytes = self.fs.cat_file(f"{self.root}/{name}")
        return data

    def _write(self, name: str, text: str) -> None:
        self.fs.pipe_file(f"{self.root}/{name}", text.encode())


def batch_hash(folder: Path) -> str:
    """SHA-256 over names and contents of everything in a batch but its marks: what the batch is known by."""
    digest = hashlib.sha256()
    for path in _files(folder):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256_of(path)}\n".encode())
    return digest.hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in MARKS)


def _check(folder: Path) -> None:
    links = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink()]
    if links:
        raise DataError(f"batch {folder.name}: {links[0]} is a link; a batch holds files.")
    said = (folder / READY).read_bytes().strip() if (folder / READY).is_file() else b""
    if said:
        _check_manifest(folder, said)


def _check_manifest(folder: Path, said: bytes) -> None:
    try:
        wanted: dict[str, Any] = dict(json.loads(said)["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f'batch {folder.name}: {READY} is neither empty nor {{"files": {{NAME: SHA-256}}}}.') from error
    there = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    for name in sorted({*wanted, *there}):
        if name not in there:
            raise DataError(f"batch {folder.name}: {name} is missing, although {READY} lists it.")
        if name not in wanted:
            raise DataError(f"batch {folder.name}: {name} is not listed in {READY}.")
        if sha256_of(there[name]) != wanted[name]:
            raise DataError(f"batch {folder.name}: {name} is not what {READY} says; send the batch again.")
