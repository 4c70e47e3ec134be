"""Starts a run: `python -m pipelines.start RUN_ID ['{"matching.two_tower.epochs": 5}'] [--newest]`.

With `--newest` on the newest version of the data that was ingested, whatever params.yaml names.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from avrec.errors import told
from avrec.settings import settings
from pipelines import journal, runs
from pipelines.stage import result


def start(run_id: str, overrides: dict[str, Any], newest: bool = False) -> str:
    """Makes the run's ref, says what is in it, and returns its commit."""
    commit = runs.start_run(run_id, {**overrides, **(newest_data() if newest else {})})
    print(f"run {runs.run_name(run_id)} is {runs.ref_of(run_id)} at {commit}", flush=True)
    for path in runs.uncommitted(settings().repository):
        print(f"not in this run, because it is not committed: {path}", flush=True)
    result({"run": runs.run_name(run_id), "commit": commit})
    return commit


def newest_data() -> dict[str, Any]:
    """The section `dataset` of params.yaml for the newest version; nothing where none was ingested."""
    with journal.opened() as book:
        return journal.overrides(book.head) if book.head else {}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipelines.start", description=__doc__)
    parser.add_argument("run_id")
    parser.add_argument("overrides", nargs="?", default="{}", help="JSON")
    parser.add_argument("--newest", action="store_true")
    given = parser.parse_args([argument for argument in arguments if argument])  # an empty template is no argument
    try:
        start(given.run_id, runs.read_overrides(given.overrides), given.newest)
    except Exception as error:
        return told(given.run_id, error)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
