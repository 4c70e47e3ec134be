"""Stages executed as Airflow does it, by real processes, against what a plain `dvc repro` gives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import git, lockfile, runs
from tests.pipelines.conftest import STAGES, environment, execute, finished

Ran = Callable[[], list[str]]


def lock_of(project: Path, run_id: str) -> dict[str, lockfile.Entry]:
    return lockfile.parse(git.show(project, runs.ref_of(run_id), "dvc.lock"))


def test_a_run_gives_the_hashes_of_a_plain_repro(project: Path, ran: Ran) -> None:
    runs.start_run("one", {})
    for stage in STAGES:
        finished(execute("one", stage))
    plain = subprocess.run(["dvc", "repro", "--quiet"], cwd=project, env=environment(
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"), check=True)  # fmt: skip
    assert plain.returncode == 0
    assert lock_of(project, "one") == lockfile.read(project)
    assert git.show(project, runs.ref_of("one"), "artifacts/even.json") == b'{"count": 4}'
    assert git.text(project, "status", "--porcelain") == "?? dvc.lock"
