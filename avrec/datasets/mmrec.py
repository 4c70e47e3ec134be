"""The source `mmrec`: pairs with a given split and ready-made vectors, the layout of multimodal recommendation papers.

`train.csv` and `val.csv` (and `test.csv`, where it is not kept back) hold `user_id,item_id` a line; `image_feat.npy`,
`audio_feat.npy` and `text_feat.npy` hold one row an item. Items are numbered: item 5 is row 5 of every array. Every
pair is a positive; there are no true negatives and no time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from avrec.datasets.outside import Columns, OutsideSource, Raw, csv_table
from avrec.errors import DataError

FILES = {"visual": "image_feat.npy", "audio": "audio_feat.npy", "text": "text_feat.npy"}


class MmrecSource(OutsideSource):
    """Reads a folder such as those of DiffMM, MMRec or LATTICE, pairs as CSV."""

    name = "mmrec"

    def read(self, path: Path, connection: Any, columns: Columns) -> Raw:
        given = {modality: path / name for modality, name in FILES.items() if (path / name).is_file()}
        sizes = {modality: _rows(file) for modality, file in given.items()}
        if len(set(sizes.values())) > 1:
            raise DataError(f"{path}: the vectors are of different numbers of items {sizes}; expected one number.")
        parts = [part for part in ("train", "val", "test") if (path / f"{part}.csv").is_file()]
        if "train" not in parts or len(parts) < 2:
            raise DataError(f"{path}: expected train.csv and at least one of val.csv and test.csv, found {parts}.")
        names = {ours: columns.get("interactions", {}).get(ours, ours) for ours in ("user_id", "item_id")}
        for part in parts:
            _read_pairs(connection, path / f"{part}.csv", part, names)
        _make_items(connection, max(sizes.values(), default=None))
        note = [] if "test" in parts else ["no test.csv: half of the people of val will be the test"]
        return Raw(has_time=False, given=given, notes=note)


def _read_pairs(connection: Any, path: Path, part: str, names: dict[str, str]) -> None:
    found = {name.lower(): name for name in csv_table(connection, path, "interactions", delim=",")}
    missing = [name for name in names.values() if name.lower() not in found]
    if missing:
        raise DataError(
            f"{path}: columns {missing} are missing; it has {list(found.values())}. "
            "Map them in params.yaml under dataset.columns.interactions."
        )
    user, item = (f'"{found[names[ours].lower()]}"' for ours in ("user_id", "item_id"))
    connection.execute(
        """create table if not exists raw_interactions
        (row bigint, user_id varchar, item_id varchar, event varchar, label varchar, given_split varchar)"""
    )
    # Rows count on from file to file, so that the order of the parts is kept.
    connection.execute(
        f"""insert into raw_interactions select row + (select count(*) from raw_interactions), {user}, {item}, 'view',
        'positive', '{part}' from file_interactions order by row"""
    )


def _make_items(connection: Any, count: int | None) -> None:
    """One item a row of the vectors; without vectors, one for every number up to the largest that occurs."""
    if count is None:
        count = (
            connection.execute("select max(try_cast(item_id as bigint)) + 1 from raw_interactions").fetchone()[0] or 0
        )
    connection.execute(
        "create table raw_items as "
        f"select range as row, range::varchar as item_id, 'video' as media_type from range({count})"
    )


def _rows(path: Path) -> int:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise DataError(f"{path} is not a plain .npy array: {error}") from error
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.floating):
        raise DataError(f"{path}: expected an array of numbers [items, dim], got {array.dtype} {array.shape}.")
    return int(array.shape[0])
