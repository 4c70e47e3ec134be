"""Frees space and keeps what any run names: `python -m pipelines.gc [--cloud] [--dry]`.

`dvc gc` follows branches and tags; the refs of runs are neither. Here it sees each of them as a branch.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from avrec.errors import DataError, PlatformError, told
from avrec.settings import settings
from pipelines import git, runs
from pipelines.scratch import busy, configure, dvc, inside_folder


def collect(cloud: bool = False, dry: bool = False, quiet: bool = False) -> None:
    """Removes from the cache (and the remote, if `cloud`) what no run, branch or laptop names.

    Raises:
        PlatformError: a stage runs on this machine: what it is about to record would be removed.
        DataError: DVC failed; what it said is above.
    """
    if busy():
        raise PlatformError(f"a stage is running ({settings().scratch} is in use); wait until it is done.")
    repository = settings().repository
    with runs.temporary_repository() as folder:
        heads = (f"+{runs.PREFIX}*:refs/heads/runs/*", "+refs/heads/*:refs/heads/branches/*")
        git.git(folder, "fetch", "--quiet", repository, "+HEAD:refs/heads/project", *heads)
        git.git(folder, "checkout", "--quiet", "project")
        configure(folder)
        arguments = ["gc", "--all-branches", "--force", *(["--cloud"] if cloud else []), *(["--dry"] if dry else [])]
        arguments += ["--quiet"] if quiet else []
        if (Path(repository) / ".dvc").is_dir():  # a laptop's own dvc.lock names data too
            arguments += ["--projects", repository]
        with inside_folder(folder):
            if dvc(*arguments):
                raise DataError("dvc gc failed; what it said is above.")
        if dry and not quiet:  # DVC says "Removed" all the same
            print("A dry run: nothing was removed.", flush=True)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipelines.gc", description=__doc__)
    parser.add_argument("--cloud", action="store_true", help="the remote too; no run may be active on any machine")
    parser.add_argument("--dry", action="store_true", help="only say what would be removed")
    given = parser.parse_args(arguments)
    try:
        collect(given.cloud, given.dry)
    except Exception as error:
        return told("gc", error)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
