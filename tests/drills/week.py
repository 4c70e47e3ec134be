"""Simulated days: a world that goes on, a platform that runs, and the people who send, approve and repair."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from avrec.datasets.demo.live import Lists, LiveDemo
from avrec.platform.airflow import Airflow
from avrec.settings import settings
from tests.drills.clock import Clock
from tests.drills.week_night import INGEST, MONITOR, RECOMMEND, ROLLBACK, TRAIN, Night, Run
from tests.drills.week_report import Day, Training

WORLD: dict[str, Any] = {"items": 120, "users": 1200, "per_user": 25.0, "seed": 7, "before": 40}
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 4
MISHAPS = {2: "drift", 3: "catalogue"}
ROLLBACK_DAY = 4
TAKEN_AT, LISTED_AT = timedelta(minutes=10, seconds=1), timedelta(hours=4, seconds=1)
"""After the end of a day: when what came is taken, and when the lists of the next day are made."""
WORDS = {"drift": "everybody watches a third", "catalogue": "an export mixes up the items"}


class Week:
    """The days so far, and how to live another one.

    Args:
        clock: Of the platform and of this process.
        say: Gets lines of progress.
    """

    def __init__(self, clock: Clock, say: Callable[[str], None]) -> None:
        self.world = LiveDemo(**WORLD, days=DAYS, start=BEGIN)
        self.clock, self.say = clock, say
        self.days: list[Day] = []
        self.sent: dict[str, int] = {}
        self.night = Night(lambda: f"Better in the comparison of day {self.days[-1].number}.", self._note)
        self._items: set[str] = set()

    def history(self) -> None:
        """Everything before the first day, before the platform starts."""
        self._send(Day(0))
        self.clock.set(BEGIN + TAKEN_AT)

    def begin(self) -> None:
        """The first version and its lists, once the platform runs."""
        self.night.unpause()
        self.night.scheduled(INGEST)
        self._lists(self.days[0])

    def live(self, number: int) -> None:
        """One day, from what people do with their lists to the lists of the next."""
        started, before = time.monotonic(), snapshot()
        day = Day(number, MISHAPS.get(number))
        self._send(day)
        self.clock.set(BEGIN + timedelta(days=number) + TAKEN_AT)
        self.night.scheduled(INGEST)
        self._lists(day)
        if day.mishap == "catalogue":  # noticed in the morning
            self._repair(day, before)
        if number == ROLLBACK_DAY:
            self._roll_back(day)
        self._look(day)
        day.seconds = time.monotonic() - started

    def _send(self, day: Day) -> None:
        """What the day brought, into the inbox."""
        self.days.append(day)
        lists = published(self.world, today(day)) if day.number else None
        folder = inbox(f"day-{day.number:02d}")
        day.rows = self.world.write(folder, lists, day.mishap)
        for name, rows in day.rows.items():
            self.sent[name] = self.sent.get(name, 0) + rows
        path = folder / "items.parquet"
        told = set(pq.read_table(path, columns=["item_id"])["item_id"].to_pylist()) if path.exists() else set()
        day.new_items = sorted(told - self._items)
        self._items |= told
        if day.mishap:
            day.events.append(WORDS[day.mishap])

    def _lists(self, day: Day) -> None:
        self.clock.set(BEGIN + timedelta(days=day.number) + LISTED_AT)
        self.night.scheduled(RECOMMEND)
        self._look(day)

    def _repair(self, day: Day, before: str) -> None:
        """What an operator does with a bad feed: back to the version before, and the good feed."""
        from pipelines.ingest import back_to

        back_to(before)
        again = self.world.write_again(inbox(f"day-{day.number:02d}-again"))
        for name, rows in again.items():
            self.sent[name] += rows - day.rows[name]
        day.rows = again
        self.night.triggered(INGEST)
        self.night.triggered(RECOMMEND)
        day.events.append("gone back, sent again")

    def _roll_back(self, day: Day) -> None:
        from avrec.registry import promotion

        leaving = promotion.champion()
        assert leaving is not None
        self.night.triggered(ROLLBACK, {"leaving": leaving.version, "reason": "The simulation goes back a version."})
        now = promotion.champion()
        day.events.append(f"version {leaving.version} rolled back to {now.version if now else 'none'}")

    # What is seen

    def _note(self, airflow: Airflow, run: Run) -> None:
        """What an ended run means for its day."""
        day, dag, name = self.days[-1], run["dag_id"], run["dag_run_id"]
        states = airflow.task_states(dag, name)
        self.say(f"day {day.number}: {dag} {run['run_type']}: {run['state']}")
        if run["state"] == "failed":
            failed = next(task for task, state in states.items() if state == "failed")
            raise SystemExit(f"{failed} failed:\n{airflow.log(dag, name, failed.partition('[')[0])[-3000:]}")
        if dag == TRAIN:
            self._note_training(airflow, day, name, states["promote"] == "success")
        elif dag == MONITOR:
            for alert in airflow.xcom(dag, name, "look")["alerts"]:
                self.say(f"day {day.number}: alert {alert['name']}: {alert['text']}")
                day.alerts += [alert["name"]] if alert["name"] not in day.alerts else []

    def _note_training(self, airflow: Airflow, day: Day, run: str, promoted: bool) -> None:
        version = str(airflow.xcom(TRAIN, run, "register")["version"])
        reasons = airflow.xcom(TRAIN, run, "gate")["reasons"]
        events = airflow.request("GET", f"/dags/{TRAIN}/dagRuns/{run}/upstreamAssetEvents")["asset_events"]
        cause = ", ".join(sorted({str(event["name"]) for event in events}))
        day.trained.append(Training(version, cause, promoted, tuple(reasons)))
        ended = "approved and promoted" if promoted else "the gate refused"
        day.events.append(f"version {version} trained because of {cause}, {ended}")
        self.say(f"day {day.number}: {day.events[-1]} {' '.join(reasons)}")

    def _look(self, day: Day) -> None:
        """What the monitor last wrote, and the day's new items in the lists of the next."""
        told = json.loads((settings().reports / "monitoring" / "report.json").read_text(encoding="utf-8"))["report"]
        day.champion = told["champion"] and told["champion"]["version"]
        columns = [one["distance"] or 0.0 for one in told["drift"] if one["kind"] != "vectors"]
        day.drift = max([*columns, day.drift or 0.0])
        for table in told["tables"]:
            if table["run_date"] == str(today(day)):
                day.hit_rate, day.default_rate = table["hit_rate"], table["default_rate"]
                day.shown, day.answered = table["shown"], table["answered"]
        rows = table_of(today(day) + timedelta(days=1))
        day.listed_by = str(rows[0]["model_version"]) if rows else None
        day.new_listed = len({row["item_id"] for row in rows}.intersection(day.new_items))


