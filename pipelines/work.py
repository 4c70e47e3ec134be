"""Does the stages of a run without Airflow: one worker, or one of several that share nothing but git and the remote.

python -m pipelines.work RUN_ID
python -m pipelines.work RUN_ID --worker 0 --of 2
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Collection

from avrec.errors import DataError, told
from avrec.settings import settings
from pipelines import git, inside, lockfile, runs
from pipelines.execute import execute
from pipelines.graph import Stage, edges, read_stages
from pipelines.start import start

PAUSE_S = 1.0
LONGEST_WAIT_S = 4 * 3600.0


def work(run_id: str, worker: int = 0, of: int = 1, only: Collection[str] | None = None) -> None:
    """Executes what is ready until every stage of the run is done, by this worker or another.

    Stages are dealt out in the order of dvc.yaml, like cards. A worker that is lost is replaced by starting it again.

    Args:
        run_id: Name of the run.
        worker: Number of this worker, from 0.
        of: How many workers there are.
        only: Names of the stages that are wanted, with all they read; None for every stage.

    Raises:
        DataError: no such run, a stage fails, or the other workers take longer than `LONGEST_WAIT_S`.
    """
    limit = time.monotonic() + LONGEST_WAIT_S
    while True:
        stages, entries = _state(run_id)
        stages = {name: stage for name, stage in stages.items() if only is None or name in only}
        done = {name for name, stage in stages.items() if lockfile.is_current(entries, stage)}
        if len(done) == len(stages):
            return
        waits_for = {name: {w for w, reader in edges(stages) if reader == name} for name in stages}
        mine = [name for number, name in enumerate(stages) if number % of == worker and name not in done]
        if ready := [name for name in mine if waits_for[name] <= done]:
            execute(run_id, ready[0])
            limit = time.monotonic() + LONGEST_WAIT_S
        elif time.monotonic() > limit:
            raise DataError(f"run {run_id}: the other workers do not get on; start one without --worker to take over.")
        else:
            time.sleep(PAUSE_S)


def _state(run_id: str) -> tuple[dict[str, Stage], dict[str, lockfile.Entry]]:
    """The graph and the entries of dvc.lock as the run has them now."""
    tip = runs.tip(run_id)
    if tip is None:
        raise DataError(f"there is no run {run_id!r}; `python -m pipelines.start {run_id}` makes it.")
    with runs.temporary_repository() as folder:
        commit = git.fetch(folder, settings().repository, runs.ref_of(run_id))
        graph = folder / "dvc.yaml"
        graph.write_bytes(git.show(folder, commit, graph.name))
        return read_stages(graph), lockfile.of_commit(folder, commit)


def train(run_id: str, overrides: dict[str, object]) -> int:
    """A whole run by one worker, and its model registered as challenger; the exit code."""
    start(run_id, overrides)
    work(run_id)
    return inside.inside(run_id, [], ["track"], ["python", "-m", "pipelines.register"])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipelines.work", description=__doc__)
    parser.add_argument("run_id")
    parser.add_argument("--worker", type=int, default=0)
    parser.add_argument("--of", type=int, default=1)
    parser.add_argument("--train", metavar="OVERRIDES", help="start the run with these values (JSON) and register it")
    given = parser.parse_args(arguments)
    if not 0 <= given.worker < given.of:
        parser.error(f"--worker {given.worker} is not below --of {given.of}")
    try:
        if given.train is not None:
            return train(given.run_id, runs.read_overrides(given.train))
        work(given.run_id, given.worker, given.of)
    except Exception as error:
        return told(given.run_id, error)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
