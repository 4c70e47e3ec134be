"""The real keeper and supervisor over small parts: nothing may be left, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from avrec.errors import PlatformError
from avrec.platform import commands
from avrec.platform.keeper import ALREADY_RUNS, sweep
from avrec.platform.parts import Part, Plan, Probe
from avrec.platform.ports import choose
from avrec.platform.state import PlatformState, is_running, read_state, run_folder

# Starts a process in a session of its own, as a daemon would, and one in a process group of its own, as Airflow's
# tasks are; writes their numbers down; then waits.
PARENT_OF_RUNAWAYS = """
import os, subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
daemon = subprocess.Popen(sleep, start_new_session=True)
task = subprocess.Popen(sleep, process_group=0)
open(sys.argv[1], "w").write(f"{daemon.pid} {task.pid}")
time.sleep(600)
"""


def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.05)


def web_server(tmp_path: Path, name: str = "web") -> Part:
    port = choose(18200)
    return Part(
        name,
        (sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"),
        str(tmp_path),
        Probe(f"http://127.0.0.1:{port}/"),
        address=f"http://127.0.0.1:{port}",
    )


def script(name: str, code: str, *arguments: str, once: bool = False, needs: tuple[str, ...] = ()) -> Part:
    return Part(name, (sys.executable, "-c", code, *arguments), "/", once=once, needs=needs)


class Running:
    """A keeper process over a plan."""

    def __init__(self, home: Path, *parts: Part) -> None:
        self.home = home
        self.plan = run_folder(home) / "plan.json"
        Plan(str(home), parts).write(self.plan)
        self.log = (home / "keeper.log").open("w+")
        self.keeper = subprocess.Popen(
            [sys.executable, "-m", "avrec.platform.keeper", str(self.plan)], stdout=self.log, stderr=self.log
        )

    @property
    def state(self) -> PlatformState:
        state = read_state(self.home)
        assert state is not None
        return state

    def until_ready(self) -> Running:
        wait_until(lambda: self.keeper.poll() is not None or ((state := read_state(self.home)) and state.ready))
        assert self.keeper.poll() is None, self.output()
        return self

    def output(self) -> str:
        return (self.home / "keeper.log").read_text()

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.keeper.pid).children(recursive=True)

    @property
    def supervisor(self) -> psutil.Process:
        return psutil.Process(self.keeper.pid).children()[0]


@pytest.fixture
def run(home: Path) -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def begin(*parts: Part) -> Running:
        running.append(Running(home, *parts))
        return running[-1]

    yield begin
    for each in running:
        each.keeper.terminate()
        each.keeper.wait(30)
        each.log.close()
    sweep(home)


def runaways(tmp_path: Path) -> tuple[Part, Path]:
    numbers = tmp_path / "numbers"
    return script("parent", PARENT_OF_RUNAWAYS, str(numbers)), numbers


def all_gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def family_with_runaways(running: Running, numbers: Path) -> list[psutil.Process]:
    wait_until(lambda: numbers.exists() and len(numbers.read_text().split()) == 2)
    family = running.family()
    assert {int(n) for n in numbers.read_text().split()} <= {process.pid for process in family}
    return family


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_everything(run: Callable[..., Running], tmp_path: Path, number: signal.Signals) -> None:
    parent, numbers = runaways(tmp_path)
    running = run(web_server(tmp_path), parent).until_ready()
    family = family_with_runaways(running, numbers)
    running.keeper.send_signal(number)
    assert running.keeper.wait(30) == 0
    assert all_gone(family)
    assert not is_running(running.home)
    assert {part.health for part in running.state.parts.values()} == {"stopped"}


OWNER = """
import os, subprocess, sys, time
owner, held = os.pipe()
keeper = [sys.executable, "-m", "avrec.platform.keeper", sys.argv[1], str(owner)]
print(subprocess.Popen(keeper, pass_fds=[owner], start_new_session=True).pid, flush=True)
time.sleep(600)
"""


def test_a_killed_owner_leaves_nothing(home: Path, tmp_path: Path) -> None:
    plan = run_folder(home) / "plan.json"
    Plan(str(home), (web_server(tmp_path),)).write(plan)
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(plan)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    keeper = psutil.Process(int(owner.stdout.readline()))
    wait_until(lambda: (state := read_state(home)) and state.ready)
    family = [keeper, *keeper.children(recursive=True)]
    owner.kill()
    owner.communicate()
    wait_until(lambda: all_gone(family))
    assert not is_running(home)


def test_a_killed_supervisor_leaves_nothing(run: Callable[..., Running], tmp_path: Path) -> None:
    parent, numbers = runaways(tmp_path)
    running = run(web_server(tmp_path), parent).until_ready()
    family = family_with_runaways(running, numbers)
    running.supervisor.kill()
    assert running.keeper.wait(30) == 1
    assert all_gone(family)
    assert not is_running(running.home)
    assert "ended by signal 9" in running.output()


def test_a_killed_keeper_leaves_nothing(run: Callable[..., Running], tmp_path: Path) -> None:
    parent, numbers = runaways(tmp_path)
    running = run(web_server(tmp_path), parent).until_ready()
    family = family_with_runaways(running, numbers)
    daemon = psutil.Process(int(numbers.read_text().split()[0]))
    running.keeper.kill()
    running.keeper.wait(30)
    wait_until(lambda: all_gone(family))
    assert all_gone([daemon])
    assert not is_running(running.home)


def test_what_a_kill_of_both_leaves_is_swept_by_the_next_start(run: Callable[..., Running], tmp_path: Path) -> None:
    parent, numbers = runaways(tmp_path)
    running = run(web_server(tmp_path), parent).until_ready()
    family = family_with_runaways(running, numbers)
    daemon = psutil.Process(int(numbers.read_text().split()[0]))
    os.kill(running.keeper.pid, signal.SIGSTOP)  # so that it cannot clean up before it too is killed
    supervisor = running.supervisor
    supervisor.suspend()
    supervisor.kill()
    running.keeper.kill()
    running.keeper.wait(30)
    sweep(running.home)
    rest = [process for process in family if process.pid != daemon.pid]
    wait_until(lambda: all_gone(rest))
    with suppress(psutil.NoSuchProcess):  # unless the keeper had seen it in time
        daemon.kill()  # it asked the kernel for a session of its own, and nobody was left to see that


def test_a_part_that_dies_comes_back(run: Callable[..., Running], tmp_path: Path) -> None:
    running = run(web_server(tmp_path)).until_ready()
    first = running.state.parts["web"].process
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)

    def came_back() -> bool:
        part = running.state.parts["web"]
        return part.health == "answers" and part.process is not None and part.process.pid != first.pid

    wait_until(came_back)
    assert running.state.parts["web"].restarts == 1
    assert "web ended with code -9; starts again in 1 s" in running.output()


def test_a_failed_preparation_ends_the_start_and_names_its_log(run: Callable[..., Running], tmp_path: Path) -> None:
    broken = script("migrate", "raise SystemExit('no table')", once=True)
    running = run(broken, web_server(tmp_path))
    assert running.keeper.wait(30) == 1
    assert "migrate ended with code 1" in running.output()
    assert "no table" in (running.home / "logs" / "migrate.log").read_text()
    assert running.state.error is not None


def test_parts_wait_for_what_they_need(run: Callable[..., Running], tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    first = script("first", "import sys, time; time.sleep(0.5); open(sys.argv[1], 'w')", str(mark), once=True)
    code = "import os, sys, time; assert os.path.exists(sys.argv[1]); time.sleep(600)"
    running = run(script("second", code, str(mark), needs=("first",)), first).until_ready()
    assert running.state.parts["first"].health == "done"
    assert running.state.parts["second"].restarts == 0


def test_a_stamped_preparation_runs_once(run: Callable[..., Running], tmp_path: Path) -> None:
    stamp, count = tmp_path / "stamp", tmp_path / "count"
    code = "import sys; open(sys.argv[1], 'a').write('x')"
    part = Part("prepare", (sys.executable, "-c", code, str(count)), "/", once=True, stamp=str(stamp))
    for _ in range(2):
        running = run(part, web_server(tmp_path)).until_ready()
        running.keeper.terminate()
        assert running.keeper.wait(30) == 0
    assert count.read_text() == "x"


def test_a_second_start_finds_the_first(
    run: Callable[..., Running], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    web = web_server(tmp_path)
    running = run(web).until_ready()
    assert subprocess.run([sys.executable, "-m", "avrec.platform.keeper", str(running.plan)]).returncode == ALREADY_RUNS
    assert commands.up(detach=True) == 0
    assert "already runs" in capsys.readouterr().out
    assert commands.status() == 0
    assert str(web.address) in capsys.readouterr().out
    commands.down()
    assert running.keeper.wait(30) == 0
    assert commands.status() == 1


def test_a_suspended_part_is_reported(
    run: Callable[..., Running], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running = run(web_server(tmp_path)).until_ready()
    process = running.state.parts["web"].process
    assert process is not None
    psutil.Process(process.pid).suspend()
    try:
        assert commands.status() == 1
    finally:
        psutil.Process(process.pid).resume()
    assert "no answer" in capsys.readouterr().out


def test_down_without_a_platform_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    commands.down()
    assert "Nothing runs" in capsys.readouterr().out


def test_a_broken_plan_names_the_file(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text("{}")
    with pytest.raises(PlatformError, match=r"plan\.json is not a plan"):
        Plan.read(plan)


def test_the_keeper_tells_once_when_everything_answers(tmp_path: Path) -> None:
    web = web_server(tmp_path)
    plan = tmp_path / "plan.json"
    Plan(str(tmp_path / "other"), (web,)).write(plan)
    code = (
        "import sys; from pathlib import Path; from avrec.platform.keeper import keep; "
        "keep(Path(sys.argv[1]), lambda state: print('addresses', state.addresses, flush=True))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(plan)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = ""
    while "addresses" not in line:
        line = process.stdout.readline()
        assert line, "ended before everything answered"
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=30)[0]
    assert str(web.address) in line
    assert "addresses" not in rest
