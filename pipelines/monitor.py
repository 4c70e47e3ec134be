"""Looks at data, champion and published tables: what drifts, ages, is skewed, and what came of the lists.

python -m pipelines.monitor look [INSTANT]         writes the page, adds to the curves in MLflow, hands back the alerts
python -m pipelines.monitor retrain VERSION        ends with 0 the first time this version of the data asks, else 99
python -m pipelines.monitor all                    look, tell, and say whether to train
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from avrec.datasets.dataset import Dataset
from avrec.datasets.ingest_inbox import Inbox
from avrec.errors import DataError, told
from avrec.features.base import read_features
from avrec.monitoring import history, html, notify
from avrec.monitoring.drift import column_drift, vector_drift
from avrec.monitoring.freshness import freshness
from avrec.monitoring.page import CURVES, render
from avrec.monitoring.report import Champion, Report, age_days
from avrec.monitoring.skew import training_serving_skew
from avrec.monitoring.tables import TableHealth, table_health
from avrec.params import MonitorParams
from avrec.recommend.filters import end_of
from avrec.recommend.publication import Publisher
from avrec.recommend.sql import Publication
from avrec.settings import settings
from pipelines import git, journal, lockfile, recommend, runs
from pipelines.ingest import current_params
from pipelines.recommend import BUNDLE, VALID, Model
from pipelines.scratch import Checkout, scratch
from pipelines.stage import SKIP, result, write_json

TABLES = 7
"""Publications that are looked at."""
CLAIMED = "retrained.json"
HORIZON = timedelta(days=1)
"""How long after a table is made its lists are judged by what people did."""


def look(now: datetime) -> tuple[Report, list[dict[str, Any]], Path]:
    """Looks, writes page and curves, and returns the report, the alerts and the page.

    Raises:
        DataError: there is neither a champion nor ingested data.
    """
    bounds = current_params().monitor
    report = examine(now, bounds)
    alerts = report.alerts(bounds)
    history.write({**report.numbers(), "monitor/alerts": float(len(alerts))}, now)
    told = [asdict(alert) for alert in alerts]
    folder = settings().reports / "monitoring"
    path = html.write(folder / "index.html", render(report, alerts, bounds, history.curves(list(CURVES))))
    write_json(folder / "report.json", {"report": json.loads(json.dumps(report.to_json(), default=str)),
                                        "alerts": told})  # fmt: skip
    return report, told, path


def examine(now: datetime, bounds: MonitorParams) -> Report:
    """The report, from the newest data and the champion."""
    model = recommend.find_model(recommend.CHAMPION)
    if model is not None:
        with scratch(model.run_id, "monitor-model") as here:
            here.pull([BUNDLE.as_posix()])
            data_run = recommend.newest_data(here.folder, None) or model.run_id
            return _with_data(now, bounds, data_run, model, here.folder / BUNDLE)
    offer = journal.offered()
    if offer is None:
        raise DataError("there is neither a champion nor ingested data: nothing to look at yet.")
    return _with_data(now, bounds, offer.run, None, None)


def _with_data(now: datetime, bounds: MonitorParams, data_run: str, model: Model | None, bundle: Path | None) -> Report:
    with scratch(data_run, "monitor-data") as here:
        written = lockfile.hashes(lockfile.read(here.folder)["validate"])
        modalities = [name.partition("@")[2] for name in lockfile.read(here.folder) if name.startswith("features@")]
        here.pull([VALID.as_posix(), *(f"data/features/{modality}" for modality in modalities)])
        dataset = Dataset(here.folder / VALID)
        ids = dataset.table("items")["item_id"].to_pylist()
        features = {m: read_features(here.folder / "data" / "features" / m, m, ids) for m in modalities}
        since = (instant(dataset.meta.as_of) or now) - timedelta(days=bounds.window_days)
        published = dataset.table("items")["published_at"].to_numpy().astype("datetime64[us]")
        drift = column_drift(dataset, since, bounds) if dataset.meta.has_time else []
        drift += vector_drift(features, published, since, bounds) if dataset.meta.has_time else []
        people = [row[0] for row in dataset.sql("select distinct user_id from interactions").fetchall()]
        return Report(
            at=now.isoformat(timespec="seconds"),
            data_run=data_run,
            dataset_version=written[VALID.as_posix()],
            source=dataset.meta.source,
            synthetic=dataset.meta.synthetic,
            as_of=dataset.meta.as_of,
            data_age_days=freshness(dataset, now).days,
            champion=_champion(model, bundle, dataset) if model and bundle else None,
            skew=training_serving_skew(bundle, ids, features, people) if bundle else None,
            drift=drift,
            tables=[_health(one, dataset) for one in last_tables()],
            quarantined=_quarantined(here),
            refused_batches=len(Inbox(settings().inbox).refused()),
        )


def last_tables() -> list[Publication]:
    """The newest publications in force, oldest first."""
    return [one for one in Publisher.of_settings().tables.all() if one.status == "current"][-TABLES:]


def _health(one: Publication, dataset: Dataset) -> TableHealth:
    publisher = Publisher.of_settings()
    knew = min(filter(None, (end_of(one.run_date), _as_of(one.plan.data_run))))
    identity = (one.id, one.run_date, one.model_version)
    return table_health(identity, publisher.published(one.plan), dataset, knew, knew + HORIZON)


def _as_of(run_id: str) -> datetime | None:
    """What a run's data are a picture of; None where the run is gone or its data have no time."""
    if runs.tip(run_id) is None:
        return None
    with runs.temporary_repository() as folder:
        commit = git.fetch(folder, settings().repository, runs.ref_of(run_id))
        return instant(yaml.safe_load(git.show(folder, commit, "params.yaml"))["dataset"].get("as_of"))


