"""The task that runs a step as a process: what it hands over, what comes back, and that nothing is left behind."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines.stage import PERMANENT, SKIP


@pytest.fixture
def common(dagbag: Any) -> Any:
    import avrec_common

    return avrec_common


@pytest.fixture
def step(common: Any) -> Any:
    return common.Step(task_id="step", module="start", arguments=["{run}"])


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_nothing_of_airflow_reaches_a_step(common: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "secret")
    monkeypatch.setenv("_AIRFLOW_WWW_USER_PASSWORD", "secret")
    for name in ("BACKEND_STORE_URI", "AUTH_ADMIN_PASSWORD", "FLASK_SERVER_SECRET_KEY"):  # MLflow's own server's
        monkeypatch.setenv(f"MLFLOW_{name}", "secret")
    handed = common.child_environment("manual__2026-01-02T03:04:05+00:00", tmp_path / "r.json")
    assert not [name for name, value in handed.items() if value == "secret"]
    assert handed["AVREC_RUN_ID"] == "manual__2026-01-02T03-04-05-00-00"
    assert handed["AVREC_HOME"].endswith("home")


@pytest.mark.parametrize(
    ("code", "error"), [(1, "AirflowException"), (PERMANENT, "AirflowFailException"), (SKIP, "AirflowSkipException")]
)
def test_exit_codes_say_whether_to_retry(step: Any, code: int, error: str) -> None:
    with pytest.raises(Exception, match="the reason is in the lines above") as raised:
        step._run(python(f"raise SystemExit({code})"), {})
    assert type(raised.value).__name__ == error


def test_whatever_ends_the_task_ends_all_it_started(step: Any, tmp_path: Path) -> None:
    """A time-out strikes while a grandchild works."""
    note = tmp_path / "pids"
    grandchild = f"import os, time, pathlib; pathlib.Path({str(note)!r}).write_text(str(os.getpid())); time.sleep(600)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
    with pytest.raises(TimeoutError), step._started(python(code), {}) as process:
        while not note.exists() or not note.read_text(encoding="utf-8"):
            time.sleep(0.05)
        raise TimeoutError
    assert process.returncode is not None
    pid = int(note.read_text(encoding="utf-8"))
    for _ in range(200):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.05)
    else:
        pytest.fail("the grandchild lives")


def test_a_failure_is_written_down(common: Any, home: Path) -> None:
    class Instance:
        dag_id, task_id, run_id, try_number = "avrec_train", "train.ease", "one", 3

    common.tell_failure({"task_instance": Instance(), "exception": ValueError("no space")})
    note = json.loads((home / "logs" / "failures.jsonl").read_text(encoding="utf-8"))
    assert (note["task"], note["run"], note["error"]) == ("train.ease", "one", "no space")


def test_the_demos_approver_may_answer_in_a_demo_home_only(common: Any, home: Path) -> None:
    from avrec.platform.identity import ensure_users

    ensure_users(demo=False)
    assert "demo_approver" not in [user["name"] for user in common.approvers()]
    ensure_users(demo=True)
    assert "demo_approver" in [user["name"] for user in common.approvers()]