def today(day: Day) -> date:
    return (BEGIN + timedelta(days=day.number - 1)).date()


def inbox(name: str) -> Path:
    return Path(settings().inbox) / name


def snapshot() -> str:
    """The version of the data now."""
    from pipelines import journal

    with journal.opened() as book:
        return book.head.snapshot if book.head else ""


def table_of(day: date) -> list[dict[str, Any]]:
    """Rows of the table in force for a day, in order; none where there is no table."""
    from avrec.recommend.publication import Publisher

    publisher = Publisher.of_settings()
    found = publisher.tables.current(day)
    rows = [row for part in publisher.published(found.plan) for row in part.to_pylist()] if found else []
    return sorted(rows, key=lambda row: (row["user_id"], row["rank"]))


def published(world: LiveDemo, day: date) -> Lists:
    """The table in force for a day, as the world takes it: with raw ids."""
    from avrec.privacy.pseudonyms import Pseudonyms

    names = Pseudonyms.of_home()
    people = {names.of(world.user(u)): world.user(u) for u in range(WORLD["users"])}
    of: dict[str, list[str]] = {person: [] for person in people.values()}
    rows = table_of(day)
    for row in rows:
        if row["user_id"] in people:  # nobody is the reader of the default list
            of[people[row["user_id"]]].append(row["item_id"])
    return Lists(str(rows[0]["publication_id"]), of)
