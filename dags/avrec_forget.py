"""Carries out the collected requests to be forgotten, and trains anew where the champion had learned from them."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import CronTriggerTimetable, dag
from avrec_common import TASK_DEFAULTS, BranchStep

FLOW = """
every night --> forget --+-- the champion is revoked --> train (avrec_train; a person approves)
                |        +-- it is not -------------------> done
                +-- no batch is due: all is skipped
"""

NIGHTLY = os.environ.get("AVREC_FORGET_CRON", "0 2 * * *")


def after(found: dict[str, Any], _: Any) -> str:
    return "train" if found["champion_revoked"] else "done"


@dag(
    dag_id="avrec_forget",
    dag_display_name="avrec: erase people and items",
    description="From collected requests to receipts; people and videos disappear from everything that is stored.",
    doc_md=f"""{__doc__}

```text{FLOW}```

The form has no field on purpose: nobody must be named in Airflow's database. `avrec forget USER --later` collects a
request. docs/erase.md says what happens where. It refuses to start while a stage is running, and is tried again.""",
    schedule=CronTriggerTimetable(NIGHTLY, timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args=TASK_DEFAULTS,
    tags=["avrec", "privacy"],
    max_active_runs=1,
)
def avrec_forget() -> None:
    forget = BranchStep(
        task_id="forget", module="forget", arguments=["--due"], choose=after, retries=6,
        retry_delay=timedelta(minutes=5), max_retry_delay=timedelta(hours=1), execution_timeout=timedelta(hours=12),
        doc_md="Every place, in the order of docs/erase.md; its log has numbers and no names.",
    )  # fmt: skip
    train = TriggerDagRunOperator(
        task_id="train", trigger_dag_id="avrec_train", doc_md="A new model without them; it waits for approval as ever."
    )
    forget >> [train, EmptyOperator(task_id="done")]


avrec_forget()
