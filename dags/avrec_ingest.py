"""Takes new data from the inbox, makes them the next version, and has a training run started when enough is new."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from airflow.sdk import Param, TaskGroup, dag
from avrec_common import DATA, PROJECT, TASK_DEFAULTS, Step

from pipelines.graph import read_stages

FLOW = """
inbox --> take --> dataset --> validate --> extraction (a task a shard) --> features --> offer --> announce
           |                      |                                                        |          |
           +-- nothing new:       +-- not valid: what was                                  |          +-- enough new:
               all is skipped         offered before stays                                 |              a training
                                                                                           |              run starts
                                                                                           +-- the next lists hold
                                                                                               the new items
"""

OFTEN = os.environ.get("AVREC_INGEST_CRON", "*/15 * * * *")
RUN = "{{ ti.xcom_pull(task_ids='take')['run'] }}"
MODALITIES = [name.partition("@")[2] for name in read_stages(PROJECT / "dvc.yaml") if name.startswith("features@")]


def stage(name: str, group: TaskGroup | None = None) -> Step:
    """A stage of dvc.yaml, in the run that holds the new version."""
    return Step(
        task_id=name.rpartition("@")[2], task_group=group, module="execute", arguments=[RUN, name],
        doc_md=f"Stage `{name}` of dvc.yaml; what did not change is taken over from earlier runs.",
    )  # fmt: skip


@dag(
    dag_id="avrec_ingest",
    dag_display_name="avrec: ingest new data",
    description="From batches in the inbox to the next version of the data, exactly once.",
    doc_md=f"""{__doc__}

```text{FLOW}```

A batch is a folder with `_READY` in it. One that cannot be used is marked `_REFUSED`, with the reason, and waits for a
person. Only media that are new are extracted. A failed run is repaired by clearing its failed tasks.""",
    schedule=OFTEN,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={"items_per_shard": Param(50, type="integer", minimum=1, title="Items a shard",
                                     description="How many items one extraction task reads.")},
    default_args=TASK_DEFAULTS,
    tags=["avrec", "data"],
    max_active_runs=1,
)  # fmt: skip
def avrec_ingest() -> None:
    take = Step(
        task_id="take", module="ingest", arguments=["take"],
        doc_md="Appends every batch that waits; the journal `refs/avrec/data` says which were taken.",
    )  # fmt: skip
    dataset, validate = stage("dataset"), stage("validate")
    with TaskGroup("extraction", tooltip="Fills the feature store with what is new."):
        plan = Step(task_id="plan", module="shards", arguments=[RUN, "{{ params.items_per_shard }}"], helper=True)
        shards = Step.partial(task_id="shard", module="inside", helper=True, pool="extraction").expand(
            arguments=plan.output
        )
    with TaskGroup("features") as group:
        features = [stage(f"features@{modality}", group) for modality in MODALITIES]
    offer = Step(
        task_id="offer", module="ingest", arguments=["offer", RUN],
        doc_md="From now on tables are made with this version.",
    )  # fmt: skip
    announce = Step(
        task_id="announce", module="ingest", arguments=["announce"], outlets=[DATA],
        doc_md="Skipped until enough is new (`ingest` in params.yaml); else a training run starts.",
    )  # fmt: skip
    take >> dataset >> validate >> plan >> shards >> features >> offer >> announce


avrec_ingest()
