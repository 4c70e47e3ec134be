"""What had to happen in the simulated days, judged by what was seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tests.drills.week_report import Day, Must, Training

DRIFTED = "drift/interactions.watch_ratio"
MISPLACED = "skew/visual"


def verdicts(days: Sequence[Day], sent: Mapping[str, int], held: Mapping[str, int]) -> Iterator[Must]:
    """One `Must` a rule.

    Args:
        days: In their order; one of each mishap is among them, and one with a rollback.
        sent: Rows of the good batches, by table.
        held: Rows of the data set at the end.
    """
    yield _exactly_once(sent, held)
    yield _shown_and_judged(days)
    yield _listed_without_training(days)
    yield _trained("enough new data starts training, a person approves", days, "data")
    of = {day.mishap: day for day in days}
    yield _drift_seen(of["drift"], days)
    yield _trained("drift starts training, a person approves", [of["drift"]], "drift")
    yield _gate_refuses(of["catalogue"])
    yield _rolled_back(days)


def _exactly_once(sent: Mapping[str, int], held: Mapping[str, int]) -> Must:
    names = [name for name in ("items", "interactions", "impressions") if name in sent]
    seen = ", ".join(f"{name}: {sent[name]} sent, {held.get(name, 0)} held" for name in names)
    return Must("every good batch is taken exactly once", seen, all(sent[n] == held.get(n) for n in names))


def _shown_and_judged(days: Sequence[Day]) -> Must:
    live = days[1:]
    known = [day for day in live if day.hit_rate is not None and day.shown]
    seen = f"{len(known)} of {len(live)} days' tables were shown and judged by what people did"
    return Must("people react to what was published, the monitor says how", seen, len(known) == len(live))


def _listed_without_training(days: Sequence[Day]) -> Must:
    fit = [day for day in days[1:] if day.new_items and not day.trained and not day.mishap]
    seen = ", ".join(f"day {day.number}: {day.new_listed} of {len(day.new_items)}" for day in fit) or "no such day"
    good = bool(fit) and all(day.new_listed > 0 for day in fit)
    return Must("a day's new items are in the next day's lists, without training", seen, good)


def _trained(what: str, days: Sequence[Day], cause: str) -> Must:
    runs = [(day, run) for day in days for run in day.trained if run.cause == cause]
    seen = ", ".join(f"day {day.number}: {_said(run)}" for day, run in runs) or "none"
    return Must(what, seen, any(run.promoted for _, run in runs))


def _said(run: Training) -> str:
    return f"version {run.version} {'approved' if run.promoted else 'refused by the gate'}"


def _drift_seen(day: Day, days: Sequence[Day]) -> Must:
    before = days[1 : day.number]
    early = any(DRIFTED in other.alerts for other in before)
    seen = f"day {day.number}: {', '.join(day.alerts) or 'no alert'}; largest distance {day.drift or 0:.3f}, "
    seen += f"before at most {max((other.drift or 0 for other in before), default=0):.3f}"
    return Must("drift is seen on its day, not before", seen, DRIFTED in day.alerts and not early)


def _gate_refuses(day: Day) -> Must:
    reasons = " ".join(reason for run in day.trained for reason in run.reasons)
    seen = f"day {day.number}: alerts {', '.join(day.alerts) or 'none'}; {reasons or 'nothing refused'}"
    good = bool(day.trained) and not any(run.promoted for run in day.trained) and MISPLACED in day.alerts
    return Must("the gate refuses what a bad day taught", seen, good)


def _rolled_back(days: Sequence[Day]) -> Must:
    """The last day's champion is another than the day's before, and made the next lists."""
    before, day = days[-2:]
    seen = f"day {day.number}: {'; '.join(day.events) or 'nothing'}, the next lists are by version {day.listed_by}"
    good = day.champion not in (None, before.champion) and day.listed_by == day.champion
    return Must("a champion is rolled back, its lists with it", seen, good)
