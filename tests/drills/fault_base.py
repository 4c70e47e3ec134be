"""What the steps of the faults drill share: homes with repositories of their own, and rows of what was seen."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from tests.drills.common import PROJECT, environment, version_of_project

RUN = "faults"
SET = {
    "dataset.demo.items": 40,
    "dataset.demo.users": 60,
    "dataset.demo.days": 30,
    "dataset.demo.interactions_per_user": 30.0,
    "matching.two_tower.epochs": 2,
    "matching.graph.epochs": 2,
    "evaluation.bootstrap": 100,
}
LONGEST_S = 1800.0
SOME = "import sys; from pipelines.work import work; work(sys.argv[1], only=sys.argv[2:])"


@dataclass
class Row:
    """One fault: what was done, what was seen, and whether it ended as it must."""

    fault: str
    seen: str
    good: bool | None  # None: it could not be tried here


@dataclass(frozen=True)
class Place:
    """A home and a repository, and commands in them."""

    base: Path
    name: str

    @property
    def home(self) -> Path:
        return self.base / f"{self.name}-home"

    @property
    def repository(self) -> Path:
        return self.base / self.name

    def start(self, *module: str, log: Path | None = None, **env: str) -> subprocess.Popen[bytes]:
        """A module of the project's, in a process group of its own."""
        return self._start(["-m", *module], log, env)

    def done(self, *module: str, **env: str) -> tuple[int, str]:
        """As `start`, to its end: the exit code and what it said."""
        return self._done(["-m", *module], env)

    def again(self, *module: str) -> None:
        """As `done`, and ends the drill where the command fails."""
        self._must(["-m", *module])

    def work(self, run: str, only: Collection[str] = ()) -> None:
        """Does a run's stages, all or some, one after the other in one process."""
        self._must(["-c", SOME, run, *only] if only else ["-m", "pipelines.work", run])

    def locked(self, run: str) -> dict[str, dict[str, str]]:
        """Hashes of the outputs of every stage that a run's ref names."""
        from pipelines import lockfile

        show = ["git", "-C", str(self.repository), "show", f"refs/avrec/runs/{run}:dvc.lock"]
        shown = subprocess.run(show, check=False, capture_output=True)
        return {name: lockfile.hashes(entry) for name, entry in lockfile.parse(shown.stdout).items()}

    def _must(self, words: list[str]) -> None:
        code, said = self._done(words, {})
        if code:
            raise SystemExit(f"{' '.join(words)} does not finish:\n{said[-3000:]}")

    def _done(self, words: list[str], env: dict[str, str]) -> tuple[int, str]:
        log = self.base / f"{self.name}-one.log"
        log.unlink(missing_ok=True)
        code = self._start(words, log, env).wait(LONGEST_S)
        said = log.read_text(errors="replace")
        with (self.base / "drill.log").open("a") as file:
            file.write(f"$ {' '.join(words)}\n{said}")
        return code, said

    def _start(self, words: list[str], log: Path | None, env: dict[str, str]) -> subprocess.Popen[bytes]:
        told = environment(self.base, self.home.name, self.repository.name) | env
        with (log or self.base / "drill.log").open("ab") as out:
            return subprocess.Popen([sys.executable, *words], cwd=self.repository, stdout=out, stderr=out,
                                    stdin=subprocess.DEVNULL, env=told, start_new_session=True)  # fmt: skip


