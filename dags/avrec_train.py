"""Trains on one version of the data, has the result judged, asks a person, and promotes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import yaml
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Param, TaskGroup, dag
from avrec_common import CHAMPION, DATA, DRIFT, PROJECT, TASK_DEFAULTS, Approval, BranchStep, Step, approvers

from pipelines.graph import Stage, edges, read_stages

FLOW = """
enough is new, the data drift, or a person
|
start -> dataset -> validate -> split ----------+
            |         |                         v
            |         +-> extraction -> features -> train, train_more -> rank -> evaluate -> refit -> track
            +-> freshness ----------------^                                                            |
      +------------------------------------------------------------------------------------------------+
      v
   register -> gate --+-- refused by the gate ----------------------> gate_refused
                      +-- passed, approval switched off ------------> gated_challenger
                      +-- passed --> approve --+-- Approve -> record_approval -> promote -> champion
                                               +-- Reject --> record_rejection
"""

MATCHERS = [
    "popularity", "content", "ease", "two_tower", "ease_side", "item_knn", "factors", "knowledge_graph", "graph",
    "sequence",
]  # fmt: skip
SOURCES = ["demo", "folder", "mmrec", "movielens", "microlens"]
HEAVY = {
    "train": "training",
    "train_more": "training",
    "rank": "training",
    "refit": "training",
}  # the extraction is its helpers' work
FIRST = {"train@two_tower": 100}  # the longest of its group starts first


def form() -> dict[str, Param]:
    """The trigger form; what is not touched is as params.yaml says."""
    now: dict[str, Any] = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    data, matching = now["dataset"], now["matching"]
    enabled = [name for name in MATCHERS if matching[name]["enabled"]]
    what, how, after = "What to learn from", "How to learn", "What happens with the result"
    return {
        "source": Param(data["source"], type="string", enum=SOURCES, title="Source", section=what,
                        description="`demo` is rendered by the project itself; the others need a snapshot."),
        "snapshot": Param(data["snapshot"], type=["null", "string"], title="Snapshot", section=what,
                          description="What `avrec data import SOURCE PATH` printed. Empty for the demo."),
        "demo_items": Param(data["demo"]["items"], type="integer", minimum=24, maximum=100_000, title="Demo: items",
                            section=what, description="How many clips the demo renders."),
        "demo_users": Param(data["demo"]["users"], type="integer", minimum=20, maximum=1_000_000, section=what,
                            title="Demo: users", description="How many people the demo has."),
        "items_per_shard": Param(2000, type="integer", minimum=1, title="Items a shard", section=what,
                                 description="Media are read by one task for so many items, at most 1,000 tasks."),
        "max_age_days": Param(0, type="number", minimum=0, title="Oldest data, in days", section=what,
                              description="Fails when the newest interaction is older. 0: its age is only told."),
        "matchers": Param(enabled, type="array", items={"type": "string", "enum": MATCHERS}, minItems=1,
                          uniqueItems=True, examples=MATCHERS, title="Matchers", section=how,
                          description="Which are trained and blended. The gate compares with popularity and EASE."),
        "epochs": Param(matching["two_tower"]["epochs"], type="integer", minimum=1, maximum=1000, title="Epochs",
                        section=how, description="Most epochs of the two-tower network; it stops early by itself."),
        "seed": Param(matching["seed"], type="integer", minimum=0, title="Seed", section=how,
                      description="Of everything drawn at random in training. Equal seeds give equal models."),
        "k": Param(now["recommend"]["k"], type="integer", minimum=1, maximum=1000, title="Length of the lists",
                   section=how, description="How many items each person is recommended."),
        "overrides": Param({}, type="object", title="Any other parameter", section=how,
                           description='Dotted keys of params.yaml, as in {"matching.ease.l2": 50.0}.'),
        "approval": Param(True, type="boolean", title="Ask for approval", section=after,
                          description="Off: a run that passes the gate ends as a gated challenger."),
    }  # fmt: skip


REFUSED = "The gate refused; its task says why. `avrec models approve VERSION --override` overrules it, with a record."

# What the form says, as keys of params.yaml. `overrides` comes last: what it names wins.
OVERRIDES = """{{ dict({
  'dataset.source': params.source,
  'dataset.snapshot': params.snapshot,
  'dataset.demo.items': params.demo_items,
  'dataset.demo.users': params.demo_users,
  'matching.popularity.enabled': 'popularity' in params.matchers,
  'matching.content.enabled': 'content' in params.matchers,
  'matching.ease.enabled': 'ease' in params.matchers,
  'matching.two_tower.enabled': 'two_tower' in params.matchers,
  'matching.ease_side.enabled': 'ease_side' in params.matchers,
  'matching.item_knn.enabled': 'item_knn' in params.matchers,
  'matching.factors.enabled': 'factors' in params.matchers,
  'matching.knowledge_graph.enabled': 'knowledge_graph' in params.matchers,
  'matching.graph.enabled': 'graph' in params.matchers,
  'matching.sequence.enabled': 'sequence' in params.matchers,
  'matching.two_tower.epochs': params.epochs,
  'matching.seed': params.seed,
  'recommend.k': params.k,
}, **params.overrides) | tojson }}"""


# A run that new data started learns from them, whatever the form says: nobody filled it in.
NEWEST = "{{ '--newest' if dag_run.run_type == 'asset_triggered' else '' }}"


def task_id(stage: str) -> str:
    """`train@ease` is the task `train.ease` in the group `train`; `@` is not allowed in Airflow's names."""
    return stage.replace("@", ".")


