"""One stage of one run, on any worker: `python -m pipelines.execute RUN_ID STAGE`.

A scratch checkout of the run, its inputs pulled, `dvc repro --single-item`, outputs pushed, the entry of
dvc.lock committed. What is done already is not done again, here or by another task at the same time.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from avrec.errors import DataError, told
from avrec.settings import settings
from pipelines import lockfile, reuse, runs
from pipelines.graph import Stage, pulled, read_stages
from pipelines.scratch import Checkout, dvc, scratch, stored
from pipelines.stage import timings_folder

SCARCE = 1 << 30  # bytes; a stage's outputs may take as much


def execute(run_id: str, name: str) -> str:
    """Runs a stage of a run and returns the commit the run is at then.

    Raises:
        DataError: no such run or stage, or the stage failed (its own message is printed before).
    """
    started = time.monotonic()
    with scratch(run_id, name) as here:
        stages = read_stages(here.folder / "dvc.yaml")
        if name not in stages:
            raise DataError(f"run {run_id} has no stage {name!r}; it has {', '.join(stages)}.")
        stage = stages[name]
        if lockfile.is_current(lockfile.read(here.folder), stage):
            print(f"{name}: already done in this run", flush=True)
            return here.commit
        source = _taken_over(here, stage)
        if source is None:
            here.pull(pulled(stage, stages))
            _reproduce(stage)
            if stage.outs and dvc("push", "--quiet", name):
                raise DataError(f"{name}: its outputs cannot be pushed; the stage will be done again.")
        return _publish(here, stage, _message(here, stage, time.monotonic() - started, source))


def _taken_over(here: Checkout, stage: Stage) -> str | None:
    """The run an equal stage's result was taken from, if there is one and its data are still stored."""
    found = reuse.find(here.folder, here.commit, stage)
    if found is None:
        return None
    before = lockfile.read(here.folder)
    for path, content in {**found.files, lockfile.NAME: lockfile.dump({**before, stage.name: found.entry})}.items():
        (here.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (here.folder / path).write_bytes(content)
    if stored(stage.name, lockfile.hashes(found.entry).values()):
        print(f"{stage.name}: taken over from run {found.run_id}, where everything it depends on is equal", flush=True)
        return found.run_id
    for path in stage.files:
        (here.folder / path).unlink()
    (here.folder / lockfile.NAME).write_bytes(lockfile.dump(before))
    return None


def _reproduce(stage: Stage) -> None:
    timing = _timing(stage)
    timing.unlink(missing_ok=True)
    print(f"{stage.name}: {stage.cmd}", flush=True)
    if dvc("repro", "--quiet", "--single-item", stage.name):
        raise DataError(f"{stage.name} failed; its own message is above.{_scarce_room()}")


def _scarce_room() -> str:
    """What to do where the cache's disk is nearly full: DVC, told to be quiet, keeps that to itself."""
    cache = settings().dvc_cache
    free = shutil.disk_usage(cache).free if cache.is_dir() else SCARCE
    if free >= SCARCE:
        return ""
    return (
        f" Only {free >> 20} MB of space are left for DVC's cache, {cache}: where that was too little, free some "
        "(`python -m pipelines.gc` removes what no run names) and run the same again."
    )


def _publish(here: Checkout, stage: Stage, message: str) -> str:
    """Adds the stage to the run's ref, whatever other stages did to it meanwhile."""
    entry = lockfile.read(here.folder)[stage.name]
    files = {path: (here.folder / path).read_bytes() for path in stage.files}

    def addition(tip: str) -> tuple[Mapping[str, bytes | None], str] | None:
        entries = lockfile.of_commit(here.folder, tip)
        if lockfile.is_current(entries, stage):
            _compare(stage, lockfile.hashes(entries[stage.name]), lockfile.hashes(entry))
            return None  # the same task ran twice at once; the first one counts
        return {**files, lockfile.NAME: lockfile.dump({**entries, stage.name: entry})}, message

    return runs.advance(here.folder, here.run_id, addition)


def _compare(stage: Stage, theirs: dict[str, str], ours: dict[str, str]) -> None:
    for path in sorted(path for path in ours if theirs.get(path) != ours[path]):
        print(f"{stage.name}: {path} differs from the same stage run at the same time: it is not deterministic")


def _message(here: Checkout, stage: Stage, seconds: float, source: str | None) -> str:
    """Trailers, so that `git log` of the ref tells how long everything took and what was done elsewhere."""
    timing = _timing(stage)
    own = json.loads(timing.read_text(encoding="utf-8"))["seconds"] if timing.exists() and not source else 0.0
    return (
        f"{stage.name}\n\nAvrec-Run: {runs.run_name(here.run_id)}\nAvrec-Stage: {stage.name}\n"
        f"Avrec-Seconds: {own:.1f}\nAvrec-Task-Seconds: {seconds:.1f}\n"
        + (f"Avrec-Taken-From: {source}\n" if source else "")
    )


def _timing(stage: Stage) -> Path:
    return timings_folder() / f"{stage.name}.json"


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print("usage: python -m pipelines.execute RUN_ID STAGE", file=sys.stderr)
        return 2
    try:
        execute(*arguments)
    except Exception as error:
        return told(arguments[1], error)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
