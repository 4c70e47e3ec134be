"""What decides a table besides bundle and data, and the columns that say where a row came from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from avrec.recommend.filters import ItemFilter, end_of
from avrec.schema import RECOMMENDATIONS

DEFAULT_USER = "*"
"""`user_id` of the list for people the table does not know."""

ROW_VALUES = ("user_id", "rank", "item_id", "score", "reason_kind", "reason_item_id")
"""The columns that are computed; the others say where they came from."""


@dataclass(frozen=True)
class Recipe:
    """All that decides a table besides bundle and data.

    Attributes:
        run_date: Day the lists are for: histories end with it (UTC), and its items must still be available.
        k: Length of the lists.
        diversity: See `avrec.recommend.diversity`.
        media_types: Kinds of items to list; empty: all.
    """

    run_date: date
    k: int
    diversity: float = 0.0
    media_types: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "run_date": self.run_date.isoformat(), "media_types": list(self.media_types)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Recipe:
        changed = {"run_date": date.fromisoformat(values["run_date"]), "media_types": tuple(values["media_types"])}
        return cls(**{**values, **changed})

    @property
    def filter(self) -> ItemFilter:
        return ItemFilter(at=end_of(self.run_date), media_types=self.media_types or None)


@dataclass(frozen=True)
class Provenance:
    """The columns that say where a row came from."""

    model_version: str
    dataset_version: str
    run_id: str
    publication_id: str
    generated_at: datetime


def stamp(rows: pa.Table, recipe: Recipe, source: Provenance) -> pa.Table:
    """The rows as table `RECOMMENDATIONS`."""
    n = rows.num_rows
    constants = {
        "run_date": pa.array([recipe.run_date] * n, pa.date32()),
        **{name: pa.array([getattr(source, name)] * n) for name in ("model_version", "dataset_version", "run_id",
                                                                    "publication_id")},
        "generated_at": pa.array([source.generated_at] * n, pa.timestamp("us", tz="UTC")),
    }  # fmt: skip
    for name, values in constants.items():
        rows = rows.append_column(name, values)
    return RECOMMENDATIONS.conform(rows)
