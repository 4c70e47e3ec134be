"""Faults below Airflow: processes killed, servers and disks away, bytes and clocks that are wrong."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.drills.clock import NEEDS_CC, compiled
from tests.drills.fault_base import LONGEST_S, RUN, SET, Drill, Place, inhabited, kill, line_with, wait_until

AWAY_S = 60.0
HELD_S = 45.0
CLOCK = "clock.so"
YEAR_S = 400 * 86_400
NEEDS_ROOT = "needs root, for a small disk of its own"


def killed_in_every_stage(drill: Drill) -> None:
    """Each stage is killed a second after it begins to work, and done again."""
    here, killed, named = drill.place("killed"), [], []
    here.again("pipelines.start", RUN, json.dumps(SET))
    for name in drill.stages():
        log = drill.base / f"killed-{name}.log"
        process = here.start("pipelines.execute", RUN, name, log=log)
        begun = f"{name}: python"
        wait_until(lambda p=process, n=log, b=begun: p.poll() is not None or b in n.read_text(errors="replace"))
        time.sleep(1.0)
        if process.poll() is None:
            kill(process)
            killed.append(name)
            named += [name] if name in here.locked(RUN) else []
        here.again("pipelines.execute", RUN, name)
        drill.say(f"{name}: {'killed and ' if name in killed else ''}done")
    equal = here.locked(RUN) == drill.quiet().locked(RUN)
    seen = f"{len(killed)} of {len(drill.stages())} stages killed at work (the others were done before that) and done "
    seen += "again; every hash is that of a run nobody disturbed" if equal else "again; hashes differ"
    drill.note("kill -9 of a task in every stage", seen, equal and not named and len(killed) > 5)


def mlflow_away(drill: Drill) -> None:
    """`track` begins while no server answers; the server comes a minute later."""
    from avrec.platform.ports import choose

    here, port = drill.quiet(), choose(15000)
    address, data = f"http://127.0.0.1:{port}", drill.base / "away"
    data.mkdir()
    here.again("pipelines.start", "away", json.dumps(SET))
    here.work("away", drill.before("track"))  # taken over from the quiet run
    log = drill.base / "away.log"
    tracking = here.start("pipelines.execute", "away", "track", log=log, AVREC_MLFLOW_URI=address)
    time.sleep(AWAY_S)
    waited = tracking.poll() is None
    server = serve(data, port, drill.base / "mlflow.log")
    try:
        code, how = tracking.wait(LONGEST_S), "the task waited and finished by itself"
        if code:
            how = f"the task failed ({line_with(log.read_text(errors='replace'), 'mlflow')}), a retry finished"
            wait_until(lambda: answers(address), 300)
            code, _ = here.done("pipelines.execute", "away", "track", AVREC_MLFLOW_URI=address)
        with closing(sqlite3.connect(data / "m.db")) as database:
            runs = database.execute("select count(*) from runs where lifecycle_stage = 'active'").fetchone()[0]
        drill.note("MLflow away for a minute", f"{how}; {runs} run in MLflow", code == 0 and runs == 1 and waited)
    finally:
        kill(server)


def serve(data: Path, port: int, log: Path) -> subprocess.Popen[bytes]:
    """A tracking server of this drill's own."""
    command = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", f"sqlite:///{data / 'm.db'}", "--default-artifact-root", str(data / "artifacts")]
    with log.open("ab") as out:
        return subprocess.Popen([sys.executable, "-m", "mlflow", *command, *stores], cwd=data, stdout=out, stderr=out,
                                start_new_session=True)  # fmt: skip


def answers(address: str) -> bool:
    import requests

    try:
        return requests.get(f"{address}/health", timeout=5).ok
    except requests.RequestException:
        return False


def damaged_cache(drill: Drill) -> None:
    """A byte of a cached input changes before a stage reads it."""
    here = drill.quiet()
    md5 = here.locked(RUN)["split"]["data/split"]
    cache = here.home / "dvc" / "cache" / "files" / "md5"
    listing = json.loads((cache / md5[:2] / md5[2:]).read_text())
    child = next(entry["md5"] for entry in listing if entry["relpath"] == "train.parquet")
    path = cache / child[:2] / child[2:]
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(bytes(data))
    here.again("pipelines.start", "damaged", json.dumps(SET | {"matching.ease.l2": 31.0}))
    here.work("damaged", [*drill.before("train@ease"), "train@ease"])
    whole = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == child
    seen = "noticed, fetched again from the remote, the stage computed on the right bytes" if whole else "not noticed"
    drill.note("a corrupt object in the cache", seen, whole)


