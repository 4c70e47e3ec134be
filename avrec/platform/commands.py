"""`avrec up`, `down` and `status`, and the same for a program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from avrec.errors import PlatformError
from avrec.platform import config
from avrec.platform.files import private_folder
from avrec.platform.identity import DEMO_APPROVER, read_users, users_file
from avrec.platform.keeper import ALREADY_RUNS, keep, sweep
from avrec.platform.parts import Plan
from avrec.platform.probing import Prober
from avrec.platform.state import PlatformState, is_running, read_state, run_folder
from avrec.settings import PROJECT, settings

STOP_LIMIT_S = 30.0
STATUS_PATIENCE_S = 10.0  # a busy server is not a dead one
START_LIMIT_S = 330.0  # a little more than the supervisor's own


@dataclass(frozen=True)
class Addresses:
    """Where a running platform answers."""

    airflow: str
    mlflow: str


def up(detach: bool = False, demo: bool | None = None, dags: Path | None = None, owner: int | None = None) -> int:
    """Starts the platform of this home, or finds the one that runs.

    Args:
        detach: Return as soon as everything answers; the platform goes on.
        demo: Whether this is a demo home, where `demo_approver` exists; None keeps what the home is.
        dags: Folder of DAG files; None is the project's.
        owner: Detached: read end of a pipe; the platform stops when nobody holds its other end any more.

    Returns:
        The exit code: 0 when it ran (or, detached, runs) as it should.

    Raises:
        PlatformError: it does not start; names the log.
    """
    home = settings().home
    if is_running(home):
        return _find_first(home)
    plan_file, environment = _prepare(home, dags or PROJECT / "dags", _mark_demo(home, demo))
    if detach:
        return _start_detached(home, plan_file, environment, owner)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(PROJECT)
    print("Starting; the first time takes longer. Ctrl-C stops everything.", flush=True)
    code = keep(plan_file, on_ready=lambda state: print(summary(state), flush=True))
    return _find_first(home) if code == ALREADY_RUNS else code


def _mark_demo(home: Path, demo: bool | None) -> bool:
    """A demo home carries a file `demo`; a home with a life of its own never becomes one by accident."""
    marker = home / "demo"
    if demo is None:
        return marker.exists()
    home.mkdir(parents=True, exist_ok=True)
    marker.touch() if demo else marker.unlink(missing_ok=True)
    return demo


def _prepare(home: Path, dags: Path, demo: bool) -> tuple[Path, dict[str, str]]:
    private_folder(run_folder(home))
    ports = config.choose_ports()
    for line in ports.moved:
        print(line, flush=True)
    plan_file = run_folder(home) / "plan.json"
    config.plan(ports).write(plan_file)
    return plan_file, config.environment(ports, dags, demo)


def _start_detached(home: Path, plan_file: Path, environment: dict[str, str], owner: int | None) -> int:
    log = home / "logs" / "platform.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    offset = log.stat().st_size if log.exists() else 0
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "avrec.platform.keeper", str(plan_file), *([] if owner is None else [str(owner)])],
            cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, pass_fds=() if owner is None else (owner,),
        )  # fmt: skip
    return _follow(home, log, offset, process)


def _follow(home: Path, log: Path, offset: int, process: subprocess.Popen[bytes] | None) -> int:
    """Shows the log of a starting platform until it is ready."""
    limit = time.monotonic() + START_LIMIT_S
    while time.monotonic() < limit:
        ended = process.poll() if process else (None if is_running(home) else 1)
        offset = _show(log, offset)
        if ended == ALREADY_RUNS:
            return _find_first(home)
        if ended is not None:
            raise PlatformError(f"The platform does not start: {log} says why.")
        state = read_state(home)
        if state and state.ready and (process is None or _is_keeper(state, process.pid)):
            _show(log, offset)
            print(summary(state), flush=True)
            return 0
        time.sleep(0.2)
    raise PlatformError(f"The platform does not answer within {START_LIMIT_S:.0f} s: {log} says why.")


def _is_keeper(state: PlatformState, pid: int) -> bool:
    return state.keeper is not None and state.keeper.pid == pid


def _show(log: Path, offset: int) -> int:
    """Prints what was added to `log` since `offset`; returns the new one."""
    if not log.exists():
        return offset
    with log.open("rb") as file:
        file.seek(offset)
        added = file.read()
    sys.stdout.write(added.decode(errors="replace"))
    sys.stdout.flush()
    return offset + len(added)


def _find_first(home: Path) -> int:
    print(f"A platform already runs in {home}.", flush=True)
    log = home / "logs" / "platform.log"
    return _follow(home, log, log.stat().st_size if log.exists() else 0, None)


MLFLOW_HINT = "(choose 'Model training' at the top left, then the experiment avrec)"
"""MLflow opens on its pages for language models, on which no run of ours is to be seen."""


def summary(state: PlatformState) -> str:
    """The addresses, and where the passwords are; the demo's login in a demo home."""
    lines = [
        f"Airflow  {state.addresses.get('api-server')}",
        f"MLflow   {state.addresses.get('mlflow')}  {MLFLOW_HINT}",
    ]
    if users_file().exists():
        users = read_users()
        lines.append(f"Logins   {', '.join(users)}: passwords in {users_file()}, or `avrec status --passwords`")
        if DEMO_APPROVER in users:
            lines.append(f"Approve as 'approver' with password {users['approver'].password} (this demo only)")
    return "\n".join(lines)


