"""Files that only their owner may read, written in one step."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def private_folder(folder: Path) -> Path:
    """Makes `folder` with mode 0700, or takes group and others off an existing one."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def write_private(path: Path, text: str) -> None:
    """Replaces `path` by `text` with mode 0600; a reader sees the old or the new content, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def is_private(path: Path) -> bool:
    """Whether nobody but the owner may read or write it."""
    return not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
