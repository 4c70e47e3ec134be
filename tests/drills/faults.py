"""Drill: what breaks while the platform works, on a small rendered set, and what becomes of it.

    python -m tests.drills.faults [--json FILE] [--write]

Kills a task in every stage, takes MLflow away for a minute, locks the database, fills the disk under features, model
and table, lets two runs and a table go on at once, damages a cached object and halves a weight. Each row says what was
seen, and whether nothing was lost or half done and a repetition finished. `--write` puts the table into docs/faults.md.
Exit code 1 if a row did not end as it must. Filling a disk needs a small one of its own: root.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.drills.common import PROJECT, commit_of_project, environment, write_section

RUN = "faults"
SET = {
    "dataset.demo.items": 40,
    "dataset.demo.users": 60,
    "dataset.demo.days": 30,
    "dataset.demo.interactions_per_user": 30.0,
    "matching.two_tower.epochs": 2,
    "evaluation.bootstrap": 100,
}
LONGEST_S = 1800.0
AWAY_S = 60.0
PAGE = PROJECT / "docs" / "faults.md"


@dataclass
class Row:
    """One fault: what was done, what was seen, and whether it ended as it must."""

    fault: str
    seen: str
    good: bool | None  # None: it could not be tried here


class Drill:
    """A repository and a home of a drill, and the undisturbed run everything is compared with."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.log = base / "drill.log"
        self.rows: list[Row] = []
        self.killed: list[str] = []
        self.started = time.monotonic()

    def note(self, fault: str, seen: str, good: bool | None) -> None:
        self.rows.append(Row(fault, seen, good))
        mark = {True: "ok", False: "FAILED", None: "not tried"}[good]
        print(f"[{time.monotonic() - self.started:6.1f} s] {mark}: {fault}: {seen}", flush=True)

    def start(self, *module: str, log: Path | None = None, **env: str) -> subprocess.Popen[bytes]:
        out = (log or self.log).open("ab")
        return subprocess.Popen([sys.executable, "-m", *module], cwd=self.base / "repository", stdout=out, stderr=out,
                                env=dict(os.environ) | env, start_new_session=True)  # fmt: skip

    def done(self, *module: str, **env: str) -> tuple[int, str]:
        log = self.base / "one.log"
        log.unlink(missing_ok=True)
        code = self.start(*module, log=log, **env).wait(LONGEST_S)
        said = log.read_text(errors="replace")
        with self.log.open("a") as file:
            file.write(said)
        return code, said

    def again(self, *module: str) -> None:
        code, said = self.done(*module)
        if code:
            raise SystemExit(f"{' '.join(module)} does not finish:\n{said[-3000:]}")


def kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(true: Callable[[], bool], seconds: float = LONGEST_S) -> bool:
    limit = time.monotonic() + seconds
    while not true():
        if time.monotonic() > limit:
            return False
        time.sleep(0.1)
    return True


def killed_in_every_stage(drill: Drill) -> None:
    """Each stage is killed a second after it begins to work, and done again."""
    from pipelines import git, lockfile, runs
    from pipelines.graph import read_stages

    stages = read_stages(drill.base / "repository" / "dvc.yaml")
    drill.again("pipelines.start", RUN, json.dumps(SET))
    killed = []
    for name in stages:
        log = drill.base / f"{name}.log"
        process = drill.start("pipelines.execute", RUN, name, log=log)
        begun = f"{name}: python"
        wait_until(lambda p=process, n=log, b=begun: p.poll() is not None or b in n.read_text(errors="replace"))
        time.sleep(1.0)
        if process.poll() is None:
            kill(process)
            killed.append(name)
        tip = runs.tip(RUN)
        with runs.temporary_repository() as folder:
            entries = lockfile.of_commit(folder, git.fetch(folder, str(drill.base / "repository"), tip))
        if name in killed and name in entries:
            drill.note(f"kill -9 in {name}", "the ref names a stage that was killed", False)
        drill.again("pipelines.execute", RUN, name)
        print(
            f"[{time.monotonic() - drill.started:6.1f} s] {name}: {'killed and ' if name in killed else ''}done",
            flush=True,
        )
    drill.killed = killed


