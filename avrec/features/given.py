"""Vectors that came with the data set: the same tables, without an extractor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avrec.errors import DataError
from avrec.features.base import Extraction, Vectors, partition_of
from avrec.features.collect import PARTITIONS, FeatureWriter


def collect_given(item_ids: Sequence[str], vectors_file: Path, modality: str, out: Path) -> dict[str, Any]:
    """Writes `vectors_file` (float32 `[n_items, dim]` in item order, a row of NaN is missing) as feature tables.

    Raises:
        DataError: the file is missing or not such an array.
    """
    try:
        vectors = np.load(vectors_file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{vectors_file} cannot be read as an array: {error}") from error
    if vectors.ndim != 2 or len(vectors) != len(item_ids):
        raise DataError(f"{vectors_file}: shape {vectors.shape}, expected [{len(item_ids)}, dim], a row an item.")
    writer = FeatureWriter(out, modality, vectors.shape[1])
    rows: list[list[tuple[str, Extraction]]] = [[] for _ in range(PARTITIONS)]
    for item_id, vector in zip(item_ids, vectors.astype(np.float32), strict=True):
        rows[partition_of(item_id, PARTITIONS)].append((item_id, _extraction(vector)))
    for number, members in enumerate(rows):
        writer.partition(number, members)
    return writer.close(item_ids)


def _extraction(vector: Vectors) -> Extraction:
    if not np.isfinite(vector).all():
        return Extraction.missing("no vector given", len(vector))
    none = np.zeros(0, np.float32)
    return Extraction(vector, np.zeros((0, len(vector)), np.float32), none, none)
