"""Model versions: registering, naming, and trusting one before it is loaded."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from avrec.errors import RegistryError, RevokedError
from avrec.registry import client as server
from avrec.registry.client import CHALLENGER, CHAMPION, MODEL
from avrec.registry.hashing import dvc_md5, tree_sha256
from avrec.registry.model import FOLDER
from avrec.registry.runs import COMPLETE, MODEL_ID, RUN_ID

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

MODEL_SHA256 = "avrec.model_sha256"
REVOKED = "avrec.revoked"
"""Tag of a version that learned from data that were erased since, with the day."""


def register(run_id: str) -> str:
    """Registers the model of a run as `challenger` and returns its version; a run has one version.

    Args:
        run_id: MLflow run id, as `track` returns it.

    Raises:
        RegistryError: the run is unknown or half written.
    """
    from mlflow.exceptions import MlflowException

    client = server.connect()
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise RegistryError(f"{client.tracking_uri} knows no run '{run_id}'; track it first.") from error
    if run.data.tags.get(COMPLETE) != "true":
        raise RegistryError(f"run {run_id} is half written; run `python -m pipelines.track` in its checkout again.")
    _ensure_registered_model(client)
    version = _version_of(client, run_id) or _create(client, run_id, run.data.tags)
    client.set_model_version_tag(MODEL, version, RUN_ID, run.data.tags.get(RUN_ID, ""))
    if _alias(client, CHAMPION) != version:
        client.set_registered_model_alias(MODEL, CHALLENGER, version)
    return version


def resolve(client: MlflowClient, name: str) -> ModelVersion:
    """A version by number or alias, with its tags.

    Raises:
        RegistryError: there is none; names the versions that exist.
    """
    from mlflow.exceptions import MlflowException

    name = name.removeprefix("v") if name.removeprefix("v").isdigit() else name
    try:
        if name.isdigit():
            return _get(client, name)
        return _get(client, client.get_model_version_by_alias(MODEL, name).version)
    except MlflowException as error:
        known = ", ".join(v.version for v in all_versions(client))
        first = "" if known else "; `avrec train` makes the first"
        raise RegistryError(
            f"no version or alias '{name}' of model '{MODEL}'; registered versions: {known or 'none'}{first}."
        ) from error


def all_versions(client: MlflowClient) -> list[ModelVersion]:
    """Every version, newest first, with aliases and tags."""
    found = client.search_model_versions(f"name = '{MODEL}'")
    # A search returns no aliases; asking one by one does.
    return sorted((_get(client, v.version) for v in found), key=lambda v: -int(v.version))


def champion(client: MlflowClient) -> ModelVersion | None:
    """The version people are served, if one was ever promoted."""
    version = _alias(client, CHAMPION)
    return None if version is None else _get(client, version)


def fetch(name: str, into: Path) -> Path:
    """Downloads a version, checks it against the hashes it was registered with, and returns its bundle's folder.

    Nothing of it is loaded or executed before the check.

    Args:
        name: Version number or alias.
        into: Folder to make; an equal earlier download is used again.

    Raises:
        RegistryError: no such version, its files are not the registered ones, or it was revoked.
    """
    return fetch_model(server.connect(), name, into) / FOLDER


def refuse_revoked(version: ModelVersion) -> None:
    """Stops whoever would use a revoked version.

    Raises:
        RevokedError: it is one.
    """
    if version.tags.get(REVOKED):
        raise RevokedError(
            f"version {version.version} was revoked ({version.tags[REVOKED]}) and is not used any more. Train again "
            "(`avrec train`, or avrec_train in Airflow) and approve the new version; published tables stay in force."
        )


def fetch_model(client: MlflowClient, name: str, into: Path) -> Path:
    """As `fetch`; the whole pyfunc model."""
    version = resolve(client, name)
    refuse_revoked(version)
    expected = version.tags.get(MODEL_SHA256)
    if not expected:
        raise RegistryError(f"version {version.version} carries no tag {MODEL_SHA256}; register its run again.")
    if not (into.is_dir() and any(into.iterdir()) and tree_sha256(into) == expected):
        _download(str(version.tags[MODEL_ID]), into)
    actual = tree_sha256(into)
    if actual != expected or dvc_md5(into / FOLDER) != version.tags.get("avrec.bundle_md5"):
        shutil.rmtree(into, ignore_errors=True)
        raise RegistryError(
            f"version {version.version} was changed after it was registered (SHA-256 {actual[:12]}, registered "
            f"{expected[:12]}); it is not loaded. Track and register its run again, and find out who wrote there."
        )
    return into


def tag(client: MlflowClient, version: ModelVersion, values: dict[str, str]) -> None:
    """Sets tags on a version and on its run."""
    for name, value in values.items():
        client.set_model_version_tag(MODEL, version.version, name, value)
        client.set_tag(version.run_id, name, value)


def _get(client: MlflowClient, version: str) -> ModelVersion:
    found = client.get_model_version(MODEL, str(version))
    found._version = str(found.version)  # an int from the database, a str from a server
    return found


def _download(model_id: str, into: Path) -> None:
    import mlflow

    shutil.rmtree(into, ignore_errors=True)
    aside = into.with_name(into.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    found = Path(mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{model_id}", dst_path=str(aside)))
    found.replace(into)
    shutil.rmtree(aside, ignore_errors=True)


def _ensure_registered_model(client: MlflowClient) -> None:
    from mlflow.exceptions import MlflowException

    text = "Recommends audio and video. `champion` is what people get, `challenger` the newest candidate."
    try:
        client.create_registered_model(MODEL, description=text)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _create(client: MlflowClient, run_id: str, tags: dict[str, str]) -> str:
    import tempfile

    own = {name: value for name, value in tags.items() if name.startswith("avrec.")}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        _download(own[MODEL_ID], folder)
        if dvc_md5(folder / FOLDER) != own["avrec.bundle_md5"]:
            raise RegistryError(f"the model of run {run_id} is not the bundle it was logged with; track it again.")
        own[MODEL_SHA256] = tree_sha256(folder)
    version = client.create_model_version(
        MODEL, f"models:/{own[MODEL_ID]}", run_id=run_id, tags=own, model_id=own[MODEL_ID],
        description=client.get_run(run_id).info.run_name,
    )  # fmt: skip
    return str(version.version)


def _version_of(client: MlflowClient, run_id: str) -> str | None:
    found = client.search_model_versions(f"name = '{MODEL}' and run_id = '{run_id}'")
    return min((str(v.version) for v in found), key=int, default=None)


def _alias(client: MlflowClient, alias: str) -> str | None:
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_model_version_by_alias(MODEL, alias).version)
    except MlflowException:
        return None
