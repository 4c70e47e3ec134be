"""What `avrec features extract` left in a folder, as tables."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from avrec.errors import DataError
from avrec.schema import ITEMS, SIGNALS


def folders_of(out: Path) -> dict[str, Path]:
    """The folder of each modality."""
    return {modality: out / modality for modality in ("visual", "audio", "speech")}


def items_of(out: Path) -> pa.Table:
    """The items of an extracted folder: their paths are their ids, and nobody gave them a title.

    Raises:
        DataError: `out` was not written by `avrec features extract`.
    """
    path = out / "signals.parquet"
    if not path.is_file():
        raise DataError(f"{path} is missing; give a folder that `avrec features extract` wrote.")
    ids = SIGNALS.conform(pq.read_table(path))["item_id"].to_pylist()
    rows = [{"item_id": item_id, "media_type": "video", "media_uri": item_id} for item_id in ids]
    return pa.Table.from_pylist(rows, schema=ITEMS.schema)
