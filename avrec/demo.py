"""`make demo`: the whole platform once, through the real Airflow and MLflow, and what came of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from avrec.errors import PlatformError
from avrec.platform.airflow import Airflow
from avrec.platform.commands import MLFLOW_HINT, Addresses, running_platform
from avrec.platform.identity import DEMO_APPROVER, configured_approvers, password_of
from avrec.settings import settings

TRAIN, RECOMMEND = "avrec_train", "avrec_recommend"
AUTOMATED_REASON = "Answered by the demo itself so that it can end without a person."
LONGEST_WAIT_S = 3600.0
PEOPLE_SHOWN = 3


@dataclass
class Clock:
    """How long each part took."""

    parts: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        print(f"\n== {name}", flush=True)
        started = time.monotonic()
        yield
        self.parts.append((name, time.monotonic() - started))

    def table(self) -> str:
        rows = [*self.parts, ("all of it", sum(seconds for _, seconds in self.parts))]
        return "\n".join(f"  {name:<42} {seconds:7.1f} s" for name, seconds in rows)


def run_demo(stay: bool) -> None:
    """Starts the platform in this home, trains, asks for approval, publishes, and shows the lists.

    Args:
        stay: Leave the answer to a person and stay up until Ctrl-C; else answer as `demo_approver`, whose record says
            that it was automated, and end.

    Raises:
        PlatformError: a run fails; names the tasks and where their logs are.
    """
    clock = Clock()
    if installed := os.environ.get("AVREC_INSTALL_SECONDS"):
        clock.parts.append(("installation", float(installed)))
    with clock.part("start Airflow and MLflow"):
        platform = running_platform(settings().home, demo=True)
        where = platform.__enter__()
    try:
        _once(Airflow("operator"), where, stay, clock)
        if stay:
            _stay(where)
    except KeyboardInterrupt:
        print("\nStopping.", flush=True)
    finally:
        platform.__exit__(None, None, None)


def _once(airflow: Airflow, where: Addresses, stay: bool, clock: Clock) -> None:
    for dag in (TRAIN, RECOMMEND):
        airflow.wait_for_dag(dag)
        airflow.unpause(dag)
    if _champion() is None:
        with clock.part("train, up to the approval"):
            run = _waiting_run(airflow) or airflow.trigger(TRAIN)
            task = airflow.wait_for_approval(TRAIN, run, LONGEST_WAIT_S, _say)
        with clock.part("approval and promotion"):
            if stay:
                _ask(where, run)
            else:
                Airflow(DEMO_APPROVER).answer(TRAIN, run, task, "Approve", {"reason": AUTOMATED_REASON})
            _finish(airflow, TRAIN, run)
    else:
        print("\nThis home has a champion already; its lists are shown. Train anew in Airflow or with `dvc repro`.")
    if _champion() is None:
        print("\nRejected: no model went live, so nobody gets a list. Change something and train again in Airflow.")
    else:
        with clock.part("recommendation tables"):
            _finish(airflow, RECOMMEND, _recommendation_run(airflow))
        _show()
    print(f"\nHow long each part took\n{clock.table()}", flush=True)


def _champion() -> str | None:
    from avrec.registry.promotion import champion

    version = champion()
    return str(version.version) if version is not None else None


def _waiting_run(airflow: Airflow) -> str | None:
    """A run of an earlier demo that is under way or waits for its answer."""
    return next((run["dag_run_id"] for run in airflow.runs(TRAIN) if run["state"] in ("queued", "running")), None)


def _recommendation_run(airflow: Airflow) -> str:
    """The run that the new champion started; without one, a run of our own (publishing a day again changes nothing)."""
    for _ in range(20):
        if under_way := [r for r in airflow.runs(RECOMMEND) if r["state"] in ("queued", "running", "success")]:
            return str(under_way[0]["dag_run_id"])
        time.sleep(1)
    return airflow.trigger(RECOMMEND)


def _finish(airflow: Airflow, dag: str, run: str) -> None:
    state = airflow.wait(dag, run, timeout=LONGEST_WAIT_S, progress=_say)
    if state != "success":
        failed = [name for name, s in airflow.task_states(dag, run).items() if s == "failed"]
        raise PlatformError(f"{dag} run {run} ended as '{state}'; failed: {failed}. Logs: {settings().logs}")


def _ask(where: Addresses, run: str) -> None:
    """Names a person's login: what `demo_approver` answers is recorded as automated."""
    approver = configured_approvers()[0]
    print(
        f"\nA model waits for your approval.\n"
        f"  1. Open {where.airflow}/required_actions (Browse, Required Actions)\n"
        f"  2. Sign in as '{approver}', password {password_of(approver)}\n"
        f"  3. Read the comparison, write a reason, press Approve or Reject (run {run}).\n"
        f"Other logins: {settings().secrets / 'users.json'}",
        flush=True,
    )


def _show() -> None:
    from avrec.recommend.commands import print_list
    from avrec.recommend.publication import Publisher

    publisher = Publisher.of_settings()
    publication = publisher.current()
    print(f"\nPublished: {publication.row_count:,} rows for {publication.run_date}, model version "
          f"{publication.model_version}. The data are synthetic.")  # fmt: skip
    for user in publisher.tables.users(publication.id, PEOPLE_SHOWN):
        print_list(None, user)
    page = settings().reports / "recommendations" / f"{publication.run_date}" / "index.html"
    print(f"\nWhat people watched beside what they get, and why: {page.as_uri()}", flush=True)


def _stay(where: Addresses) -> None:
    print(
        f"\nAirflow  {where.airflow}\nMLflow   {where.mlflow}  {MLFLOW_HINT}\n"
        f"Sign in as operator, password {password_of('operator')}\nCtrl-C stops everything.",
        flush=True,
    )
    while True:
        time.sleep(3600)


def _say(line: str) -> None:
    print(f"  {line}", flush=True)