def stage_name(task: str) -> str:
    """The other way round."""
    return task.replace(".", "@")


def stage_tasks(stages: dict[str, Stage]) -> dict[str, Step]:
    """A task a stage, joined as the files they write and read join them."""
    groups = {base: TaskGroup(base) for base in dict.fromkeys(n.split("@")[0] for n in stages if "@" in n)}
    tasks: dict[str, Step] = {}
    for name, stage in stages.items():
        base, _, entry = name.partition("@")
        tasks[name] = Step(
            task_id=entry or base, task_group=groups.get(base), module="execute", arguments=["{run}", name],
            pool=HEAVY.get(base, "default_pool"), priority_weight=FIRST.get(name, 1),
            doc_md=f"`{stage.cmd}` in a scratch checkout of the run.",
        )  # fmt: skip
    for writer, reader in sorted(edges(stages)):
        tasks[writer] >> tasks[reader]
    return tasks


def extraction(validate: Step, features: list[Step]) -> None:
    """Fills the feature store in parallel, so that the feature stages only have to collect."""
    with TaskGroup("extraction", tooltip="Helpers: the feature stages give the same without them, only later."):
        plan = Step(task_id="plan", module="shards", arguments=["{run}", "{{ params.items_per_shard }}"], helper=True)
        shards = Step.partial(task_id="shard", module="inside", helper=True, pool="extraction").expand(
            arguments=plan.output
        )
    validate >> plan >> shards >> features


def check_freshness(dataset: Step, features: list[Step]) -> None:
    """Against the clock, and therefore no stage: the same data are older tomorrow."""
    command = [
        "{run}",
        "--pull",
        "data/dataset",
        "--",
        "python",
        "-m",
        "pipelines.freshness",
        "{{ params.max_age_days }}",
    ]
    fresh = Step(task_id="freshness", module="inside", arguments=command, helper=True)
    dataset >> fresh >> features


def after_gate(verdict: dict[str, Any], form_values: Any) -> str:
    if not verdict["passed"]:
        return "gate_refused"
    return "approve" if form_values["approval"] else "gated_challenger"


def in_checkout(name: str, *arguments: str, inputs_of: Sequence[str]) -> dict[str, Any]:
    """A step in a scratch checkout that holds what some stages read."""
    pulls = [word for stage in inputs_of for word in ("--inputs-of", stage)]
    command = ["{run}", *pulls, "--", "python", "-m", f"pipelines.{name}", *arguments]
    return {"module": "inside", "arguments": command}


def decision() -> Step:
    """register, gate, and what a person or the form makes of it."""
    version = "{{ ti.xcom_pull(task_ids='register')['version'] }}"
    answer = "{{ ti.xcom_pull(task_ids='approve', key='answer') | tojson }}"
    register = Step(task_id="register", **in_checkout("register", inputs_of=["track"]))
    judge = in_checkout("gate", version, inputs_of=["track", "evaluate"])
    gate = BranchStep(task_id="gate", choose=after_gate, **judge)
    refused = EmptyOperator(task_id="gate_refused", doc_md=REFUSED)
    waiting = EmptyOperator(task_id="gated_challenger", doc_md="Passed the gate; approve with `avrec models approve`.")
    approve = Approval(
        task_id="approve",
        subject="Promote version {{ ti.xcom_pull(task_ids='register')['version'] }} of avrec?",
        body="{{ ti.xcom_pull(task_ids='gate')['body'] }}",
        options=["Approve", "Reject"],
        options_mapping={"Approve": "record_approval", "Reject": "record_rejection"},
        params={"reason": Param("", type="string", title="Reason", description="Required, for both answers.")},
        assigned_users=approvers(),
        response_timeout=timedelta(days=7),
        execution_timeout=None,
        retries=0,
    )
    recorded = Step(task_id="record_approval", module="approve", arguments=[version, answer])
    rejected = Step(task_id="record_rejection", module="approve", arguments=[version, answer])
    promote = Step(task_id="promote", module="promote", arguments=[version], outlets=[CHAMPION])
    register >> gate >> [refused, waiting, approve]
    approve >> [recorded, rejected]
    recorded >> promote
    return register


@dag(
    dag_id="avrec_train",
    dag_display_name="avrec: train, judge, approve, promote",
    description="From a version of the data to a model that a person approved.",
    doc_md=f"{__doc__}\n\n```text{FLOW}```",
    schedule=(DATA | DRIFT),
    catchup=False,
    params=form(),
    default_args=TASK_DEFAULTS,
    tags=["avrec", "training"],
    max_active_runs=4,
    render_template_as_native_obj=False,
)
def avrec_train() -> None:
    start = Step(task_id="start", module="start", arguments=["{run}", OVERRIDES, NEWEST], helper=True)
    tasks = stage_tasks(read_stages(PROJECT / "dvc.yaml"))
    first = [task for task in tasks.values() if not task.upstream_task_ids]
    last = [task for task in tasks.values() if not task.downstream_task_ids]
    features = [task for name, task in tasks.items() if name.startswith("features@")]
    check_freshness(tasks["dataset"], features)
    extraction(tasks["validate"], features)
    register = decision()
    start >> first
    last >> register


avrec_train()
