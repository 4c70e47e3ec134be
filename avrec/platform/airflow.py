"""Airflow's REST API, as far as the platform, its tests and the demo need it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import requests

from avrec.errors import PlatformError
from avrec.platform.identity import password_of
from avrec.platform.state import running_address
from avrec.settings import settings

ANY = "~"
FINAL = ("success", "failed")
TIMEOUT_S = 30.0
TOKEN_LIFE_S = 600.0  # well below the day Airflow gives
# An answer in the first second after a task starts to wait can fail the task ("state mismatch").
SETTLING_S = 3.0

Progress = Callable[[str], None]
Tasks = list[dict[str, Any]]


class Airflow:
    """A client signed in as one user of this home.

    Args:
        user: Name in the users file.
        uri: Address of the API server; None is `AVREC_AIRFLOW_URI`, or else where this home's platform answers.
    """

    def __init__(self, user: str = "operator", uri: str | None = None) -> None:
        self._user = user
        self._uri = (uri or _address()).rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False
        self._token_until = 0.0

    def request(self, method: str, path: str, json: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        """One call below `/api/v2`; returns the JSON of the answer, None where it has no body.

        Raises:
            PlatformError: Airflow does not answer, or refuses; carries its reason.
        """
        self._sign_in()
        answer = self._send(method, f"/api/v2{path}", json, params)
        return answer.json() if answer.content else None

    def _sign_in(self) -> None:
        if time.monotonic() < self._token_until:
            return
        login = {"username": self._user, "password": password_of(self._user)}
        token = self._send("POST", "/auth/token", login).json()["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"
        self._token_until = time.monotonic() + TOKEN_LIFE_S

    def _send(self, method: str, path: str, json: Any, params: Mapping[str, Any] | None = None) -> requests.Response:
        try:
            answer = self._session.request(method, self._uri + path, json=json, params=params, timeout=TIMEOUT_S)
        except requests.RequestException as error:
            raise PlatformError(f"Airflow does not answer at {self._uri} ({error}); see `avrec status`.") from error
        if answer.status_code >= 400:
            raise PlatformError(
                f"Airflow answers {answer.status_code} to {method} {path} of user '{self._user}': {_reason(answer)}"
            )
        return answer

    # DAGs and runs

    def wait_for_dag(self, dag_id: str, timeout: float = 120.0) -> None:
        """Waits until the DAG processor has read the DAG.

        Raises:
            PlatformError: it does not appear; carries the import errors.
        """
        limit = time.monotonic() + timeout
        while not any(dag["dag_id"] == dag_id for dag in self.request("GET", "/dags", params={"limit": 200})["dags"]):
            if time.monotonic() > limit:
                raise PlatformError(f"DAG '{dag_id}' is not there after {timeout:.0f} s. {self.import_errors()}")
            time.sleep(0.5)

    def import_errors(self) -> str:
        """What kept DAG files from being read; empty when nothing did."""
        errors = self.request("GET", "/importErrors")["import_errors"]
        return "\n".join(f"{error['filename']}:\n{error['stack_trace']}" for error in errors)

    def unpause(self, dag_id: str) -> None:
        self.request("PATCH", f"/dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, run_id: str | None = None) -> str:
        """Starts a run with the values of its form; returns the run id."""
        body: dict[str, Any] = {"logical_date": None, "conf": dict(conf or {})}
        if run_id:
            body["dag_run_id"] = run_id
        return str(self.request("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Runs of a DAG, newest first."""
        query = {"order_by": "-run_after", "limit": 100}
        return list(self.request("GET", f"/dags/{dag_id}/dagRuns", params=query)["dag_runs"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        return str(self.request("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def tasks(self, dag_id: str, run_id: str) -> Tasks:
        """Task instances of a run, mapped ones each by itself."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        found: Tasks = []
        while True:
            page = self.request("GET", path, params={"limit": 100, "offset": len(found), "order_by": "start_date"})
            found += page["task_instances"]
            if not page["task_instances"] or len(found) >= page["total_entries"]:
                return found

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """State by task id; a mapped instance is `id[index]`; a task that has not begun is `none`."""
        return {_label(task): task["state"] or "none" for task in self.tasks(dag_id, run_id)}

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int = 1, map_index: int = -1) -> str:
        """The log of one attempt, as text."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{attempt}"
        content = self.request("GET", path, params={"map_index": map_index, "full_content": True})["content"]
        return "\n".join(str(line.get("event", line)) if isinstance(line, dict) else str(line) for line in content)

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """What a task returned."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.request("GET", path, params={"deserialize": True})["value"]

    # Waiting

    def wait(
        self,
        dag_id: str,
        run_id: str,
        until: Callable[[str, dict[str, str]], bool] | None = None,
        timeout: float = 1800.0,
        progress: Progress | None = None,
    ) -> str:
        """Waits until `until(run state, task states)` holds, or the run ends; returns the run's state.

        `progress` gets a line whenever a task begins or ends; what had ended before is not told again.

        Raises:
            PlatformError: not within `timeout` seconds; lists what is unfinished.
        """
        limit = time.monotonic() + timeout
        seen = {name: s for name, s in self.task_states(dag_id, run_id).items() if s in ("success", "skipped")}
        while True:
            state = self.run_state(dag_id, run_id)
            states = self.task_states(dag_id, run_id)
            _tell(seen, states, progress)
            seen = states
            if state in FINAL or (until is not None and until(state, states)):
                return state
            if time.monotonic() > limit:
                open_ = {name: s for name, s in states.items() if s not in ("success", "skipped")}
                raise PlatformError(f"{dag_id} {run_id} is not there after {timeout:.0f} s; unfinished: {open_}")
            time.sleep(1.0)

    def wait_for_approval(
        self, dag_id: str, run_id: str, timeout: float = 1800.0, progress: Progress | None = None
    ) -> str:
        """Waits until a task of the run asks a person; returns that task's id.

        Raises:
            PlatformError: the run ends without asking, or too much time passes.
        """
        state = self.wait(dag_id, run_id, lambda _, states: "awaiting_input" in states.values(), timeout, progress)
        waiting = [name for name, s in self.task_states(dag_id, run_id).items() if s == "awaiting_input"]
        if not waiting:
            failed = [name for name, s in self.task_states(dag_id, run_id).items() if s == "failed"]
            raise PlatformError(f"{dag_id} {run_id} ended in state '{state}' without asking anybody; failed: {failed}")
        return waiting[0]

    # People

    def pending_approvals(self) -> list[dict[str, Any]]:
        """Everything that waits for a person: `task_instance`, `subject`, `body`, `options`, `params`."""
        path = f"/dags/{ANY}/dagRuns/{ANY}/hitlDetails"
        return list(self.request("GET", path, params={"response_received": False, "limit": 100})["hitl_details"])

    def answer(
        self, dag_id: str, run_id: str, task_id: str, option: str, params: Mapping[str, Any] | None = None
    ) -> None:
        """Answers as this client's user, some seconds after the question appeared if it only just did.

        Raises:
            PlatformError: not a respondent (403), already answered (409), no such option (400).
        """
        where = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        time.sleep(SETTLING_S)
        body = {"chosen_options": [option], "params_input": dict(params or {})}
        self.request("PATCH", f"{where}/-1/hitlDetails", body)

    # Pools

    def pools(self) -> dict[str, int]:
        """Slots by name of pool."""
        return {pool["name"]: pool["slots"] for pool in self.request("GET", "/pools", params={"limit": 100})["pools"]}

    def create_pool(self, name: str, slots: int, description: str) -> None:
        body = {"name": name, "slots": slots, "description": description, "include_deferred": False}
        self.request("POST", "/pools", body)


def _address() -> str:
    here = settings()
    running = None if os.environ.get("AVREC_AIRFLOW_URI") else running_address(here.home, "api-server")
    return running or here.airflow_uri


def _label(task: Mapping[str, Any]) -> str:
    index = task["map_index"]
    return str(task["task_id"]) if index < 0 else f"{task['task_id']}[{index}]"


def _reason(answer: requests.Response) -> str:
    try:
        return str(answer.json().get("detail", answer.text))[:500]
    except ValueError:
        return answer.text[:500]


def _tell(before: Mapping[str, str], now: Mapping[str, str], progress: Progress | None) -> None:
    for name, state in now.items():
        if progress is not None and state != before.get(name, "none") and state not in ("none", "scheduled", "queued"):
            progress(f"{name}: {state}")
