"""A day of the simulated week made again: events come late, its table's files are lost, Airflow backfills it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from avrec.platform.airflow import FINAL, Airflow
from tests.drills.week import BEGIN, Week, inbox, table_of
from tests.drills.week_night import INGEST, RECOMMEND
from tests.drills.week_report import Must

DAY, LATE_EVENTS = 1, 20
"""Which day is made again, and how many events come late of the day before."""


def backfilled(week: Week) -> Must:
    """A day made again equals what it published; a late event changes nothing."""
    from avrec.recommend.publication import Publisher

    day = (BEGIN + timedelta(days=DAY)).date()
    _send_late_events(week)
    publisher, before = Publisher.of_settings(), table_of(day)
    current = publisher.tables.current(day)
    assert current is not None
    publisher.store.remove(current.plan.folder)
    at = datetime(day.year, day.month, day.day, 4, tzinfo=UTC).isoformat()
    body = {"dag_id": RECOMMEND, "from_date": at, "to_date": at, "reprocess_behavior": "completed",
            "max_active_runs": 1, "run_backwards": False, "dag_run_conf": {}}  # fmt: skip
    Airflow().request("POST", "/backfills", body)
    week.night.settle(until=lambda: _done(day))
    same = _told(before) == _told(table_of(day))
    now = publisher.tables.current(day)
    seen = f"{len(before)} rows of {day}, {LATE_EVENTS} late events of the day before; made again by a backfill: "
    seen += f"{'every row is equal' if same else 'rows DIFFER'}, publication {now.id if now else 'none'}"
    good = same and bool(before) and now is not None and now.id == current.id
    return Must("a day backfilled equals what it published; a late event changes nothing", seen, good)


def _send_late_events(week: Week) -> None:
    """As a phone that was off sends them."""
    moment = BEGIN + timedelta(days=DAY - 1, hours=12)
    items = [row["item_id"] for row in table_of(moment.date())[:LATE_EVENTS]]
    rows = [{"user_id": week.world.user(u), "item_id": item, "timestamp": moment + timedelta(minutes=u),
             "event": "like", "watch_ratio": 1.0, "label": "positive", "weight": 1.0}
            for u, item in enumerate(items)]  # fmt: skip
    folder = inbox("late")
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "interactions.parquet")
    (folder / "_READY").touch()
    week.sent["interactions"] += len(rows)
    week.night.triggered(INGEST)


def _done(day: date) -> bool:
    return any(run["run_type"] == "backfill" and run["state"] in FINAL and str(day) in str(run["logical_date"])
               for run in Airflow().runs(RECOMMEND))  # fmt: skip


def _told(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "generated_at"} for row in rows]
