"""Run refs: where they start, how they move, and what they refuse."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from avrec.errors import ParamsError
from pipelines import git, runs
from pipelines.scratch import scratch


def test_a_run_starts_at_head_with_its_parameters(project: Path) -> None:
    head = git.text(project, "rev-parse", "HEAD")
    commit = runs.start_run("one", {"dataset.demo.seed": 9})
    assert runs.tip("one") == commit
    assert git.text(project, "rev-parse", f"{commit}^") == head
    params = git.show(project, commit, "params.yaml").decode()
    assert yaml.safe_load(params)["dataset"]["demo"]["seed"] == 9
    assert "# how many" in params  # comments are for people
    assert git.text(project, "log", "-1", "--format=%an", commit) == "avrec"
    assert (git.text(project, "status", "--porcelain"), git.text(project, "rev-parse", "HEAD")) == ("", head)


def test_values_that_are_so_already_change_no_byte(project: Path) -> None:
    commit = runs.start_run("one", {"dataset.source": "demo", "dataset": {"demo": {"seed": 7}}})
    assert git.show(project, commit, "params.yaml") == (project / "params.yaml").read_bytes()


def test_the_parameters_a_person_edited_are_used_and_other_edits_are_told(project: Path) -> None:
    (project / "params.yaml").write_text("dataset: {demo: {seed: 3}}\n", encoding="utf-8")
    (project / "toy.py").write_text("", encoding="utf-8")
    commit = runs.start_run("one", {})
    assert git.show(project, commit, "params.yaml") == b"dataset: {demo: {seed: 3}}\n"
    assert git.show(project, commit, "toy.py")
    assert runs.uncommitted(str(project)) == ["toy.py"]


def test_a_bare_repository_will_do(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "bare.git"
    git.git(tmp_path, "clone", "--quiet", "--bare", str(project), str(bare))
    monkeypatch.setenv("AVREC_REPOSITORY", str(bare))
    commit = runs.start_run("one", {})
    assert runs.list_runs() == {"one": commit}
    assert runs.uncommitted(str(bare)) == []


def test_a_clone_without_history_will_do(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git.git(project, "commit", "--quiet", "--allow-empty", "--message", "Another")
    git.git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{project}", "shallow")
    monkeypatch.setenv("AVREC_REPOSITORY", str(tmp_path / "shallow"))
    commit = runs.start_run("one", {})
    with scratch("one", "look") as here:
        assert here.commit == commit
        assert (here.folder / "toy.py").is_file()


def test_a_checkout_reads_the_objects_of_a_repository_nearby(project: Path) -> None:
    commit = runs.start_run("one", {})
    before = git.text(project, "count-objects", "-v")
    with scratch("one", "look") as here:
        assert here.commit == commit
        assert git.text(here.folder, "count-objects").startswith("0 objects")
    assert git.text(project, "count-objects", "-v") == before


def test_starting_again_finds_it_and_refuses_other_parameters(project: Path) -> None:
    commit = runs.start_run("one", {"dataset.demo.seed": 9})
    assert runs.start_run("one", {"dataset.demo.seed": 9}) == commit
    with pytest.raises(ParamsError, match="run one exists with other parameters"):
        runs.start_run("one", {"dataset.demo.seed": 8})


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"dataset.demo.seeds": 9}, "dataset.demo.seeds: there is no such key; did you mean .seed."),
        ({"matching.two_tower.epochs": 0}, "matching.two_tower.epochs"),
        ({"dataset.source": "mmrec"}, "avrec data import mmrec PATH"),
        ({"dataset.source.name": "x"}, "source is a value, not a section"),
    ],
)
def test_wrong_values_name_their_key(project: Path, overrides: Mapping[str, object], said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        runs.start_run("one", overrides)
    assert runs.tip("one") is None


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_values_that_are_no_json_object_are_shown(text: str) -> None:
    with pytest.raises(ParamsError, match=re.escape(repr(text))):
        runs.read_overrides(text)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("manual__2026-01-02T03:04:05.678+00:00", "manual__2026-01-02T03-04-05.678-00-00"),
        ("a..b//c d~^:?*[\\", "a.b--c-d"),
        ("x.lock", "x-lock"),
        (".hidden.", "hidden"),
    ],
)
def test_names_are_legal_in_git(project: Path, given: str, name: str) -> None:
    assert runs.run_name(given) == name
    assert runs.run_name(name) == name
    git.git(project, "check-ref-format", runs.ref_of(given))


def test_a_name_of_nothing_is_refused() -> None:
    with pytest.raises(ParamsError, match="no letter or digit"):
        runs.run_name("::")


def test_a_ref_moves_only_from_where_it_was_seen(project: Path) -> None:
    first = runs.start_run("one", {})
    second = git.commit_files(project, first, {"a": b"a"}, "second")
    assert git.swap(project, str(project), runs.ref_of("one"), first, second)
    late = git.commit_files(project, first, {"b": b"b"}, "late")
    assert not git.swap(project, str(project), runs.ref_of("one"), first, late)
    assert runs.tip("one") == second


def test_a_repository_that_refuses_for_another_reason_says_so(project: Path, tmp_path: Path) -> None:
    first = runs.start_run("one", {})
    second = git.commit_files(project, first, {"a": b"a"}, "second")
    hook = project / ".git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho no room >&2\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    with pytest.raises(git.GitError, match="no room"):
        git.swap(project, str(project), runs.ref_of("one"), first, second)


def test_many_at_once_lose_nothing(project: Path) -> None:
    """Eight tasks add a file each to one run at the same time."""
    runs.start_run("one", {})
    failures: list[BaseException] = []

    def add(number: int) -> None:
        try:
            with runs.temporary_repository() as folder:
                runs.advance(folder, "one", lambda _: ({f"added/{number}": b"x"}, f"add {number}"))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    names = git.text(project, "ls-tree", "--name-only", runs.ref_of("one"), "added/").splitlines()
    assert names == [f"added/{number}" for number in range(8)]
