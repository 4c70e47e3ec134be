"""From a trigger to a published table, through a real scheduler, API server and MLflow server, on the whole demo set.

The tests build on each other in the order of this file, as a day of work does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser

from avrec.errors import PlatformError
from avrec.platform.airflow import Airflow
from avrec.platform.identity import password_of
from avrec.recommend.publication import Publisher
from avrec.registry import client as server
from avrec.registry import promotion
from avrec.registry.approval import read_record
from avrec.schema import EXTRACTED
from tests.end_to_end.clicking import answer, signed_in
from tests.end_to_end.conftest import LIMIT_S, RECOMMEND, TRAIN, Platform

pytestmark = [pytest.mark.platform, pytest.mark.timeout(2400)]

REASON = "Better than both baselines, new items included."


def test_every_stage_ran_and_media_were_read_in_shards(platform: Platform, asked: tuple[str, str]) -> None:
    states = Airflow("viewer").task_states(TRAIN, asked[0])
    shards = [name for name in states if name.startswith("extraction.shard[")]
    assert len(shards) >= 3
    done = [
        "dataset",
        "validate",
        "split",
        *(f"features.{m}" for m in EXTRACTED),
        "semantic",
        "signals",
        "rank",
        "evaluate",
        "refit",
        "track",
    ]
    assert {states[name] for name in (*shards, *done, "register", "gate")} == {"success"}


def test_the_question_shows_what_is_compared(asked: tuple[str, str]) -> None:
    (question,) = Airflow("approver").pending_approvals()
    for word in ("challenger", "popularity", "ease", "cold_all", "gate: passed", "mlflow"):
        assert word in question["body"].lower()


@pytest.mark.parametrize("user", ["viewer", "operator", "admin"])
def test_nobody_but_an_approver_may_answer(asked: tuple[str, str], user: str) -> None:
    with pytest.raises(PlatformError, match="403"):
        Airflow(user).answer(TRAIN, *asked, "Approve", {"reason": REASON})


@pytest.mark.parametrize("user", ["viewer", "operator", "approver", "admin"])
def test_nobody_forges_an_answer(asked: tuple[str, str], user: str) -> None:
    """What a task hands over is read by the next one: an XCom that a person could write would be an approval."""
    run, task = asked
    forged = {
        "chosen_options": ["Approve"],
        "responded_by_user": {"name": "approver"},
        "params_input": {"reason": REASON},
    }
    path = f"/dags/{TRAIN}/dagRuns/{run}/taskInstances"
    with pytest.raises(PlatformError, match="403"):
        Airflow(user).request("POST", f"{path}/{task}/xcomEntries", {"key": "answer", "value": forged})
    with pytest.raises(PlatformError, match="403"):
        Airflow(user).request("PATCH", f"{path}/register/xcomEntries/return_value", {"value": {"version": "1"}})
    assert Airflow(user).xcom(TRAIN, run, "register")["version"]


def test_an_answer_without_a_reason_decides_nothing(platform: Platform, asked: tuple[str, str]) -> None:
    run, task = asked
    Airflow("approver").answer(TRAIN, run, task, "Approve", {"reason": " "})
    state = Airflow("operator").wait(TRAIN, run, timeout=LIMIT_S)
    assert state == "failed"
    assert "reason" in Airflow("operator").log(TRAIN, run, "record_approval")
    assert promotion.champion() is None


def test_an_approver_approves_by_clicking_and_the_champion_moves(
    platform: Platform, asked: tuple[str, str], chromium: Browser | None
) -> None:
    run, task = asked
    operator = Airflow("operator")
    clear = {"dry_run": False, "dag_run_id": run, "task_ids": [task], "include_downstream": True, "only_failed": False}
    operator.request("POST", f"/dags/{TRAIN}/clearTaskInstances", clear)
    assert operator.wait_for_approval(TRAIN, run, LIMIT_S) == task
    if chromium is None:
        Airflow("approver").answer(TRAIN, run, task, "Approve", {"reason": REASON})
    else:
        page = signed_in(chromium, platform.where.airflow, "approver", password_of("approver"))
        shown = answer(page, platform.where.airflow, "Promote version", "Approve", REASON)
        page.close()
        assert not [word for word in ("challenger", "popularity", "ease", "cold_all") if word not in shown.lower()]
    states = platform.finish(TRAIN, run)
    assert states["record_rejection"] == "skipped"
    champion = promotion.champion()
    assert champion is not None
    record = read_record(server.connect(), champion)
    assert record is not None
    assert (record.decision, record.who, record.why, record.automated) == ("approved", "approver", REASON, False)


def test_the_new_champion_publishes_a_table(platform: Platform) -> None:
    run = next(iter(Airflow("operator").runs(RECOMMEND)))["dag_run_id"]
    platform.finish(RECOMMEND, run)
    publisher = Publisher.of_settings()
    current = publisher.current()
    assert current.model_version == promotion.champion().version
    assert publisher.tables.rows(current.id, "*").num_rows > 0
    assert current.row_count > 400 * 20
    page = platform.home / "reports" / "recommendations" / f"{current.run_date}" / "index.html"
    assert "data:image/" in page.read_text()


def test_the_overview_is_read_in_airflow_after_signing_in(platform: Platform, root: Path, browser: Browser) -> None:
    avrec(root, "overview")
    airflow = platform.where.airflow
    assert requests.get(f"{airflow}/avrec/overview.html", timeout=60).status_code == 401
    page = signed_in(browser, airflow, "viewer", password_of("viewer"))
    page.get_by_text("Overview", exact=True).first.wait_for()
    page.goto(f"{airflow}/avrec/overview.html")
    assert f"version {promotion.champion().version}" in page.locator("dl").inner_text()
    page.get_by_role("link", name=f"{Publisher.of_settings().current().run_date}").click()
    page.get_by_role("heading", name="Recommendations for").wait_for()
    page.close()


def test_a_published_row_is_traced_and_made_again(platform: Platform, root: Path, tmp_path: Path) -> None:
    publisher = Publisher.of_settings()
    current = publisher.current()
    user = publisher.tables.users(current.id, 50)[-1]
    day = ["--date", f"{current.run_date}", "--user", user]
    traced = avrec(root, "tables", "trace", *day, "--rank", "3")
    for word in (current.id, current.dataset_version, "commit"):
        assert word in traced
    assert "equal" in avrec(root, "tables", "remake", *day, "--into", str(tmp_path / "again"))


def avrec(root: Path, *arguments: str) -> str:
    """What the command prints; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "avrec.cli", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_no_secret_is_in_a_log(platform: Platform) -> None:
    users = json.loads((platform.home / "secrets" / "users.json").read_text())
    passwords = [user["password"] for user in users.values()]
    for log in (platform.home / "logs").rglob("*"):
        if log.is_file():
            text = log.read_text(errors="replace")
            assert not [p for p in passwords if p in text], log


