"""Publishes what people are recommended: every day, and whenever there is a new champion."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, Param, dag
from avrec_common import CHAMPION, TABLE, TASK_DEFAULTS, Step

FLOW = """
every day ------+
                +--> plan --> score (a task a shard of people) --> validate --> publish --> page
new champion ---+     |         in a checkout of the                  |            |          |
                      |         champion's run                        |            |          +-- what they watched
                      +-- no champion yet:                            |            |              beside what they get
                          all is skipped                              |            |
                                                                      |            +-- one transaction; what was
                                       not valid: the table in force -+                in force is kept
                                       stays in force
"""

DAILY = os.environ.get("AVREC_RECOMMEND_CRON", "0 4 * * *")

FORM = {
    "run_date": Param(None, type=["null", "string"], format="date", title="Day",
                      description="Day the lists are for: histories end with it (UTC). Empty: the day of this run."),
    "version": Param(None, type=["null", "string"], title="Version of the model",
                     description="Number of a registered version. Empty: the champion. An earlier one brings its table "
                                 "back; what is in force meanwhile is kept."),
    "data_run": Param(None, type=["null", "string"], title="Run with newer data",
                      description="Run whose data set holds histories and items. Empty: the newest that was ingested."),
}  # fmt: skip

# A run that an asset or a person started has no logical date; every run has `run_after`.
DAY = "{{ params.run_date or dag_run.run_after.strftime('%Y-%m-%d') }}"
# What the clock or a backfill started sees champion and data as of its instant, however late it runs: a day made again
# is the day that was. What an asset started wants the champion of now.
OF_A_DAY = "dag_run.logical_date and dag_run.run_type in ('scheduled', 'backfill')"
UNTIL = f"{{{{ dag_run.logical_date.isoformat() if {OF_A_DAY} else '' }}}}"
# A backfill fills in a day of the past, whoever is champion today.
ONLY_CHAMPION = "{{ '' if params.version or dag_run.run_type == 'backfill' else '--while-champion' }}"
PUBLICATION = "{{ ti.xcom_pull(task_ids='plan', key='publication') }}"


class Plan(Step):
    """Its result is two things: the publication's id, and the arguments of each shard."""

    def execute(self, context: Any) -> list[list[str]]:
        planned = super().execute(context)
        context["ti"].xcom_push(key="publication", value=planned["publication"])
        shards: list[list[str]] = planned["shards"]
        return shards


@dag(
    dag_id="avrec_recommend",
    dag_display_name="avrec: recommend and publish",
    description="From the champion to a published table and a page that shows it.",
    doc_md=f"""{__doc__}

```text{FLOW}```

`airflow backfill create --dag-id avrec_recommend --from-date D --to-date D` makes tables of past days, each with the
champion and the data of that day. Publishing the same day, version and data again changes nothing. The XCom of `page`
and its log give the address of the page. A failed run is repaired by clearing its failed tasks: shards that are there
are not made again.""",
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable(DAILY, timezone="UTC"), assets=[CHAMPION]),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params=FORM,
    default_args=TASK_DEFAULTS,
    tags=["avrec", "publishing"],
    max_active_runs=2,
)
def avrec_recommend() -> None:
    asked = [
        "--until",
        UNTIL,
        "--version",
        "{{ params.version or 'champion' }}",
        "--data",
        "{{ params.data_run or '' }}",
    ]
    plan = Plan(
        task_id="plan", module="recommend", arguments=["plan", "--date", DAY, *asked],
        doc_md="Which version, which data, whom: decided once, so that every shard and retry agrees.",
    )  # fmt: skip
    score = Step.partial(
        task_id="score", module="inside", max_active_tis_per_dag=16,
        doc_md="Lists of one shard of people, written aside.",
    ).expand(arguments=plan.output)  # fmt: skip
    validate = Step(
        task_id="validate", module="publish", arguments=["validate", PUBLICATION],
        doc_md="Great Expectations over the table; its log names the data docs.",
    )  # fmt: skip
    publish = Step(
        task_id="publish", module="publish", pool="publishing", execution_timeout=timedelta(hours=1),
        arguments=["publish", PUBLICATION, ONLY_CHAMPION], outlets=[TABLE],
        doc_md="Swaps the table in one step. Skipped where another version became the champion meanwhile.",
    )  # fmt: skip
    page = Step(
        task_id="page", module="page", arguments=[PUBLICATION], execution_timeout=timedelta(minutes=30),
        doc_md="What sampled people watched beside what they get and why.",
    )  # fmt: skip
    plan >> score >> validate >> publish >> page


avrec_recommend()
