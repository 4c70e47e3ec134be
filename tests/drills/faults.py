"""Drill: what breaks while the platform works, on a small rendered set, and what becomes of it.

    python -m tests.drills.faults [--only NAME]... [--list] [--json FILE] [--write]

Kills a task in every stage and the scheduler in the middle of a run, takes MLflow and the database away, locks the
database, fills the disk under features, model and table, lets two runs and a table go on at once, makes the clock jump,
damages a cached object, halves a weight, answers approvals in every wrong way, and takes a bad champion back. Each row
says what was seen, and whether nothing was lost or half done and a repetition finished. `--write` puts the rows into
docs/faults.md, each with its date and version; rows of steps that were not run stay. Exit code 1 if a row did not end
as it must. Filling a disk needs a small one of its own: root.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from tests.drills import fault_platform, fault_rollback, fault_steps
from tests.drills.common import PROJECT, end_all, left_of, write_section
from tests.drills.fault_base import Drill, Row

PAGE = PROJECT / "docs" / "faults.md"
HEAD = ["| fault | seen | ended | drilled |", "| --- | --- | --- | --- |"]
STEPS: dict[str, Callable[[Drill], None]] = {
    "locked": fault_steps.database_locked,
    "gone": fault_steps.database_gone,
    "full-table": fault_steps.table_full,
    "full-features": fault_steps.features_full,
    "full-model": fault_steps.model_full,
    "cache": fault_steps.damaged_cache,
    "weight": fault_steps.half_a_weight,
    "mlflow": fault_steps.mlflow_away,
    "clock": fault_steps.clock_jumps,
    "approvals": fault_platform.approvals,
    "scheduler": fault_platform.scheduler_killed,
    "rollback": fault_rollback.taken_back,
    "two-runs": fault_steps.two_runs_and_a_table,
    "kill": fault_steps.killed_in_every_stage,
}


def run(base: Path, names: Iterable[str], after: Callable[[Drill], None] = lambda drill: None) -> Drill:
    """The steps one after the other; one that does not get to its end is a row that says so.

    Args:
        base: Folder for everything.
        names: Of the steps.
        after: Called after each of them.
    """
    drill = Drill(base)
    for name in names:
        try:
            STEPS[name](drill)
            drill.ended.append(name)
        except (Exception, SystemExit) as error:
            drill.note(name, f"the step did not get to its end: {type(error).__name__}: {str(error)[-600:]}", False)
        if left := left_of(base):
            drill.note(f"processes left by {name}", "; ".join(left), False)
        after(drill)
    return drill


def write(drill: Drill) -> None:
    """Puts what was seen so far into the page."""
    where = f"{datetime.now(UTC):%Y-%m-%d}, {drill.project}"
    before = [line for line in written(PAGE) if line.partition(" | ")[0].removeprefix("| ") not in drill.ended]
    write_section(PAGE, "faults", table(drill.rows, before, where))


def table(rows: Iterable[Row], before: Iterable[str], where: str) -> list[str]:
    """The lines of the page: the rows just seen, and those of before that were not drilled this time.

    Args:
        rows: What was seen.
        before: Lines that stand there now.
        where: Date and version of what was seen.
    """
    words = {True: "as it must", False: "**not as it must**", None: "not tried"}
    lines = {cells[1].strip(): line for line in before if len(cells := line.split("|")) == len(HEAD[0].split("|"))}
    for title in ("fault", "---"):
        lines.pop(title, None)
    for row in rows:
        seen = " ".join(row.seen.replace("|", "/").split())
        lines[row.fault] = f"| {row.fault} | {seen} | {words[row.good]} | {where} |"
    return [*HEAD, *lines.values()]


def written(page: Path) -> list[str]:
    """The lines between the marks of the page."""
    return page.read_text(encoding="utf-8").partition("<!-- faults: written")[2].partition("<!--")[0].splitlines()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=STEPS, help="this step; may be given more than once")
    parser.add_argument("--list", action="store_true", help="show the steps")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true", help="write the rows to docs/faults.md")
    parser.add_argument("--keep", type=Path, help="a new folder for all homes and logs, instead of one that is removed")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{name:14} {(step.__doc__ or '').splitlines()[0]}" for name, step in STEPS.items()))
        return 0
    with tempfile.TemporaryDirectory(prefix="avrec-drill-") as folder:
        base = options.keep or Path(folder)
        base.mkdir(parents=True, exist_ok=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            drill = run(base, options.only or STEPS, write if options.write else lambda drill: None)
        finally:
            end_all(base)
            if (base / "drill.log").exists():
                shutil.copy(base / "drill.log", Path(tempfile.gettempdir()) / "faults-drill.log")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in drill.rows], indent=2) + "\n", encoding="utf-8")
    return 1 if any(row.good is False for row in drill.rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
