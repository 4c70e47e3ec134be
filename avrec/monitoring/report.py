"""What the monitor found, what of it a person is told, and whether to train."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from avrec.monitoring.drift import Drift
from avrec.monitoring.skew import Skew
from avrec.monitoring.tables import TableHealth
from avrec.params import MonitorParams


@dataclass(frozen=True)
class Alert:
    """One thing a person should know. `retrain` where a new model may help."""

    name: str
    text: str
    retrain: bool = False


@dataclass(frozen=True)
class Champion:
    """The model in service.

    Attributes:
        version: Registered version.
        since: ISO instant of its promotion; empty where no record says.
        trained_through: ISO instant of the newest data it learned from; None where the data have no time.
        age_days: From then to the newest data.
    """

    version: str
    since: str
    trained_through: str | None
    age_days: float | None


@dataclass(frozen=True)
class Report:
    """One look at the platform.

    Attributes:
        at: ISO instant of the look.
        data_run, dataset_version, source, synthetic, as_of: The newest data.
        data_age_days: From their newest interaction to now; None where they have no time.
        champion, skew: None where there is no champion.
        drift: Columns, then modalities.
        tables: The last publications, oldest first.
        quarantined: Rows by table that validation put aside, `not taken` those that never came in.
    """

    at: str
    data_run: str
    dataset_version: str
    source: str
    synthetic: bool
    as_of: str | None
    data_age_days: float | None
    champion: Champion | None
    skew: Skew | None
    drift: Sequence[Drift] = ()
    tables: Sequence[TableHealth] = ()
    quarantined: Mapping[str, int] = field(default_factory=dict)
    refused_batches: int = 0

    def alerts(self, bounds: MonitorParams) -> list[Alert]:
        """What is out of bounds, in order of appearance."""
        return [*self._of_data(bounds), *self._of_champion(bounds), *self._of_tables(bounds)]

    def numbers(self) -> dict[str, float]:
        """Every figure by its name in MLflow."""
        return {name: float(value) for name, value in self._numbers() if value is not None and math.isfinite(value)}

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def _of_data(self, bounds: MonitorParams) -> Iterator[Alert]:
        if self.data_age_days is not None and not self.synthetic and self.data_age_days > bounds.max_data_age_days:
            yield Alert("freshness", f"The newest interaction is {self.data_age_days:.1f} days old, at most "
                                     f"{bounds.max_data_age_days:g} are allowed; see what stopped coming.")  # fmt: skip
        for one in self.drift:
            if one.drifted:
                what = "Vectors of new items differ from old ones" if one.kind == "vectors" else "Distribution moved"
                text = f"{one.name}: {what} ({one.distance:.3f}, bound {one.bound:g}; {one.now} rows now)."
                yield Alert(f"drift/{one.name}", text, retrain=True)
        if self.refused_batches:
            yield Alert("inbox", f"{self.refused_batches} refused batch(es) wait for a person.")

    def _of_champion(self, bounds: MonitorParams) -> Iterator[Alert]:
        if self.champion and self.champion.age_days is not None:
            age = self.champion.age_days
            if age > bounds.max_champion_age_days:
                text = f"The champion has learned nothing of the last {age:.1f} days of data."
                yield Alert("staleness", text, retrain=True)
        if self.skew:
            for modality, share in self.skew.vectors.items():
                if share > bounds.max_skew:
                    yield Alert(f"skew/{modality}", f"{share:.1%} of the items have another {modality} vector than the "
                                "champion knows: media or extractor changed.", retrain=True)  # fmt: skip

    def _of_tables(self, bounds: MonitorParams) -> Iterator[Alert]:
        if not self.tables:
            return
        last = self.tables[-1]
        if last.coverage < bounds.min_coverage:
            yield Alert("coverage", f"The last table lists {last.coverage:.1%} of the available items.")
        if last.gini > bounds.max_gini:
            yield Alert("concentration", f"The last table is concentrated on few items (Gini {last.gini:.2f}).")
        judged = [table for table in self.tables if table.lift is not None and table.judged >= bounds.min_rows]
        if judged and (judged[-1].lift or 0.0) < bounds.min_lift:
            live = judged[-1]
            text = (
                f"Of {live.judged} people, {live.hit_rate:.1%} found something they liked in their list of "
                f"{live.run_date}; the list for everybody would have hit {live.default_rate:.1%}."
            )
            yield Alert("live quality", text, retrain=True)

    def _numbers(self) -> Iterator[tuple[str, float | None]]:
        yield "data/age_days", self.data_age_days
        yield "data/refused_batches", float(self.refused_batches)
        yield from ((f"data/quarantined/{name}", float(count)) for name, count in self.quarantined.items())
        yield from ((f"drift/{one.name}", one.distance) for one in self.drift)
        yield "drift/most_of_columns", _most(one for one in self.drift if one.kind != "vectors")
        yield "drift/most_of_vectors", _most(one for one in self.drift if one.kind == "vectors")
        if self.champion:
            yield "champion/version", float(self.champion.version)
            yield "champion/age_days", self.champion.age_days
        if self.skew:
            yield from ((f"skew/{name}", share) for name, share in self.skew.vectors.items())
            yield "skew/new_items", self.skew.new_items
            yield "skew/new_people", self.skew.new_people
        for last in self.tables[-1:]:
            for name in ("people", "coverage", "gini", "top_share"):
                yield f"table/{name}", getattr(last, name)
        for live in [table for table in self.tables if table.judged][-1:]:
            for name in ("judged", "hit_rate", "default_rate", "lift"):
                yield f"live/{name}", getattr(live, name)
        for seen in [table for table in self.tables if table.shown][-1:]:  # nobody was shown the newest one yet
            yield "live/shown", float(seen.shown)
            yield "live/answered", seen.answered


def _most(drift: Iterable[Drift]) -> float | None:
    """The largest distance; None where nothing could be compared."""
    return max((one.distance for one in drift if one.distance is not None), default=None)


def age_days(newest: str | None, instant: datetime) -> float | None:
    """Days from an ISO instant to another."""
    if newest is None:
        return None
    then = datetime.fromisoformat(newest)
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return (instant - then).total_seconds() / 86400
