"""What every stage does around its work: read params, time itself, end with a message a person can use."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from avrec.errors import told
from avrec.params import Params, load_params
from avrec.settings import settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before anything imports TensorFlow: its banners hide what matters

DATA = Path("data")
ARTIFACTS = Path("artifacts")
PERMANENT = 3  # exit code of a step that was refused, not disturbed
SKIP = 99  # exit code of a step that found nothing to do, for reasons that are no failure


def run(name: str, work: Callable[[Params], None]) -> None:
    """Runs one stage in the current folder and ends the process: 0, or 1 with the reason on stderr.

    How long it took goes beside the outputs, never into them: two equal runs write equal bytes.
    """
    started = time.monotonic()
    print(f"{name}: starts", flush=True)
    try:
        work(load_params())
    except Exception as error:
        raise SystemExit(told(name, error)) from error
    seconds = time.monotonic() - started
    record_seconds(name, seconds)
    print(f"{name}: done in {seconds:.1f} s", flush=True)


def run_id() -> str:
    """Name of the run; `AVREC_RUN_ID` is set by whoever runs many."""
    return os.environ.get("AVREC_RUN_ID", "local")


def effect(name: str, work: Callable[[], None]) -> None:
    """Runs a step that has its effect outside the data; `PERMANENT` tells the scheduler that no retry helps."""
    try:
        work()
    except Exception as error:
        raise SystemExit(told(name, error, PERMANENT)) from error


def timings_folder() -> Path:
    """Where this run's timings are."""
    return settings().home / "timings" / run_id()


def record_seconds(name: str, seconds: float) -> None:
    folder = timings_folder()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({"stage": name, "seconds": round(seconds, 3)}), encoding="utf-8")


def result(values: object) -> None:
    """Hands a step's answer to whoever started it (`AVREC_RESULT` names the file); else to nobody."""
    path = os.environ.get("AVREC_RESULT")
    if path:
        write_json(Path(path), values)


def fresh(folder: Path) -> Path:
    """An empty folder in the place of whatever an earlier run left there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def write_json(path: Path, values: object) -> None:
    """Writes JSON with sorted keys, so that equal values give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
