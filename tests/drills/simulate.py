"""Drill: days of a platform's life, through the real scheduler, API server and MLflow.

    python -m tests.drills.simulate [--json FILE] [--write] [--keep FOLDER]

Every day new media, items, people, interactions and impressions arrive in the inbox; people see what was published
for them and do what they like. The clock of the platform moves from night to night: `avrec_ingest` takes the day in and
`avrec_recommend` makes the lists of the next one by their schedules, a training run starts when enough is new or the
monitor finds that it may help, and a person approves through REST. One day everybody's watched share falls (drift),
one day an export mixes up the items (the gate refuses what comes of it), and a champion is rolled back. At the end a
day is backfilled. `--write` puts table and plot into docs/simulation.md. Exit code 1 if something did not end as it
must. Needs a C compiler, for the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from tests.drills.clock import Clock
from tests.drills.common import PROJECT, end_all, environment, left_of, version_of_project, write_section
from tests.drills.week_report import Day, Must, Training, figure, musts, table

PAGE = PROJECT / "docs" / "simulation.md"
PLOT = PROJECT / "docs" / "simulation.svg"
CRONS = {"AVREC_INGEST_CRON": "10 0 * * *", "AVREC_RECOMMEND_CRON": "0 4 * * *", "AVREC_MONITOR_CRON": "0 0 29 2 *"}
"""The monitor looks after every publication; a look of its own would find the same."""
SET: Mapping[str, Any] = {
    "matching.two_tower.enabled": False,
    "matching.graph.enabled": False,
    "evaluation.bootstrap": 200,
    "ingest.min_interactions": 5000,
    "ingest.min_items": 1000,
    "monitor.window_days": 1,
}


def checkout(base: Path) -> Path:
    """A checkout with settings of its own: what is ingested is named in its params.yaml, not in the project's."""
    here = base / "repository"
    subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(here)], check=True)
    values = yaml.safe_load((here / "params.yaml").read_text(encoding="utf-8"))
    for name, value in SET.items():
        *path, last = name.split(".")
        place = values
        for key in path:
            place = place[key]
        place[last] = value
    (here / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    git = ["git", "-C", str(here), "-c", "user.name=drill", "-c", "user.email=drill@localhost"]
    subprocess.run([*git, "commit", "--quiet", "--all", "--message", "Settings of the simulation"], check=True)
    for path in (here / "dags").rglob("*"):  # what is newer than the clock is read again and again
        os.utime(path, (0, 0))
    return here


def simulate(base: Path) -> None:
    """All days, in this process; writes what was seen to `base/seen.json` at the end."""
    from avrec.platform.commands import running_platform
    from pipelines import journal
    from tests.drills.week import DAYS, Week
    from tests.drills.week_backfill import backfilled
    from tests.drills.week_verdict import verdicts

    started = time.monotonic()
    week = Week(Clock(base), lambda line: print(f"[{time.monotonic() - started:6.1f} s] {line}", flush=True))
    week.history()
    with running_platform(base / "home", demo=True):
        week.begin()
        for number in range(1, DAYS + 1):
            week.live(number)
        again = backfilled(week)
        with journal.opened() as book:
            held = book.head.totals if book.head else {}
    found = [*verdicts(week.days, week.sent, held), again]
    seen = {"days": [asdict(day) for day in week.days], "musts": [asdict(one) for one in found]}
    (base / "seen.json").write_text(json.dumps(seen, indent=2), encoding="utf-8")


def write(days: list[Day], found: Iterable[Must], seconds: float, project: str) -> None:
    """Puts table and plot into the page."""
    figure(days, PLOT)
    when = f"{datetime.now(UTC):%Y-%m-%d}, version {project}: "
    when += f"{seconds / 60:.0f} minutes on {os.cpu_count()} cores."
    lines = [when, "", "![Hit rate, drift and champion by day](simulation.svg)", "", *table(days), "", *musts(found)]
    write_section(PAGE, "simulation", lines)


def main() -> int:
    options = _options()
    if options.within:
        simulate(options.within)
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="avrec-week-") as folder:
        base = options.keep or Path(folder)
        started, project = time.monotonic(), version_of_project()  # the code may be edited meanwhile
        try:
            _run(base)
        finally:
            end_all(base)
        seconds = time.monotonic() - started
        seen = json.loads((base / "seen.json").read_text(encoding="utf-8"))
        left = left_of(base)
        if options.json:
            shutil.copyfile(base / "seen.json", options.json)
    days = [Day(**{**day, "trained": [Training(**run) for run in day["trained"]]}) for day in seen["days"]]
    found = [*(Must(**one) for one in seen["musts"]), Must("no process is left", "; ".join(left) or "none", not left)]
    print("\n".join([*table(days), "", *musts(found), "", f"{seconds:.0f} s"]))
    if options.write:
        write(days, found, seconds, project)
    return 0 if all(one.good for one in found) else 1


def _run(base: Path) -> None:
    """The days, in a process that has the drill's clock and checkout."""
    base.mkdir(parents=True, exist_ok=True)
    clock, here = Clock(base), checkout(base)
    clock.make()
    command = [sys.executable, "-m", "tests.drills.simulate", "--within", str(base)]
    told = environment(base) | clock.environment | CRONS | {"PYTHONPATH": str(here)}
    subprocess.run(command, cwd=here, env=told, check=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="what was seen")
    parser.add_argument("--write", action="store_true", help="write table and plot to docs/simulation.md")
    parser.add_argument("--keep", type=Path, help="a new folder for home and logs, instead of one that is removed")
    parser.add_argument("--within", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