def half_a_weight(drill: Drill) -> None:
    """The folder of weights holds one that was only half downloaded."""
    from avrec.features.weights import MOBILENET, find_weights

    here, whole, folder = drill.quiet(), find_weights(MOBILENET), drill.base / "weights"
    folder.mkdir()
    (folder / whole.name).write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    extract = ["python", "-m", "avrec.cli", "features", "extract", "data/media", "--out", str(drill.base / "extracted")]
    command = ["pipelines.inside", RUN, "--pull", "data/media", "--", *extract]
    store = {"AVREC_FEATURE_STORE": str(drill.base / "empty-store")}
    code, said = here.done(*command, AVREC_WEIGHTS=str(folder), **store)
    none = not any(drill.base.joinpath("empty-store").rglob("*.parquet"))
    shutil.copy(whole, folder / whole.name)
    after, _ = here.done(*command, AVREC_WEIGHTS=str(folder), **store)
    seen = f"refused: {line_with(said, 'should be')}; nothing was stored; with the whole file code {after}"
    drill.note("a half-downloaded weight", seen, code != 0 and "should be" in said and none and after == 0)


def database_locked(drill: Drill) -> None:
    """Somebody holds the database of the tables for three quarters of a minute while a table is published."""
    from avrec.recommend.publication import Publisher

    drill.champion()
    here, free = drill.quiet(), threading.Event()
    with inhabited(here):
        tables = Publisher.of_settings().tables
    before, held = len(tables.all()), threading.Event()

    def hold() -> None:
        with tables.locked():
            held.set()
            free.wait(LONGEST_S)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        process = here.start("pipelines.publish", "all", "--date", "2026-03-01")
        time.sleep(HELD_S)  # it waits at its first look at the database
        waited, shown = process.poll() is None, len(tables.all()) - before
    finally:
        free.set()
        thread.join()
    code, after = process.wait(LONGEST_S), len(tables.all()) - before
    seen = f"the publisher waited, {shown} new tables meanwhile; code {code} and {after} new table when it was free"
    drill.note("database locked while a table is published", seen, waited and (shown, code, after) == (0, 0, 1))


def database_gone(drill: Drill) -> None:
    """The database of the tables, a PostgreSQL, does not answer when a table is published; later it does."""
    from tests import postgresql

    drill.champion()
    here, fault = drill.quiet(), "database gone while a table is published"
    if postgresql.binaries() is None:
        drill.note(fault, "needs PostgreSQL (apt-get install postgresql)", None)
        return
    day = ["pipelines.publish", "all", "--date", "2026-03-06"]
    with postgresql.server() as postgres:
        code, said = here.done(*day, AVREC_TABLES_URL=f"{postgres}/not_there_yet")
        address = f"{postgres}/postgres"
        after, _ = here.done(*day, AVREC_TABLES_URL=address)
    gone, told = here.done(*day, AVREC_TABLES_URL=address)
    seen = f"no such database: code {code}; once there: code {after}; server stopped: code {gone}: {last(told)}"
    plain = "Traceback" not in said + told
    drill.note(fault, seen if plain else f"a traceback; {seen}", code == gone == 1 and after == 0 and plain)


def last(said: str) -> str:
    return line_with(said, "publish:")


@contextmanager
def small_disk(drill: Drill, name: str) -> Iterator[Path | None]:
    """A disk of 64 MB, or None where this account may not mount one."""
    folder = drill.base / name
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)


def fill(folder: Path) -> None:
    """Takes every byte that is left."""
    with (folder / "filler").open("ab", buffering=0) as file:
        for size in (65536, 1):
            try:
                while True:
                    file.write(b"0" * size)
            except OSError:
                continue


def features_full(drill: Drill) -> None:
    """The disk of the feature store is full while pictures are extracted."""
    full_while(drill, "features", "features@visual", {"features.visual.frames": 5}, "AVREC_FEATURE_STORE")


def model_full(drill: Drill) -> None:
    """The disk of the cache is full while the two-tower network is trained."""
    full_while(drill, "model", "train@two_tower", {"matching.two_tower.epochs": 1}, "AVREC_DVC_CACHE")


def full_while(drill: Drill, what: str, stage: str, change: dict[str, object], variable: str) -> None:
    """The disk of one store is full when a stage writes to it; with room again the stage finishes."""
    here, run, fault = drill.quiet(), f"full-{what}", f"disk full while writing {what}"
    with small_disk(drill, run) as disk:
        if disk is None:
            drill.note(fault, NEEDS_ROOT, None)
            return
        here.again("pipelines.start", run, json.dumps(SET | change))
        here.work(run, drill.before(stage))
        log, env = drill.base / f"{run}.log", {variable: str(disk)}
        process = here.start("pipelines.execute", run, stage, log=log, **env)
        wait_until(lambda: process.poll() is not None or f"{stage}: python" in log.read_text(errors="replace"))
        fill(disk)  # its inputs are there, its work has begun
        code, said = process.wait(LONGEST_S), log.read_text(errors="replace")
        broken = [p for p in disk.rglob("*.parquet") if p.stat().st_size == 0]
        named = stage in here.locked(run)
        (disk / "filler").unlink()
        after, _ = here.done("pipelines.execute", run, stage, **env)
        seen = f"ended with code {code}: {line_with(said, 'space', 'errno 28')}; with room again code {after}"
        drill.note(fault, seen, code != 0 and after == 0 and not broken and not named)


