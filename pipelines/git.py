"""Git by its command: what the run refs need, in any folder, never touching a person's working tree."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from avrec.errors import PlatformError

NOTHING = ""  # the old value of a ref that must not exist yet
_IDENTITY = {
    "GIT_AUTHOR_NAME": "avrec",
    "GIT_AUTHOR_EMAIL": "avrec@localhost",
    "GIT_COMMITTER_NAME": "avrec",
    "GIT_COMMITTER_EMAIL": "avrec@localhost",
    "GIT_TERMINAL_PROMPT": "0",
}


class GitError(PlatformError):
    """A git command failed; holds what git said."""


def git(folder: Path, *arguments: str, feed: bytes | None = None, index: Path | None = None) -> bytes:
    """Runs git in `folder` and returns its output.

    Raises:
        GitError: git ended with an error, or is not installed.
    """
    # A task started from a git hook or another repository must not inherit where that one is.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_DIR")} | _IDENTITY
    if index is not None:
        environment["GIT_INDEX_FILE"] = str(index)
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, input=feed, capture_output=True, check=False
        )
    except FileNotFoundError as error:
        raise GitError(f"git cannot run in {folder}: install git, and check that the folder exists.") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise GitError(f"git {' '.join(arguments[:2])} failed in {folder}: {said}")
    return done.stdout


def text(folder: Path, *arguments: str) -> str:
    return git(folder, *arguments).decode().strip()


def read_refs(repository: str, pattern: str) -> dict[str, str]:
    """The refs of a repository that match a pattern, and the commits they name."""
    lines = text(Path.cwd(), "ls-remote", repository, pattern).splitlines()
    return {ref: commit for commit, ref in (line.split("\t") for line in lines)}


def init(folder: Path, repository: str) -> None:
    """A repository in `folder` for as long as a task takes, to fetch from `repository` and push to it.

    Where that one lies on this machine its objects are read in place instead of copied, which saves most of a fetch.
    """
    git(folder, "init", "--quiet")
    if not Path(repository).is_dir():
        return
    shallow, objects = text(
        Path(repository), "rev-parse", "--is-shallow-repository", "--git-path", "objects"
    ).splitlines()
    if shallow == "false":  # of a shallow one git fetches nothing without being told how deep
        _borrowed(folder).write_text(f"{Path(repository, objects).resolve()}\n", encoding="utf-8")


def _borrowed(folder: Path) -> Path:
    return folder / ".git" / "objects" / "info" / "alternates"


def fetch(folder: Path, repository: str, ref: str) -> str:
    """Fetches one commit, without its history where it has to be copied, and returns its name."""
    depth = () if _borrowed(folder).exists() else ("--depth", "1")
    git(folder, "fetch", "--quiet", "--no-tags", *depth, repository, ref)
    return text(folder, "rev-parse", "FETCH_HEAD^{commit}")


def has_file(folder: Path, commit: str, path: str) -> bool:
    return bool(text(folder, "ls-tree", "--name-only", commit, "--", path))


def show(folder: Path, commit: str, path: str) -> bytes:
    """The bytes of one file of a commit."""
    return git(folder, "cat-file", "blob", f"{commit}:{path}")


def commit_files(folder: Path, parent: str, files: Mapping[str, bytes | None], message: str) -> str:
    """A commit on top of `parent` with some files replaced (None: removed); no working tree is touched."""
    index = folder / ".git" / f"index-{os.getpid()}"
    try:
        git(folder, "read-tree", parent, index=index)
        for path, content in files.items():
            if content is None:
                git(folder, "update-index", "--force-remove", "--", path, index=index)
                continue
            blob = git(folder, "hash-object", "-w", "--stdin", feed=content).decode().strip()
            git(folder, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", index=index)
        tree = git(folder, "write-tree", index=index).decode().strip()
    finally:
        index.unlink(missing_ok=True)
    return git(folder, "commit-tree", tree, "-p", parent, feed=message.encode()).decode().strip()


def swap(folder: Path, repository: str, ref: str, old: str, new: str) -> bool:
    """Compare-and-swap: moves `ref` from `old` to `new`, or returns False where it is not at `old` any more.

    Args:
        folder: Repository that holds the commit `new`.
        repository: Path or URL of the repository that holds the ref.
        ref: Full name of the ref.
        old: Commit the ref must still be at; `NOTHING` when it must not exist.
        new: Commit to move it to.

    Raises:
        GitError: the repository refused for another reason.
    """
    try:
        git(folder, "push", "--quiet", f"--force-with-lease={ref}:{old}", repository, f"{new}:{ref}")
    except GitError:
        if read_refs(repository, ref).get(ref, NOTHING) == old:
            raise
        return False
    return True
