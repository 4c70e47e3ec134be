"""What the DAGs share: a task that runs a module of `pipelines` as a process, and what every task has in common.

Nothing here is heavy: no TensorFlow, MLflow, DVC or pandas when a DAG file is read.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.standard.exceptions import HITLTimeoutError
from airflow.providers.standard.operators.hitl import HITLBranchOperator, HITLOperator
from airflow.sdk import Asset, BaseOperator, BranchMixIn
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from airflow.sdk.execution_time.hitl import HITLUser

from avrec.monitoring.notify import tell
from avrec.platform.identity import DEMO_APPROVER, configured_approvers, read_users, users_file
from avrec.settings import settings
from pipelines.runs import run_name
from pipelines.stage import PERMANENT, SKIP

PROJECT = Path(__file__).resolve().parent.parent
DATA = Asset(name="data", uri="avrec://data", group="avrec")  # updated when enough is new for a training run
DRIFT = Asset(name="drift", uri="avrec://drift", group="avrec")  # updated when the monitor finds training may help
TABLE = Asset(name="table", uri="avrec://table", group="avrec")  # updated when a table is put in force
CHAMPION = Asset(name="champion", uri="avrec://champion", group="avrec")  # updated by every promotion


def tell_failure(context: Mapping[str, Any]) -> None:
    """Failure callback: a line in the home's log, a post and a mail where those are set up."""
    task = context["task_instance"]
    note = {
        "dag": task.dag_id,
        "task": task.task_id,
        "run": task.run_id,
        "try": task.try_number,
        "error": str(context.get("exception") or "")[:2000],
    }
    tell({**note, "text": f"{task.dag_id}.{task.task_id} failed in {task.run_id}"}, log="failures.jsonl")


TASK_DEFAULTS: dict[str, Any] = {
    "owner": "avrec",
    "retries": 2,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=5),
    "execution_timeout": timedelta(hours=2),
    "on_failure_callback": tell_failure,
}


# Of the servers, passwords among them; a task that runs beside them inherits none.
SERVERS_OWN = ("AIRFLOW_", "_AIRFLOW", "MLFLOW_BACKEND_", "MLFLOW_AUTH_", "MLFLOW_FLASK_")


def child_environment(run_id: str, answer: Path) -> dict[str, str]:
    """The environment of a step: our settings, the run it belongs to, and nothing of the servers' secrets."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SERVERS_OWN)}
    ours = {"AVREC_RUN_ID": run_name(run_id), "AVREC_RESULT": str(answer), "PYTHONUNBUFFERED": "1"}
    return {**kept, **settings().environment(), **ours}


class Step(BaseOperator):
    """Runs `python -m pipelines.MODULE ARGUMENTS` and returns what the step hands back.

    The process leads a group of its own; whatever ends the task (time, a person, the scheduler) ends the group.

    Args:
        module: Module of `pipelines`.
        arguments: Its arguments (templated); `{run}` stands for the run's name.
        helper: Not a stage of dvc.yaml but made for speed; left out when the two graphs are compared.
    """

    template_fields = ("arguments",)
    ui_color = "#e8f4ea"

    def __init__(self, *, module: str, arguments: Sequence[str] = (), helper: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.module = module
        self.arguments = arguments
        self.helper = helper
        self._process: subprocess.Popen[str] | None = None

    def execute(self, context: Any) -> Any:
        run_id = context["run_id"]
        arguments = [str(argument).replace("{run}", run_name(run_id)) for argument in self.arguments]
        with tempfile.TemporaryDirectory(prefix="avrec-step-") as folder:
            answer = Path(folder) / "result.json"
            command = [sys.executable, "-m", "pipelines.child", f"pipelines.{self.module}", *arguments]
            self._run(command, child_environment(run_id, answer))
            return json.loads(answer.read_text(encoding="utf-8")) if answer.exists() else None

    def on_kill(self) -> None:
        if self._process and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _run(self, command: list[str], environment: dict[str, str]) -> None:
        with self._started(command, environment) as process:
            for line in process.stdout or ():
                self.log.info(line.rstrip())
            code = process.wait()
        if code == PERMANENT:
            raise AirflowFailException(f"{self.task_id} was refused; the reason is in the lines above.")
        if code == SKIP:
            raise AirflowSkipException(f"{self.task_id} has nothing to do; the reason is in the lines above.")
        if code:
            raise AirflowException(f"{self.task_id} ended with code {code}; the reason is in the lines above.")

    @contextmanager
    def _started(self, command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
        self._process = subprocess.Popen(
            command, cwd=PROJECT, env=environment, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            yield self._process
        finally:
            self.on_kill()
            self._process.wait()


class BranchStep(Step, BranchMixIn):
    """A step whose result decides which task follows.

    Args:
        choose: From the step's result and the form's values, the id of the task that follows.
    """

    inherits_from_skipmixin = True

    def __init__(self, *, choose: Callable[[Any, Mapping[str, Any]], str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.choose = choose

    def execute(self, context: Any) -> Any:
        result = super().execute(context)
        # Branching ends the task by an exception, so that what it returns would be lost.
        context["ti"].xcom_push(key="return_value", value=result)
        return self.do_branch(context, self.choose(result, context["params"]))


class Approval(HITLBranchOperator):
    """Asks a person, and keeps the whole answer (who, when, what, why) in XCom as `answer`, which a branch does not.

    Nobody's silence decides: a request that runs out of time fails, and clearing the task asks again.
    """

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        try:
            answer = HITLOperator.execute_complete(self, context, event)
        except HITLTimeoutError as error:
            raise AirflowFailException("Nobody answered in time; clear this task to ask again.") from error
        context["ti"].xcom_push(key="answer", value=json.loads(json.dumps(answer, default=str)))
        return self.do_branch(context, [self.options_mapping[option] for option in answer["chosen_options"]])


def approvers() -> list[HITLUser]:
    """Who may answer: the names of mlflow/promotion.yaml and, in a demo home, the demo's own approver.

    Ids and names are the same under Airflow's simple users. Airflow lets nobody else answer, admins included.
    """
    names = list(configured_approvers())
    if users_file().is_file() and DEMO_APPROVER in read_users():
        names.append(DEMO_APPROVER)
    return [{"id": name, "name": name} for name in names]
