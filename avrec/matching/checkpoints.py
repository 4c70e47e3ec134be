"""Where an interrupted training goes on: a file beside the other state of this machine, keyed by what is learned from.

A checkpoint can change no result: batches and drop-outs are drawn from the number of the epoch, so training that goes
on from one ends with the same weights as training that was never interrupted.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from avrec.matching.base import Matcher, save_arrays
from avrec.matching.data import Arrays, Catalog, Interactions
from avrec.settings import settings

KEPT_DAYS = 14
"""Checkpoints of trainings that nobody went on with are removed after so long."""


class Checkpoint:
    """One file, replaced whole.

    Args:
        key: Names it; `training_key`.
        seconds: Time between two writes; None for `AVREC_CHECKPOINT_SECONDS`.
    """

    def __init__(self, key: str, seconds: float | None = None) -> None:
        now = settings()
        self.path = now.home / "checkpoints" / f"{key}.npz"
        self.seconds = now.checkpoint_seconds if seconds is None else seconds
        self._written = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self._written >= self.seconds

    def write(self, arrays: Arrays, info: dict[str, Any]) -> None:
        """Puts arrays and JSON values in the place of what was there; a kill leaves the old file or the new one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_suffix(f".{os.getpid()}.part")
        save_arrays(aside, {**arrays, "info": np.array([json.dumps(info)])})
        aside.replace(self.path)
        self._written = time.monotonic()

    def read(self) -> tuple[Arrays, dict[str, Any]] | None:
        """What was written last; None where nothing was, or where it cannot be read."""
        try:
            with np.load(self.path, allow_pickle=False) as found:
                arrays = dict(found)
        except FileNotFoundError:
            return None
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            print(f"{self.path} cannot be read ({error}); training starts anew.", file=sys.stderr, flush=True)
            return None
        info = json.loads(arrays.pop("info").item())
        print(f"going on after epoch {len(info['epochs'])} from {self.path}", file=sys.stderr, flush=True)
        return arrays, info

    def remove(self) -> None:
        """Removes it, and what others left behind long ago."""
        self.path.unlink(missing_ok=True)
        if self.path.parent.is_dir():
            for path in self.path.parent.iterdir():
                if time.time() - path.stat().st_mtime > KEPT_DAYS * 86_400:
                    path.unlink(missing_ok=True)


def training_key(matcher: Matcher, catalog: Catalog, train: Interactions, validation: Interactions | None) -> str:
    """Name of a training: the matcher, its settings, everything it learns from, and the code that trains."""
    digest = hashlib.sha256(json.dumps([matcher.name, matcher.settings()], sort_keys=True).encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    add_data(digest, catalog, *(part for part in (train, validation) if part is not None))
    return f"{matcher.name}-{digest.hexdigest()[:24]}"


def add_data(digest: Any, catalog: Catalog, *parts: Interactions) -> None:
    """Adds what can be learned from to a digest of hashlib."""
    for name, features in sorted(catalog.features.items()):
        for array in (np.array(name), features.vectors, features.present):
            _add(digest, array)
    for part in parts:
        for array in (part.user, part.item, part.timestamp, part.label, part.weight):
            _add(digest, array)


def _add(digest: Any, array: np.ndarray[Any, Any]) -> None:
    digest.update(str((array.dtype, array.shape)).encode())
    digest.update(np.ascontiguousarray(array).tobytes())