def instant(text: str | None) -> datetime | None:
    return recommend.instant(text) if text else None


def _champion(model: Model, bundle: Path, dataset: Dataset) -> Champion:
    from avrec.registry.promotion import history as moves

    info = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    since = next((move.when for move in moves() if move.version == model.version), "")
    through = info.get("trained_through")
    as_of = instant(dataset.meta.as_of)
    return Champion(model.version, since, through, age_days(through, as_of) if as_of else None)


def _quarantined(here: Checkout) -> dict[str, int]:
    path = here.folder / "artifacts" / "validation.json"
    found: dict[str, int] = (
        json.loads(path.read_text(encoding="utf-8")).get("quarantined", {}) if path.is_file() else {}
    )
    return found


def may_train(report: Report, alerts: list[dict[str, Any]], bounds: MonitorParams) -> bool:
    """Whether a training run may help, and none was made of these data yet."""
    if not bounds.retrain or not any(alert["retrain"] for alert in alerts):
        return False
    from avrec.registry import client as server
    from avrec.registry.versions import all_versions

    trained = {version.tags.get("avrec.dataset_version") for version in all_versions(server.connect())}
    return report.dataset_version not in trained


def claim(dataset_version: str, by: str) -> bool:
    """Whether a training run is to start for this version of the data: once, however often it is looked at.

    Args:
        dataset_version: DVC hash of the validated data; empty where no training is wanted.
        by: Who asks. A second question of the same gets the same answer, so that a retry loses nothing.
    """
    while dataset_version:
        with journal.opened() as book:
            before = book.read(CLAIMED) or {}
            if before.get("dataset_version") == dataset_version:
                return bool(before["by"] == by)
            if book.add(
                "Train because of what the monitor found\n", {CLAIMED: {"dataset_version": dataset_version, "by": by}}
            ):
                return True
    return False


def run_look(now: datetime | None = None) -> tuple[list[dict[str, Any]], bool]:
    report, alerts, path = look(now or datetime.now(UTC))
    train = may_train(report, alerts, current_params().monitor)
    for alert in alerts:
        print(f"{alert['name']}: {alert['text']}", flush=True)
    print(f"{len(alerts)} alert(s); page: {path.as_uri()}", flush=True)
    result({"alerts": alerts, "retrain": report.dataset_version if train else "", "page": path.as_uri()})
    return alerts, train


def tell(alerts: list[dict[str, Any]], page: str) -> None:
    """One note with all of them."""
    if not alerts:
        print("Nothing to tell.", flush=True)
        return
    lines = [f"{len(alerts)} alert(s) of the monitor", *(f"- {alert['text']}" for alert in alerts), page]
    for channel, reason in notify.tell({"text": "\n".join(lines), "alerts": alerts, "page": page}).items():
        print(f"{channel} failed: {reason}", flush=True)


def everything() -> int:
    alerts, train = run_look()
    tell(alerts, (settings().reports / "monitoring" / "index.html").as_uri())
    if train:
        print("Train on the newest data: avrec train", flush=True)
    return 0


def _moment(text: str = "") -> datetime | None:
    """The moment a form or a person named; None for an empty field.

    Raises:
        DataError: it is no instant, or still to come: the curves take no point before their last one.
    """
    try:
        found = instant(text)
    except ValueError as error:
        raise DataError(f"look: {text!r} is no instant; expected one like 2026-03-02T06:00:00Z.") from error
    if found is not None and found > datetime.now(UTC):
        raise DataError(f"look: {text!r} is still to come; expected a moment of the past, or none for now.")
    return found


def main(arguments: list[str]) -> int:
    try:
        if arguments[:1] == ["look"] and len(arguments) <= 2:
            run_look(_moment(*arguments[1:]))
            return 0
        if arguments == ["all"]:
            return everything()
        if len(arguments) == 2 and arguments[0] == "retrain":
            wanted = claim(arguments[1], os.environ.get("AVREC_RUN_ID", "local"))
            print("A training run is started." if wanted else "No training run is due.", flush=True)
            return 0 if wanted else SKIP
    except Exception as error:
        return told("monitor", error)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
