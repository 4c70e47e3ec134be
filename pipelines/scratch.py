"""Scratch checkouts: a folder of its own for each task, holding a run's code and only the data the task reads."""

from __future__ import annotations

import configparser
import fcntl
import os
import shutil
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from avrec.errors import DataError, PlatformError
from avrec.settings import settings
from pipelines import git, lockfile, runs

# Links where the file system can, so that pulling costs nothing; no symbolic links, because media are
# refused whose real path leaves their folder. Keep scratch and cache on one file system.
LINKS = "reflink,hardlink,copy"


@dataclass(frozen=True)
class Checkout:
    """A run's files in a folder of their own."""

    folder: Path
    run_id: str
    commit: str

    def pull(self, paths: Iterable[str]) -> None:
        """Brings the given tracked paths into the folder.

        Raises:
            DataError: DVC could not; what it said is above.
        """
        targets = list(paths)
        if not targets:
            return
        with lockfile.narrowed(self.folder, targets):
            failed = dvc("pull", "--quiet", *targets)
        if failed:
            raise DataError(f"run {self.run_id}: {', '.join(targets)} cannot be pulled from {settings().dvc_remote}.")


@contextmanager
def scratch(run_id: str, purpose: str) -> Iterator[Checkout]:
    """A checkout of where a run is now; the current folder inside the block, removed afterwards.

    Raises:
        DataError: there is no such run.
    """
    if runs.tip(run_id) is None:
        raise DataError(
            f"there is no run {run_id!r}; `git ls-remote {settings().repository} '{runs.PREFIX}*'` lists them."
        )
    with _own_folder(f"{runs.run_name(run_id)}-{purpose.replace('@', '.')}") as folder:
        commit = checkout(folder, runs.ref_of(run_id))
        configure(folder)
        with inside_folder(folder), _environment(environment(run_id)):
            yield Checkout(folder, run_id, commit)


@contextmanager
def inside_folder(folder: Path) -> Iterator[None]:
    """The current folder for a while: DVC knows no other way to be told where its project is."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """What the stages DVC starts find in their environment."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def busy() -> bool:
    """Whether any task on this machine has a scratch checkout."""
    for path in settings().scratch.glob("*.lock"):
        with suppress(FileNotFoundError), path.open("r+") as lock:
            if _taken(lock):
                return True
    return False


def checkout(folder: Path, ref: str) -> str:
    """Code of a ref or commit in an empty folder; returns the commit."""
    git.init(folder, settings().repository)
    commit = git.fetch(folder, settings().repository, ref)
    git.git(folder, "checkout", "--quiet", "--detach", commit)
    return commit


def configure(folder: Path, links: str = LINKS) -> None:
    """Tells DVC in a checkout where cache and remote are; the file is not part of the project."""
    config = configparser.ConfigParser(interpolation=None)
    config["core"] = {"remote": "store", "analytics": "false", "check_update": "false"}
    config["core"]["site_cache_dir"] = str(folder / ".dvc" / "tmp" / "site")
    config["cache"] = {"dir": str(settings().dvc_cache), "type": links}
    config["'remote \"store\"'"] = {"url": settings().dvc_remote}
    with (folder / ".dvc" / "config.local").open("w", encoding="utf-8") as file:
        config.write(file)


def environment(run_id: str) -> dict[str, str]:
    """What a stage's process needs: where things are, which run it is, and this interpreter as `python`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**settings().environment(), "AVREC_RUN_ID": runs.run_name(run_id), "PATH": path, "PYTHONUNBUFFERED": "1"}


def dvc(*arguments: str) -> int:
    """Runs a DVC command in this process (an interpreter start saved) and returns its exit code."""
    from dvc.cli import main

    sys.stdout.flush()
    return int(main(list(arguments)))


def stored(stage: str, hashes: Iterable[str]) -> bool:
    """Whether the remote holds every output the lock names for a stage; what only the cache holds is pushed.

    Args:
        stage: Name of the stage, in the current folder's dvc.yaml.
        hashes: DVC's hashes of its outputs.
    """
    from dvc.repo import Repo

    with Repo() as repo:
        states = set(repo.status(targets=[stage], cloud=True).values())
    # DVC says nothing about a folder whose list of files it could not get.
    lists = [settings().dvc_cache / "files" / "md5" / md5[:2] / md5[2:] for md5 in hashes if md5.endswith(".dir")]
    complete = "missing" not in states and all(path.is_file() for path in lists)
    return complete and ("new" not in states or not dvc("push", "--quiet", stage))


@contextmanager
def _own_folder(name: str) -> Iterator[Path]:
    """A fresh folder with a lock beside it that dies with this process."""
    root = settings().scratch
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    folder = root / f"{name}-{uuid.uuid4().hex[:8]}"
    with _lock_of(folder).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder.mkdir()
        try:
            yield folder
        finally:
            _remove(folder)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + ".lock")


def _sweep(root: Path) -> None:
    """Removes what killed tasks left: a lock that can be taken has no owner any more."""
    for path in root.glob("*.lock"):
        with suppress(FileNotFoundError), path.open("r+") as lock:  # not found: another task swept it
            if not _taken(lock):
                _remove(root / path.name.removesuffix(".lock"))


def _taken(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        raise PlatformError(f"{folder} cannot be removed; check its permissions and remove it by hand.")
    _lock_of(folder).unlink(missing_ok=True)
