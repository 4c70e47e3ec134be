"""The DAGs that take data in and watch: what they run, in which order, and that they promote nothing."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.graph import read_stages
from pipelines.ingest import stages_of

ROOT = Path(__file__).resolve().parent.parent.parent


def test_ingestion_makes_validated_data_and_features(dagbag: Any) -> None:
    dag = dagbag.dags["avrec_ingest"]
    executed = [t.arguments[1] for t in dag.topological_sort() if getattr(t, "module", "") == "execute"]
    assert sorted(executed) == sorted(stages_of(list(read_stages(ROOT / "dvc.yaml"))))
    assert executed[:2] == ["dataset", "validate"]
    assert dag.get_task("take").upstream_task_ids == set()
    assert dag.get_task("offer").upstream_task_ids == {name for name in dag.task_ids if name.startswith("features.")}
    assert dag.get_task("announce").upstream_task_ids == {"offer"}
    assert dag.max_active_runs == 1


def test_no_template_of_ingestion_needs_a_logical_date(dagbag: Any) -> None:
    text = (ROOT / "dags" / "avrec_ingest.py").read_text(encoding="utf-8")
    for name in ("{{ ds", "logical_date", "data_interval", "execution_date"):
        assert name not in text


def test_the_monitor_tells_and_may_train_but_never_promotes(dagbag: Any) -> None:
    dag = dagbag.dags["avrec_monitor"]
    assert dag.get_task("look").downstream_task_ids == {"tell", "retrain", "overview"}
    modules = {getattr(task, "module", "") for task in dag.tasks}
    assert modules == {"monitor", "overview", ""}
    published = dagbag.dags["avrec_recommend"].get_task("publish").outlets
    awaited = dag.timetable.asset_condition.objects
    assert [asset.name for asset in awaited] == [asset.name for asset in published] == ["table"]


@pytest.mark.parametrize("wanted", ["0123.dir", ""])
def test_whether_to_train_is_handed_on(dagbag: Any, wanted: str) -> None:
    from jinja2 import Environment

    class Instance:
        def xcom_pull(self, task_ids: str) -> dict[str, Any]:
            return {"retrain": wanted}

    task = dagbag.dags["avrec_monitor"].get_task("retrain")
    assert Environment(autoescape=False).from_string(task.arguments[1]).render(ti=Instance()) == wanted


def test_alerts_go_through_every_notifier_that_is_set_up(
    dagbag: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.exceptions import AirflowException, AirflowSkipException
    from avrec_notify import MailNotifier, notifiers

    class Instance:
        alerts: list[dict[str, str]] = []  # noqa: RUF012

        def xcom_pull(self, task_ids: str) -> dict[str, Any]:
            return {"alerts": self.alerts, "page": "file:///page"}

    tell = dagbag.dags["avrec_monitor"].get_task("tell")
    with pytest.raises(AirflowSkipException):
        tell.execute({"ti": Instance(), "run_id": "r"})
    Instance.alerts = [{"name": "freshness", "text": "Too old."}]
    tell.execute({"ti": Instance(), "run_id": "r"})
    (line,) = (home / "logs" / "alerts.jsonl").read_text(encoding="utf-8").splitlines()
    assert "Too old." in json.loads(line)["text"]
    monkeypatch.setenv("AVREC_NOTIFY_MAIL", "ops@example.org")
    monkeypatch.setenv("AVREC_SMTP", "smtp://127.0.0.1:1")  # nobody listens there
    assert [type(one) for one in notifiers({"text": "x"})][1:] == [MailNotifier]
    with pytest.raises(AirflowException, match="MailNotifier"):
        tell.execute({"ti": Instance(), "run_id": "r"})


@pytest.fixture
def pages(dagbag: Any) -> Any:
    spec = importlib.util.spec_from_file_location("avrec_pages", ROOT / "dags" / "plugins" / "avrec_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_only_pages_of_the_reports_are_served(pages: Any, home: Path) -> None:
    reports = home / "reports"
    (reports / "monitoring").mkdir(parents=True)
    (reports / "monitoring" / "index.html").write_text("page", encoding="utf-8")
    (reports / "monitoring" / "report.json").write_text("{}", encoding="utf-8")
    (home / "secret.html").write_text("secret", encoding="utf-8")
    (reports / "link.html").symlink_to(home / "secret.html")
    assert pages.page_file(reports, "monitoring/index.html") == reports / "monitoring" / "index.html"
    for name in ("../secret.html", "link.html", "/etc/hostname", "monitoring", "monitoring/report.json", "a\0b", ""):
        assert pages.page_file(reports, name) is None, name


def test_the_pages_are_behind_the_login(pages: Any, home: Path) -> None:
    from fastapi.testclient import TestClient

    (home / "reports").mkdir(parents=True)
    (home / "reports" / "overview.html").write_text("page", encoding="utf-8")
    answer = TestClient(pages.AvrecPages.fastapi_apps[0]["app"]).get("/overview.html")
    assert answer.status_code == 401


def test_a_rollback_names_its_version_and_its_person_and_publishes_anew(dagbag: Any) -> None:
    from jinja2 import Environment

    class Run:
        triggering_user_name = "operator"

    class Instance:
        def xcom_pull(self, task_ids: str) -> dict[str, Any]:
            return {"version": "3", "run_date": "2026-03-02"}

    dag = dagbag.dags["avrec_rollback"]
    back, publish = dag.get_task("rollback"), dag.get_task("publish")
    assert (back.upstream_task_ids, publish.upstream_task_ids) == (set(), {"rollback"})
    form = {"params": {"leaving": "4", "reason": "Complaints"}, "dag_run": Run(), "ti": Instance()}
    words = [Environment(autoescape=False).from_string(text).render(form) for text in back.arguments]
    assert words == ["4", "operator", "Complaints"]
    assert publish.trigger_dag_id == "avrec_recommend"
    asked = {k: Environment(autoescape=False).from_string(v).render(form) for k, v in publish.conf.items()}
    assert set(asked) <= set(dagbag.dags["avrec_recommend"].params)
    assert asked == {"run_date": "2026-03-02"}
