"""Getting a run back in another folder, and freeing space without losing one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from avrec.errors import DataError, PlatformError
from pipelines import checkout, gc, git, lockfile, runs
from pipelines.execute import execute
from pipelines.scratch import scratch
from tests.pipelines.conftest import STAGES


def finish(run_id: str, seed: int, stages: list[str]) -> dict[str, lockfile.Entry]:
    runs.start_run(run_id, {"dataset.demo.seed": seed})
    for stage in stages:
        execute(run_id, stage)
    return entries_of(run_id)


def entries_of(run_id: str) -> dict[str, lockfile.Entry]:
    with runs.temporary_repository() as folder:
        commit = git.fetch(folder, runs.settings().repository, runs.ref_of(run_id))
        return lockfile.parse(git.show(folder, commit, "dvc.lock"))


def test_a_run_comes_back_bit_for_bit_by_any_of_its_names(project: Path, home: Path, tmp_path: Path) -> None:
    entries = finish("one", 7, STAGES[:4])
    finish("two", 4, STAGES[:1])
    shutil.rmtree(home / "dvc" / "cache")  # another laptop: only the remote
    dataset = lockfile.hashes(entries["numbers"])["data/numbers"]
    commit = runs.tip("one")
    assert commit
    for number, name in enumerate([commit[:12], dataset]):
        into = tmp_path / f"copy{number}"
        assert checkout.restore(name, into) == commit
        checkout.verify(into, entries)
        assert (into / "artifacts" / "total").read_text(encoding="utf-8") == "21"
        assert (into / "artifacts" / "even.json").exists()
        assert (into / "toy.py").read_bytes() == (project / "toy.py").read_bytes()
    (tmp_path / "copy0" / "artifacts" / "total").write_text("0", encoding="utf-8")  # copies: the cache is not reached
    checkout.restore("one", tmp_path / "again")


def test_what_is_not_there_is_told(project: Path, tmp_path: Path) -> None:
    runs.start_run("one", {})
    with pytest.raises(DataError, match=r"'nothing'; the newest runs are:\n  one"):
        checkout.restore("nothing", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert not (tmp_path / "copy.part").exists()
    with pytest.raises(DataError, match="is not empty"):
        checkout.restore("one", project)


def test_a_damaged_remote_is_noticed(project: Path, home: Path, tmp_path: Path) -> None:
    finish("one", 7, STAGES[:1])
    shutil.rmtree(home / "dvc" / "cache")
    stored = next(path for path in (home / "dvc" / "remote").rglob("*") if path.is_file() and path.stat().st_size == 1)
    stored.chmod(0o644)
    stored.write_text("!", encoding="utf-8")
    with pytest.raises(DataError, match=r"damaged|does not hold all"):
        checkout.restore("one", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_gc_keeps_what_runs_name_and_nothing_else(project: Path, home: Path, tmp_path: Path) -> None:
    finish("kept", 7, STAGES[:1])
    finish("dropped", 31, STAGES[:1])
    git.git(project, "update-ref", "-d", runs.ref_of("dropped"))
    before = objects(home)
    gc.collect(cloud=True)
    after = objects(home)
    assert 0 < after < before
    shutil.rmtree(home / "dvc" / "cache")
    checkout.restore("kept", tmp_path / "copy")


def test_gc_waits_for_running_stages(project: Path) -> None:
    runs.start_run("one", {})
    with scratch("one", "test"), pytest.raises(PlatformError, match="a stage is running"):
        gc.collect()


def objects(home: Path) -> int:
    return sum(1 for path in (home / "dvc" / "remote" / "files").rglob("*") if path.is_file())