def compared_with_a_quiet_run(drill: Drill) -> None:
    """The same set in another home and repository, where nobody disturbs it: every hash has to be the same."""
    env, killed = environment(drill.base, "quiet-home", "quiet"), drill.killed
    subprocess.run(["git", "clone", "--quiet", "--bare", str(PROJECT), str(drill.base / "quiet")], check=True)
    drill_key(drill.base)
    code, said = drill.done("pipelines.start", RUN, json.dumps(SET), **env)
    code, said = drill.done("pipelines.work", RUN, **env) if not code else (code, said)
    equal = not code and lock_of(drill.base / "quiet", RUN) == lock_of(drill.base / "repository", RUN)
    number = f"{len(killed)} of {len(stage_names(drill))} stages killed at work (the others were done before that) "
    seen = number + ("and done again; every hash is that of a run nobody disturbed" if equal else said[-300:])
    drill.note("kill -9 of a task in every stage", seen, equal and len(killed) > 5)


def drill_key(base: Path) -> None:
    """The quiet home has the same pseudonym key, where one was made."""
    key = base / "home" / "secrets" / "pseudonym.key"
    if key.is_file():
        (base / "quiet-home" / "secrets").mkdir(parents=True, mode=0o700, exist_ok=True)
        shutil.copy(key, base / "quiet-home" / "secrets")


def lock_of(repository: Path, run: str) -> dict[str, dict[str, str]]:
    from pipelines import lockfile

    show = ["git", "-C", str(repository), "show", f"refs/avrec/runs/{run}:dvc.lock"]
    content = subprocess.run(show, check=True, capture_output=True).stdout
    return {name: lockfile.hashes(entry) for name, entry in lockfile.parse(content).items()}


def stage_names(drill: Drill) -> list[str]:
    from pipelines.graph import read_stages

    return list(read_stages(drill.base / "repository" / "dvc.yaml"))


def mlflow_away(drill: Drill) -> None:
    """`track` begins while no server answers; the server comes a minute later."""
    from avrec.platform.ports import choose

    port = choose(15000)
    address = f"http://127.0.0.1:{port}"
    data = drill.base / "away"
    data.mkdir()
    drill.again("pipelines.start", "away", json.dumps(SET))
    for name in (n for n in stage_names(drill) if n != "track"):
        drill.again("pipelines.execute", "away", name)  # taken over from the run before
    tracking = drill.start("pipelines.execute", "away", "track", log=drill.base / "away.log", AVREC_MLFLOW_URI=address)
    time.sleep(AWAY_S)
    waited = tracking.poll() is None
    server = serve(data, port, drill.base / "mlflow.log")
    try:
        code = tracking.wait(LONGEST_S)
        said = (drill.base / "away.log").read_text(errors="replace")
        if code:
            wait_until(lambda: answers(address), 300)
            code, _ = drill.done("pipelines.execute", "away", "track", AVREC_MLFLOW_URI=address)
        with closing(sqlite3.connect(data / "m.db")) as database:
            runs = database.execute("select count(*) from runs where lifecycle_stage = 'active'").fetchone()[0]
        how = (
            "the task waited and finished by itself"
            if waited and "failed" not in said
            else "the task failed, a retry finished"
        )
        drill.note("MLflow away for a minute", f"{how}; {runs} run in MLflow", code == 0 and runs == 1)
    finally:
        kill(server)


def serve(data: Path, port: int, log: Path) -> subprocess.Popen[bytes]:
    """A tracking server of this drill's own."""
    command = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", f"sqlite:///{data / 'm.db'}", "--default-artifact-root", str(data / "artifacts")]
    out = log.open("ab")
    return subprocess.Popen([sys.executable, "-m", "mlflow", *command, *stores], cwd=data, stdout=out, stderr=out,
                            start_new_session=True)  # fmt: skip


def answers(address: str) -> bool:
    import requests

    try:
        return requests.get(f"{address}/health", timeout=5).ok
    except requests.RequestException:
        return False


@contextmanager
def small_disk(drill: Drill, name: str) -> Iterator[Path | None]:
    """A disk of 64 MB, or None where this account may not mount one."""
    folder = drill.base / name
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], check=False,
                             capture_output=True).returncode == 0  # fmt: skip
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)


def fill(folder: Path) -> None:
    """Takes every byte that is left."""
    with (folder / "filler").open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"0" * 65536)
        except OSError:
            pass
        try:
            while True:
                file.write(b"0")
        except OSError:
            return


