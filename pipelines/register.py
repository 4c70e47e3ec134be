"""Registers the model of this checkout as challenger: `python -m pipelines.register`."""

from __future__ import annotations

from pathlib import Path

from avrec.registry.runs import track
from avrec.registry.versions import register
from pipelines.stage import effect, result
from pipelines.track import code_version, timings


def work() -> None:
    # Tracking again finds the run by its hashes, and completes it where an outage left it half written.
    run_id = track(Path.cwd(), code_version(Path.cwd()), timings())
    version = register(run_id)
    print(f"register: version {version}, MLflow run {run_id}", flush=True)
    result({"version": version, "mlflow_run": run_id})


if __name__ == "__main__":
    effect("register", work)
