"""How old a data set is by the clock. Not a matter of its validity: the same data are older tomorrow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from avrec.datasets.dataset import Dataset


@dataclass(frozen=True)
class Freshness:
    """Age of a data set.

    Attributes:
        newest: Instant of its newest interaction; None where it has no time.
        days: Days from then to `now`; None likewise.
    """

    newest: datetime | None
    days: float | None

    def message(self) -> str:
        if self.newest is None or self.days is None:
            return "The data set carries no time; how fresh it is cannot be told."
        return f"The newest interaction is of {self.newest:%Y-%m-%d %H:%M} UTC, {self.days:.1f} days ago."

    def is_stale(self, max_days: float | None) -> bool:
        """Whether it is older than allowed; never where nothing is set or nothing is known."""
        return max_days is not None and self.days is not None and self.days > max_days


def freshness(dataset: Dataset, now: datetime) -> Freshness:
    """Measures `dataset` against `now` (with a time zone)."""
    newest = dataset.sql("select epoch_us(max(timestamp)) from interactions").fetchone()
    if newest is None or newest[0] is None:
        return Freshness(None, None)
    instant = datetime.fromtimestamp(newest[0] / 1e6, UTC)
    return Freshness(instant, (now - instant).total_seconds() / 86400)
