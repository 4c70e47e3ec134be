"""What an earlier run did already: same command, code, parameters and inputs give the same bytes.

DVC's run cache does this too, but it lives in one machine's cache, and shared over a remote it is copied whole for
every stage. The refs of the runs hold the same knowledge, and every worker sees them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from avrec.settings import settings
from pipelines import git, lockfile, runs
from pipelines.graph import Stage

SEARCHED = 50  # runs looked at, the last ones by name; a scheduler's names begin with the time


@dataclass(frozen=True)
class Result:
    """An entry of dvc.lock with the small files that belong to it, and the run they are from."""

    run_id: str
    entry: lockfile.Entry
    files: Mapping[str, bytes]


def find(folder: Path, commit: str, stage: Stage) -> Result | None:
    """The result of an equal stage in another run, or None.

    Args:
        folder: Checkout of the run at `commit`, its inputs' stages done.
        commit: Where the run is.
        stage: A stage that writes something; one that has its effect elsewhere is never taken over.
    """
    if not stage.outs:
        return None
    params = yaml.safe_load((folder / "params.yaml").read_bytes()) or {}
    written = lockfile.written(lockfile.read(folder))
    for run_id, other in _others(folder, commit):
        entry = lockfile.of_commit(folder, other).get(stage.name)
        if entry and _is_equal(folder, (commit, other), stage, entry, params, written):
            return Result(run_id, entry, {path: git.show(folder, other, path) for path in stage.files})
    return None


def _is_equal(
    folder: Path, commits: tuple[str, str], stage: Stage, entry: lockfile.Entry, params: Any, written: Mapping[str, str]
) -> bool:
    deps = {dep["path"]: dep["md5"] for dep in entry.get("deps", ())}
    recorded = (entry.get("params") or {}).get("params.yaml") or {}
    return (
        entry["cmd"] == stage.cmd
        and set(deps) == set(stage.deps)
        and set(lockfile.hashes(entry)) == {*stage.outs, *stage.files}
        and set(recorded) == set(stage.params)
        and all(_value(params, key) == value for key, value in recorded.items())
        and all(written[path] == md5 for path, md5 in deps.items() if path in written)
        and all(_same_code(folder, commits, path) for path in deps if path not in written)
    )


def _same_code(folder: Path, commits: tuple[str, str], path: str) -> bool:
    """Git names contents by their hash: one name, one content."""
    listed = {git.text(folder, "ls-tree", "-z", commit, "--", path) for commit in commits}
    return len(listed) == 1 and listed != {""}


def _value(params: Any, key: str) -> Any:
    for part in key.split("."):
        params = params.get(part) if isinstance(params, Mapping) else None
    return params


def _others(folder: Path, commit: str) -> Iterator[tuple[str, str]]:
    """Other runs, newest name first, their commits fetched."""
    found = runs.list_runs()
    names = [name for name in sorted(found, reverse=True) if found[name] != commit][:SEARCHED]
    if names:
        refs = [f"{runs.PREFIX}{name}" for name in names]
        git.git(folder, "fetch", "--quiet", "--no-tags", "--depth", "1", settings().repository, *refs)
    yield from ((name, found[name]) for name in names if _is_here(folder, found[name]))


def _is_here(folder: Path, commit: str) -> bool:
    """A run that moved between listing and fetching is fetched where it is now; then it is passed over."""
    try:
        git.git(folder, "cat-file", "-e", f"{commit}^{{commit}}")
    except git.GitError:
        return False
    return True