@dataclass
class Drill:
    """The rows of a drill and its undisturbed run, `quiet`, that everything is compared with."""

    base: Path
    rows: list[Row] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    places: dict[str, Place] = field(default_factory=dict)
    version: str | None = None
    ended: list[str] = field(default_factory=list)  # names of the steps that got to their end
    project: str = field(
        default_factory=version_of_project
    )  # when it began: the code that runs may be edited meanwhile

    def note(self, fault: str, seen: str, good: bool | None) -> None:
        self.rows.append(Row(fault, seen.replace(str(self.base), "…"), good))
        mark = {True: "ok", False: "FAILED", None: "not tried"}[good]
        self.say(f"{mark}: {fault}: {self.rows[-1].seen}")

    def say(self, line: str) -> None:
        print(f"[{time.monotonic() - self.started:6.1f} s] {line}", flush=True)

    def place(self, name: str) -> Place:
        """A place without a run of its own; it has the pseudonym key of the quiet one, so that hashes compare."""
        if name not in self.places:
            here = self.places[name] = Place(self.base, name)
            if not here.repository.exists():
                clone = ["git", "clone", "--quiet", str(PROJECT), str(here.repository)]
                subprocess.run(clone, check=True)
            if name != "quiet" and (key := self.quiet().home / "secrets" / "pseudonym.key").is_file():
                (here.home / "secrets").mkdir(parents=True, mode=0o700, exist_ok=True)
                shutil.copy(key, here.home / "secrets")
        return self.places[name]

    def quiet(self) -> Place:
        """The place of a run nobody disturbed, which is done at the first call."""
        here = self.place("quiet")
        if RUN not in _runs(here):
            here.again("pipelines.start", RUN, json.dumps(SET))
            here.work(RUN)
            self.say("the undisturbed run is done")
        return here

    def stages(self) -> list[str]:
        from pipelines.graph import read_stages

        return list(read_stages(PROJECT / "dvc.yaml"))

    def before(self, stage: str) -> list[str]:
        """Everything that a stage reads, directly or not."""
        from pipelines.graph import edges, read_stages

        stages = read_stages(PROJECT / "dvc.yaml")
        found, open_ = set[str](), {stage}
        while open_:
            open_ = {writer for writer, reader in edges(stages) if reader in open_} - found
            found |= open_
        return [name for name in stages if name in found]

    def champion(self) -> str:
        """The version of the quiet run, approved; made at the first call."""
        if self.version is None:
            self.version = self.promoted(RUN)
        return self.version

    def promoted(self, run: str) -> str:
        """Registers a run of the quiet place, judges it, approves it whatever was found, and makes it the champion."""
        from avrec.registry import approval, promotion, versions
        from avrec.registry import client as server

        here, inside = self.quiet(), ["pipelines.inside", run, "--inputs-of", "track"]
        here.again(*inside, "--", "python", "-m", "pipelines.register")
        with inhabited(here):
            version = str(versions.resolve(server.connect(), "challenger").version)
        here.done(*inside, "--inputs-of", "evaluate", "--", "python", "-m", "avrec.cli", "models", "judge", version)
        with inhabited(here):
            approval.record(version, approved=True, who="approver", why="The drill goes on", override=True)
            promotion.promote(version)
        return version


class inhabited:  # read as `with inhabited(place)`
    """This process speaks of a place's home for the length of a block."""

    def __init__(self, place: Place) -> None:
        self._values = environment(place.base, place.home.name, place.repository.name)

    def __enter__(self) -> None:
        self._before = dict(os.environ)
        os.environ.clear()
        os.environ.update(self._values)

    def __exit__(self, *_: object) -> None:
        os.environ.clear()
        os.environ.update(self._before)


def _runs(place: Place) -> str:
    show = ["git", "-C", str(place.repository), "for-each-ref", "--format=%(refname:lstrip=3)", "refs/avrec/runs"]
    return subprocess.run(show, check=True, capture_output=True, text=True).stdout


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a process and its group."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(true: Callable[[], bool], seconds: float = LONGEST_S) -> bool:
    limit = time.monotonic() + seconds
    while not true():
        if time.monotonic() > limit:
            return False
        time.sleep(0.1)
    return True


def line_with(said: str, *words: str) -> str:
    """The last line that has one of the words, or the end of what was said."""
    found = [line for line in said.splitlines() if any(word in line.lower() for word in words)]
    return (found[-1] if found else said[-200:]).strip()[:300]
