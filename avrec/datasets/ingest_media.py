"""The media of ingested items, by content: a batch comes and goes, its media stay, and the same file is kept once."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path, PurePosixPath

from avrec.datasets.hashing import sha256_of
from avrec.errors import DataError

CHUNK = 1 << 20


class MediaStore:
    """A folder or fsspec URL of files `ab/abcd….mp4`.

    Example:
        ```python
        store = MediaStore("/data/media")
        store.put("inbox/monday/clip.mp4", digest)  # 'ab/abcd….mp4'
        ```
    """

    def __init__(self, url: str) -> None:
        import fsspec

        self.root = url if "://" in url else str(Path(url).resolve())
        self.fs, root = fsspec.core.url_to_fs(self.root)
        self._base = root.rstrip("/")

    def uri(self, source: str, sha256: str) -> str:
        """Path below the store of a file with this content; the suffix says what it is."""
        return f"{sha256[:2]}/{sha256}{PurePosixPath(source).suffix.lower()}"

    def put(self, source: str, sha256: str) -> str:
        """Copies a file whole or not at all, and returns its path below the store; one that is there costs nothing.

        Args:
            source: Local path or fsspec URL.
            sha256: Its content, as hashed before.

        Raises:
            DataError: the file is another one by now.
        """
        uri = self.uri(source, sha256)
        target = f"{self._base}/{uri}"
        if not self.fs.exists(target):
            self._copy(source, target, sha256)
        return uri

    def _copy(self, source: str, target: str, sha256: str) -> None:
        import fsspec

        local = "://" not in self.root
        if not local:
            with fsspec.open(source, "rb") as file, self.fs.open(target, "wb") as out:
                shutil.copyfileobj(file, out, CHUNK)
            return
        path = Path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        try:
            with fsspec.open(source, "rb") as file, aside.open("wb") as out:
                shutil.copyfileobj(file, out, CHUNK)
            if sha256_of(aside) != sha256:
                raise DataError(f"{source} changed while it was read; send its batch again.")
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
