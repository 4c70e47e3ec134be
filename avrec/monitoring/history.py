"""The monitor's figures over time: one MLflow run that every look adds a point to, drawn there as curves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from avrec.registry import client as server
from avrec.registry.naming import legal

if TYPE_CHECKING:
    from mlflow import MlflowClient

TAG = "avrec.monitor"
SHOWN = 200
"""Newest points of a curve that pages show."""


def write(numbers: Mapping[str, float], at: datetime) -> str:
    """Adds a point to every curve; a second one of the same minute is left out. Returns the MLflow run id."""
    from mlflow.entities import Metric

    client = server.connect()
    run_id = _run(client)
    step = int(at.timestamp() // 60)
    known = client.get_run(run_id).data.metrics
    if "monitor/at" in known and known["monitor/at"] >= step:
        return run_id
    stamp = int(at.timestamp() * 1000)
    points = [Metric(legal(name), value, stamp, step) for name, value in numbers.items()]
    client.log_batch(run_id, metrics=[*points, Metric("monitor/at", float(step), stamp, step)])
    return run_id


def curves(names: list[str]) -> dict[str, list[tuple[datetime, float]]]:
    """The newest points of some curves, oldest first; a curve without points is left out."""
    client = server.connect()
    run_id = _run(client)
    found = {}
    for name in names:
        points = sorted(client.get_metric_history(run_id, legal(name)), key=lambda metric: metric.timestamp)[-SHOWN:]
        if points:
            found[name] = [(datetime.fromtimestamp(p.timestamp / 1000, UTC), float(p.value)) for p in points]
    return found


def _run(client: MlflowClient) -> str:
    experiment = server.experiment_id(client)
    found = client.search_runs([experiment], f"tags.`{TAG}` = 'true'", order_by=["attributes.start_time ASC"])
    if found:
        return str(found[0].info.run_id)
    return str(client.create_run(experiment, run_name="monitor", tags={TAG: "true"}).info.run_id)
