"""Takes a champion back: the one before it serves again, and its lists are published."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Param, dag
from avrec_common import TASK_DEFAULTS, Step

FLOW = """
a person, a reason --> rollback --> publish (a run of avrec_recommend)
                          |
                          +-- the version is not the champion: fails, nothing is moved
"""

FORM = {
    "leaving": Param("", type="string", title="Version to take back",
                     description="Number of the champion that is to serve no longer, as the overview shows it. A "
                                 "version that was promoted meanwhile stays."),
    "reason": Param("", type="string", title="Reason", description="Required; it is recorded with your name."),
}  # fmt: skip


@dag(
    dag_id="avrec_rollback",
    dag_display_name="avrec: roll back",
    description="From a champion to the one before it, tables included.",
    doc_md=f"""{__doc__}

```text{FLOW}```

It takes the role operator or approver. The earlier version was approved when it was promoted; nobody is asked again.
The table of the newest day is replaced, what was in force is kept as superseded.""",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params=FORM,
    default_args=TASK_DEFAULTS,
    tags=["avrec", "publishing"],
    max_active_runs=1,
    is_paused_upon_creation=False,  # nothing starts it but a person, who should not have to wait
)
def avrec_rollback() -> None:
    back = Step(
        task_id="rollback", module="rollback",
        arguments=["{{ params.leaving }}", "{{ dag_run.triggering_user_name or '' }}", "{{ params.reason }}"],
        doc_md="Moves the alias and writes the record; a retry finds it moved.",
    )  # fmt: skip
    publish = TriggerDagRunOperator(
        task_id="publish", trigger_dag_id="avrec_recommend", logical_date=None,
        conf={"run_date": "{{ ti.xcom_pull(task_ids='rollback')['run_date'] }}"},
        doc_md="Starts the run that makes the newest day's table with the champion of now.",
    )  # fmt: skip
    back >> publish


avrec_rollback()
