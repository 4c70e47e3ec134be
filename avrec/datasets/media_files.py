"""Media of outside sources: found, kept within their folder, and hashed where they are. Nothing is copied."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from avrec.datasets.hashing import sha256_of_stream

VIDEO = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".3gp", ".flv", ".wmv", ".mpg", ".mpeg", ".ogv"}
)
AUDIO = frozenset({".mp3", ".wav", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".amr", ".wma", ".aiff"})
REMOTE = frozenset({"http", "https", "s3", "gs", "gcs", "az", "abfs", "abfss"})
"""Schemes of URLs a table may name. `file` and chained URLs would leave the folder."""
METADATA = frozenset({"metadata", "metadata.google.internal"})
"""Where machines in a cloud ask for their own secrets; by number it is a link-local address."""


def escape(root: Path, uri: str) -> str | None:
    """Why a path may not be used, None where it may: below `root`, links followed, or a remote URL."""
    if "://" in uri:
        return _distrusted(uri)
    if "\\" in uri or "\0" in uri:
        return f"media_uri '{uri}' holds a character that no path here may hold"
    path = PurePosixPath(uri)
    if path.is_absolute() or ".." in path.parts:
        return f"media_uri '{uri}' leaves the media folder"
    try:
        inside = (root / path).resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:  # a loop of links, a name that is too long
        return f"media_uri '{uri}' cannot be followed: {error}"
    return None if inside else f"media_uri '{uri}' is a link that leaves the media folder"


def _distrusted(uri: str) -> str | None:
    """Why a URL is not asked for, None where it is: no chain of schemes, no door to what only this machine can see."""
    if uri.partition("://")[0].lower() not in REMOTE or "::" in uri:
        return f"media_uri '{uri}': expected a path, or a URL of {', '.join(sorted(REMOTE))}"
    try:
        host = urlsplit(uri).hostname or ""
        inner = host in METADATA or ip_address(host).is_link_local
    except ValueError:  # a name, not an address
        inner = False
    return f"media_uri '{uri}' is an address of the machine's own, not of a file" if inner else None


def media_below(root: Path) -> Iterator[str]:
    """Paths below `root` of files that look like media by their name, sorted; hidden ones are left out."""
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if (
            path.suffix.lower() in VIDEO | AUDIO
            and not any(part.startswith(".") for part in relative.parts)
            and path.is_file()
        ):
            yield relative.as_posix()


def hash_all(root: Path, uris: Sequence[str], progress: Callable[[int, int], None]) -> list[str | None]:
    """SHA-256 of every file, in order; None where it is missing or cannot be read.

    Args:
        root: Folder they are below.
        uris: Paths and URLs that passed `escape`.
        progress: Called with how many of how many are done.
    """
    digests: list[str | None] = []
    with ThreadPoolExecutor(4) as pool:  # hashing and reading let go of the interpreter lock
        for digest in pool.map(lambda uri: _hash(root, uri), uris):
            digests.append(digest)
            progress(len(digests), len(uris))
    return digests


def _hash(root: Path, uri: str) -> str | None:
    import fsspec

    try:
        with fsspec.open(uri if "://" in uri else str(root / uri), "rb") as file:
            return sha256_of_stream(file)
    except (OSError, ImportError, ValueError):  # missing, not allowed, or a store whose client is not installed
        return None
