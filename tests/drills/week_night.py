"""What runs in a simulated night: waited for until nothing is left to do, and answered where a person is asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from avrec.platform.airflow import ANY, FINAL, Airflow

INGEST, TRAIN, RECOMMEND, MONITOR, ROLLBACK = DAGS = (
    "avrec_ingest", "avrec_train", "avrec_recommend", "avrec_monitor", "avrec_rollback",
)  # fmt: skip
LONGEST_S, STARTED_S = 1800.0, 180.0
QUIET_LOOKS, LOOK_S = 4, 2.0
"""Nothing runs in so many looks, so far apart: what one run's end starts has begun by then."""

Run = dict[str, Any]


class Night:
    """The platform's runs, as the people see them who wait for their end.

    Args:
        reason: Says why the version that waits is approved.
        ended: Called once with every run that ended, with a client to ask for more.
    """

    def __init__(self, reason: Callable[[], str], ended: Callable[[Airflow, Run], None]) -> None:
        self._reason, self._ended = reason, ended
        self._known: set[tuple[str, str]] = set()

    def unpause(self) -> None:
        airflow = Airflow()
        for dag in DAGS:
            airflow.wait_for_dag(dag)
            airflow.unpause(dag)

    def scheduled(self, dag: str) -> None:
        """To the end of the run that the clock starts, and of all that follows.

        Raises:
            SystemExit: it starts none, or one that runs does not end.
        """
        limit, airflow = time.monotonic() + STARTED_S, Airflow()
        while all(_key(run) in self._known for run in airflow.runs(dag)):
            if time.monotonic() > limit:
                raise SystemExit(f"No run of {dag} has started within {STARTED_S:.0f} s.")
            time.sleep(1)
        self.settle()

    def triggered(self, dag: str, form: dict[str, Any] | None = None) -> None:
        """Starts a run as the operator, and waits for its end and that of all that follows."""
        Airflow().trigger(dag, form)
        self.settle()

    def settle(self, until: Callable[[], bool] = lambda: True) -> None:
        """Waits until nothing runs, nothing follows and `until` holds; approves as the approver what waits for one."""
        airflow, approver = Airflow(), Airflow("approver")  # signed in now: a day later yesterday's login is over
        limit, quiet = time.monotonic() + LONGEST_S, 0
        while quiet < QUIET_LOOKS or not until():
            running = self._running(airflow)
            if running and time.monotonic() > limit:
                raise SystemExit(f"Not at rest after {LONGEST_S:.0f} s: {[_key(run) for run in running]}")
            quiet = 0 if running else quiet + 1
            for asked in approver.pending_approvals() if any(run["dag_id"] == TRAIN for run in running) else ():
                self._approve(approver, asked["task_instance"])
            time.sleep(LOOK_S)

    def _approve(self, approver: Airflow, task: dict[str, Any]) -> None:
        dag, run = task["dag_id"], task["dag_run_id"]
        approver.answer(dag, run, task["task_id"], "Approve", {"reason": self._reason()})

    def _running(self, airflow: Airflow) -> list[Run]:
        """Runs that are under way; tells of those that have ended since."""
        running = []
        for run in reversed(airflow.runs(ANY)):
            if run["state"] not in FINAL:
                running.append(run)
            elif _key(run) not in self._known:
                self._known.add(_key(run))
                self._ended(airflow, run)
        return running


def _key(run: Run) -> tuple[str, str]:
    return run["dag_id"], run["dag_run_id"]
