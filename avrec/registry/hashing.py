"""Hashes of what is registered: DVC's, to name data and models; SHA-256, to trust a file before it is loaded."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from avrec.errors import RegistryError

_ADDED_BY_MLFLOW = frozenset({"registered_model_meta"})  # written beside a model when it is downloaded


def dvc_md5(path: Path) -> str:
    """The hash DVC 3 gives a file or a folder (`....dir`), as it stands in `dvc.lock`.

    Raises:
        RegistryError: nothing is at `path`.
    """
    if path.is_file():
        return _digest(path, "md5")
    if not path.is_dir():
        raise RegistryError(f"{path} is missing; run `dvc repro`, or `dvc pull {path}`.")
    entries = [{"md5": _digest(file, "md5"), "relpath": name} for name, file in _files(path)]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def tree_sha256(folder: Path) -> str:
    """SHA-256 over names and contents of all files of a folder; independent of dates and of MLflow's own additions."""
    entries = [(name, _digest(file, "sha256")) for name, file in _files(folder) if name not in _ADDED_BY_MLFLOW]
    if not entries:
        raise RegistryError(f"{folder} holds no file to hash; was the model uploaded completely?")
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()


def _files(folder: Path) -> list[tuple[str, Path]]:
    files = ((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())
    return sorted(files)


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=algorithm != "md5")).hexdigest()
