"""Where a media file is, and that it is where it may be."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from avrec.errors import MediaError
from avrec.settings import settings

LOCAL = ("file://", "local://")


def is_url(text: str) -> bool:
    """Whether `text` names something through fsspec and not a local path; `file://` is a local path."""
    return "://" in text and not text.startswith(LOCAL)


def locate(uri: str, root: str | None) -> str:
    """The address of a media file: a resolved local path, or an fsspec URL.

    Args:
        uri: Path below `root`, or an absolute fsspec URL.
        root: Folder or fsspec URL that relative paths are below; None allows only remote URLs.

    Raises:
        MediaError: the path leaves `root` (by `..`, as an absolute path, or through a link), or is not a file.
    """
    if is_url(uri):
        return uri
    if root is None:
        raise MediaError("local path without a media folder")
    if is_url(root):
        return _below_url(uri, root)
    return _below_folder(uri, root)


def _below_url(uri: str, root: str) -> str:
    if uri.startswith(("/", *LOCAL)) or ".." in Path(uri).parts:
        raise MediaError("path leaves the media folder")
    folder, chain, rest = root.partition("::")  # zip://FOLDER::ARCHIVE: the path belongs to the first link
    return f"{folder if folder.endswith('://') else folder.rstrip('/') + '/'}{uri}{chain}{rest}"


def _below_folder(uri: str, root: str) -> str:
    base = local_path(root).resolve()
    if "\0" in uri:
        raise MediaError("not a path")
    try:
        path = (base / local_path(uri)).resolve(strict=True)
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise MediaError("file not found") from error
    except (OSError, RuntimeError) as error:
        raise MediaError(f"cannot be opened: {_why(error)}") from error
    # DVC may check data out as links into its cache; those targets were put there by us.
    if not path.is_relative_to(base) and not path.is_relative_to(settings().dvc_cache.resolve()):
        raise MediaError("path leaves the media folder")
    if not stat.S_ISREG(mode):
        raise MediaError("not a regular file")
    return str(path)


def local_path(text: str) -> Path:
    """The path that a local path or `file://` address names."""
    return Path(unquote(urlsplit(text).path)) if text.startswith(LOCAL) else Path(text)


def _why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


def open_bytes(address: str, limit: int) -> tuple[BinaryIO, int]:
    """Opens what `locate` returned; the file object and its size in bytes.

    Raises:
        MediaError: cannot be opened, is empty, or holds more than `limit` bytes.
    """
    try:
        file, size = _open_url(address) if is_url(address) else _open_path(address)
    except MediaError:
        raise
    except Exception as error:  # fsspec backends raise what they like; a file must not end the run
        raise MediaError(f"cannot be opened: {_why(error)}") from error
    if size == 0 or size > limit:
        file.close()
        raise MediaError("empty file" if size == 0 else f"{size} bytes, the limit is {limit}")
    return file, size


def _open_path(address: str) -> tuple[BinaryIO, int]:
    path = Path(address)
    return path.open("rb"), path.stat().st_size


def _open_url(address: str) -> tuple[BinaryIO, int]:
    import fsspec

    fs, path = fsspec.core.url_to_fs(address)
    file: Any = fs.open(path, "rb")
    if not hasattr(file, "fs"):
        file.fs = fs  # some close what they opened as soon as nobody holds them
    size = getattr(file, "size", None)
    return file, int(size if size is not None else fs.size(path) or 0)
