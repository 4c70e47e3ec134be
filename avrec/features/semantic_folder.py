"""What lies in the folder of the semantic modality, told without loading what reads it."""

from __future__ import annotations

import json
from pathlib import Path

ENCODER = "encoder"
"""Folder of the encoder, below that of the tables."""
INFO, WEIGHTS = "semantic.json", "semantic.npz"


def is_encoded(folder: Path) -> bool:
    """Whether the stage wrote vectors into `folder`; where params name no encoder it writes none."""
    return (folder / ENCODER / INFO).is_file()


def encoder_hash(folder: Path) -> str | None:
    """What the weights of a saved encoder hash to; None where there is none. Vectors of two encoders do not compare."""
    path = folder / INFO
    return str(json.loads(path.read_text(encoding="utf-8"))["sha256"]) if path.is_file() else None
