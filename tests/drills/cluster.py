"""Drill: many machines, without containers. Everything between them is a network address.

    python -m tests.drills.cluster [--json FILE] [--write]

PostgreSQL, Redis, S3-compatible storage, a git server and the platform (Airflow with CeleryExecutor, MLflow with
logins) run on 127.0.0.1; two Celery workers have a home each, with scratch, DVC cache and nothing else. In the middle
of a training run one worker and all it started are killed with SIGKILL, and a machine with empty folders takes its
place. A person approves, the table is published. The run must end well, its hashes must be those of a plain `dvc repro`
of the same commit, and no process may be left. `--write` puts the result into docs/scale.md. Exit code 1 if anything is
not as it must be; 2 where this machine lacks a server.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import psutil

from avrec.platform.processes import end_sessions, session_members
from tests import postgresql
from tests.drills import servers
from tests.drills.common import PROJECT, commit_of_project, write_section
from tests.drills.two_workers import outs

TRAIN, RECOMMEND = "avrec_train", "avrec_recommend"
KILL_IN = "train.two_tower"
KILL_AFTER_S = 10.0
LONGEST_S = 3600.0
PAGE = PROJECT / "docs" / "scale.md"
BUCKET = "avrec"
DATABASES = ("airflow", "mlflow", "tables")


@dataclass
class Cluster:
    """Folders, the addresses all machines share, the workers that run, and the sessions of all there were."""

    base: Path
    shared: dict[str, str]
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    sessions: set[int] = field(default_factory=set)
    started: float = field(default_factory=time.monotonic)

    def say(self, line: str) -> None:
        print(f"[{time.monotonic() - self.started:6.1f} s] {line}", flush=True)


def addresses(base: Path, postgres: str, broker: str, storage: dict[str, str], repository: str) -> dict[str, str]:
    """What every machine is told; the servers' own databases are for the servers alone."""
    return {
        **storage,
        "AVREC_EXECUTOR": "CeleryExecutor",
        "AVREC_AIRFLOW_DATABASE": f"{postgres}/airflow",
        "AVREC_BROKER": broker,
        "AVREC_MLFLOW_DATABASE": f"{postgres}/mlflow",
        "AVREC_MLFLOW_ARTIFACTS": f"s3://{BUCKET}/mlflow",
        "AVREC_REPOSITORY": repository,
        "AVREC_DVC_REMOTE": f"s3://{BUCKET}/dvc",
        "AVREC_FEATURE_STORE": f"s3://{BUCKET}/features",
        "AVREC_IMPORTS": f"s3://{BUCKET}/imports",
        "AVREC_RECEIPTS": f"s3://{BUCKET}/receipts",
        "AVREC_MEDIA": f"s3://{BUCKET}/media",
        "AVREC_PUBLICATIONS": f"s3://{BUCKET}/publications",
        "AVREC_TABLES_URL": f"{postgres}/tables",
    }


@contextmanager
def cluster(base: Path) -> Iterator[Cluster]:
    """All servers, the platform and two workers."""
    from avrec.platform import secret_files
    from avrec.platform.commands import running_platform

    with ExitStack() as stack:
        postgres = stack.enter_context(postgresql.server())
        broker = stack.enter_context(servers.redis(base))
        storage = stack.enter_context(servers.storage(base))
        repository = stack.enter_context(servers.repository(base))
        make_databases(postgres)
        here = Cluster(base, addresses(base, postgres, broker, storage, repository))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AVREC_")}
        # The platform is started by this process, and asks in its environment.
        stack.enter_context(mock.patch.dict(os.environ, kept | here.shared, clear=True))
        here.say("PostgreSQL, Redis, storage and git answer")
        where = stack.enter_context(running_platform(base / "servers"))
        here.shared |= {"AVREC_AIRFLOW_URI": where.airflow, "AVREC_MLFLOW_URI": where.mlflow}
        secret_files.make_shared()
        stack.callback(lambda: [kill(here, name) for name in list(here.workers)])
        for name in ("worker1", "worker2"):
            start_worker(here, name)
        yield here


