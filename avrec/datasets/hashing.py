"""Content hashes of files, read in pieces so that size does not matter."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

PIECE = 1 << 20


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as file:
        return sha256_of_stream(file)


def sha256_of_stream(file: BinaryIO) -> str:
    """SHA-256 of what is left to read, 64 hex digits."""
    digest = hashlib.sha256()
    while piece := file.read(PIECE):
        digest.update(piece)
    return digest.hexdigest()