def down() -> None:
    """Stops the platform of this home and ends what an earlier one may have left.

    Raises:
        PlatformError: it does not stop.
    """
    home = settings().home
    state = read_state(home)
    if not is_running(home):
        left = sweep(home)
        print(f"Nothing runs in {home}." + (f" Ended {left} left-over processes." if left else ""))
        return
    if state is None or state.keeper is None or not state.keeper.alive():
        raise PlatformError(f"A platform is just starting or stopping in {home}; try again in some seconds.")
    os.kill(state.keeper.pid, signal.SIGTERM)
    limit = time.monotonic() + STOP_LIMIT_S
    while time.monotonic() < limit:
        if not is_running(home):
            print("Stopped.")
            return
        time.sleep(0.1)
    raise PlatformError(f"Process {state.keeper.pid} does not stop; see {home / 'logs' / 'platform.log'}.")


def status(passwords: bool = False) -> int:
    """Prints every part, its health now and its address; 0 when all answer, 1 when not."""
    home = settings().home
    state = read_state(home)
    if state is None or not is_running(home):
        print(f"Nothing runs in {home}. Start it: avrec up")
        return 1
    well = True
    healths = _probe_now(home, state)
    for name, (health, good) in healths.items():
        part = state.parts[name]
        well = well and good
        restarts = f"  ({part.restarts} restarts)" if part.restarts else ""
        print(f"{name:14} {health:12} {part.address or ''}{restarts}")
    print(summary(state))
    if passwords:
        for user in read_users().values():
            print(f"{user.name:14} {user.roles[0]:10} {user.password}")
    return 0 if well else 1


def _probe_now(home: Path, state: PlatformState) -> dict[str, tuple[str, bool]]:
    """Health of each part as it answers now, not as the supervisor saw it last."""
    prober = Prober(timeout=STATUS_PATIENCE_S)
    healths: dict[str, tuple[str, bool]] = {}
    for part in Plan.read(run_folder(home) / "plan.json").parts:
        seen = state.parts[part.name]
        if part.once:
            healths[part.name] = (seen.health, seen.health == "done")
        elif seen.process is None or not seen.process.alive():
            healths[part.name] = (seen.health if seen.health != "answers" else "gone", False)
        else:
            good = part.probe is None or prober.answers(part.probe)
            healths[part.name] = ("answers" if good else "no answer", good)
    return healths


def addresses() -> Addresses:
    """Where the platform of this home answers.

    Raises:
        PlatformError: none runs.
    """
    state = read_state(settings().home)
    if state is None or not state.ready or not is_running(settings().home):
        raise PlatformError(f"No platform runs in {settings().home}; start it: avrec up --detach")
    return Addresses(state.addresses["api-server"], state.addresses["mlflow"])


@contextmanager
def running_platform(home: Path, dags_folder: Path | None = None, demo: bool = False) -> Iterator[Addresses]:
    """A real platform in `home` for the length of a `with` block; the environment points to it meanwhile.

    It also ends with this process, however that ends.

    Raises:
        PlatformError: it does not start.
    """
    saved = dict(os.environ)
    os.environ["AVREC_HOME"] = str(home)
    for name in ("AVREC_AIRFLOW_URI", "AVREC_MLFLOW_URI"):
        os.environ.pop(name, None)
    owner, held = os.pipe()
    try:
        up(detach=True, demo=demo, dags=dags_folder, owner=owner)
        where = addresses()
        os.environ.update(AVREC_AIRFLOW_URI=where.airflow, AVREC_MLFLOW_URI=where.mlflow, **config.mlflow_login())
        yield where
    finally:
        if is_running(home):
            down()
        os.close(owner)
        os.close(held)
        os.environ.clear()
        os.environ.update(saved)