def make_databases(postgres: str) -> None:
    from sqlalchemy import create_engine, text

    engine = create_engine(f"{postgres}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in DATABASES:
            connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()


def start_worker(here: Cluster, name: str) -> None:
    """A machine with nothing of its own but the secrets it is handed."""
    from avrec.platform import secret_files

    secret_files.hand_over(here.base / "servers" / "secrets", here.base / name / "secrets")
    hidden = ("AVREC_AIRFLOW_DATABASE", "AVREC_MLFLOW_DATABASE", "MLFLOW_TRACKING_PASSWORD")
    told = {k: v for k, v in (os.environ | here.shared).items() if k not in hidden}
    told["AVREC_HOME"] = str(here.base / name)
    command = [sys.executable, "-m", "avrec.platform.part", "worker"]
    with (here.base / f"{name}.log").open("ab") as log:
        here.workers[name] = subprocess.Popen(
            command, cwd=PROJECT, env=told, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    here.sessions.add(here.workers[name].pid)
    here.say(f"{name} started")


def kill(here: Cluster, name: str) -> int:
    """The machine is gone: SIGKILL to all that descends from the worker; returns how many processes that were."""
    worker = here.workers.pop(name)
    ended = end_sessions({worker.pid})
    worker.wait()
    return ended


def left_of(here: Cluster) -> list[str]:
    """Commands that still run in a session of a worker, in a folder of the drill, or with a home in it."""
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = {process.pid: process for process in session_members(here.sessions)}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = [*process.cmdline(), process.environ().get("AVREC_HOME", ""), process.cwd()]
            if process.pid not in ours and any(str(here.base) in word for word in words):
                found[process.pid] = process
    return sorted(" ".join(process.cmdline())[:120] for process in found.values())


def worker_of(here: Cluster, task: str) -> str | None:
    """The worker that runs a task now: the one whose scratch folder has its checkout."""
    for name in here.workers:
        if any((here.base / name / "scratch").glob(f"*-{task}-*.lock")):
            return name
    return None


def kill_in_the_middle(here: Cluster) -> dict[str, Any]:
    """Waits until a worker does the stage, kills that worker, and starts a fresh machine."""
    limit = time.monotonic() + LONGEST_S
    while (name := worker_of(here, KILL_IN)) is None:
        if time.monotonic() > limit:
            raise SystemExit(f"{KILL_IN} has not begun after {LONGEST_S:.0f} s")
        time.sleep(0.1)
    time.sleep(KILL_AFTER_S)
    count = kill(here, name)
    here.say(f"{name}, which was doing {KILL_IN}, is killed: {count} processes")
    shutil.rmtree(here.base / name)
    start_worker(here, "worker3")
    return {"worker": name, "processes": count}


def train(here: Cluster) -> tuple[str, dict[str, Any]]:
    """A training run with a death in its middle, approved by a person."""
    from avrec.platform.airflow import Airflow

    operator, approver = Airflow("operator"), Airflow("approver")
    for dag in (TRAIN, RECOMMEND):
        operator.wait_for_dag(dag)
        operator.unpause(dag)
    run = operator.trigger(TRAIN, {"items_per_shard": 100})
    here.say(f"training run {run}")
    killed = kill_in_the_middle(here)
    task = operator.wait_for_approval(TRAIN, run, LONGEST_S, here.say)
    approver.answer(TRAIN, run, task, "Approve", {"reason": "The drill's person has read the comparison."})
    finish(here, TRAIN, run)
    tries = {t["task_id"]: t["try_number"] for t in operator.tasks(TRAIN, run) if t["try_number"] > 1}
    return run, {**killed, "tried_again": tries}


def recommend(here: Cluster) -> int:
    """The table that the new champion starts; returns its rows."""
    from avrec.platform.airflow import Airflow
    from avrec.recommend.publication import Publisher

    operator, limit = Airflow("operator"), time.monotonic() + 60
    while not (runs := operator.runs(RECOMMEND)):
        if time.monotonic() > limit:
            raise SystemExit("the promotion started no recommendation run")
        time.sleep(1)
    finish(here, RECOMMEND, runs[0]["dag_run_id"])
    return Publisher.of_settings().current().row_count


def finish(here: Cluster, dag: str, run: str) -> None:
    from avrec.platform.airflow import Airflow

    state = Airflow("operator").wait(dag, run, timeout=LONGEST_S, progress=here.say)
    if state != "success":
        states = Airflow("operator").task_states(dag, run)
        raise SystemExit(f"{dag} ended as {state}: {[n for n, s in states.items() if s == 'failed']}")


def plain_repro(here: Cluster, run: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Hashes of the run, and those of `dvc repro` of its first commit in a home that knows no server."""
    from pipelines.runs import ref_of

    plain, ref = here.base / "plain", ref_of(run)
    subprocess.run(["git", "init", "--quiet", str(plain)], check=True)
    git = ["git", "-C", str(plain)]
    subprocess.run([*git, "fetch", "--quiet", here.shared["AVREC_REPOSITORY"], f"{ref}:{ref}"], check=True)
    lock = subprocess.run([*git, "show", f"{ref}:dvc.lock"], check=True, capture_output=True, text=True).stdout
    steps = subprocess.run([*git, "log", "--format=%H %s", ref], check=True, capture_output=True, text=True).stdout
    first = next(line.split()[0] for line in steps.splitlines() if " Start run " in line)
    subprocess.run([*git, "checkout", "--quiet", "--detach", first], check=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AVREC_", "AWS_", "MLFLOW_"))}
    own = {"AVREC_HOME": str(here.base / "plain-home"), "AVREC_REPOSITORY": str(plain), "PYTHONPATH": str(plain),
           "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}  # fmt: skip
    secrets = here.base / "plain-home" / "secrets"
    secrets.mkdir(parents=True, mode=0o700)
    shutil.copy2(here.base / "servers" / "secrets" / "pseudonym.key", secrets)
    with (here.base / "plain.log").open("ab") as log:
        subprocess.run(["dvc", "repro"], cwd=plain, env=kept | own, check=True, stdout=log, stderr=log)
    return outs(lock), outs((plain / "dvc.lock").read_text(encoding="utf-8"))


def drill(base: Path) -> dict[str, Any]:
    with cluster(base) as here:
        started = time.monotonic()
        run, killed = train(here)
        rows = recommend(here)
        seconds = time.monotonic() - started
        here.say(f"{rows} rows are published; now the same by a plain dvc repro")
        shared, plain = plain_repro(here, run)
    equal = {name: plain.get(name) == found for name, found in shared.items()}
    return {
        "killed": killed,
        "rows": rows,
        "seconds": seconds,
        "stages": equal,
        "outs": sum(map(len, shared.values())),
        "equal": bool(equal) and all(equal.values()) and plain == shared,
        "left": left_of(here),
    }


def section(result: dict[str, Any], commit: str, day: str) -> list[str]:
    """What docs/scale.md says of the last drill."""
    again = ", ".join(f"`{task}`" for task in sorted(result["killed"]["tried_again"])) or "none"
    rows = [
        ("the worker that had begun " + f"`{KILL_IN}`", f"killed, {result['killed']['processes']} processes at once"),
        ("tasks tried again", again),
        ("train, approve, recommend", f"ended well, {result['rows']:,} rows published in {result['seconds']:.0f} s"),
        ("hashes against a plain `dvc repro`",
         f"{result['outs']} outputs of {len(result['stages'])} stages, {'equal' if result['equal'] else 'DIFFERENT'}"),
        ("processes left", str(len(result["left"]))),
    ]  # fmt: skip
    return [f"Last drill: {day} at commit {commit}.", "", "| what | seen |", "| --- | --- |",
            *(f"| {what} | {seen} |" for what, seen in rows)]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true", help="write the result to docs/scale.md")
    parser.add_argument("--keep", type=Path, help="a folder for all homes and logs, instead of one that is removed")
    options = parser.parse_args()
    if lacking := servers.missing():
        print("This machine lacks\n  " + "\n  ".join(lacking), file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="avrec-cluster-") as folder:
        result = drill(options.keep or Path(folder))
    print(json.dumps(result, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if options.write:
        day = datetime.now(UTC).date().isoformat()
        write_section(PAGE, "cluster", section(result, commit_of_project(), day))
    return 0 if result["equal"] and not result["left"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
