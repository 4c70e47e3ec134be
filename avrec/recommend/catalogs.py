"""A catalogue that is newer than the training: the items of the model first, in their order, then what came since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from avrec.errors import DataError
from avrec.features.base import Features
from avrec.matching.data import Floats, Longs


def seconds(instants: pa.ChunkedArray) -> Longs:
    """Whole seconds since the epoch, int64; 0 where empty."""
    micros = pc.fill_null(instants.cast(pa.int64()), 0).to_numpy()
    return np.asarray(micros // 1_000_000, dtype=np.int64)


def unsafe_of(visual: Path, item_ids: Sequence[str]) -> Floats:
    """Probability of unsafe pictures of each item `[n]`, NaN where nobody judged.

    Args:
        visual: Folder of the stage features for `visual`; one without signals judges nothing.
        item_ids: Items in the order wanted.
    """
    path = visual / "signals.parquet"
    judged: dict[str, float | None] = {}
    if path.is_file():
        table = pq.read_table(path)
        if "safety" in table.column_names:
            judged = dict(zip(table["item_id"].to_pylist(), table["safety"].to_pylist(), strict=True))
    found = [judged.get(item) for item in item_ids]
    return np.array([np.nan if value is None else value for value in found], np.float32)


def extend_unsafe(old: Floats, new: Floats | None, rows: Longs) -> Floats:
    """As `extend_features`: the newer judgement where there is one."""
    found = np.full(len(rows), np.nan, np.float32)
    found[: len(old)] = old
    if new is not None:
        there = rows >= 0
        newer = np.where(there, new[np.maximum(rows, 0)], np.nan)
        found = np.where(np.isnan(newer), found, newer).astype(np.float32)
    return found


def extend_items(old: pa.Table, new: pa.Table) -> tuple[pa.Table, Longs]:
    """Old items in their order with the newer metadata where there is some, then the new ones.

    Returns:
        The merged table, and for each of its rows the row in `new` (-1 where only `old` has it), int64.
    """
    position = {item: row for row, item in enumerate(new["item_id"].to_pylist())}
    known = old["item_id"].to_pylist()
    update = np.array([position.get(item, -1) for item in known], dtype=np.int64)
    added = np.setdiff1d(np.arange(new.num_rows), update)
    both = pa.concat_tables([old, new])
    old_rows = np.where(update >= 0, len(known) + update, np.arange(len(known)))
    merged = both.take(pa.array(np.concatenate([old_rows, len(known) + added])))
    return merged.combine_chunks(), np.concatenate([update, added])


def extend_features(old: Mapping[str, Features], new: Mapping[str, Features], rows: Longs) -> dict[str, Features]:
    """Vectors in the order of `extend_items`: those of the training where it had them, else the newer ones.

    Raises:
        DataError: a modality comes in another length than the model was trained on.
    """
    return {name: _extend(name, values, new.get(name), rows) for name, values in old.items()}


def _extend(name: str, old: Features, new: Features | None, rows: Longs) -> Features:
    known = len(old.present)
    vectors = np.zeros((len(rows), old.dim), np.float32)
    present = np.zeros(len(rows), bool)
    vectors[:known], present[:known] = old.vectors, old.present
    if new is None:
        return Features(name, vectors, present)
    if new.dim != old.dim:
        raise DataError(f"features '{name}': the model was trained on vectors of {old.dim}, got {new.dim}.")
    vectors[known:], present[known:] = new.vectors[rows[known:]], new.present[rows[known:]]
    return Features(name, vectors, present)
