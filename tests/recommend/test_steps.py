"""The steps as the DAG runs them, on a run of a real git repository and a real DVC remote, and rows traced back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from avrec.datasets.dataset import Dataset, write_meta, write_table
from avrec.errors import DataError
from avrec.recommend.bundle import Bundle
from avrec.recommend.plan import Plan, read_plan
from avrec.recommend.publication import Publisher
from avrec.registry import promotion
from avrec.schema import FEATURES
from pipelines import execute, git, inside, journal, lineage, page, publish, recommend, runs

from .conftest import N_ITEMS, RUN_DATE, features_of, make_plan, stage_all

ROOT = Path(__file__).resolve().parent.parent.parent
PROMOTED = datetime(2026, 2, 20, tzinfo=UTC)
GONE = f"i{N_ITEMS - 3:03d}"

DVC_YAML = """
stages:
  validate:
    cmd: python make.py valid data/valid
    deps: [make.py]
    params: [dataset.demo.seed]
    outs: [data/valid]
  features:
    matrix:
      modality: [visual, audio, text]
    cmd: python make.py features/${item.modality} data/features/${item.modality}
    deps: [make.py]
    params: [dataset.demo.seed]
    outs: ["data/features/${item.modality}"]
  refit:
    cmd: python make.py bundle artifacts/bundle
    deps: [make.py, data/valid]
    outs: [artifacts/bundle]
"""
MAKE = """
import os, shutil, sys, yaml
seed = yaml.safe_load(open("params.yaml"))["dataset"]["demo"]["seed"]
shutil.copytree(f"{os.environ['TEST_SOURCES']}/{seed}/{sys.argv[1]}", sys.argv[2])
"""


@pytest.fixture(scope="module")
def world(dataset: Dataset, bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished run with code, data and bundle, registered as version 1 and promoted."""
    root = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        shutil.copytree(dataset.folder, root / "sources" / "7" / "valid")
        shutil.copytree(bundle_folder, root / "sources" / "7" / "bundle")
        _later(dataset, root / "sources" / "8")
        _later(dataset, root / "sources" / "9", late=True)
        patch.setenv("AVREC_HOME", str(root / "home"))
        patch.setenv("AVREC_REPOSITORY", str(root / "project"))
        patch.setenv("TEST_SOURCES", str(root / "sources"))
        _project(root / "project")
        runs.start_run("first", {"recommend.k": 5, "recommend.users_per_shard": 1024})
        for stage in ("validate", "refit"):
            assert execute.main(["first", stage]) == 0
        _register("first", root / "project")
        runs.start_run("later", {"dataset.demo.seed": 8})
        for stage in ("validate", "features@visual", "features@audio", "features@text"):
            assert execute.main(["later", stage]) == 0
        runs.start_run("late", {"dataset.demo.seed": 9})
        for stage in ("validate", "features@visual", "features@audio", "features@text"):
            assert execute.main(["late", stage]) == 0
        yield root


