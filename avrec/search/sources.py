"""What a search index is built from: an extracted folder, or the data of the platform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from avrec.datasets.dataset import Dataset
from avrec.errors import DataError
from avrec.features.origin import NAME, read_origin
from avrec.features.signals import item_signals
from avrec.features.tables import folders_of, items_of
from avrec.params import FeaturesParams
from avrec.schema import SEMANTIC, SIGNALS


@dataclass(frozen=True)
class Source:
    """Everything known of a catalogue's content.

    Attributes:
        items: Table `avrec.schema.ITEMS`.
        signals: Table `avrec.schema.SIGNALS`, a row an item, in the same order.
        features: Folder of `visual`, `audio`, and perhaps `speech` and `semantic`, as the feature stages write them.
        params: Section `features` that they were extracted with.
    """

    items: pa.Table
    signals: pa.Table
    features: Mapping[str, Path]
    params: FeaturesParams


def open_source(folder: Path, params: FeaturesParams) -> Source:
    """The catalogue in `folder`: the output of `avrec features extract`, or the platform's folder `data`.

    Args:
        folder: Either of them.
        params: Section `features` of the params; an extracted folder brings its own.

    Raises:
        DataError: it is neither.
    """
    if (folder / NAME).is_file():
        origin = read_origin(folder)
        items = items_of(folder)
        folders = folders_of(folder)
        return Source(items, item_signals(items, folders, origin.params), folders, origin.params)
    if (folder / "valid").is_dir():
        items = Dataset(folder / "valid").table("items")
        features = folder / "features"
        folders = {"visual": features / "visual", "audio": features / "audio", "speech": folder / "signals" / "speech",
                   SEMANTIC: features / SEMANTIC}  # fmt: skip
        return Source(items, _signals(folder, items), folders, params)
    raise DataError(
        f"{folder} is no catalogue: give a folder that `avrec features extract` wrote, or the folder `data` of the "
        "project after `dvc repro`."
    )


def _signals(folder: Path, items: pa.Table) -> pa.Table:
    path = folder / "signals" / "signals.parquet"
    if not path.is_file():
        raise DataError(f"{path} is missing; run `dvc repro signals`.")
    signals = SIGNALS.conform(pq.read_table(path))
    if signals["item_id"].to_pylist() != items["item_id"].to_pylist():
        raise DataError(f"{path} is of another data set; run `dvc repro signals`.")
    return signals
