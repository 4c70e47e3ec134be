"""Starts the parts, waits until they answer, restarts what dies, and stops all of them.

Runs as a process of its own, `python -m avrec.platform.supervisor PLAN LIFELINE`, below the keeper
(`avrec.platform.keeper`). It has one thread; its only sleep is waiting on the lifeline, a pipe that closes when
the keeper dies.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from avrec.errors import PlatformError
from avrec.platform.parts import Part, Plan
from avrec.platform.probing import Prober
from avrec.platform.processes import Process, adopt_orphans, end_descendants, end_sessions, reap, start
from avrec.platform.state import PartState, PlatformState, ProcessId, write_state

START_LIMIT_S = 300.0
STOP_LIMIT_S = 8.0
RESTARTS = 5
CALM_S = 600.0  # a part that has run so long may be restarted as often again
REMIND_S = 10.0


@dataclass
class Child:
    """One part and the process that is it now."""

    part: Part
    state: PartState
    process: Process | None = None
    started: float = 0.0
    again_at: float = 0.0

    @property
    def settled(self) -> bool:
        return self.state.health in ("answers", "done")


class Supervisor:
    """Owns the parts of a plan from start to stop."""

    def __init__(self, plan: Plan, lifeline: int, keeper: int) -> None:
        self._home = Path(plan.home)
        self._lifeline = lifeline
        self._children = {part.name: Child(part, PartState(address=part.address)) for part in plan.parts}
        self._state = PlatformState(ProcessId.of(keeper))
        self._state.parts = {name: child.state for name, child in self._children.items()}
        self._state.addresses = {part.name: part.address for part in plan.parts if part.address}
        self._prober = Prober()
        self._begun = time.monotonic()
        self._reminded = self._begun
        self._stopping = False

    def run(self) -> int:
        """Runs until told to stop: 0, or 1 when a part cannot be kept alive."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        adopt_orphans()
        try:
            while not self._stopping:
                self._round()
                reap(keep={child.process.pid for child in self._children.values() if child.process is not None})
                self._wait()
            return 0
        except PlatformError as error:
            self._state.error = str(error)
            print(f"avrec: {error}", file=sys.stderr, flush=True)
            return 1
        finally:
            self._stop()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _wait(self) -> None:
        """Sleeps a moment; the closing of the lifeline ends it at once and for good."""
        pause = 1.0 if self._state.ready else 0.25
        if select.select([self._lifeline], [], [], pause)[0]:
            self._stopping = True

    def _round(self) -> None:
        self._prober.new_round()
        for child in self._children.values():
            self._look_after(child)
        if not self._state.ready:
            self._check_start()
        write_state(self._home, self._state)

    def _look_after(self, child: Child) -> None:
        if child.process is None:
            if not child.settled and time.monotonic() >= child.again_at and self._may_start(child):
                self._start(child)
        elif child.process.poll() is not None:
            self._on_end(child, child.process.returncode)
        elif child.state.health != "answers" and not child.part.once and self._answers(child.part):
            self._settle(child, "answers")

    def _answers(self, part: Part) -> bool:
        return part.probe is None or self._prober.answers(part.probe)

    def _may_start(self, child: Child) -> bool:
        return all(self._children[name].settled for name in child.part.needs)

    def _start(self, child: Child) -> None:
        part = child.part
        if part.stamp and Path(part.stamp).exists():
            child.state.health = "done"
            return
        environment = {**os.environ, **part.environment}
        child.process = start(part.command, part.cwd, environment, self._log(part))
        child.started = time.monotonic()
        child.state.process = ProcessId.of(child.process.pid)
        child.state.health = "starting"

    def _settle(self, child: Child, health: str) -> None:
        child.state.health = health
        child.state.seconds = round(time.monotonic() - child.started, 1)
        where = f" at {child.part.address}" if child.part.address else ""
        self._say(f"{child.part.name} {health}{where}")

    def _on_end(self, child: Child, code: int) -> None:
        """A process has ended: well, to be started again, or once too often."""
        assert child.process is not None
        end_sessions({child.process.pid})  # its own children must not meet their successors
        child.process = None
        if child.part.once and code == 0:
            if child.part.stamp:
                Path(child.part.stamp).touch()
            self._settle(child, "done")
            return
        log = self._log(child.part)
        if time.monotonic() - child.started > CALM_S:
            child.state.restarts = 0
        if child.part.once or child.state.restarts >= RESTARTS:
            child.state.health = "failed"
            raise PlatformError(f"{child.part.name} ended with code {code} and is given up. Its log says why: {log}")
        delay = 2.0**child.state.restarts
        child.state.restarts += 1
        child.state.health = "restarting"
        child.again_at = time.monotonic() + delay
        self._say(f"{child.part.name} ended with code {code}; starts again in {delay:.0f} s (log: {log})")

    def _check_start(self) -> None:
        waiting = [name for name, child in self._children.items() if not child.settled]
        now = time.monotonic()
        if not waiting:
            self._state.ready = True
            self._say("everything answers")
        elif now - self._begun > START_LIMIT_S:
            logs = ", ".join(str(self._log(self._children[name].part)) for name in waiting)
            raise PlatformError(f"No answer within {START_LIMIT_S:.0f} s from {', '.join(waiting)}. Logs: {logs}")
        elif now - self._reminded > REMIND_S:
            self._reminded = now
            self._say(f"waiting for {', '.join(waiting)}")

    def _stop(self) -> None:
        """Asks all at once, waits a little, then ends what is left of every session."""
        sessions: dict[int, Child] = {c.process.pid: c for c in self._children.values() if c.process is not None}
        for child in sessions.values():
            assert child.process is not None
            child.process.terminate()
        limit = time.monotonic() + STOP_LIMIT_S
        while time.monotonic() < limit and any(c.process and c.process.poll() is None for c in sessions.values()):
            time.sleep(0.1)
        end_sessions(set(sessions))
        end_descendants()  # who left their session are still below us
        for child in sessions.values():
            child.process = None
        for child in self._children.values():
            child.state.process = None
            child.state.health = "failed" if child.state.health == "failed" else "stopped"
        self._state.ready = False
        write_state(self._home, self._state)

    def _log(self, part: Part) -> Path:
        return self._home / "logs" / f"{part.name}.log"

    def _say(self, line: str) -> None:
        print(f"[{time.monotonic() - self._begun:6.1f} s] {line}", flush=True)


def main() -> int:
    plan, lifeline = sys.argv[1:]
    return Supervisor(Plan.read(Path(plan)), int(lifeline), os.getppid()).run()


if __name__ == "__main__":
    sys.exit(main())