@pytest.fixture(autouse=True)
def _settings(world: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The world's runs and registry; publications of each test's own."""
    monkeypatch.setenv("AVREC_HOME", str(world / "home"))
    monkeypatch.setenv("AVREC_REPOSITORY", str(world / "project"))
    monkeypatch.setenv("AVREC_PUBLICATIONS", str(tmp_path / "publications"))
    monkeypatch.setenv("AVREC_TABLES_URL", f"sqlite:///{tmp_path / 'tables.db'}")
    monkeypatch.setenv("TEST_SOURCES", str(world / "sources"))


def _later(dataset: Dataset, folder: Path, late: bool = False) -> None:
    """The data set some days on: one item is gone, a new one looks like i000, a newcomer liked i000.

    With `late` the newcomer is told to have liked i001 as well, at the same time, which nobody knew before.
    """
    items = dataset.table("items")
    first = items.slice(0, 1).to_pylist()[0]
    new = pa.Table.from_pylist([{**first, "item_id": "new", "title": "New"}], schema=items.schema)
    later = pa.concat_tables([items.slice(0, N_ITEMS - 3), items.slice(N_ITEMS - 2), new])
    likes = dataset.table("interactions")
    like = {**likes.slice(0, 1).to_pylist()[0], "user_id": "newcomer", "item_id": "i000", "label": "positive"}
    likes = likes.filter(pa.array([item != GONE for item in likes["item_id"].to_pylist()]))
    more = [like, {**like, "item_id": "i001"}] if late else [like]
    likes = pa.concat_tables([likes, pa.Table.from_pylist(more, schema=likes.schema)])
    for name, table in (("items", later), ("interactions", likes)):
        write_table(folder / "valid", name, table)
    write_meta(folder / "valid", dataset.meta)
    ids = later["item_id"].to_pylist()
    for modality, features in features_of(np.random.default_rng(2)).items():
        rows = [0 if item == "new" else int(item[1:]) for item in ids]
        vectors = [features.vectors[row].tolist() if features.present[row] else [] for row in rows]
        table = pa.table({"item_id": ids, "vector": vectors, "present": features.present[rows]})
        (folder / "features" / modality / "features").mkdir(parents=True)
        pq.write_table(FEATURES.conform(table), folder / "features" / modality / "features" / "part-00.parquet")


def _project(folder: Path) -> None:
    for name in ("avrec", "pipelines"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".dvc").mkdir()
    files = {
        "dvc.yaml": DVC_YAML,
        "make.py": MAKE,
        "params.yaml": (ROOT / "params.yaml").read_text(encoding="utf-8"),
        ".gitignore": "/data/\n/artifacts/\n__pycache__/\n",
        ".dvc/config": "[core]\n    analytics = false\n",
        ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    }
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    git.git(folder, "init", "--quiet")
    git.git(folder, "add", "--all")
    git.git(folder, "commit", "--quiet", "--message", "A project")


def _register(run_id: str, project: Path) -> None:
    """What the training DAG leaves in the registry, of what publishing reads."""
    from avrec.registry import client as server
    from pipelines import lockfile

    commit = runs.tip(run_id)
    assert commit is not None
    entries = lockfile.parse(git.show(project, commit, "dvc.lock"))
    tags = {
        "avrec.run_id": run_id,
        "avrec.commit": commit,
        "avrec.synthetic": "true",
        "avrec.bundle_md5": lockfile.hashes(entries["refit"])["artifacts/bundle"],
    }
    client = server.connect()
    run = client.create_run(server.experiment_id(client), tags=tags)
    client.create_registered_model(server.MODEL)
    client.create_model_version(server.MODEL, f"runs:/{run.info.run_id}/model", run.info.run_id, tags=tags)
    client.set_registered_model_alias(server.MODEL, server.CHAMPION, "1")
    move = promotion.Move("promote", "1", None, "approver", "The first one.", PROMOTED.isoformat())
    client.log_dict(run.info.run_id, asdict(move), f"{promotion.FOLDER}/first.json")


def _offer(run_id: str, at: datetime) -> None:
    """What ingestion writes once the data of a run may be used."""
    with journal.opened() as book:
        offer = journal.Offer(run_id, run_id, "2026-03-12T00:00:00+00:00", "demo", at.isoformat())
        assert book.add("Offer", {"offers.json": [asdict(one) for one in (*book.offers, offer)]})


def published(run_date: date = RUN_DATE, data_run: str | None = None) -> Plan:
    """Every step as the DAG runs them."""
    plan = recommend.plan(run_date, data_run=data_run)
    assert plan is not None
    for command in recommend.commands(plan):
        assert inside.main(command) == 0
    assert publish.main(["validate", plan.publication_id]) == 0
    assert publish.main(["publish", plan.publication_id, "--while-champion"]) == 0
    return plan


def test_a_table_is_published_and_its_rows_made_again_elsewhere(world: Path, tmp_path: Path) -> None:
    plan = published()
    assert plan.synthetic
    publisher = Publisher.of_settings()
    user = publisher.tables.users(plan.publication_id, 400)[-1]

    found = lineage.trace(RUN_DATE, user, 3)
    assert found["run"]["id"] == "first"
    assert found["code"]["run_is_at"] == found["code"]["commit"] == runs.tip("first")
    assert found["data"]["dataset_version"] == plan.dataset_version

    for who in (user, "*"):
        compared = lineage.remake_list(RUN_DATE, who, tmp_path / "elsewhere")
        assert [one.equal for one in compared] == [True] * 5

    address = page.make(plan.publication_id, people=3)
    assert address.startswith("file://")
    text = Path(address.removeprefix("file://")).read_text(encoding="utf-8")
    assert text.count("<section") == 4
    assert "synthetic data" in text

    again = recommend.plan(RUN_DATE)
    assert again == plan
    assert recommend.score(plan.publication_id, 0) == 0  # nothing is made again
    assert publish.publish(plan.publication_id, while_champion=True) is False


def test_newer_data_bring_new_people_and_take_withdrawn_items_away(world: Path, tmp_path: Path) -> None:
    plan = published(data_run="later")
    assert plan.run_id == "first"
    assert plan.data_run == "later"
    publisher = Publisher.of_settings()
    listed = {item for part in publisher.published(plan) for item in part["item_id"].to_pylist()}
    assert GONE not in listed
    assert publisher.tables.rows(plan.publication_id, "newcomer").num_rows == 5
    assert lineage.trace(RUN_DATE, "newcomer", 1)["run"]["data_run"] == "later"
    compared = lineage.remake_list(RUN_DATE, "newcomer", tmp_path / "elsewhere")
    assert [one.equal for one in compared] == [True] * 5


def test_a_day_made_again_is_the_day_that_was(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With champion and data as of then; an event that was told of later changes nothing."""
    monkeypatch.setattr(journal, "REF", "refs/avrec/data-of-this-test")
    morning = datetime(2026, 3, 1, 4, tzinfo=UTC)
    _offer("later", morning - timedelta(hours=1))
    then = recommend.plan(RUN_DATE, until=morning)
    assert then is not None
    assert then.data_run == "later"
    _offer("late", morning + timedelta(hours=1))
    assert recommend.plan(RUN_DATE).data_run == "late"
    assert publish.main(["all", "--date", RUN_DATE.isoformat(), "--until", morning.isoformat()]) == 0
    first = Publisher.of_settings().current(RUN_DATE)
    lists = list(Publisher.of_settings().published(first.plan))

    assert publish.main(["all", "--date", RUN_DATE.isoformat()]) == 0  # a day that is over: as of the table in force
    assert "nothing changed" in capsys.readouterr().out
    monkeypatch.setenv("AVREC_PUBLICATIONS", str(tmp_path / "lost"))
    monkeypatch.setenv("AVREC_TABLES_URL", f"sqlite:///{tmp_path / 'lost.db'}")
    assert publish.main(["all", "--date", RUN_DATE.isoformat(), "--until", morning.isoformat()]) == 0
    again = Publisher.of_settings().current(RUN_DATE)
    assert again.id == first.id == then.publication_id
    rows = [part.drop_columns(["generated_at"]) for part in Publisher.of_settings().published(again.plan)]
    assert rows == [part.drop_columns(["generated_at"]) for part in lists]


def test_before_the_first_champion_nothing_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    early = (PROMOTED - timedelta(seconds=1)).isoformat()
    assert recommend.main(["plan", "--date", "2026-02-01", "--until", early]) == 99
    assert recommend.champion_at(PROMOTED) == "1"


def test_data_that_do_not_fit_the_model_are_left_alone(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(journal, "REF", "refs/avrec/data-of-that-test")
    runs.start_run("others", {"features.visual.frames": 3})
    _offer("others", datetime(2026, 3, 1, tzinfo=UTC))
    assert recommend.plan(RUN_DATE).data_run == "first"
    assert "other settings" in capsys.readouterr().out


def test_a_row_that_was_changed_is_noticed(tmp_path: Path) -> None:
    row = {"user_id": "u", "rank": 1, "item_id": "a", "score": 0.1, "reason_kind": "watched", "reason_item_id": None}
    assert lineage.compare(row, dict(row)).equal
    nudged = {**row, "score": 0.1 + 1e-8}  # more than half of the last bit of a float32
    assert lineage.compare(row, nudged).different == ("score",)
    assert lineage.compare(row, None).different


def test_an_invalid_table_leaves_what_is_in_force(
    bundle: Bundle, dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    publisher = Publisher.of_settings()
    before = make_plan(dataset)
    stage_all(publisher, bundle, dataset, before)
    publisher.publish(before)
    plan = recommend.plan(RUN_DATE)
    assert plan is not None
    stage_all(publisher, bundle, dataset, plan)
    publisher.store.remove(f"{plan.staging}/validated.json")
    part = f"{plan.staging}/{plan.part(0)}"
    rows = publisher.store.read_table(part)
    publisher.store.write_table(part, rows.slice(2))
    assert publish.main(["validate", plan.publication_id]) == 3
    assert "shorter than the available items allow" in capsys.readouterr().err
    assert publish.main(["publish", plan.publication_id]) == 3
    assert "was not validated" in capsys.readouterr().err
    assert publisher.current(RUN_DATE).id == before.publication_id


def test_a_slow_run_does_not_undo_a_newer_champion(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = recommend.plan(RUN_DATE)
    assert plan is not None
    newer = recommend.Model("2", "first", "m", plan.bundle_md5, True)
    monkeypatch.setattr(recommend, "find_model", lambda name: newer)
    assert publish.publish(plan.publication_id, while_champion=True) is None
    assert publish.main(["publish", plan.publication_id, "--while-champion"]) == 99
    assert Publisher.of_settings().tables.all() == []


def test_without_a_champion_everything_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recommend, "find_model", lambda name: None)
    assert recommend.main(["plan", "--date", "2026-03-01", "--version", "", "--data", ""]) == 99
    assert "no champion yet" in capsys.readouterr().out


def test_a_step_hands_back_addresses_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVREC_RESULT", str(tmp_path / "result.json"))
    assert recommend.main(["plan", "--date", RUN_DATE.isoformat()]) == 0
    answer = json.loads((tmp_path / "result.json").read_text())
    assert len(json.dumps(answer)) < 2000
    made = read_plan(Publisher.of_settings().store, answer["publication"])
    assert answer["shards"] == recommend.commands(made)


def test_each_shard_has_a_command_of_its_own(dataset: Dataset) -> None:
    assert [command[-1] for command in recommend.commands(make_plan(dataset))] == ["0", "1", "2"]


def test_what_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert recommend.main(["plan", "--date", "2026-03-01", "--version", "77"]) == 3
    assert "77" in capsys.readouterr().err
    with pytest.raises(DataError, match="nothing is published"):
        lineage.trace(RUN_DATE, "*", 1)
