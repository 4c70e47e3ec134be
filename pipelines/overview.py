"""Writes the page to begin with: `python -m pipelines.overview`."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from avrec.datasets.ingest_inbox import Inbox
from avrec.monitoring import html
from avrec.monitoring.overview import gather, render
from avrec.settings import settings
from pipelines.monitor import last_tables
from pipelines.stage import effect, result

NAME = "overview.html"


def make() -> Path:
    """Writes the page and returns where it is."""
    reports = settings().reports
    report = reports / "monitoring" / "report.json"
    found = gather(datetime.now(UTC), last_tables(), report, Inbox(settings().inbox).refused(), pages(reports))
    return html.write(reports / NAME, render(found))


def pages(reports: Path) -> dict[str, str]:
    """Addresses of the pages there are; those of this home relative, so that the folder can be moved."""
    found = {"Airflow": settings().airflow_uri, "MLflow": settings().mlflow_uri}
    if (reports / "monitoring" / "index.html").is_file():
        found["Monitor"] = "monitoring/index.html"
    docs = sorted(reports.glob("data_docs/*/index.html"), key=lambda path: path.stat().st_mtime)
    if docs:
        found["Data docs of the last run"] = os.path.relpath(docs[-1], reports)
    return found


def work() -> None:
    path = make()
    print(f"overview: {path.as_uri()}", flush=True)
    result({"page": path.as_uri()})


if __name__ == "__main__":
    effect("overview", work)
