"""What had to happen in the simulated days is judged as it should be; the clock moves; the page can be written."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.drills.clock import NEEDS_CC, Clock, compiled
from tests.drills.common import write_section
from tests.drills.week_report import HEAD, Day, Training, figure, musts, table
from tests.drills.week_verdict import DRIFTED, MISPLACED, verdicts

WEEK = [
    Day(0, champion="1", listed_by="1", trained=[Training("1", "data", True)]),
    Day(1, champion="1", listed_by="1", hit_rate=0.4, default_rate=0.3, shown=9, drift=0.1, new_items=["a", "b"],
        new_listed=2),
    Day(2, "drift", champion="2", hit_rate=0.4, shown=9, drift=1.0, alerts=[DRIFTED],
        trained=[Training("2", "drift", True)]),
    Day(3, "catalogue", champion="2", hit_rate=0.4, shown=9, alerts=[MISPLACED],
        trained=[Training("3", "drift", False, ("worse | than EASE",))]),
    Day(4, champion="1", listed_by="1", hit_rate=0.4, shown=9, events=["version 2 rolled back to 1"]),
]  # fmt: skip
ROWS = {"items": 120, "interactions": 9000, "impressions": 12000}


def test_a_week_as_it_must_be() -> None:
    found = list(verdicts(WEEK, ROWS, ROWS))
    assert len(found) == 8
    assert all(one.good for one in found), [one for one in found if not one.good]


@pytest.mark.parametrize(
    ("number", "changes", "broken"),
    [
        (1, {"new_listed": 0}, "new items"),
        (1, {"alerts": [DRIFTED]}, "drift is seen"),
        (2, {"alerts": []}, "drift is seen"),
        (2, {"trained": []}, "drift starts"),
        (3, {"trained": [Training("3", "drift", True)]}, "the gate refuses"),
        (3, {"alerts": []}, "the gate refuses"),
        (4, {"listed_by": "2"}, "rolled back"),
        (4, {"hit_rate": None}, "people react"),
        (0, {"trained": []}, "enough new data"),
    ],
)
def test_what_is_missing_is_named(number: int, changes: dict, broken: str) -> None:
    days = [replace(day, **changes) if day.number == number else day for day in WEEK]
    assert [broken in one.what for one in verdicts(days, ROWS, ROWS) if not one.good] == [True]


def test_a_row_that_is_lost_or_doubled_is_seen() -> None:
    first, *_ = verdicts(WEEK, ROWS, ROWS | {"interactions": 9001})
    assert not first.good
    assert "9000 sent, 9001 held" in first.seen


def test_the_page_takes_table_and_plot(root: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_bytes((root / "docs" / "simulation.md").read_bytes())
    lines = [*table(WEEK), "", *musts(verdicts(WEEK, ROWS, ROWS))]
    write_section(page, "simulation", lines)
    assert all(line.count("|") == HEAD[0].count("|") for line in table(WEEK))
    assert "worse / than EASE" in page.read_text(encoding="utf-8")
    figure(WEEK, tmp_path / "plot.svg")
    assert 1_000 < (tmp_path / "plot.svg").stat().st_size < 60_000


def test_the_clock_moves_for_a_process_that_runs(tmp_path: Path) -> None:
    if not compiled(tmp_path / "clock.so"):
        pytest.skip(NEEDS_CC)
    clock = Clock(tmp_path)
    clock.make()
    clock.set(datetime(2026, 3, 1, tzinfo=UTC))
    ask = (
        "import datetime, sqlite3; (found,) = sqlite3.connect(':memory:').execute('select date()').fetchone()\n"
        "print(datetime.datetime.now(datetime.UTC).date(), found, flush=True); input()\n"
    )
    told = os.environ | clock.environment
    with subprocess.Popen([sys.executable, "-c", ask * 2], env=told, text=True, stdin=-1, stdout=-1) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "2026-03-01 2026-03-01\n"
        clock.set(datetime(2026, 4, 2, tzinfo=UTC))
        process.stdin.write("\n\n")
        process.stdin.flush()
        assert process.stdout.readline() == "2026-04-02 2026-04-02\n"