def disk_full_while(drill: Drill, what: str, stage: str, variable: str) -> None:
    """The disk of one store is full when a stage writes to it; with room again the stage finishes."""
    run = f"full-{what}"
    with small_disk(drill, run) as disk:
        if disk is None:
            drill.note(f"disk full while writing {what}", "needs root, for a small disk of its own", None)
            return
        drill.again(
            "pipelines.start", run, json.dumps(SET | {"matching.seed": len(what), "dataset.demo.seed": len(what)})
        )
        for name in stage_names(drill):
            if name == stage:
                break
            drill.again("pipelines.execute", run, name)
        log = drill.base / f"{run}.log"
        process = drill.start("pipelines.execute", run, stage, log=log, **{variable: str(disk)})
        wait_until(lambda: process.poll() is not None or f"{stage}: python" in log.read_text(errors="replace"))
        fill(disk)  # its inputs are there, its work has begun
        code, said = process.wait(LONGEST_S), log.read_text(errors="replace")
        told = next((line for line in said.splitlines() if "space" in line.lower() or "Errno 28" in line), said[-200:])
        whole = [p for p in disk.rglob("*.parquet") if p.stat().st_size == 0]
        tip_has = stage in lock_of(drill.base / "repository", run)
        (disk / "filler").unlink()
        after, _ = drill.done("pipelines.execute", run, stage, **{variable: str(disk)})
        seen = f"ended with code {code}: {told.strip()[:160]}; with room again code {after}"
        drill.note(f"disk full while writing {what}", seen, code != 0 and after == 0 and not whole and not tip_has)


def champion(drill: Drill) -> str:
    from avrec.registry import approval, promotion, versions
    from avrec.registry import client as server

    inside = ["pipelines.inside", RUN, "--inputs-of", "track"]
    drill.again(*inside, "--", "python", "-m", "pipelines.register")
    version = str(versions.resolve(server.connect(), "challenger").version)
    drill.done(*inside, "--inputs-of", "evaluate", "--", "python", "-m", "avrec.cli", "models", "judge", version)
    approval.record(version, approved=True, who="approver", why="The drill goes on", override=True)
    promotion.promote(version)
    return version


def database_locked(drill: Drill) -> None:
    """Somebody holds the database of the tables for half a minute while a table is published."""
    from avrec.recommend.publication import Publisher

    tables = Publisher.of_settings().tables
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with tables.locked():
            held.set()
            free.wait(LONGEST_S)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    process = drill.start("pipelines.publish", "all", "--date", "2026-03-01")
    time.sleep(45.0)  # it waits at its first look at the database
    waited, shown = process.poll() is None, len(tables.all())
    free.set()
    thread.join()
    code = process.wait(LONGEST_S)
    seen = (
        f"the publisher waited, {shown} tables were in force meanwhile; it finished with code {code} when it was free"
    )
    drill.note("database locked while a table is published", seen, waited and shown == 0 and code == 0)


def disk_full_at_publishing(drill: Drill) -> None:
    from avrec.recommend.publication import Publisher

    with small_disk(drill, "full-table") as disk:
        if disk is None:
            drill.note("disk full while writing a table", "needs root, for a small disk of its own", None)
            return
        fill(disk)
        env = {"AVREC_PUBLICATIONS": str(disk / "publications")}
        code, said = drill.done("pipelines.publish", "all", "--date", "2026-03-02", **env)
        before = len(Publisher.of_settings().tables.all())
        (disk / "filler").unlink()
        after, _ = drill.done("pipelines.publish", "all", "--date", "2026-03-02", **env)
        told = next((line for line in said.splitlines() if "space" in line.lower()), said[-200:])
        seen = f"ended with code {code}: {told.strip()[:160]}; the table in force stayed; with room again code {after}"
        drill.note("disk full while writing a table", seen, code != 0 and before == 1 and after == 0)


def two_runs_and_a_recommendation(drill: Drill) -> None:
    """Two trainings that differ in their seed, and the day's table, all at once."""
    runs = {name: SET | {"matching.seed": seed} for name, seed in (("left", 11), ("right", 12))}
    for name, values in runs.items():
        drill.again("pipelines.start", name, json.dumps(values))
    processes = [drill.start("pipelines.work", name, log=drill.base / f"{name}.log") for name in runs]
    publishing = drill.start("pipelines.publish", "all", "--date", "2026-03-03")
    codes = [process.wait(LONGEST_S) for process in (*processes, publishing)]
    left, right = (lock_of(drill.base / "repository", name) for name in runs)
    apart = left["dataset"] == right["dataset"] and left["refit"] != right["refit"]
    seen = (
        f"ended with codes {codes}; the runs share their data and nothing else" if apart else f"codes {codes}, mixed up"
    )
    drill.note("two training runs and a table at once", seen, codes == [0, 0, 0] and apart)


