"""Starts a run: `python -m pipelines.start RUN_ID ['{"matching.two_tower.epochs": 5}']`."""

from __future__ import annotations

import json
import sys

from avrec.errors import AvrecError
from avrec.settings import settings
from pipelines import runs
from pipelines.stage import result


def start(run_id: str, overrides: dict[str, object]) -> str:
    """Makes the run's ref, says what is in it, and returns its commit."""
    commit = runs.start_run(run_id, overrides)
    print(f"run {runs.run_name(run_id)} is {runs.ref_of(run_id)} at {commit}", flush=True)
    for path in runs.uncommitted(settings().repository):
        print(f"not in this run, because it is not committed: {path}", flush=True)
    result({"run": runs.run_name(run_id), "commit": commit})
    return commit


def main(arguments: list[str]) -> int:
    if not 1 <= len(arguments) <= 2:
        print("usage: python -m pipelines.start RUN_ID [OVERRIDES AS JSON]", file=sys.stderr)
        return 2
    try:
        start(arguments[0], json.loads(arguments[1]) if len(arguments) == 2 else {})
    except (AvrecError, ValueError) as error:
        print(f"{arguments[0]}: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
