"""What runs: one lock and one file in the home folder, so that a second `avrec up` finds the first."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from avrec.platform.files import write_private


@dataclass(frozen=True)
class ProcessId:
    """A process that cannot be confused with a later one of the same number."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        return cls(pid, psutil.Process(pid).create_time())

    def alive(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.created) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


@dataclass
class PartState:
    """What the supervisor knows of one part; `health` is starting, answers, done, restarting, failed or stopped."""

    health: str = "waiting"
    process: ProcessId | None = None
    address: str | None = None
    restarts: int = 0
    seconds: float | None = None


@dataclass
class PlatformState:
    """Everything `status`, `down` and a second `up` need to know. Holds no secret."""

    keeper: ProcessId | None = None
    ready: bool = False
    error: str | None = None
    addresses: dict[str, str] = field(default_factory=dict)
    parts: dict[str, PartState] = field(default_factory=dict)


def run_folder(home: Path) -> Path:
    return home / "run"


def state_file(home: Path) -> Path:
    return run_folder(home) / "platform.json"


def write_state(home: Path, state: PlatformState) -> None:
    write_private(state_file(home), json.dumps(asdict(state), indent=1))


def read_state(home: Path) -> PlatformState | None:
    """What was written last, or None where nothing has run yet."""
    try:
        values = json.loads(state_file(home).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    parts = {name: _part(part) for name, part in values["parts"].items()}
    return PlatformState(_process(values["keeper"]), values["ready"], values["error"], values["addresses"], parts)


def _part(values: dict[str, Any]) -> PartState:
    return PartState(**{**values, "process": _process(values["process"])})


def _process(values: dict[str, Any] | None) -> ProcessId | None:
    return ProcessId(**values) if values else None


def take_lock(home: Path) -> int | None:
    """The descriptor of the platform's lock, or None while another platform runs in this home.

    The kernel holds it for as long as any process has the descriptor, and lets go however that process ends.
    """
    run_folder(home).mkdir(parents=True, exist_ok=True)
    descriptor = os.open(run_folder(home) / "platform.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def is_running(home: Path) -> bool:
    """Whether a platform holds the lock of this home."""
    descriptor = take_lock(home)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def running_address(home: Path, part: str) -> str | None:
    """Where a part of the platform of this home answers, None where no platform runs."""
    state = read_state(home)
    return state.addresses.get(part) if state and state.ready and is_running(home) else None