def table_full(drill: Drill) -> None:
    """The disk of the publications is full; the table that is in force stays, and the next comes with room again."""
    from avrec.recommend.publication import Publisher

    drill.champion()
    here, fault = drill.quiet(), "disk full while writing a table"
    with small_disk(drill, "full-table") as disk:
        if disk is None:
            drill.note(fault, NEEDS_ROOT, None)
            return
        with inhabited(here):
            tables = Publisher.of_settings().tables
        before = [p.id for p in tables.all()]
        fill(disk)
        day, env = ["pipelines.publish", "all", "--date", "2026-03-02"], {"AVREC_PUBLICATIONS": f"{disk}/publications"}
        code, said = here.done(*day, **env)
        meanwhile = [p.id for p in tables.all()]
        (disk / "filler").unlink()
        after, _ = here.done(*day, **env)
        number = len(tables.all()) - len(before)
    seen = f"ended with code {code}: {line_with(said, 'space', 'errno 28')}; with room again code {after}"
    drill.note(fault, seen, code != 0 and before == meanwhile and after == 0 and number == 1)


def two_runs_and_a_table(drill: Drill) -> None:
    """Two trainings that differ in their seed, and the day's table, all at once."""
    drill.champion()
    here = drill.quiet()
    for name, seed in (("left", 11), ("right", 12)):
        here.again("pipelines.start", name, json.dumps(SET | {"matching.seed": seed}))
    processes = [here.start("pipelines.work", name, log=drill.base / f"{name}.log") for name in ("left", "right")]
    publishing = here.start("pipelines.publish", "all", "--date", "2026-03-03")
    codes = [process.wait(LONGEST_S) for process in (*processes, publishing)]
    left, right = here.locked("left"), here.locked("right")
    whole = left.keys() == right.keys() == set(drill.stages())
    apart = whole and left["dataset"] == right["dataset"] and left["refit"] != right["refit"]
    seen = f"ended with codes {codes}; the runs {'share their data and nothing else' if apart else 'ARE MIXED UP'}"
    drill.note("two training runs and a table at once", seen, codes == [0, 0, 0] and apart)


def clock_jumps(drill: Drill) -> None:
    """The clock is a year ahead, then a year behind: stages give equal bytes, and tables stay in order."""
    fault = "the clock jumps a year ahead and back"
    if not compiled(drill.base / CLOCK):
        drill.note(fault, NEEDS_CC, None)
        return
    drill.champion()
    here, twin = drill.quiet(), twin_of(drill)
    for place, offset in ((here, YEAR_S), (twin, -YEAR_S)):
        place.again("pipelines.start", "clock", json.dumps(SET | {"matching.ease.l2": 33.0}))
        place.work("clock", drill.before("train@ease"))
        code, said = place.done("pipelines.execute", "clock", "train@ease", **at(place, offset))
        if code:
            drill.note(fault, f"train@ease at {offset:+} s: code {code}: {said[-200:]}", False)
            return
    equal = here.locked("clock") == twin.locked("clock")
    codes, right = clock_at_publishing(here)
    seen = f"a stage gives {'equal' if equal else 'OTHER'} bytes at +400 and at -400 days; tables published at +400, "
    seen += f"-400 and +0 days: codes {codes}, {'each day has one in force' if right else 'OUT OF ORDER'}"
    drill.note(fault, seen, equal and codes == [0, 0, 0, 0] and right)


def clock_at_publishing(here: Place) -> tuple[list[int], bool]:
    """Two days' tables with the clock ahead and behind, and the first again: exactly one table a day."""
    from avrec.recommend.publication import Publisher

    steps = (("2026-03-04", YEAR_S), ("2026-03-05", -YEAR_S), ("2026-03-04", -YEAR_S), ("2026-03-04", 0))
    codes = [here.done("pipelines.publish", "all", "--date", day, **at(here, offset))[0] for day, offset in steps]
    with inhabited(here):
        found = [p for p in Publisher.of_settings().tables.all() if f"{p.run_date}" in ("2026-03-04", "2026-03-05")]
    in_force = sorted(f"{p.run_date}" for p in found if p.status == "current")
    return codes, in_force == ["2026-03-04", "2026-03-05"]


def at(place: Place, offset: int) -> dict[str, str]:
    """Environment of a process whose clock on the wall is off by so many seconds."""
    return {"LD_PRELOAD": str(place.base / CLOCK), "CLOCK_OFF": str(offset)}


def twin_of(drill: Drill) -> Place:
    """A copy of the quiet place, for what must not be taken over from it."""
    quiet = drill.quiet()
    here = Place(drill.base, "twin")
    # Not by this process: where it closes a file that SQLite has open in it, the locks of that database are gone.
    subprocess.run(["cp", "-a", str(quiet.home), str(here.home)], check=True)
    shutil.rmtree(here.home / "scratch", ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", "--mirror", str(quiet.repository), str(here.repository)], check=True)
    return here
