"""Drill: two workers with nothing in common finish one training run, one of them killed on the way.

    python -m tests.drills.two_workers [--json FILE]

Each worker has a home, a scratch folder, a DVC cache and a feature store of its own; what they share is the git
repository, the DVC remote and the pseudonym key. The second is killed with SIGKILL in the middle of a stage and started
again. The hashes in the run's dvc.lock must be those of a plain `dvc repro` of the same commit. Exit code 1 if not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[2]
RUN = "two-workers"
KILL_IN = "features@visual"
LONGEST_S = 3600.0


def environment(base: Path, home: str) -> dict[str, str]:
    """The environment of one worker; everything of its own lies below `base/home`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AVREC_")}
    return kept | {
        "AVREC_HOME": str(base / home),
        "AVREC_REPOSITORY": str(base / "repository"),
        "AVREC_DVC_REMOTE": str(base / "remote"),
        "PYTHONPATH": str(PROJECT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


def start_worker(base: Path, number: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipelines.work", RUN, "--worker", str(number), "--of", "2"]
    log = (base / f"worker{number}.log").open("ab")
    return subprocess.Popen(
        command, cwd=PROJECT, env=environment(base, f"home{number}"), stdout=log, stderr=log, start_new_session=True
    )


def kill_in_the_middle(worker: subprocess.Popen[bytes], log: Path) -> None:
    """Kills the worker and its children once the stage has begun to work."""
    limit = time.monotonic() + LONGEST_S
    while not (log.exists() and f"{KILL_IN}: python" in log.read_text(errors="replace")):
        if worker.poll() is not None or time.monotonic() > limit:
            raise SystemExit(f"the worker ended before {KILL_IN} began; see {log}")
        time.sleep(0.2)
    time.sleep(3.0)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def outs(lock: str) -> dict[str, dict[str, str]]:
    """Hash of every output, by stage and path."""
    stages: dict[str, Any] = yaml.safe_load(lock)["stages"]
    return {name: {out["path"]: out["md5"] for out in entry.get("outs", [])} for name, entry in stages.items()}


def by_two(base: Path) -> tuple[dict[str, dict[str, str]], float]:
    started = time.monotonic()
    command = [sys.executable, "-m", "pipelines.start", RUN]
    subprocess.run(command, cwd=PROJECT, env=environment(base, "home0"), check=True)
    first, second = start_worker(base, 0), start_worker(base, 1)
    try:
        kill_in_the_middle(second, base / "worker1.log")
        print(f"[{time.monotonic() - started:6.1f} s] the second worker is killed in {KILL_IN}", flush=True)
        second = start_worker(base, 1)
        if first.wait(LONGEST_S) or second.wait(LONGEST_S):
            raise SystemExit("a worker failed:\n" + "".join(p.read_text()[-2000:] for p in base.glob("worker*.log")))
    finally:
        for worker in (first, second):
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
    show = ["git", "-C", str(base / "repository"), "show", f"refs/avrec/runs/{RUN}:dvc.lock"]
    return outs(subprocess.run(show, check=True, capture_output=True, text=True).stdout), time.monotonic() - started


def by_plain_repro(base: Path) -> tuple[dict[str, dict[str, str]], float]:
    started = time.monotonic()
    plain = base / "plain"
    subprocess.run(["git", "clone", "--quiet", str(base / "repository"), str(plain)], check=True)
    env = environment(base, "home-plain") | {"PYTHONPATH": str(plain), "AVREC_REPOSITORY": str(plain)}
    with (base / "plain.log").open("ab") as log:
        subprocess.run([shutil.which("dvc", path=env["PATH"]) or "dvc", "repro"], cwd=plain, env=env, check=True,
                       stdout=log, stderr=log)  # fmt: skip
    return outs((plain / "dvc.lock").read_text(encoding="utf-8")), time.monotonic() - started


def share_key(base: Path) -> None:
    """One pseudonym key for all, as an operator hands it to every worker."""
    from avrec.privacy.pseudonyms import KEY_FILE

    for home in ("home0", "home1", "home-plain"):
        secrets = base / home / "secrets"
        secrets.mkdir(parents=True, mode=0o700)
        (secrets / KEY_FILE).write_bytes(b"k" * 32)
        (secrets / KEY_FILE).chmod(0o600)


def drill(base: Path) -> dict[str, Any]:
    subprocess.run(["git", "clone", "--quiet", "--bare", str(PROJECT), str(base / "repository")], check=True)
    share_key(base)
    shared, seconds = by_two(base)
    print(f"[{seconds:6.1f} s] both workers are done", flush=True)
    plain, plain_seconds = by_plain_repro(base)
    rows = [{"stage": name, "outs": len(found), "equal": plain.get(name) == found} for name, found in shared.items()]
    equal = plain == shared and all(row["equal"] for row in rows)
    return {"rows": rows, "equal": equal, "seconds": seconds, "plain_seconds": plain_seconds}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="avrec-drill-") as folder:
        result = drill(Path(folder))
    for row in result["rows"]:
        print(f"{row['stage']:24} {row['outs']} outs {'equal' if row['equal'] else 'DIFFERENT'}")
    print("two workers, one killed: {seconds:.0f} s; plain dvc repro: {plain_seconds:.0f} s".format(**result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0 if result["equal"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
