"""What the drills share: a home and a repository of their own, and commands that must succeed in them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import psutil

PROJECT = Path(__file__).resolve().parents[2]


def environment(base: Path, home: str = "home", repository: str = "repository") -> dict[str, str]:
    """The environment of a drill's commands; everything of their own lies below `base`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AVREC_")}
    return kept | {
        "AVREC_HOME": str(base / home),
        "AVREC_REPOSITORY": str(base / repository),
        "PYTHONPATH": str(PROJECT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


def avrec(base: Path, *arguments: str) -> tuple[int, str]:
    """Runs a command in the drill's own checkout; returns exit code and what it said."""
    command = [sys.executable, "-m", "avrec.cli", *arguments]
    done = subprocess.run(command, cwd=base / "repository", capture_output=True, text=True, check=False)
    with (base / "drill.log").open("a", encoding="utf-8") as log:
        log.write(f"$ avrec {' '.join(arguments[:2])}\n{done.stdout}{done.stderr}\n")
    return done.returncode, done.stdout + done.stderr


def must(base: Path, *arguments: str) -> str:
    """As `avrec`, and ends the drill where the command fails."""
    code, said = avrec(base, *arguments)
    if code:
        raise SystemExit(f"avrec {' '.join(arguments)} failed:\n{said[-3000:]}")
    return said


def commit_of_project() -> str:
    """The commit a drill is run at, as its page names it."""
    show = ["git", "-C", str(PROJECT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(show, check=True, capture_output=True, text=True).stdout.strip()


def version_of_project() -> str:
    """Version and commit a drill is run at; what is not committed is told."""
    status = ["git", "-C", str(PROJECT), "status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs"]
    changed = subprocess.run(status, check=True, capture_output=True, text=True).stdout.strip()
    return f"{version('avrec')} ({commit_of_project()}{', changed' if changed else ''})"


def left_of(base: Path, seconds: float = 10.0) -> list[str]:
    """Commands that still run in a folder of the drill, or with one in their words or as their home, after a while."""
    limit = time.monotonic() + seconds
    while found := _running_in(str(base)):
        if time.monotonic() > limit:
            break
        time.sleep(0.5)
    return found


def end_all(base: Path) -> None:
    """Ends what still runs in a folder of the drill: it was stopped in the middle."""
    for process in _processes_in(str(base)):
        with suppress(psutil.Error):
            process.kill()


def _running_in(base: str) -> list[str]:
    found = []
    for process in _processes_in(base):
        with suppress(psutil.Error):
            found.append(" ".join(process.cmdline())[:120])
    return sorted(found)


def _processes_in(base: str) -> list[psutil.Process]:
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = [*process.cmdline(), process.environ().get("AVREC_HOME", ""), process.cwd()]
            if process.pid not in ours and any(base in word for word in words):
                found.append(process)
    return found


def write_section(page: Path, name: str, lines: list[str]) -> None:
    """Replaces what stands between the two marks of a page that a drill writes.

    Raises:
        ValueError: the page has no such marks.
    """
    begin, end = f"<!-- {name}: written by the drill -->", f"<!-- {name}: end -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{page} has no marks {begin} and {end}.")
    page.write_text("\n".join([f"{before}{begin}", *lines, f"{end}{after}"]), encoding="utf-8")
