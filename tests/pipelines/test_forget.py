"""The canary: a planted person is found everywhere before `avrec forget`, and nowhere after it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from avrec.datasets.dataset import Dataset
from avrec.datasets.importing import import_source
from avrec.errors import DataError
from avrec.privacy.pseudonyms import Pseudonyms
from avrec.privacy.receipts import Receipts
from avrec.privacy.requests import Requests
from avrec.privacy.scan import Scanner
from avrec.settings import settings
from pipelines import erasing, forget, git, runs
from pipelines.execute import execute
from pipelines.scratch import scratch

DVC_YAML = """
stages:
  dataset:
    cmd: python -m pipelines.dataset
    params: [dataset]
    outs: [data/dataset, data/media]
  validate:
    cmd: cp -r data/dataset data/valid
    deps: [data/dataset]
    outs: [data/valid]
"""
ANNA = "canary-anna@example.org"
SPOKEN = "canary-in-a-comment"
FILM = "canary-film.mp4"


@pytest.fixture
def folder(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is imported: five people's events; one of them commented and made a film."""
    (project / "dvc.yaml").write_text(DVC_YAML)
    (project / "params.yaml").write_text("dataset:\n  source: demo # the demo\n")
    git.git(project, "add", "--all")
    git.git(project, "commit", "--quiet", "--message", "Real data")
    monkeypatch.chdir(project)
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / FILM).write_bytes(b"not a film, but a file with canary-in-media in it")
    (shop / "items.csv").write_text(
        f"item_id,title,creator_id,media_uri\na,First,,\nb,Second,,\nc,Third canary-in-title,{ANNA},{FILM}\n"
    )
    who = ["ben", ANNA, "carl", "dora", "emil"]
    rows = "".join(f"{who[n % 5]},{'abc'[n % 3]},{1704300000 + n},like\n" for n in range(30))
    (shop / "interactions.csv").write_text("user_id,item_id,timestamp,event\n" + rows)
    (shop / "comments.csv").write_text(f"user_id,item_id,timestamp,text\n{ANNA},a,1704300000,{SPOKEN}\n")
    return shop


def trained(run_id: str) -> str:
    runs.start_run(run_id, {})
    for stage in ("dataset", "validate"):
        execute(run_id, stage)
    return run_id


def leave_traces(pseudonym: str) -> None:
    settings().logs.mkdir(parents=True)
    (settings().logs / "server.log").write_text(f"asked by {ANNA}, who is {pseudonym}\n")
    connection = sqlite3.connect(settings().home / "other.db")
    connection.execute("create table t (x text)")
    connection.execute("insert into t values (?)", (f"says {pseudonym}",))
    connection.commit()
    connection.close()


def forgotten(*arguments: str) -> int:
    return forget.main(list(arguments))


def test_the_canary_is_found_before_and_not_after(
    folder: Path, project: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import_source("folder", folder)
    old = trained("old")
    pseudonym = Pseudonyms.of_home().of(ANNA)
    marks = [pseudonym, ANNA, SPOKEN, "canary-in-title", FILM]
    leave_traces(pseudonym)
    assert forgotten("--scan", *marks) == 1
    said = capfd.readouterr().out
    for place in ("dvc/remote", "dvc/cache", "/imports/", "server.log", "other.db"):
        assert place in said, place
    assert all(f"{mark}: " in said for mark in marks)
    backup = tmp_path / "backup"
    shutil.copytree(settings().imports, backup)

    assert forgotten(ANNA, "--media") == 0
    assert forgotten("--scan", *marks) == 0, capfd.readouterr().out
    assert not (folder / FILM).exists()
    assert runs.tip(old) is None

    trained("new")
    with scratch("new", "test") as here:
        here.pull(["data/valid"])
        left = Dataset(here.folder / "data" / "valid")
        assert left.table("items")["item_id"].to_pylist() == ["a", "b"]
        assert left.table("interactions").num_rows == 30 - 10 - 6 + 2
    shutil.copytree(backup, settings().imports, dirs_exist_ok=True)
    assert forgotten("--scan", pseudonym) == 1
    assert forgotten("--reapply") == 0
    assert forgotten("--scan", *marks) == 0
    assert runs.tip("new") is not None


def test_requests_are_collected_until_they_are_due(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import_source("folder", folder)
    assert forgotten(ANNA, "--later") == 0
    assert forgotten("--due") == 99
    assert "1 request(s) wait" in capfd.readouterr().out
    values = yaml.safe_load(Path("params.yaml").read_text())
    Path("params.yaml").write_text(yaml.safe_dump({**values, "privacy": {"wait_days": 0}}))
    assert forgotten("--due") == 0
    assert forgotten("--scan", Pseudonyms.of_home().of(ANNA), ANNA) == 0
    assert Receipts.of_settings().unfinished() == []


def test_an_item_is_erased_and_its_file_is_named(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import_source("folder", folder)
    trained("old")
    assert forgotten("--item", "c") == 0
    assert str(folder / FILM) in capfd.readouterr().out
    assert forgotten("--scan", "canary-in-title", FILM) == 0
    assert forgotten("--scan", SPOKEN) == 1


def test_what_dvc_repro_left_is_removed(folder: Path, project: Path) -> None:
    import_source("folder", folder)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["dvc", "repro", "--quiet"], cwd=project, env={**os.environ, "PATH": path}, check=True)
    cache = project / ".dvc" / "cache"
    assert Scanner([SPOKEN]).folders([cache])
    assert Scanner([SPOKEN]).folders([project / "data"])
    assert forgotten(ANNA) == 0
    assert Scanner([SPOKEN]).folders([cache, project / "data"]) == []
    assert not (project / "dvc.lock").exists()
    assert (project / "params.yaml").read_text().count("source: folder") == 1


def test_old_runs_go_by_age_and_the_newest_stays(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for run, day in (("first", "2020-01-01"), ("second", "2020-02-01"), ("third", "2020-03-01")):
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"{day}T00:00:00+00:00")
        runs.start_run(run, {})
    assert erasing.old_runs(30) == ["first", "second"]
    assert erasing.old_runs(36500) == []
    erasing.drop_runs(["first"])
    assert set(runs.list_runs()) == {"second", "third"}


def test_a_killed_batch_is_finished_by_the_next(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_source("folder", folder)
    trained("old")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(forget.erasing, "drop_runs", killed)
        with pytest.raises(KeyboardInterrupt):
            forgotten(ANNA)
    assert len(Receipts.of_settings().unfinished()) == 1
    assert forgotten("--due") == 0
    assert forgotten("--scan", Pseudonyms.of_home().of(ANNA), SPOKEN) == 0


def test_what_cannot_be_looked_through_is_an_error(folder: Path) -> None:
    import_source("folder", folder)
    trained("old")
    for store in (settings().dvc_remote, settings().dvc_cache):
        shutil.rmtree(store)
    with pytest.raises(DataError, match="bring the remote back"):
        forget.carry_out([forget.request_of("ben", None, False)], forget.load_params())
    assert runs.tip("old") is not None


def test_two_erasures_at_once_are_refused(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with forget._alone():
        assert forgotten(ANNA) == 1
    assert "another erasure is running" in capfd.readouterr().err
    assert len(Requests().waiting()) == 1


def test_the_command_line_asks_for_a_subject(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "avrec.cli", "forget"], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "name a USER" in done.stderr
