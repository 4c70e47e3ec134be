"""Where MLflow is: a server by configuration, the running local platform, or its database directly."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from avrec.settings import settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "avrec"
MODEL = "avrec"
CHAMPION, CHALLENGER = "champion", "challenger"


def tracking_uri() -> str:
    """`AVREC_MLFLOW_URI` when set, else the local platform when it runs, else SQLite under the home folder.

    The last two are the same database: what is written without a server is there when one is started.
    """
    if os.environ.get("AVREC_MLFLOW_URI"):
        return settings().mlflow_uri
    return _running_platform() or embedded_uri()


def embedded_uri() -> str:
    """SQLAlchemy URL of the database that `avrec up` serves and that is used directly without it."""
    folder = settings().home / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'mlflow.db'}"


def artifact_root() -> Path:
    """Folder of the artifacts of the embedded set-up."""
    return settings().home / "mlflow" / "artifacts"


def connect() -> MlflowClient:
    """A client of the current tracking server, which is the registry too.

    MLflow's module-level functions are aimed there as well: the registry itself looks models up through them.
    """
    import mlflow
    from mlflow import MlflowClient

    logging.getLogger("alembic").setLevel(logging.WARNING)
    uri = tracking_uri()
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def experiment_id(client: MlflowClient) -> str:
    """Id of the experiment `avrec`, created on first use."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    location = artifact_root().as_uri() if client.tracking_uri.startswith("sqlite:") else None
    try:
        return str(client.create_experiment(EXPERIMENT, artifact_location=location))
    except MlflowException:
        found = client.get_experiment_by_name(EXPERIMENT)  # another process was first
        if found is None:
            raise
        return str(found.experiment_id)


def _running_platform() -> str | None:
    """Address of the MLflow that `avrec up` runs in this home, with its login put into the environment."""
    from avrec.platform.config import mlflow_login
    from avrec.platform.state import is_running, read_state, state_file

    home = settings().home
    if not state_file(home).is_file():
        return None
    state = read_state(home)
    if state is None or not state.ready or not is_running(home):
        return None
    for name, value in mlflow_login().items():
        os.environ.setdefault(name, value)  # the MLflow client reads its login from nowhere else
    return state.addresses.get("mlflow")
