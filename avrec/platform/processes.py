"""Starting children that cannot outlive us, and ending all that came of them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

Process = subprocess.Popen[bytes]


def start(command: Sequence[str], cwd: str, environment: Mapping[str, str], log: Path) -> Process:
    """Starts a child in a session of its own, its output appended to `log`.

    The session is how its descendants are found again; on Linux the kernel also kills the child itself when we die.
    Call it from the main thread: that is whose death the kernel watches.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            list(command),
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with(os.getpid()),
        )


def _die_with(parent: int) -> Callable[[], None] | None:
    if _LIBC is None:
        return None
    libc = _LIBC

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask


def adopt_orphans() -> None:
    """Makes this process the parent of every descendant whose own parent dies (Linux), so that none gets away."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1)


def reap(keep: set[int]) -> None:
    """Takes adopted children off the process table once they have ended; those in `keep` are waited for elsewhere."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error, ChildProcessError):
            if child.pid not in keep and child.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(child.pid, os.WNOHANG)


def session_members(sessions: set[int]) -> list[psutil.Process]:
    """Every process of these sessions, also those whose parents have died."""
    return [process for process in psutil.process_iter() if _session(process.pid) in sessions]


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def end_sessions(sessions: set[int]) -> int:
    """Kills what is left of sessions and what descends from it, until nothing is; returns how many there were."""
    return _end(lambda: session_members(sessions))


def end_descendants() -> int:
    """Kills all descendants of this process, adopted ones included; returns how many there were."""
    return _end(lambda: psutil.Process().children(recursive=True))


def _end(find: Callable[[], list[psutil.Process]]) -> int:
    ended: set[int] = set()
    for _ in range(20):  # a process may fork while we look
        living = [process for process in _with_descendants(find()) if _lives(process)]
        if not living:
            break
        for process in living:
            ended.add(process.pid)
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(living, timeout=2)
    return len(ended)


def _with_descendants(processes: list[psutil.Process]) -> list[psutil.Process]:
    found = {process.pid: process for process in processes if process.pid != os.getpid()}
    for process in processes:
        with contextlib.suppress(psutil.Error):
            found.update({child.pid: child for child in process.children(recursive=True)})
    return list(found.values())


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
