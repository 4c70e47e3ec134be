"""The parent of the supervisor: whatever happens to either of them, nothing they started is left.

Killed supervisor (even by SIGKILL): its orphans become ours, and we end them. Killed keeper: the supervisor's
lifeline closes, and it stops the parts and what it adopted. Both in the same instant: the kernel ends the parts
(Linux), and the next `avrec up` or `avrec down` ends what they left, found by the sessions in the state file.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import psutil

from avrec.platform.parts import Plan
from avrec.platform.processes import adopt_orphans, end_descendants, end_sessions, reap
from avrec.platform.state import PlatformState, ProcessId, read_state, take_lock, write_state

ALREADY_RUNS = 75  # EX_TEMPFAIL: somebody else holds the lock


def keep(plan_file: Path, on_ready: Callable[[PlatformState], None] | None = None, owner: int | None = None) -> int:
    """Runs the plan until it is told to stop; returns the exit code for this process.

    Args:
        plan_file: A file that `Plan.write` wrote.
        on_ready: Called once, when everything answers.
        owner: Read end of a pipe; the plan is stopped when nobody holds its other end any more.
    """
    home = Path(Plan.read(plan_file).home)
    lock = take_lock(home)
    if lock is None:
        return ALREADY_RUNS
    sweep(home)
    adopt_orphans()
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "avrec.platform.supervisor", str(plan_file), str(read_end)]
    # The supervisor shares the lock: the home stays taken until it too has ended.
    child = subprocess.Popen(command, pass_fds=(read_end, lock))
    os.close(read_end)

    def forward(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, forward)
    code = _wait(child, home, on_ready, owner)
    end_descendants()
    os.close(write_end)
    if code < 0:
        print(f"avrec: the supervisor was ended by signal {-code}; its parts are stopped.", file=sys.stderr, flush=True)
        mark_stopped(home)
    os.close(lock)
    return code if code >= 0 else 1


def _wait(
    child: subprocess.Popen[bytes], home: Path, on_ready: Callable[[PlatformState], None] | None, owner: int | None
) -> int:
    while True:
        try:
            return child.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            reap(keep={child.pid})
        if owner is not None and select.select([owner], [], [], 0)[0]:  # nothing is ever written: it was closed
            print("avrec: the process this platform was started for has ended; it stops.", file=sys.stderr, flush=True)
            child.send_signal(signal.SIGTERM)
            owner = None
        if on_ready is not None and (state := read_state(home)) and state.ready:
            on_ready(state)
            on_ready = None


def sweep(home: Path) -> int:
    """Ends what a platform that was killed as a whole has left in this home; returns how many processes."""
    state = read_state(home)
    if state is None:
        return 0
    recorded = [part.process for part in state.parts.values() if part.process]
    ended = end_sessions({process.pid for process in recorded if _still_ours(process)})
    mark_stopped(home)
    return ended


def _still_ours(leader: ProcessId) -> bool:
    """Whether the session of this number is the one we made.

    A number is not given out again while its session has members; so it is ours unless the machine has been
    started since, or a later process of that number leads it.
    """
    if psutil.boot_time() > leader.created:
        return False
    try:
        return abs(psutil.Process(leader.pid).create_time() - leader.created) < 1  # a zombie leader counts
    except psutil.NoSuchProcess:
        return True


def mark_stopped(home: Path) -> None:
    state = read_state(home)
    if state is None:
        return
    state.ready = False
    for part in state.parts.values():
        part.health, part.process = "stopped", None
    write_state(home, state)


def main() -> int:
    return keep(Path(sys.argv[1]), owner=int(sys.argv[2]) if len(sys.argv) > 2 else None)


if __name__ == "__main__":
    sys.exit(main())
