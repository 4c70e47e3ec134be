"""A small project with a real git repository, a real dvc.yaml and stages that count how often they ran."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pipelines import git

DVC_YAML = """
stages:
  numbers:
    cmd: python -m toy numbers data/numbers
    deps: [toy.py]
    params: [dataset.demo]
    outs: [data/numbers]
  part:
    matrix:
      kind: [even, odd]
    cmd: python -m toy part data/numbers data/${item.kind} ${item.kind}
    deps: [data/numbers, toy.py]
    params: ["split"]
    outs: ["data/${item.kind}"]
    metrics:
      - "artifacts/${item.kind}.json": {cache: false}
  total:
    cmd: python -m toy total artifacts/total
    deps: [data/even, data/odd, artifacts/even.json, toy.py]
    outs: [artifacts/total]
  told:
    cmd: python -m toy told
    deps: [artifacts/total, toy.py]
"""

TOY = '''
"""Stages of the toy project; each run leaves a line in TOY_LOG and waits where TOY_WAIT tells it to."""
import json, os, pathlib, sys, time
import yaml

what, *paths = sys.argv[1:]
with open(os.environ["TOY_LOG"], "a") as log:
    log.write(" ".join([what, *paths[2:]]) + "\\\\n")
while os.environ.get("TOY_WAIT") == what and not pathlib.Path(os.environ["TOY_LOG"] + ".go").exists():
    time.sleep(0.05)
params = yaml.safe_load(open("params.yaml"))
if what == "numbers":
    out = pathlib.Path(paths[0]); out.mkdir(parents=True)
    for n in range(params["dataset"]["demo"]["seed"]):
        (out / f"{n}.txt").write_text(str(n))
elif what == "part":
    numbers = sorted(int(p.read_text()) for p in pathlib.Path(paths[0]).glob("*.txt"))
    chosen = [n for n in numbers if n % 2 == (paths[2] == "odd")]
    out = pathlib.Path(paths[1]); out.mkdir(parents=True)
    (out / "list.json").write_text(json.dumps(chosen))
    pathlib.Path("artifacts").mkdir(exist_ok=True)
    pathlib.Path(f"artifacts/{paths[2]}.json").write_text(json.dumps({"count": len(chosen)}))
elif what == "total":
    pathlib.Path("artifacts").mkdir(exist_ok=True)
    pathlib.Path(paths[0]).write_text(str(sum(sum(json.load(open(f"data/{k}/list.json"))) for k in ("even", "odd"))))
'''

PARAMS = "dataset:\n  source: demo\n  demo: {seed: 7} # how many\nsplit: {val: 0.1}\n"
STAGES = ["numbers", "part@even", "part@odd", "total", "told"]

Worker = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A committed project; the settings of this process point at it."""
    folder = tmp_path / "project"
    (folder / ".dvc").mkdir(parents=True)
    files = {"dvc.yaml": DVC_YAML, "toy.py": TOY.replace("\\\\n", "\\n"), "params.yaml": PARAMS}
    files[".gitignore"] = "/data/\n/artifacts/\n__pycache__/\n"
    files[".dvc/config"] = "[core]\n    analytics = false\n    autostage = false\n"
    files[".dvc/.gitignore"] = "/config.local\n/tmp\n/cache\n"
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    git.git(folder, "init", "--quiet")
    git.git(folder, "add", "--all")
    git.git(folder, "commit", "--quiet", "--message", "A toy")
    monkeypatch.setenv("AVREC_REPOSITORY", str(folder))
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "toy.log"))
    return folder


@pytest.fixture
def ran(tmp_path: Path) -> Callable[[], list[str]]:
    """What the toy's stages did, one entry a process."""

    def read() -> list[str]:
        log = tmp_path / "toy.log"
        return log.read_text(encoding="utf-8").split("\n")[:-1] if log.exists() else []

    return read


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, **changes}


def execute(run_id: str, stage: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Starts one stage in a process of its own, as a worker does."""
    command = [sys.executable, "-m", "pipelines.execute", run_id, stage]
    return subprocess.Popen(
        command, env=env or environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def finished(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return said
