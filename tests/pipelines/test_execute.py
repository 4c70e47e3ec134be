"""Stages executed as Airflow does it, by real processes, against what a plain `dvc repro` gives."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from avrec.errors import DataError
from pipelines import execute as executing
from pipelines import git, lockfile, runs
from tests.pipelines.conftest import environment, execute, finished

Ran = Callable[[], list[str]]


def lock_of(project: Path, run_id: str) -> dict[str, lockfile.Entry]:
    return lockfile.parse(git.show(project, runs.ref_of(run_id), "dvc.lock"))


def plain_repro(project: Path) -> dict[str, lockfile.Entry]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["dvc", "repro", "--quiet"], cwd=project, env=environment(PATH=path), check=True)
    return lockfile.read(project)


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def test_two_workers_give_the_hashes_of_a_plain_repro(project: Path, tmp_path: Path, ran: Ran) -> None:
    """Two workers share nothing but the repository and the remote: scratch and cache are their own."""
    remote = str(tmp_path / "remote")
    workers = [
        environment(AVREC_HOME=str(tmp_path / name), AVREC_DVC_REMOTE=remote) for name in ("first", "second")
    ]  # fmt: skip
    runs.start_run("one", {})
    finished(execute("one", "numbers", workers[0]))
    parts = [execute("one", f"part@{kind}", env) for kind, env in zip(("even", "odd"), workers, strict=True)]
    for part in parts:  # at once: both move the ref
        finished(part)
    finished(execute("one", "total", workers[1]))
    finished(execute("one", "told", workers[0]))
    assert sorted(ran()) == ["numbers", "part even", "part odd", "told", "total"]
    assert lock_of(project, "one") == plain_repro(project)
    assert git.show(project, runs.ref_of("one"), "artifacts/even.json") == b'{"count": 4}'
    assert git.text(project, "status", "--porcelain") == "?? dvc.lock"  # a person's tree is left alone
    assert not [left for name in ("first", "second") for left in (tmp_path / name / "scratch").iterdir()]


def test_the_log_of_the_ref_tells_the_timings(project: Path) -> None:
    runs.start_run("one", {})
    executing.execute("one", "numbers")
    trailers = git.text(project, "log", "-1", "--format=%(trailers:key=Avrec-Stage,valueonly)%an", runs.ref_of("one"))
    assert trailers.split() == ["numbers", "avrec"]
    assert "Avrec-Seconds: " in git.text(project, "log", "-1", "--format=%b", runs.ref_of("one"))


def test_a_retry_costs_nothing(project: Path, ran: Ran, capfd: pytest.CaptureFixture[str]) -> None:
    runs.start_run("one", {})
    done = executing.execute("one", "numbers")
    assert executing.execute("one", "numbers") == done
    assert (ran(), runs.tip("one")) == (["numbers"], done)
    assert "already done" in capfd.readouterr().out


def test_an_equal_stage_of_another_run_is_taken_over(project: Path, home: Path, ran: Ran) -> None:
    """Even by a worker that has nothing of its own, and only where everything is equal."""
    for run_id, val in (("one", 0.1), ("two", 0.1), ("three", 0.2)):
        runs.start_run(run_id, {"split.val": val})
        executing.execute(run_id, "numbers")
        executing.execute(run_id, "part@even")
        shutil.rmtree(home / "dvc" / "cache")
    assert ran() == ["numbers", "part even", "part even"]  # the last one has another parameter
    assert lock_of(project, "one") == lock_of(project, "two")
    taken = git.text(project, "log", "-1", "--format=%(trailers:key=Avrec-Taken-From,valueonly)", runs.ref_of("two"))
    assert taken == "one"
    assert git.show(project, runs.ref_of("two"), "artifacts/even.json") == b'{"count": 4}'


def test_other_code_is_not_taken_over(project: Path, ran: Ran) -> None:
    runs.start_run("one", {})
    executing.execute("one", "numbers")
    with (project / "toy.py").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    git.git(project, "commit", "--quiet", "--all", "--message", "Change the code")
    runs.start_run("two", {})
    executing.execute("two", "numbers")
    assert ran() == ["numbers", "numbers"]


def test_what_is_lost_is_made_again(project: Path, home: Path, ran: Ran) -> None:
    """Refs outlive a home that somebody removed."""
    runs.start_run("one", {})
    executing.execute("one", "numbers")
    shutil.rmtree(home / "dvc")
    runs.start_run("two", {})
    executing.execute("two", "numbers")
    assert ran() == ["numbers", "numbers"]


def test_two_runs_at_once_keep_to_themselves(project: Path) -> None:
    runs.start_run("five", {"dataset.demo.seed": 5})
    runs.start_run("nine", {"dataset.demo.seed": 9})
    for process in [execute("five", "numbers"), execute("nine", "numbers")]:
        finished(process)
    sizes = [lock_of(project, run_id)["numbers"]["outs"][0]["nfiles"] for run_id in ("five", "nine")]
    assert sizes == [5, 9]


def test_the_same_stage_twice_at_once_ends_well(project: Path, tmp_path: Path, ran: Ran) -> None:
    runs.start_run("one", {})
    both = [execute("one", "numbers", environment(TOY_WAIT="numbers")) for _ in range(2)]
    wait_for(lambda: len(ran()) == 2)
    (tmp_path / "toy.log.go").touch()
    for process in both:
        finished(process)
    assert git.text(project, "rev-list", "--count", f"HEAD..{runs.ref_of('one')}") == "2"  # start, numbers


def test_killed_in_the_middle_then_tried_again(project: Path, tmp_path: Path, ran: Ran) -> None:
    runs.start_run("one", {})
    process = execute("one", "numbers", environment(TOY_WAIT="numbers"))
    wait_for(lambda: ran() == ["numbers"])
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert any((tmp_path / "home" / "scratch").iterdir())
    finished(execute("one", "numbers"))
    assert "numbers" in lock_of(project, "one")
    assert not any((tmp_path / "home" / "scratch").iterdir())  # what the killed one left is swept


def test_a_process_ends_with_the_parent_that_started_it(project: Path, ran: Ran) -> None:
    """Killing the task without a word must not leave its stage behind."""
    runs.start_run("one", {})
    starter = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:], start_new_session=True); time.sleep(600)"
    step = [sys.executable, "-m", "pipelines.child", "pipelines.execute", "one", "numbers"]
    parent = subprocess.Popen([sys.executable, "-c", starter, *step], env=environment(TOY_WAIT="numbers"))
    wait_for(lambda: ran() == ["numbers"])
    parent.kill()
    parent.wait()
    wait_for(lambda: not _processes("toy numbers"))


def _processes(words: str) -> list[list[str]]:
    listed = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [command for command in listed if command[1:4] == ["-m", *words.split()]]


@pytest.mark.parametrize(
    ("run_id", "stage", "said"), [("nobody", "numbers", "no run 'nobody'"), ("one", "nothing", "it has numbers, part@")]
)
def test_wrong_names_are_told(project: Path, run_id: str, stage: str, said: str) -> None:
    runs.start_run("one", {})
    with pytest.raises(DataError, match=said):
        executing.execute(run_id, stage)


def test_a_failing_stage_tells_its_own_reason(project: Path) -> None:
    begun = runs.start_run("one", {})
    process = execute("one", "numbers", environment(TOY_LOG=str(project / "not" / "there")))
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "No such file or directory" in output
    assert "numbers failed; its own message is above." in output
    assert runs.tip("one") == begun
