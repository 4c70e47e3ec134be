"""Runs without Airflow, by one worker and by two."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from avrec.errors import DataError, ParamsError
from avrec.params import parse_assignments
from pipelines import runs, work
from tests.pipelines.conftest import environment, finished
from tests.pipelines.test_execute import lock_of, plain_repro


def worker(run_id: str, number: int, env: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipelines.work", run_id, "--worker", str(number), "--of", "2"]
    return subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_two_workers_with_nothing_in_common_finish_one_run(
    project: Path, tmp_path: Path, ran: Callable[[], list[str]]
) -> None:
    runs.start_run("both", {})
    own = [
        environment(AVREC_SCRATCH=str(tmp_path / f"scratch{n}"), AVREC_DVC_CACHE=str(tmp_path / f"cache{n}"))
        for n in range(2)
    ]
    for process in [worker("both", n, env) for n, env in enumerate(own)]:
        finished(process)
    assert sorted(set(ran())) == sorted(ran())  # no stage twice
    by_two = {name: entry["outs"] for name, entry in lock_of(project, "both").items() if "outs" in entry}
    assert by_two == {name: entry["outs"] for name, entry in plain_repro(project).items() if "outs" in entry}


def test_an_unknown_run_is_told(project: Path) -> None:
    with pytest.raises(DataError, match=r"no run 'nowhere'"):
        work.work("nowhere")


def test_values_are_read_as_yaml_and_need_a_key() -> None:
    assert parse_assignments(["matching.ease.l2=50", "matching.ease.enabled=false"]) == {
        "matching.ease.l2": 50,
        "matching.ease.enabled": False,
    }
    with pytest.raises(ParamsError, match="KEY=VALUE"):
        parse_assignments(["epochs"])
