"""A run is a git ref, `refs/avrec/runs/ID`, in the project's own repository or the one `AVREC_REPOSITORY` names.

Its first commit is the code of HEAD with the parameters of the run; each finished stage adds its entry of
dvc.lock and its small files. The ref only ever moves by compare-and-swap, so that any number of workers
advance it, and a retry starts from what is done.
"""

from __future__ import annotations

import io
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from avrec.errors import DataError, ParamsError
from avrec.params import parse_params
from avrec.settings import settings
from pipelines import git, lockfile

PREFIX = "refs/avrec/runs/"
ATTEMPTS = 50  # more stages than that never finish in the same second


def run_name(name: str) -> str:
    """A scheduler's name of a run as one git accepts in a ref: `manual__2026-01-02T03:04:05+00:00` has colons."""
    clean = re.sub(r"\.{2,}", ".", re.sub(r"[^A-Za-z0-9._-]", "-", name)).strip(".-")
    clean = re.sub(r"\.lock$", "-lock", clean)
    if not clean:
        raise ParamsError(f"run id {name!r} has no letter or digit; choose another.")
    return clean


def ref_of(run_id: str) -> str:
    return PREFIX + run_name(run_id)


def tip(run_id: str) -> str | None:
    """The commit a run is at, or None where there is no such run."""
    return git.read_refs(settings().repository, ref_of(run_id)).get(ref_of(run_id))


def uncommitted(repository: str) -> list[str]:
    """Changed or new files of a working tree, params.yaml aside; runs are made of committed code."""
    if not (Path(repository) / ".git").exists():
        return []
    lines = git.git(Path(repository), "status", "--porcelain", "--untracked-files=normal").decode().splitlines()
    return [line[3:] for line in lines if line[3:] not in ("params.yaml", lockfile.NAME)]


def list_runs() -> dict[str, str]:
    """Every run and the commit it is at."""
    return {
        ref.removeprefix(PREFIX): commit for ref, commit in git.read_refs(settings().repository, f"{PREFIX}*").items()
    }


def start_run(run_id: str, overrides: Mapping[str, Any]) -> str:
    """Makes the ref of a run: the code of HEAD, params.yaml with `overrides` applied and checked.

    Starting a run that is there already returns where it is, so that starting again costs nothing.

    Args:
        run_id: Name of the run.
        overrides: Values by key, nested or dotted (`{"matching.ease.l2": 50.0}`).

    Raises:
        ParamsError: an override has a wrong key or value, or the run exists with other parameters.
    """
    with temporary_repository() as folder:
        base = git.fetch(folder, settings().repository, "HEAD")
        params = edit(params_of(folder, base), overrides)
        files: dict[str, bytes | None] = {"params.yaml": params}
        if git.has_file(folder, base, lockfile.NAME):
            files[lockfile.NAME] = None  # entries of another run; its results come back from the run cache
        message = f"Start run {run_name(run_id)}\n\nAvrec-Run: {run_name(run_id)}\nAvrec-Code: {base}\n"
        commit = git.commit_files(folder, base, files, message)
        if git.swap(folder, settings().repository, ref_of(run_id), git.NOTHING, commit):
            return commit
        return _existing(folder, run_id, params)


def drop(run_id: str) -> None:
    """Removes the ref of a run; `pipelines.gc` then frees its data. Nothing happens where there is none."""
    ref, at = ref_of(run_id), tip(run_id)
    if at is not None:
        git.git(Path.cwd(), "push", "--quiet", f"--force-with-lease={ref}:{at}", settings().repository, f":{ref}")


def advance(folder: Path, run_id: str, make: Callable[[str], tuple[Mapping[str, bytes | None], str] | None]) -> str:
    """Adds a commit to a run, however many others do so at once, and returns where the run is then.

    Args:
        folder: Repository to work in.
        run_id: Name of the run.
        make: From the commit the run is at: files and message of the next one, or None when there is nothing to add.
    """
    for _ in range(ATTEMPTS):
        old = git.fetch(folder, settings().repository, ref_of(run_id))
        addition = make(old)
        if addition is None:
            return old
        new = git.commit_files(folder, old, *addition)
        if git.swap(folder, settings().repository, ref_of(run_id), old, new):
            return new
    raise DataError(f"run {run_id} moved {ATTEMPTS} times while one stage was written; run the stage again.")


@contextmanager
def temporary_repository() -> Iterator[Path]:
    """An empty repository for plumbing, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="avrec-git-") as name:
        git.init(Path(name), settings().repository)
        yield Path(name)


def read_overrides(text: str) -> dict[str, Any]:
    """Values by key of params.yaml, as a form or a command line gives them.

    Raises:
        ParamsError: it is not a JSON object.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ParamsError(f"overrides {text[:80]!r} are not JSON: {error}.") from error
    if not isinstance(values, dict):
        raise ParamsError(f'overrides {text[:80]!r}: expected a JSON object such as {{"matching.ease.l2": 50.0}}.')
    return values


def edit(params: bytes, overrides: Mapping[str, Any]) -> bytes:
    """params.yaml with values replaced and comments kept.

    Raises:
        ParamsError: names every wrong key or value.
    """
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 120
    yaml.representer.add_representer(type(None), lambda r, _: r.represent_scalar("tag:yaml.org,2002:null", "null"))
    document = yaml.load(params)
    changed = [_set(document, key.split("."), value) for key, value in overrides.items()]
    out = io.BytesIO()
    yaml.dump(document, out)
    checked = out.getvalue() if any(changed) else params
    parse_params(YAML(typ="safe", pure=True).load(checked), "params.yaml with what the form or --set changes")
    return checked


def _set(document: Any, keys: list[str], value: Any) -> bool:
    """Sets one value and tells whether that changed anything."""
    for key in keys[:-1]:
        document = document.setdefault(key, {})
        if not isinstance(document, Mapping):
            raise ParamsError(f"{'.'.join(keys)}: {key} is a value, not a section of params.yaml.")
    last = keys[-1]
    if isinstance(value, Mapping) and isinstance(document.get(last), Mapping):
        changed = [_set(document[last], [key], inner) for key, inner in value.items()]  # all of them, then any
        return any(changed)
    if last in document and document[last] == value:
        return False
    document[last] = list(value) if isinstance(value, tuple) else value
    return True


def params_of(folder: Path, base: str) -> bytes:
    """The parameters a run starts from: the ones a person sees and edits, else the committed ones.

    `avrec data import` writes the snapshot's name into the working tree; a run must not need a commit for that.
    """
    edited = Path(settings().repository) / "params.yaml"
    if edited.is_file():
        return edited.read_bytes()
    return git.show(folder, base, "params.yaml")


def _existing(folder: Path, run_id: str, params: bytes) -> str:
    commit = git.fetch(folder, settings().repository, ref_of(run_id))
    if git.show(folder, commit, "params.yaml") != params:
        raise ParamsError(f"run {run_id} exists with other parameters; choose another run id.")
    return commit
