"""The training DAG: equal to dvc.yaml, light to read, and nothing in it promotes by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.graph import edges, read_stages

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def train(dagbag: Any) -> Any:
    return dagbag.dags["avrec_train"]


def is_helper(task: Any) -> bool:
    given = task.partial_kwargs if task.is_mapped else vars(task)
    return bool(given.get("helper"))


def stage_of(task: Any) -> str | None:
    """The stage a task executes: what it is told to run, not what it is called."""
    if not task.is_mapped and getattr(task, "module", None) == "execute":
        return str(task.arguments[1])
    return None


def contracted(dag: Any) -> set[tuple[str, str]]:
    """Edges between stages once helpers are taken out and what they joined is joined directly."""
    found = set()
    for task in dag.tasks:
        if not (stage := stage_of(task)):
            continue
        queue, seen = list(task.downstream_task_ids), set()
        while queue:
            below = dag.get_task(queue.pop())
            if below.task_id in seen:
                continue
            seen.add(below.task_id)
            if reader := stage_of(below):
                found.add((stage, reader))
            elif is_helper(below):
                queue += below.downstream_task_ids
    return found


def test_it_is_the_graph_of_dvc_yaml(train: Any) -> None:
    stages = read_stages(ROOT / "dvc.yaml")
    assert {stage_of(task) for task in train.tasks} - {None} == set(stages)
    assert contracted(train) == edges(stages)


def test_task_names_and_stage_names_are_one_to_one(train: Any) -> None:
    from avrec_train import stage_name, task_id

    for task in train.tasks:
        if stage := stage_of(task):
            assert task.task_id == task_id(stage)
            assert stage_name(task.task_id) == stage


def test_the_graph_dvc_itself_sees(train: Any) -> None:
    """Our reading of dvc.yaml against DVC's own."""
    from dvc.repo import Repo

    with Repo(str(ROOT)) as repo:
        graph = repo.index.graph
        theirs = {(writer.addressing, reader.addressing) for reader, writer in graph.edges}
        names = {stage.addressing for stage in graph.nodes}
    stages = read_stages(ROOT / "dvc.yaml")
    assert set(stages) == names
    assert edges(stages) == theirs


def test_every_task_can_be_operated(dagbag: Any) -> None:
    for dag in dagbag.dags.values():
        assert dag.doc_md, dag.dag_id
        assert dag.tags, dag.dag_id
        for task in dag.tasks:
            assert task.owner != "airflow", task.task_id
            assert task.on_failure_callback, task.task_id
            if type(task).__name__ != "EmptyOperator" and task.task_id != "approve":
                assert task.retries >= 1, task.task_id
                assert task.execution_timeout, task.task_id


def test_silence_and_the_gate_promote_nothing(train: Any) -> None:
    approve = train.get_task("approve")
    assert approve.defaults is None
    assert approve.execution_timeout is None
    assert approve.response_timeout
    assert [user["name"] for user in approve.assigned_users] == yaml.safe_load(
        (ROOT / "mlflow" / "promotion.yaml").read_text(encoding="utf-8")
    )["approvers"]
    # The only way to the champion is through the record of an approval.
    assert train.get_task("promote").upstream_task_ids == {"record_approval"}
    assert train.get_task("record_approval").upstream_task_ids == {"approve"}
    assert train.get_task("approve").upstream_task_ids == {"gate"}


@pytest.mark.parametrize(
    ("passed", "approval", "follows"),
    [(False, True, "gate_refused"), (False, False, "gate_refused"), (True, True, "approve"),
     (True, False, "gated_challenger")],
)  # fmt: skip
def test_what_follows_the_gate(train: Any, passed: bool, approval: bool, follows: str) -> None:
    gate = train.get_task("gate")
    assert gate.choose({"passed": passed}, {"approval": approval}) == follows
    assert follows in gate.downstream_task_ids


def test_the_form_untouched_changes_nothing(train: Any) -> None:
    """Defaults of the form are the values of params.yaml, and all of them are valid."""
    from jinja2 import Environment

    from pipelines.runs import edit

    train.params.validate()
    template = Environment(autoescape=False).from_string(train.get_task("start").arguments[1])
    overrides = json.loads(template.render(params=train.params.dump()))
    params = (ROOT / "params.yaml").read_bytes()
    assert edit(params, overrides) == params
    assert {"source", "epochs", "matchers", "approval"} <= set(train.params)
    for name in train.params:
        param = train.params.get_param(name)
        assert param.description, name
        assert param.schema["type"], name


def test_only_new_data_and_drift_start_training_by_themselves(train: Any, dagbag: Any) -> None:
    announced = dagbag.dags["avrec_ingest"].get_task("announce").outlets
    drifted = dagbag.dags["avrec_monitor"].get_task("retrain").outlets
    awaited = train.timetable.asset_condition.objects
    assert [asset.name for asset in awaited] == [a.name for a in (*announced, *drifted)] == ["data", "drift"]
    assert type(train.timetable).__name__ == "AssetTriggeredTimetable"


@pytest.mark.parametrize(("kind", "newest"), [("asset_triggered", True), ("manual", False)])
def test_a_run_that_data_started_learns_from_them(train: Any, kind: str, newest: bool) -> None:
    from jinja2 import Template

    said = Template(train.get_task("start").arguments[2]).render(dag_run={"run_type": kind})
    assert (said == "--newest") == newest
