"""Faults of a running platform: the scheduler killed in mid-run, approvals answered in every wrong way."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.drills.common import PROJECT
from tests.drills.fault_base import LONGEST_S, RUN, SET, Drill, Place, inhabited, wait_until

TRAIN, ASK = "avrec_train", "drill_approval"
KILL_IN = "train.two_tower"
LATE_S = 20
# The approval of the training DAG, without the training before it.
QUESTION = f'''"""Asks a person, as avrec_train does."""
from datetime import timedelta
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Param, dag
from avrec_common import TASK_DEFAULTS, Approval, approvers

@dag(dag_id="{ASK}", schedule=None, catchup=False, default_args=TASK_DEFAULTS)
def question():
    ask = Approval(
        task_id="approve", subject="Promote?", body="A drill.", options=["Approve", "Reject"],
        options_mapping={{"Approve": "yes", "Reject": "no"}}, params={{"reason": Param("", type="string")}},
        assigned_users=approvers(), response_timeout=timedelta(seconds=SECONDS), execution_timeout=None, retries=0)
    ask >> [EmptyOperator(task_id="yes"), EmptyOperator(task_id="no")]

question()
'''


@contextmanager
def platform(drill: Drill) -> Iterator[Place]:
    """A real platform with the training DAG and the question, in a place of its own."""
    late = QUESTION.replace("SECONDS", str(LATE_S)).replace(ASK, f"{ASK}_late")
    more = {"drill_approval.py": QUESTION.replace("SECONDS", "600"), "drill_approval_late.py": late}
    with started(drill, drill.place("platform"), [TRAIN], more) as here:
        yield here


@contextmanager
def started(drill: Drill, here: Place, names: Sequence[str], more: Mapping[str, str] | None = None) -> Iterator[Place]:
    """A real platform in a place, with some of the project's DAGs and some of the drill's own; none is paused."""
    from avrec.platform.airflow import Airflow
    from avrec.platform.commands import running_platform

    dags = drill.base / f"{here.name}-dags"
    shutil.rmtree(dags, ignore_errors=True)
    dags.mkdir()
    for name in ("avrec_common", *names):
        (dags / f"{name}.py").symlink_to(PROJECT / "dags" / f"{name}.py")
    for file, text in (more or {}).items():
        (dags / file).write_text(text)
    with inhabited(here), running_platform(here.home, dags, demo=True):
        airflow = Airflow("operator")
        for dag in (*names, *(Path(file).stem for file in more or ())):
            airflow.wait_for_dag(dag)
            airflow.unpause(dag)
        yield here


def scheduler_killed(drill: Drill) -> None:
    """SIGKILL to the scheduler while a stage works: the supervisor starts it again, the run ends, hashes are equal."""
    from avrec.platform.airflow import Airflow
    from avrec.platform.state import read_state

    with platform(drill) as here:
        airflow = Airflow("operator")
        run = airflow.trigger(TRAIN, {"items_per_shard": 100, "overrides": SET})
        airflow.wait(TRAIN, run, lambda _, states: states.get(KILL_IN) == "running", LONGEST_S)
        scheduler = read_state(here.home).parts["scheduler"]
        before = scheduler.process.pid
        os.kill(before, signal.SIGKILL)
        drill.say(f"the scheduler is killed while {KILL_IN} is running")
        back = wait_until(lambda: _pid(here) not in (None, before), 120)
        state = airflow.wait(TRAIN, run, timeout=LONGEST_S, progress=drill.say)
        again = sorted({t["task_id"] for t in airflow.tasks(TRAIN, run) if t["try_number"] > 1})
        made = here.locked(_run_name(run))
    equal = made == drill.quiet().locked(RUN)
    seen = f"{'it came back by itself' if back else 'it did NOT come back'}; the run ended as {state}, tried again: "
    seen += f"{', '.join(again) or 'nothing'}; {'every hash is' if equal else 'hashes are NOT'} that of a quiet run"
    drill.note("scheduler killed and restarted during a run", seen, back and state == "success" and equal)


def _pid(here: Place) -> int | None:
    from avrec.platform.state import read_state

    process = read_state(here.home).parts["scheduler"].process
    return process.pid if process else None


def _run_name(run: str) -> str:
    from pipelines.runs import run_name

    return run_name(run)


def approvals(drill: Drill) -> None:
    """The question of the training DAG, answered by the wrong person, twice, at once, and late."""
    with platform(drill):
        for ask in (by_the_wrong_person, twice_at_once, within_the_first_second, late):
            ask(drill)


def by_the_wrong_person(drill: Drill) -> None:
    from avrec.platform.airflow import Airflow

    run = _asked(ASK)
    refused = {user: _answer(Airflow(user), ASK, run, "Approve") for user in ("viewer", "operator", "admin")}
    still = Airflow("operator").task_states(ASK, run)["approve"]
    right = _answer(Airflow("approver"), ASK, run, "Approve")
    state = Airflow("operator").wait(ASK, run, timeout=300)
    seen = f"{', '.join(f'{u}: {c}' for u, c in refused.items())}, the question stayed open; then the approver: {right}"
    good = set(refused.values()) == {403} and still == "awaiting_input" and right == 200 and state == "success"
    drill.note("approval by the wrong person", seen, good)


def twice_at_once(drill: Drill) -> None:
    """Two different answers in the same moment, and a third one afterwards."""
    from avrec.platform.airflow import Airflow

    run, codes = _asked(ASK), {}

    def give(option: str) -> None:
        codes[option] = _answer(Airflow("approver"), ASK, run, option)

    threads = [threading.Thread(target=give, args=(option,)) for option in ("Approve", "Reject")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    state = Airflow("operator").wait(ASK, run, timeout=300)
    states = Airflow("operator").task_states(ASK, run)
    third = _answer(Airflow("approver"), ASK, run, "Approve")
    ends = sorted(name for name in ("yes", "no") if states[name] == "success")
    seen = f"at once: {codes}; the run took the branch {ends} and ended as {state}; a third answer: {third}"
    drill.note("approval answered twice", seen, state == "success" and len(ends) == 1 and third == 409)


def within_the_first_second(drill: Drill) -> None:
    """The answer is sent as soon as the question can be seen at all."""
    from avrec.errors import PlatformError
    from avrec.platform.airflow import Airflow

    approver, operator = Airflow("approver"), Airflow("operator")
    approver.pending_approvals()  # signs in
    run = operator.trigger(ASK)
    sent = wait_until(lambda: _answer(approver, ASK, run, "Approve") == 200, 300)
    try:
        state, how = operator.wait(ASK, run, timeout=60), "it counted"
    except PlatformError:  # SQLite locks no rows: the answer is noted while the task is just being laid aside
        state, how = (
            "waiting",
            "it was noted, but the task went on waiting, nothing was decided; cleared, it asked again",
        )
    if state == "failed":
        how = "the task failed (Airflow: state mismatch), nothing was decided; cleared, it asked again"
    if state != "success":
        state = _cleared_and_answered(ASK, run)
    drill.note("approval within the first second", f"{how}; the run ended as {state}", sent and state == "success")


def late(drill: Drill) -> None:
    """Nobody answers in time, somebody does afterwards; then the task is cleared."""
    from avrec.platform.airflow import Airflow

    dag = f"{ASK}_late"
    run = _asked(dag)
    state = Airflow("operator").wait(dag, run, timeout=600)
    told = str(Airflow("operator").request("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances/approve/logs/1"))
    code = _answer(Airflow("approver"), dag, run, "Approve")
    branches = {Airflow("operator").task_states(dag, run)[name] for name in ("yes", "no")}
    after = _cleared_and_answered(dag, run)
    says = "clear this task to ask again" in told
    seen = (
        f"nobody in time: the run {state}, {'told to clear the task' if says else 'WITHOUT a word'}; the late answer: "
    )
    seen += f"{code}, nothing followed; cleared, it asked again and ended as {after}"
    good = state == "failed" and says and "success" not in branches and after == "success"
    drill.note("approval answered late", seen, good)


def _asked(dag: str) -> str:
    from avrec.platform.airflow import Airflow

    operator = Airflow("operator")
    run = operator.trigger(dag)
    operator.wait_for_approval(dag, run, 300)
    time.sleep(3)
    return run


def _cleared_and_answered(dag: str, run: str) -> str:
    from avrec.platform.airflow import Airflow

    operator = Airflow("operator")
    clear = {"dry_run": False, "dag_run_id": run, "task_ids": ["approve"], "include_downstream": True,
             "only_failed": False}  # fmt: skip
    operator.request("POST", f"/dags/{dag}/clearTaskInstances", clear)
    operator.wait_for_approval(dag, run, 300)
    Airflow("approver").answer(dag, run, "approve", "Approve", {"reason": "The drill says so."})
    return operator.wait(dag, run, timeout=300)


def _answer(airflow: Any, dag: str, run: str, option: str) -> int:
    """Answers at once; the status, of Airflow's refusal too."""
    from avrec.errors import PlatformError

    path = f"/dags/{dag}/dagRuns/{run}/taskInstances/approve/-1/hitlDetails"
    body = {"chosen_options": [option], "params_input": {"reason": "The drill says so."}}
    try:
        airflow.request("PATCH", path, body)
    except PlatformError as error:
        words = str(error).split()
        return int(words[2]) if words[2].isdigit() else 0
    return 200
