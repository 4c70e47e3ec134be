"""Where things are on this machine. Nothing here may change a result; what does is in params.yaml.

Every value comes from the environment (`AVREC_...`) with a default under the home folder, so that a
laptop needs no configuration and a cluster needs no code change. A value that holds a password may be given as the
name of a file that holds it: `AVREC_TABLES_URL_FILE` for `AVREC_TABLES_URL`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path

from avrec.errors import PlatformError

PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Settings:
    """Addresses and folders.

    Attributes:
        home: State of this machine: databases, logs, secrets, stores (`AVREC_HOME`, default `var/`).
        repository: Git repository that holds the run refs (`AVREC_REPOSITORY`, default the project).
        dvc_remote: DVC remote, any URL DVC knows (`AVREC_DVC_REMOTE`).
        dvc_cache: Folder of DVC's cache shared by all scratch checkouts (`AVREC_DVC_CACHE`).
        feature_store: fsspec URL of the content-addressed feature store (`AVREC_FEATURE_STORE`).
        imports: fsspec URL of the imported snapshots (`AVREC_IMPORTS`).
        receipts: fsspec URL of the receipts of erasures (`AVREC_RECEIPTS`); must outlive every backup.
        inbox: Folder or fsspec URL in which batches of new data arrive (`AVREC_INBOX`).
        media: Folder or fsspec URL of the media of ingested items, by content hash (`AVREC_MEDIA`).
        publications: fsspec URL of the published Parquet tables (`AVREC_PUBLICATIONS`).
        tables_url: SQLAlchemy URL of the published SQL table (`AVREC_TABLES_URL`).
        mlflow_uri: MLflow tracking server (`AVREC_MLFLOW_URI`).
        airflow_uri: Airflow API server (`AVREC_AIRFLOW_URI`).
        weights: Folder searched for pretrained weights before installed packages (`AVREC_WEIGHTS`).
        scratch: Folder of scratch checkouts, local to this worker (`AVREC_SCRATCH`).
        checkpoint_seconds: Time between two checkpoints of a training (`AVREC_CHECKPOINT_SECONDS`, default 60).
        policy: What a version must show and who may approve it (`AVREC_POLICY`); None for mlflow/promotion.yaml.
    """

    home: Path
    repository: str
    dvc_remote: str
    dvc_cache: Path
    feature_store: str
    imports: str
    receipts: str
    inbox: str
    media: str
    publications: str
    tables_url: str
    mlflow_uri: str
    airflow_uri: str
    weights: Path | None
    scratch: Path
    policy: Path | None = None
    checkpoint_seconds: float = 60.0

    @property
    def secrets(self) -> Path:
        """Folder of generated passwords and keys (0700, files 0600)."""
        return self.home / "secrets"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def reports(self) -> Path:
        """Pages for people: data docs, recommendation pages. Never an input of anything."""
        return self.home / "reports"

    def environment(self) -> dict[str, str]:
        """The settings as environment variables, to hand to a child process.

        The servers' addresses are only handed on where they were given: a child must still see that nobody
        said where MLflow is, and look for the running platform itself.
        """
        values = {f"AVREC_{field.name.upper()}": getattr(self, field.name) for field in fields(self)}
        found = {name for name in ("AVREC_MLFLOW_URI", "AVREC_AIRFLOW_URI") if not given(name)}
        return {name: str(value) for name, value in values.items() if value is not None and name not in found}


def given(name: str) -> str | None:
    """The value of an environment variable, or of the file that `NAME_FILE` names; None where neither says anything.

    Raises:
        PlatformError: the file cannot be read.
    """
    if value := os.environ.get(name):
        return value
    file = os.environ.get(f"{name}_FILE")
    if not file:
        return None
    try:
        return Path(file).read_text(encoding="utf-8").strip() or None
    except OSError as error:
        raise PlatformError(f"{name}_FILE names {file}, which cannot be read ({error.strerror}).") from error


def settings() -> Settings:
    """Reads the environment anew at each call, so that tests and children may differ."""
    home = Path(given("AVREC_HOME") or PROJECT / "var").resolve()
    weights, policy = given("AVREC_WEIGHTS"), given("AVREC_POLICY")
    return Settings(
        home=home,
        repository=given("AVREC_REPOSITORY") or str(PROJECT),
        dvc_remote=given("AVREC_DVC_REMOTE") or str(home / "dvc" / "remote"),
        dvc_cache=Path(given("AVREC_DVC_CACHE") or home / "dvc" / "cache"),
        feature_store=given("AVREC_FEATURE_STORE") or str(home / "features"),
        imports=given("AVREC_IMPORTS") or str(home / "imports"),
        receipts=given("AVREC_RECEIPTS") or str(home / "receipts"),
        inbox=given("AVREC_INBOX") or str(home / "inbox"),
        media=given("AVREC_MEDIA") or str(home / "media"),
        publications=given("AVREC_PUBLICATIONS") or str(home / "publications"),
        tables_url=given("AVREC_TABLES_URL") or f"sqlite:///{home / 'tables.db'}",
        mlflow_uri=given("AVREC_MLFLOW_URI") or "http://127.0.0.1:5000",
        airflow_uri=given("AVREC_AIRFLOW_URI") or "http://127.0.0.1:8080",
        weights=Path(weights) if weights else None,
        scratch=Path(given("AVREC_SCRATCH") or home / "scratch"),
        policy=Path(policy) if policy else None,
        checkpoint_seconds=float(given("AVREC_CHECKPOINT_SECONDS") or 60.0),
    )
