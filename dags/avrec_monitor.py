"""Looks at data, champion and tables every day and after each publication, and tells people what is out of bounds."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import AssetOrTimeSchedule, BaseOperator, CronTriggerTimetable, Param, dag
from airflow.sdk.exceptions import AirflowException, AirflowSkipException
from avrec_common import DRIFT, TABLE, TASK_DEFAULTS, Step
from avrec_notify import notifiers

FLOW = """
every day -----+           +--> tell: log, webhook, mail
               +--> look --+--> retrain: where it may help, a training run starts
a new table ---+           +--> overview: the page to begin with
"""

FORM = {
    "at": Param(None, type=["null", "string"], format="date-time", title="Moment",
                description="A moment of the past (UTC): the age of the data is counted to it, and the curves get a "
                            "point there unless they have later ones. Empty: now."),
}  # fmt: skip

DAILY = os.environ.get("AVREC_MONITOR_CRON", "0 6 * * *")


class Tell(BaseOperator):
    """Tells the alerts that `look` handed back, through every notifier that is set up."""

    ui_color = "#fff0cf"

    def execute(self, context: Any) -> None:
        found = context["ti"].xcom_pull(task_ids="look")
        if not found["alerts"]:
            raise AirflowSkipException("All is within bounds.")
        lines = [f"{len(found['alerts'])} alert(s) of the monitor", *(f"- {one['text']}" for one in found["alerts"])]
        failed = []
        for notifier in notifiers({"text": "\n".join([*lines, found["page"]]), **found}):
            try:
                notifier.notify(context)
            except OSError as error:  # the others are to be told all the same
                failed.append(f"{type(notifier).__name__}: {error}")
        if failed:
            raise AirflowException("; ".join(failed))


@dag(
    dag_id="avrec_monitor",
    dag_display_name="avrec: monitor",
    description="Drift, freshness, what came of the tables; tells people, may start training, promotes nothing.",
    doc_md=f"""{__doc__}

```text{FLOW}```

Bounds are in `params.yaml` under `monitor`. The XCom of `look` and of `overview`, and their logs, give the addresses of
the pages; the curves are in MLflow, in the run *monitor*.""",
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable(DAILY, timezone="UTC"), assets=[TABLE]),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params=FORM,
    default_args=TASK_DEFAULTS,
    tags=["avrec", "monitoring"],
    max_active_runs=1,
)
def avrec_monitor() -> None:
    look = Step(
        task_id="look", module="monitor", arguments=["look", "{{ params.at or '' }}"],
        execution_timeout=timedelta(hours=1),
        doc_md="Compares, writes the page and the curves; its result lists the alerts.",
    )  # fmt: skip
    tell = Tell(task_id="tell", doc_md="Skipped where all is within bounds.")
    retrain = Step(
        task_id="retrain", module="monitor", outlets=[DRIFT],
        arguments=["retrain", "{{ ti.xcom_pull(task_ids='look')['retrain'] }}"],
        doc_md="Skipped where training would not help, or was done with these data; else a training run starts.",
    )  # fmt: skip
    overview = Step(
        task_id="overview", module="overview", doc_md="Champion, tables, drift, what waits for a person: one page.",
    )  # fmt: skip
    look >> [tell, retrain, overview]


avrec_monitor()
