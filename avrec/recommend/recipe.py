"""What decides a table besides bundle and data, and the columns that say where a row came from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from avrec.matching.spreading import MMR, ListRules
from avrec.recommend.filters import ItemFilter, end_of
from avrec.schema import RECOMMENDATIONS

DEFAULT_USER = "*"
"""`user_id` of the list for people the table does not know."""

ROW_VALUES = ("user_id", "rank", "item_id", "score", "reason_kind", "reason_item_id")
"""The columns that are computed; the others say where they came from."""


def is_default(user_id: str) -> bool:
    """Whether a list is for people the table does not know: `*` for all, `*COLUMN=VALUE` for those of a segment."""
    return user_id.startswith(DEFAULT_USER)


@dataclass(frozen=True)
class Recipe:
    """All that decides a table besides bundle and data.

    Attributes:
        run_date: Day the lists are for: histories end with it (UTC), and its items must still be available.
        k: Length of the lists.
        diversity, spread, max_per_category: See `avrec.matching.spreading.ListRules`.
        media_types: Kinds of items to list; empty: all.
        max_unsafe: Highest probability of unsafe pictures that is listed; None: all.
    """

    run_date: date
    k: int
    diversity: float = 0.0
    media_types: tuple[str, ...] = ()
    spread: str = MMR
    max_per_category: int | None = None
    max_unsafe: float | None = None

    def to_json(self) -> dict[str, Any]:
        # Left out where they ask nothing: what was published before there were such rules keeps its identifier.
        idle = {name for name in ("max_per_category", "max_unsafe") if getattr(self, name) is None}
        idle |= {"spread"} if self.spread == MMR else set()
        values = {**asdict(self), "run_date": self.run_date.isoformat(), "media_types": list(self.media_types)}
        return {name: value for name, value in values.items() if name not in idle}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Recipe:
        changed = {"run_date": date.fromisoformat(values["run_date"]), "media_types": tuple(values["media_types"])}
        return cls(**{**values, **changed})

    @property
    def filter(self) -> ItemFilter:
        return ItemFilter(at=end_of(self.run_date), media_types=self.media_types or None, max_unsafe=self.max_unsafe)

    @property
    def rules(self) -> ListRules:
        return ListRules(self.diversity, self.spread, self.max_per_category)


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
