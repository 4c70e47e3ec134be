"""One real platform for the whole folder: scheduler, API server, triggerer, MLflow, a bare repository for the runs."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser

from avrec.platform.airflow import Airflow
from avrec.platform.commands import Addresses, running_platform

TRAIN, RECOMMEND = "avrec_train", "avrec_recommend"
LIMIT_S = 1500.0


@dataclass(frozen=True)
class Platform:
    """A running platform and the folder of its state."""

    home: Path
    where: Addresses

    def finish(self, dag: str, run: str) -> dict[str, str]:
        """Waits for the end of a run and returns its task states."""
        airflow = Airflow("operator")
        state = airflow.wait(dag, run, timeout=LIMIT_S, progress=print)
        states = airflow.task_states(dag, run)
        if state != "success":
            bad = [name.split("[")[0] for name, s in states.items() if s == "failed"]
            pytest.fail("\n".join([f"{dag} ended as {state}", *(airflow.log(dag, run, name)[-3000:] for name in bad)]))
        return states


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Platform]:
    home = tmp_path_factory.mktemp("platform")
    bare = home / "runs.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", str(root), str(bare)], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVREC_REPOSITORY", str(bare))
        with running_platform(home, demo=True) as where:
            airflow = Airflow("operator")
            for dag in (TRAIN, RECOMMEND):
                airflow.wait_for_dag(dag)
                airflow.unpause(dag)
            yield Platform(home, where)
    assert left_of(home) == []


@pytest.fixture(autouse=True)
def home(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Path:
    """These tests share the platform's home instead of having one each."""
    monkeypatch.setenv("AVREC_HOME", str(platform.home))
    return platform.home


@pytest.fixture(scope="module")
def asked(platform: Platform) -> tuple[str, str]:
    """A training run that has come to its approval: the run and the task that waits."""
    airflow = Airflow("operator")
    run = airflow.trigger(TRAIN, {"items_per_shard": 100})
    return run, airflow.wait_for_approval(TRAIN, run, LIMIT_S, print)


@pytest.fixture
def chromium(request: pytest.FixtureRequest) -> Browser | None:
    """The browser, or None where none is installed: then the same is asked through REST."""
    try:
        found: Browser = request.getfixturevalue("browser")
    except pytest.skip.Exception:
        return None
    return found


def left_of(home: Path) -> list[str]:
    """Processes that still have the home in their command line or environment, a few seconds after the end."""
    for _ in range(20):
        found = [p for p in psutil.process_iter() if p.pid != os.getpid() and _mentions(p, str(home))]
        if not found:
            return []
        time.sleep(0.5)
    return [" ".join(p.cmdline()) for p in found if p.is_running()]


def _mentions(process: psutil.Process, home: str) -> bool:
    try:
        return any(home in word for word in process.cmdline()) or process.environ().get("AVREC_HOME") == home
    except psutil.Error:
        return False
