"""The publishing DAG: light, harmless to repeat, and triggered by the clock and by the champion."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.publish import main as publish_main
from pipelines.recommend import parse

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def recommend(dagbag: Any) -> Any:
    return dagbag.dags["avrec_recommend"]


def test_it_is_a_chain_with_shards_mapped(recommend: Any) -> None:
    order = [task.task_id for task in recommend.topological_sort()]
    assert order == ["plan", "score", "validate", "publish", "page"]
    assert recommend.get_task("score").is_mapped


def test_it_runs_by_the_clock_and_on_what_training_updates(recommend: Any, dagbag: Any) -> None:
    promoted = dagbag.dags["avrec_train"].get_task("promote").outlets
    awaited = recommend.timetable.asset_condition.objects
    assert [asset.name for asset in awaited] == [asset.name for asset in promoted] == ["champion"]
    assert recommend.timetable.timetable.expression == "0 4 * * *"
    assert not recommend.catchup


def test_tasks_can_be_repeated_and_end(recommend: Any) -> None:
    for task in recommend.tasks:
        given = task.partial_kwargs if task.is_mapped else vars(task)
        assert given["retries"] >= 1
        assert given["execution_timeout"]
        assert given["on_failure_callback"]
        assert task.owner == "avrec"
    assert recommend.get_task("publish").pool == "publishing"
    assert "plan --> score" in recommend.doc_md


def test_no_template_needs_a_logical_date(recommend: Any) -> None:
    """A run that an asset started has none."""
    text = (ROOT / "dags" / "avrec_recommend.py").read_text(encoding="utf-8")
    for name in ("{{ ds", "logical_date }}", "data_interval", "execution_date"):
        assert name not in text
    assert recommend.get_task("plan").arguments[2].startswith("{{ params.run_date or dag_run.run_after")


@pytest.mark.parametrize("filled", [{}, {"version": "3"}, {"data_run": "later"}, {"version": "3", "data_run": "later"}])
def test_the_steps_understand_what_the_form_sends(recommend: Any, filled: dict[str, str]) -> None:
    """Arguments are rendered as Airflow does, with fields left empty, and read by the steps' own parsers."""
    from jinja2 import Template

    params = {"run_date": "2026-03-01", "version": None, "data_run": None, **filled}
    context = {"params": params, "dag_run": {"logical_date": None, "run_type": "asset_triggered"}}
    rendered = [Template(text).render(context) for text in recommend.get_task("plan").arguments]
    given = parse(rendered)
    assert (given.version, given.data) == (filled.get("version", "champion"), filled.get("data_run"))
    assert given.until is None
    last = Template(recommend.get_task("publish").arguments[-1]).render(context)
    assert last == ("" if "version" in filled else "--while-champion")


@pytest.mark.parametrize(("kind", "only"), [("scheduled", "--while-champion"), ("backfill", "")])
def test_a_day_made_again_sees_what_was_there_then(recommend: Any, kind: str, only: str) -> None:
    from airflow.serialization.encoders import coerce_to_core_timetable
    from jinja2 import Template

    at = datetime(2026, 3, 1, 4, tzinfo=UTC)
    run = {"logical_date": at, "run_after": at, "run_type": kind}
    context = {"params": {"run_date": None, "version": None, "data_run": None}, "dag_run": run}
    given = parse([Template(text).render(context) for text in recommend.get_task("plan").arguments])
    assert (given.date, given.until) == (at.date(), at)
    assert Template(recommend.get_task("publish").arguments[-1]).render(context) == only
    assert coerce_to_core_timetable(recommend.timetable).periodic  # Airflow backfills such schedules alone


def test_publish_names_a_publication_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert publish_main(["publish", "20260301-v1-abc", ""]) == 3
    assert "knows no publication 20260301-v1-abc" in capsys.readouterr().err


def test_reading_it_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.path.insert(0, 'dags'); import avrec_recommend; "
        "print([m for m in ('tensorflow', 'mlflow', 'dvc', 'great_expectations', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
