"""Runs a command inside a scratch checkout of a run, with some of its data pulled; nothing is committed.

python -m pipelines.inside RUN_ID --pull data/valid -- python -m pipelines.extract --shard 0 --of 4
python -m pipelines.inside RUN_ID --inputs-of track -- python -m pipelines.register
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from avrec.errors import told
from pipelines.graph import pulled, read_stages
from pipelines.scratch import scratch


def inside(run_id: str, paths: list[str], inputs_of: list[str], command: list[str]) -> int:
    """Returns the exit code of the command."""
    with scratch(run_id, "step") as here:
        stages = read_stages(here.folder / "dvc.yaml")
        here.pull(dict.fromkeys([*paths, *(path for name in inputs_of for path in pulled(stages[name], stages))]))
        # The checkout's code wins over the installed one: it is the current folder of `python -m`.
        return subprocess.run(command, cwd=here.folder, env=dict(os.environ), check=False).returncode


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipelines.inside", description=__doc__)
    parser.add_argument("run_id")
    parser.add_argument("--pull", action="append", default=[], metavar="PATH")
    parser.add_argument("--inputs-of", action="append", default=[], metavar="STAGE", help="pull what it reads")
    parser.add_argument("command", nargs="+")
    given = parser.parse_args(arguments)
    try:
        return inside(given.run_id, given.pull, given.inputs_of, given.command)
    except Exception as error:
        return told(given.run_id, error)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
