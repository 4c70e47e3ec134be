"""DAG files are read again and again, by a scheduler that has no TensorFlow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
HEAVY = ["tensorflow", "keras", "mlflow", "great_expectations", "pandas", "dvc", "sklearn", "av", "duckdb", "pyarrow"]
READ = f"""
import json, sys
sys.path.insert(0, {str(ROOT / "dags")!r})
from airflow.sdk import dag
before = set(sys.modules)
from airflow.dag_processing.dagbag import DagBag
bag = DagBag({str(ROOT / "dags")!r})
heavy = sorted({{name.split(".")[0] for name in sys.modules}} & set({HEAVY!r}))
print(json.dumps({{"errors": bag.import_errors, "dags": sorted(bag.dags), "heavy": heavy}}))
"""


def read_dags(python: Path, home: Path) -> dict[str, Any]:
    environment = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run(
        [str(python), "-c", READ], env=environment, capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_files_parse_without_cycles_or_errors(dagbag: Any) -> None:
    assert dagbag.import_errors == {}
    assert {"avrec_ingest", "avrec_monitor", "avrec_recommend", "avrec_train"} <= set(dagbag.dags)
    for dag in dagbag.dags.values():
        assert dag.topological_sort()


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    found = read_dags(Path(sys.executable), tmp_path)
    assert found["errors"] == {}
    assert found["heavy"] == []


@pytest.mark.slow
def test_they_parse_without_tensorflow_installed(tmp_path: Path) -> None:
    """In an environment made of the scheduler's lock, as its image is."""
    lock = ROOT / "requirements-scheduler.lock"
    if not lock.exists():
        pytest.skip("requirements-scheduler.lock is not here: `make lock` compiles it")
    python = tmp_path / "venv" / "bin" / "python"
    if uv := shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"):
        install = [[uv, "venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv")],
                   [uv, "pip", "sync", "--quiet", "--python", str(python), str(lock)]]  # fmt: skip
    else:
        pip = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--requirement", str(lock)]
        install = [[sys.executable, "-m", "venv", str(tmp_path / "venv")], pip]
    for command in install:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"the scheduler's packages cannot be installed here: {done.stderr.strip()[-300:]}")
    (Path(_site_packages(python)) / "avrec-project.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    assert subprocess.run([str(python), "-c", "import tensorflow"], capture_output=True, check=False).returncode
    found = read_dags(python, tmp_path / "airflow")
    assert found["errors"] == {}
    assert "avrec_train" in found["dags"]


def _site_packages(python: Path) -> str:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
