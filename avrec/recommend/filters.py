"""Which items may be listed: available at an instant, of the wanted kinds, safe."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ItemFilter:
    """What a caller asks of the items in a list; every field left at its default asks nothing.

    Attributes:
        at: Instant (aware) at which an item must be available: published, and not yet withdrawn.
        media_types, categories, languages: Values that are allowed; items without a value do not match.
        exclude: Item ids that may not be listed.
        max_unsafe: Highest probability of unsafe pictures that may be listed, 0 to 1. Items nobody judged pass.
    """

    at: datetime | None = None
    media_types: Collection[str] | None = None
    categories: Collection[str] | None = None
    languages: Collection[str] | None = None
    exclude: Collection[str] = ()
    max_unsafe: float | None = None


def end_of(day: date) -> datetime:
    """The first instant after `day` in UTC: histories and availability of a run date end here."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


def allowed_items(items: pa.Table, wanted: ItemFilter, unsafe: Floats | None = None) -> Mask:
    """The items of an `ITEMS` table that pass.

    Args:
        items: `n` rows.
        wanted: What is asked.
        unsafe: `[n]` probability of unsafe pictures, NaN where nobody judged; None where there are no signals.

    Returns:
        `[n]` bool.
    """
    mask = np.ones(items.num_rows, bool)
    if wanted.at is not None:
        mask &= available_at(items, wanted.at)
    columns = {"media_type": wanted.media_types, "category": wanted.categories, "language": wanted.languages}
    for column, values in columns.items():
        if values is not None:
            mask &= _bools(pc.is_in(items[column], value_set=pa.array(sorted(values), pa.string())))
    if wanted.exclude:
        mask &= ~_bools(pc.is_in(items["item_id"], value_set=pa.array(sorted(wanted.exclude), pa.string())))
    if wanted.max_unsafe is not None and unsafe is not None:
        mask &= ~(unsafe > wanted.max_unsafe)  # NaN compares false: not judged is not condemned
    return mask


def available_at(items: pa.Table, instant: datetime) -> Mask:
    """Items published before `instant` (or at an unknown time) and not withdrawn before it, `[n]` bool."""
    limit = pa.scalar(instant, pa.timestamp("us", tz="UTC"))
    published = _bools(pc.less(items["published_at"], limit), empty=True)
    offered = _bools(pc.greater_equal(items["available_until"], limit), empty=True)
    return published & offered


def _bools(values: pa.ChunkedArray, empty: bool = False) -> Mask:
    return np.asarray(pc.fill_null(values, empty).to_numpy(), dtype=bool)
