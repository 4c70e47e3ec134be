"""What the simulated days were: a row a day, what had to happen, and the plot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BOUND = 0.25
"""`monitor.max_psi` of params.yaml."""
MARKS = {"drift": "drift", "catalogue": "items mixed up"}

HEAD = [
    "| day | what happened | new interactions | hit rate | default list | shown and liked | largest drift | "
    "new items listed | champion | alerts |",
    "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
]


@dataclass
class Day:
    """One simulated day and the night after it.

    Attributes:
        number: 0 is the history before the first day.
        mishap: What was wrong with its feed.
        events: What the platform did, in words.
        rows: Rows sent, by table.
        champion: Version in service at the end of the night.
        hit_rate, default_rate: Of the day's table, as the monitor judged it by what people did that day.
        shown, answered: Impressions of that table, and the share that were liked.
        drift: Largest distance of a column.
        alerts: Names, of every look of the night.
        trained: Versions trained in the night, with what started the run and what the gate said.
        new_items, new_listed: Ids that came this day; how many of them are in the next day's lists.
        listed_by: Version that made the next day's lists.
        seconds: Real time it took.
    """

    number: int
    mishap: str | None = None
    events: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    champion: str | None = None
    hit_rate: float | None = None
    default_rate: float | None = None
    shown: int = 0
    answered: float | None = None
    drift: float | None = None
    alerts: list[str] = field(default_factory=list)
    trained: list[Training] = field(default_factory=list)
    new_items: list[str] = field(default_factory=list)
    new_listed: int = 0
    listed_by: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Training:
    """One training run.

    Attributes:
        version: Registered version.
        cause: Name of the asset that started it.
        promoted: Whether a person approved it; else the gate refused.
        reasons: Of the gate.
    """

    version: str
    cause: str
    promoted: bool
    reasons: Sequence[str] = ()


@dataclass(frozen=True)
class Must:
    """One thing that had to happen."""

    what: str
    seen: str
    good: bool


def table(days: Iterable[Day]) -> list[str]:
    """Markdown: a line a day."""
    return [*HEAD, *(_line(day) for day in days)]


def _line(day: Day) -> str:
    cells = [str(day.number), "; ".join(day.events) or "-", str(day.rows.get("interactions", 0)), _number(day.hit_rate),
             _number(day.default_rate), _number(day.answered), _number(day.drift),
             f"{day.new_listed} of {len(day.new_items)}" if day.new_items else "-", day.champion or "-",
             ", ".join(day.alerts) or "-"]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def musts(found: Iterable[Must]) -> list[str]:
    """Markdown: what had to happen, what was seen."""
    lines = ["| had to happen | seen | ended |", "| --- | --- | --- |"]
    for one in found:
        seen = " ".join(one.seen.replace("|", "/").split())
        lines.append(f"| {one.what} | {seen} | {'as it must' if one.good else '**not as it must**'} |")
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def figure(days: Sequence[Day], path: Path) -> None:
    """Live hit rate, drift and champion, a day a tick, as SVG; mishaps are marked."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "avrec", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot as plt
    from matplotlib.ticker import MaxNLocator

    drawn, (hits, drift, versions) = plt.subplots(3, 1, sharex=True, figsize=(8, 6), layout="constrained")
    _hits(hits, days)
    _drift(drift, days)
    _versions(versions, days)
    for axis in (versions.xaxis, versions.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    for day in days:
        if day.mishap:
            hits.text(day.number, 1.07, MARKS[day.mishap], ha="center", va="bottom")
            for axes in (hits, drift, versions):
                axes.axvspan(day.number - 0.25, day.number + 0.25, color="0.9", zorder=0)
    drawn.savefig(path, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    plt.close(drawn)


def _hits(axes: Axes, days: Sequence[Day]) -> None:
    numbers = [day.number for day in days]
    axes.plot(numbers, [_or_nan(day.hit_rate) for day in days], "o-", label="the lists people were shown")
    axes.plot(numbers, [_or_nan(day.default_rate) for day in days], "s--", label="the default list")
    axes.set(ylabel="hit rate of the day's table", ylim=(0, 1.05))
    axes.legend(loc="lower left")


def _drift(axes: Axes, days: Sequence[Day]) -> None:
    axes.plot([day.number for day in days], [_or_nan(day.drift) for day in days], "o-", label="of any column")
    axes.axhline(BOUND, ls=":", color="0.3", label="alert above")
    axes.set(ylabel="largest drift (PSI)")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper right")


def _versions(axes: Axes, days: Sequence[Day]) -> None:
    axes.step([day.number for day in days], [_or_nan(day.champion) for day in days], "o-", where="post",
              label="champion")  # fmt: skip
    refused = [(day.number, float(run.version)) for day in days for run in day.trained if not run.promoted]
    axes.plot([x for x, _ in refused], [y for _, y in refused], "x", color="tab:red", ms=9, label="refused by the gate")
    axes.set(ylabel="version", xlabel="day")
    axes.legend(loc="upper left")


def _or_nan(value: float | str | None) -> float:
    return float("nan") if value is None else float(value)
