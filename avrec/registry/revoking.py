"""Revoking: a version that learned from erased data is never used again, and what MLflow keeps of these data goes.

Metrics, parameters, the gate's verdict, the approval and the moves of the alias stay: they name nobody.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from avrec.privacy.receipts import Subjects
from avrec.registry import client as server
from avrec.registry import versions
from avrec.registry.client import MODEL
from avrec.registry.runs import MODEL_ID, RUN_ID

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_KEPT = frozenset({
    "gate.json", "gate.md", "approval.json", "promotions", "environment.json", "timings.json", "params.yaml",
    "dvc.lock", "matchers.json",
})  # fmt: skip
"""Artifacts of a run that name nobody; everything else goes."""
_BUNDLE = "artifacts/bundle"


@dataclass(frozen=True)
class Revoked:
    """What was done in MLflow: versions and runs that were revoked now, and whether the champion is one of them."""

    versions: tuple[str, ...]
    runs: tuple[str, ...]
    champion: bool


def revoke(subjects: Subjects, dropped_runs: Collection[str], dataset_versions: Collection[str]) -> Revoked:
    """Revokes every version whose data held an erased person or item, and deletes its artifacts; safe to repeat.

    Args:
        subjects: Who and what is erased; each bundle that is not known otherwise is opened and looked through.
        dropped_runs: Runs (`refs/avrec/runs/ID`) whose data held them.
        dataset_versions: DVC hashes of validated data sets that held them.
    """
    client = server.connect()
    champion = versions.champion(client)
    found = {str(v.run_id): v for v in versions.all_versions(client)} if _has_model(client) else {}
    revoked, runs = [], []
    for run in _runs(client):
        known = (
            run.data.tags.get(RUN_ID) in dropped_runs or run.data.tags.get("avrec.dataset_version") in dataset_versions
        )
        if not known and not _holds(client, run, subjects):
            continue
        version = found.get(run.info.run_id)
        if not run.data.tags.get(versions.REVOKED):
            why = f"{datetime.now(UTC).date().isoformat()}: it learned from data that were erased"
            client.set_tag(run.info.run_id, versions.REVOKED, why)
            runs.append(run.info.run_id)
        if version is not None and not version.tags.get(versions.REVOKED):
            client.set_model_version_tag(MODEL, version.version, versions.REVOKED, run_tag(client, run.info.run_id))
            revoked.append(version.version)
        _delete(client, run)
    gone = champion is not None and champion.version in revoked
    return Revoked(tuple(revoked), tuple(runs), gone)


def run_tag(client: MlflowClient, run_id: str) -> str:
    return str(client.get_run(run_id).data.tags[versions.REVOKED])


def _has_model(client: MlflowClient) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(MODEL)
    except MlflowException:
        return False
    return True


def _runs(client: MlflowClient) -> list[Run]:
    from mlflow.entities import ViewType

    found: list[Run] = []
    token = None
    while True:
        page = client.search_runs([server.experiment_id(client)], run_view_type=ViewType.ALL, page_token=token)
        found += list(page)
        token = page.token
        if not token:
            return found


def _holds(client: MlflowClient, run: Run, subjects: Subjects) -> bool:
    """Whether the bundle of a run knows an erased person or item."""
    if run.data.tags.get(versions.REVOKED):
        return True
    bundle = _bundle_of(client, run)
    if bundle is None:
        return False
    with tempfile.TemporaryDirectory() as scratch:
        with np.load(bundle.download_artifacts(f"{_BUNDLE}/histories.npz", scratch), allow_pickle=False) as arrays:
            if subjects.people_in(arrays["user_ids"].tolist()):
                return True
        items = bundle.download_artifacts(f"{_BUNDLE}/items.parquet", scratch)
        table = pq.read_table(items, columns=["item_id", "creator_id"])
        return bool(subjects.items_in(table["item_id"].to_pylist(), table["creator_id"].to_pylist()))


def _bundle_of(client: MlflowClient, run: Run) -> Any:
    """Where the files of a run's model are; None where it has none. A server that fails is an error, not an absence."""
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    model_id = run.data.tags.get(MODEL_ID)
    if not model_id:
        return None
    try:
        location = client.get_logged_model(model_id).artifact_location
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    repository = get_artifact_repository(location)
    return repository if repository.list_artifacts(_BUNDLE) else None


def _delete(client: MlflowClient, run: Run) -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    repository = get_artifact_repository(run.info.artifact_uri)
    for file in repository.list_artifacts():
        if file.path not in _KEPT:
            repository.delete_artifacts(file.path)
    for model in client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'"):
        files = get_artifact_repository(model.artifact_location)
        for file in files.list_artifacts():
            files.delete_artifacts(file.path)