@pytest.mark.parametrize("user", ["viewer", "operator", "approver"])
def test_people_read_in_mlflow_and_write_nothing(platform: Platform, user: str) -> None:
    """An approval is a tag and a file there: whoever could write them could approve past Airflow."""
    champion = promotion.champion()
    base = f"{platform.where.mlflow}/api/2.0/mlflow"
    tag = {"key": "avrec.approval", "value": "approved"}
    writes = {
        "registered-models/alias": {"name": server.MODEL, "alias": server.CHAMPION, "version": champion.version},
        "model-versions/set-tag": {"name": server.MODEL, "version": champion.version, **tag},
        "runs/set-tag": {"run_id": champion.run_id, **tag},
        "runs/delete": {"run_id": champion.run_id},
        # MLflow would let everybody do these, and then put files where they please: among the DAGs, for instance.
        "experiments/create": {"name": f"of {user}", "artifact_location": str(platform.home)},
        "registered-models/create": {"name": f"of-{user}"},
    }
    login = (user, password_of(user))
    read = {"params": {"name": server.MODEL}, "timeout": 60}
    assert requests.get(f"{base}/registered-models/get", auth=login, **read).status_code == 200
    assert requests.get(f"{base}/registered-models/get", **read).status_code == 401
    upload = {"params": {"run_uuid": champion.run_id, "path": "approval.json"}, "data": b"{}", "timeout": 60}
    assert (
        requests.post(f"{platform.where.mlflow}/ajax-api/2.0/mlflow/upload-artifact", auth=login, **upload).status_code
        == 403
    )
    search = {"json": {"experiment_ids": ["1"]}, "timeout": 60}
    assert requests.post(f"{base}/runs/search", auth=login, **search).status_code == 200
    for path, body in writes.items():
        assert requests.post(f"{base}/{path}", json=body, auth=login, timeout=60).status_code == 403, path
        assert requests.post(f"{base}/{path}", json=body, timeout=60).status_code == 401, path
