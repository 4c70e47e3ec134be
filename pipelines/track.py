"""Stage `track`: tells MLflow what this pass through dvc.yaml gave; once, keyed by its hashes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from avrec.params import Params
from avrec.registry.runs import CodeVersion, track
from pipelines.stage import run, timings_folder


def work(params: Params) -> None:
    run_id = track(Path.cwd(), code_version(Path.cwd()), timings())
    print(f"track: MLflow run {run_id}", flush=True)


def code_version(root: Path) -> CodeVersion:
    """Commit and branch of a checkout; `modified` when a tracked file differs from the commit."""
    commit = _git(root, "rev-parse", "HEAD") or "not in git"
    branch = _git(root, "rev-parse", "--abbrev-ref", "HEAD")
    return CodeVersion(commit, branch, bool(_git(root, "status", "--porcelain", "--untracked-files=no")))


def timings() -> dict[str, float]:
    """Seconds by stage, of the stages that ran; a stage taken from DVC's cache has the time of its last run."""
    files = sorted(timings_folder().glob("*.json"))
    return {file.stem: float(json.loads(file.read_text(encoding="utf-8"))["seconds"]) for file in files}


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    run("track", work)
