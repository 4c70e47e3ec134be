"""Looks for texts in everything that is stored: inside Parquet, archives, compressed files, databases and free pages.

Finding a planted mark before an erasure and not finding it afterwards is the proof of the erasure.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from avrec.errors import DataError

PIECE = 1 << 22
LONGEST = 64 << 20
"""Bytes unpacked of one member of an archive at most: a bomb is no hiding place worth a machine."""
DEEPEST = 3


@dataclass(frozen=True)
class Hit:
    """A mark, and the file (and member) it is in."""

    mark: str
    where: str


class Scanner:
    """Searches files for marks, in UTF-8, UTF-16 and UTF-32 (as NumPy stores text), and as JSON spells them.

    Args:
        marks: Texts of at least four characters.

    Example:
        ```python
        hits = Scanner(["anna@example.org"]).folders([Path("var")])
        ```
    """

    def __init__(self, marks: Sequence[str]) -> None:
        short = [mark for mark in marks if len(mark) < 4]
        if short or not marks:
            raise DataError(f"marks: expected texts of at least 4 characters, got {list(marks)}.")
        self._spellings: dict[bytes, str] = {}
        for mark in marks:
            for text in {mark, json.dumps(mark)[1:-1]}:
                for encoding in ("utf-8", "utf-16-le", "utf-32-le", "utf-32-be"):
                    self._spellings[text.encode(encoding)] = mark
        self._pattern = re.compile(b"|".join(re.escape(s) for s in sorted(self._spellings, key=len, reverse=True)))
        self._overlap = max(len(s) for s in self._spellings)

    def folders(self, folders: Iterable[Path | str]) -> list[Hit]:
        """Every file below some folders or fsspec URLs, names included."""
        return [hit for folder in folders for hit in self._folder(str(folder))]

    def file(self, path: Path) -> list[Hit]:
        with path.open("rb") as file:
            return self._unique(self._stream(file, str(path), 0), str(path))

    def _folder(self, url: str) -> Iterator[Hit]:
        import fsspec

        fs, root = fsspec.core.url_to_fs(url)
        if not fs.exists(root):
            return
        paths = [root] if fs.isfile(root) else sorted(fs.find(root))
        for path in paths:
            name = str(path)
            yield from self._unique(self._found(name.removeprefix(root).encode()), f"name of {name}")
            try:
                with fs.open(name, "rb") as file:
                    yield from self._unique(self._stream(file, name, 0), name)
            except FileNotFoundError:  # gone since: a log that was rotated, a file that was written aside
                continue
            except IsADirectoryError:  # a link to a folder (Airflow's `latest` log); its files are read where they lie
                continue

    def _unique(self, found: Iterable[str], where: str) -> list[Hit]:
        return [Hit(mark, where) for mark in dict.fromkeys(found)]

    def _found(self, data: bytes) -> Iterator[str]:
        for match in self._pattern.finditer(data):
            yield self._spellings[match.group()]

    def _stream(self, file: BinaryIO, name: str, depth: int) -> Iterator[str]:
        """Marks in a seekable stream: as the bytes are, and as what they unpack to."""
        head = file.read(16)
        file.seek(0)
        before = b""
        while piece := file.read(PIECE):
            yield from self._found(before + piece)
            before = piece[-self._overlap :]
        file.seek(0)
        if depth < DEEPEST:
            yield from self._inside(file, head, name, depth)

    def _inside(self, file: BinaryIO, head: bytes, name: str, depth: int) -> Iterator[str]:
        if head.startswith(b"PAR1"):
            yield from self._parquet(file)
        elif head.startswith(b"PK\x03\x04"):
            yield from self._zip(file, name, depth)
        elif head.startswith(b"\x1f\x8b"):
            yield from self._unpacked(lambda: gzip.GzipFile(fileobj=file).read(LONGEST), name, depth)
        elif head[:1] == b"\x78" and (head[0] << 8 | head[1]) % 31 == 0:  # zlib: git's objects
            yield from self._unpacked(lambda: zlib.decompressobj().decompress(file.read(), LONGEST), name, depth)
        elif head.startswith(b"\x28\xb5\x2f\xfd"):
            import pyarrow as pa

            yield from self._unpacked(lambda: bytes(pa.CompressedInputStream(file, "zstd").read(LONGEST)), name, depth)
        elif head.startswith(b"SQLite format 3") and Path(name).is_file():
            yield from self._sqlite(name)

    def _unpacked(self, read: object, name: str, depth: int) -> Iterator[str]:
        try:
            data = read()  # type: ignore[operator]
        except (OSError, EOFError, zlib.error, ValueError):  # looked packed and is not
            return
        yield from self._stream(io.BytesIO(data), name, depth + 1)

    def _zip(self, file: BinaryIO, name: str, depth: int) -> Iterator[str]:
        try:
            with zipfile.ZipFile(file) as archive:
                for member in archive.infolist():
                    with archive.open(member) as inner:
                        yield from self._stream(io.BytesIO(inner.read(LONGEST)), f"{name}/{member.filename}", depth + 1)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError):
            return

    def _parquet(self, file: BinaryIO) -> Iterator[str]:
        """Every text of every column, nested ones too: pages are compressed, so that the bytes say nothing."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            parquet = pq.ParquetFile(file)
            for batch in parquet.iter_batches():
                for column in batch.columns:
                    yield from self._texts(column)
        except (pa.ArrowException, OSError):
            return

    def _texts(self, column: object) -> Iterator[str]:
        import pyarrow as pa
        import pyarrow.compute as pc

        kind = column.type  # type: ignore[attr-defined]
        if pa.types.is_dictionary(kind):
            yield from self._texts(column.dictionary)  # type: ignore[attr-defined]
        elif pa.types.is_nested(kind):
            for inner in column.flatten() if hasattr(column, "flatten") else ():
                if isinstance(inner, pa.Array):
                    yield from self._texts(inner)
                    if pa.types.is_list(kind):
                        return
        elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
            for value in pc.unique(column).to_pylist():
                if value is not None:
                    yield from self._found(value if isinstance(value, bytes) else value.encode())

    def _sqlite(self, name: str) -> Iterator[str]:
        """Live rows: a long text lies on pages that are not neighbours. Free pages are among the bytes read before."""
        import sqlite3

        try:
            with closing(sqlite3.connect(f"file:{name}?mode=ro", uri=True, timeout=60)) as connection:
                connection.text_factory = bytes
                for table in [
                    r[0].decode() for r in connection.execute("select name from sqlite_master where type = 'table'")
                ]:
                    for row in connection.execute(f'select * from "{table}"'):
                        for value in row:
                            if isinstance(value, bytes):
                                yield from self._found(value)
        except sqlite3.Error:
            return
