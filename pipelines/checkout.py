"""`avrec data checkout VERSION`: the code, data and models of a run in a new folder, bit for bit.

    python -m pipelines.checkout VERSION FOLDER

VERSION is a run id, a commit, or the data version a published row carries (the hash of data/valid).
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from avrec.errors import DataError, told
from avrec.registry.hashing import dvc_md5
from avrec.settings import settings
from pipelines import git, lockfile, runs
from pipelines.scratch import configure, dvc, inside_folder

# A person may edit what is restored, so nothing in it is a link into the cache.
COPIES = "reflink,copy"


def restore(version: str, into: Path) -> str:
    """Restores a version in a new folder and returns its commit.

    Raises:
        DataError: the folder is in use, nothing has this version, or the remote lacks some of its data.
    """
    into = into.absolute()
    if into.exists() and any(into.iterdir()):
        raise DataError(f"{into} is not empty; name a new folder.")
    aside = into.with_name(into.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        commit = _code(version, aside)
        entries = lockfile.read(aside)
        configure(aside, links=COPIES)
        _pull(aside, entries)
        verify(aside, entries)
        shutil.rmtree(aside / ".dvc" / "tmp", ignore_errors=True)
        into.parent.mkdir(parents=True, exist_ok=True)
        aside.replace(into)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    configure(into, links=COPIES)
    return commit


def resolve(folder: Path, version: str) -> str:
    """The commit of a version, in a repository that holds every run.

    Raises:
        DataError: nothing has this version; names the runs there are.
    """
    known = _runs(folder)
    if runs.run_name(version) in known:
        return known[runs.run_name(version)]
    for commit in known.values():  # newest first
        outputs = [lockfile.hashes(entry) for entry in lockfile.of_commit(folder, commit).values()]
        if version in {md5 for hashes in outputs for md5 in hashes.values()}:
            return commit
    try:
        return git.text(folder, "rev-parse", "--verify", "--quiet", f"{version}^{{commit}}")
    except git.GitError:
        listed = "\n  ".join(list(known)[:20]) or "(none)"
        raise DataError(f"no run, commit or data version is {version!r}; the newest runs are:\n  {listed}") from None


def verify(folder: Path, entries: dict[str, lockfile.Entry]) -> None:
    """Compares every restored output with the hash the run recorded.

    Raises:
        DataError: names what differs.
    """
    for entry in entries.values():
        for path, md5 in lockfile.hashes(entry).items():
            if dvc_md5(folder / path) != md5:
                raise DataError(f"{path} is not what the run recorded ({md5}); the remote or the cache is damaged.")


def _code(version: str, folder: Path) -> str:
    git.git(folder, "init", "--quiet")
    everything = f"+{runs.PREFIX}*:{runs.PREFIX}*"
    git.git(folder, "fetch", "--quiet", settings().repository, "+HEAD:refs/remotes/project/HEAD", everything)
    commit = resolve(folder, version)
    git.git(folder, "checkout", "--quiet", "--detach", commit)
    return commit


def _pull(folder: Path, entries: dict[str, lockfile.Entry]) -> None:
    with inside_folder(folder):
        targets = [name for name, entry in entries.items() if entry.get("outs")]
        if targets and dvc("pull", "--quiet", *targets):
            raise DataError(f"{settings().dvc_remote} does not hold all of this version; what is missing is above.")


def _runs(folder: Path) -> dict[str, str]:
    lines = git.text(
        folder, "for-each-ref", "--sort=-committerdate", "--format=%(refname)\t%(objectname)", runs.PREFIX
    ).splitlines()
    return {name.removeprefix(runs.PREFIX): commit for name, commit in (line.split("\t") for line in lines)}


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print("usage: python -m pipelines.checkout VERSION FOLDER", file=sys.stderr)
        return 2
    try:
        commit = restore(arguments[0], Path(arguments[1]))
    except Exception as error:
        return told("avrec data checkout", error)
    print(f"{arguments[1]} holds commit {commit}, with its data and models")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
