"""`avrec doctor`: what this machine has, what is wrong with it, and what to do about each."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import psutil

from avrec.platform.config import USUAL_PORTS
from avrec.platform.files import is_private
from avrec.platform.ports import is_free
from avrec.platform.state import is_running, read_state
from avrec.settings import PROJECT, settings

LOCK = PROJECT / "requirements.lock"
DISK_GB, MEMORY_GB = 5.0, 4.0
NATIVE_LIMIT_S = 180
NATIVE = """
import tensorflow as tf, tensorflow_io as tfio
tone = tf.sin(tf.range(1600, dtype=tf.float32))[:, tf.newaxis]
assert tfio.audio.resample(tone, 16000, 8000).shape[0] == 800
print(tf.__version__, tfio.__version__)
"""

Verdict = Literal["ok", "note", "broken"]


@dataclass(frozen=True)
class Finding:
    """One line of the report; `todo` is what to do where the verdict is not `ok`."""

    subject: str
    verdict: Verdict
    detail: str
    todo: str = ""

    def __str__(self) -> str:
        todo = f" -> {self.todo}" if self.todo else ""
        return f"{self.verdict:7} {self.subject:16} {self.detail}{todo}"


Check = Callable[[], Iterable[Finding]]


def examine(*more: Check) -> int:
    """Prints a line for every finding, `more` checks included; 1 when something is broken, else 0."""
    broken = 0
    for check in (python, packages, native_ops, *more, tools, ports, room, secrets):
        for finding in check():
            print(finding, flush=True)
            broken += finding.verdict == "broken"
    print(f"{broken} broken" if broken else "Nothing is broken.")
    return 1 if broken else 0


def python() -> Iterable[Finding]:
    version = sys.version.split()[0]
    if sys.version_info[:2] == (3, 11):
        yield Finding("python", "ok", version)
    else:
        yield Finding("python", "broken", version, "use Python 3.11: make install PYTHON=/path/to/python3.11")


def packages(lock: Path = LOCK) -> Iterable[Finding]:
    """Installed versions against the lock."""
    if not lock.exists():
        yield Finding("packages", "note", f"no {lock.name} here to compare with")
        return
    wanted = locked_versions(lock.read_text(encoding="utf-8"))
    wrong = [
        f"{name} {_installed(name) or 'missing'} (lock: {v})" for name, v in wanted.items() if _installed(name) != v
    ]
    if wrong:
        rest = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        yield Finding("packages", "broken", ", ".join(wrong[:5]) + rest, "make install")
    else:
        yield Finding("packages", "ok", f"{len(wanted)} as locked")


def locked_versions(text: str) -> dict[str, str]:
    """Name and version of every entry of a lock that holds for this system."""
    entries = re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==(\S+)([^\\\n]*)", text, re.MULTILINE)
    return {name: version for name, version, marker in entries if _holds_here(marker)}


def _holds_here(marker: str) -> bool:
    from packaging.markers import Marker

    condition = marker.strip().removeprefix(";").strip()
    return not condition or Marker(condition).evaluate()


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def native_ops() -> Iterable[Finding]:
    """Runs a compiled operation of tensorflow-io in a process of its own: a wrong pairing may crash it."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run([sys.executable, "-c", NATIVE], env=environment, capture_output=True, text=True,
                              timeout=NATIVE_LIMIT_S)  # fmt: skip
    except subprocess.TimeoutExpired:
        yield Finding("tensorflow-io", "note", f"no answer within {NATIVE_LIMIT_S} s", "try again on a calmer machine")
        return
    if done.returncode == 0:
        yield Finding("tensorflow-io", "ok", f"native ops work (tensorflow, tensorflow-io: {done.stdout.strip()})")
    else:
        reason = (done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"])[-1]
        yield Finding(
            "tensorflow-io", "broken", reason[:200], "make install; the two versions must be those of the lock"
        )


def tools() -> Iterable[Finding]:
    """git and DVC, by their commands."""
    for name, command in (("git", ["git", "--version"]), ("dvc", [sys.executable, "-m", "dvc", "--version"])):
        done = _run(command)
        if done is None:
            yield Finding(name, "broken", "does not run", f"install {name}" if name == "git" else "make install")
        else:
            yield Finding(name, "ok", done)
    if _run(["git", "-C", str(PROJECT), "rev-parse", "--git-dir"]) is None:
        yield Finding(
            "repository", "broken", f"{PROJECT} is not a git repository", "clone the project: runs are git refs"
        )
    elif not (PROJECT / ".dvc").is_dir():
        yield Finding("repository", "broken", f"{PROJECT} has no .dvc", "git checkout -- .dvc")
    else:
        yield Finding("repository", "ok", str(PROJECT))


def _run(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def ports() -> Iterable[Finding]:
    home = settings().home
    state = read_state(home)
    if state is not None and is_running(home):
        yield Finding("platform", "ok", f"runs: {', '.join(state.addresses.values())}")
        return
    for name, port in USUAL_PORTS.items():
        if is_free(port):
            yield Finding(f"port {port}", "ok", f"free for {name}")
        else:
            yield Finding(
                f"port {port}", "note", f"taken; `avrec up` gives {name} another", "nothing, or stop what has it"
            )


def room() -> Iterable[Finding]:
    """Space on disk and in memory."""
    home = settings().home
    folder = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(folder).free / 1e9
    todo = f"make room, or move the state: AVREC_HOME (at least {DISK_GB:.0f} GB)"
    yield _enough("disk", free >= DISK_GB, "broken", f"{free:.1f} GB free at {folder}", todo)
    memory = psutil.virtual_memory().available / 1e9
    todo = f"close something: the platform and one training take {MEMORY_GB:.0f} GB"
    yield _enough("memory", memory >= MEMORY_GB, "note", f"{memory:.1f} GB available", todo)


def _enough(subject: str, enough: bool, otherwise: Verdict, detail: str, todo: str) -> Finding:
    return Finding(subject, "ok", detail) if enough else Finding(subject, otherwise, detail, todo)


def secrets() -> Iterable[Finding]:
    folder = settings().secrets
    if not folder.is_dir():
        yield Finding("secrets", "note", f"none yet in {folder}", "`avrec up` makes them on its first start")
        return
    files = [path for path in folder.rglob("*") if path.is_file()]
    wide = [path for path in (folder, *files) if not is_private(path)]
    for path in wide:
        yield Finding("secrets", "broken", f"others may read {path}", f"chmod go= '{path}', and change what was in it")
    if not wide:
        yield Finding("secrets", "ok", f"{len(files)} files in {folder}, only you may read them")