def damaged_cache(drill: Drill) -> None:
    """A byte of a cached input changes before a stage reads it."""
    md5 = lock_of(drill.base / "repository", RUN)["split"]["data/split"]
    cache = drill.base / "home" / "dvc" / "cache" / "files" / "md5"
    listing = json.loads((cache / md5[:2] / md5[2:]).read_text())
    child = next(entry["md5"] for entry in listing if entry["relpath"] == "train.parquet")
    path = cache / child[:2] / child[2:]
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(bytes(data))
    drill.again("pipelines.start", "damaged", json.dumps(SET | {"matching.ease.l2": 31.0}))
    names = stage_names(drill)
    for name in names[: names.index("train@ease") + 1]:
        drill.again("pipelines.execute", "damaged", name)
    import hashlib

    whole = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == child
    seen = "noticed, fetched again from the remote, the stage computed on the right bytes" if whole else "not noticed"
    drill.note("a corrupt object in the cache", seen, whole)


def half_a_weight(drill: Drill) -> None:
    """The folder of weights holds one that was only half downloaded."""
    from avrec.features.weights import MOBILENET, find_weights

    whole, folder = find_weights(MOBILENET), drill.base / "weights"
    folder.mkdir()
    (folder / whole.name).write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    extract = ["python", "-m", "avrec.cli", "features", "extract", "data/media", "--out", str(drill.base / "extracted")]
    env = {"AVREC_WEIGHTS": str(folder), "AVREC_FEATURE_STORE": str(drill.base / "empty-store")}
    code, said = drill.done("pipelines.inside", RUN, "--pull", "data/media", "--", *extract, **env)
    told = next((line for line in said.splitlines() if "should be" in line), said[-200:])
    drill.note("a half-downloaded weight", told.replace(str(drill.base), "")[:200], code != 0 and "should be" in told)


def drill_all(base: Path) -> Drill:
    drill = Drill(base)
    subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(base / "repository")], check=True)
    os.chdir(base / "repository")
    killed_in_every_stage(drill)
    steps: list[Callable[[], object]] = [
        lambda: mlflow_away(drill),
        lambda: damaged_cache(drill),
        lambda: half_a_weight(drill),
        lambda: champion(drill),
        lambda: database_locked(drill),
        lambda: disk_full_at_publishing(drill),
        lambda: disk_full_while(drill, "features", "features@visual", "AVREC_FEATURE_STORE"),
        lambda: disk_full_while(drill, "model", "train@two_tower", "AVREC_DVC_CACHE"),
        lambda: two_runs_and_a_recommendation(drill),
        lambda: compared_with_a_quiet_run(drill),
    ]
    for step in steps:
        step()
    return drill


def section(drill: Drill, commit: str, seconds: float) -> list[str]:
    """What docs/faults.md says of the last drill."""
    words = {True: "as it must", False: "**not as it must**", None: "not tried"}
    return [
        f"Last drill: {datetime.now(UTC):%Y-%m-%d} at commit {commit}, in {seconds:.0f} s.", "",
        "| fault | seen | ended |", "| --- | --- | --- |",
        *(f"| {r.fault} | {r.seen.replace('|', '/')} | {words[r.good]} |" for r in drill.rows),
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true", help="write the table to docs/faults.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="avrec-drill-") as folder:
        os.environ.update(environment(Path(folder)))
        try:
            drill = drill_all(Path(folder))
        finally:
            os.chdir(PROJECT)
            if (Path(folder) / "drill.log").exists():
                shutil.copy(Path(folder) / "drill.log", Path(tempfile.gettempdir()) / "faults-drill.log")
        seconds = time.monotonic() - drill.started
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in drill.rows], indent=2) + "\n", encoding="utf-8")
    if options.write:
        write_section(PAGE, "faults", section(drill, commit_of_project(), seconds))
    return 1 if any(row.good is False for row in drill.rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
