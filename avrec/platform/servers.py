"""Servers of their own instead of files: which ones, from the environment.

Nothing is set on a laptop: SQLite, and tasks as children of the scheduler. These values are read by the platform's own
processes only. They hold passwords, so that no task inherits them; workers are told the broker and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from avrec.errors import PlatformError
from avrec.settings import given

LOCAL, CELERY, KUBERNETES = "LocalExecutor", "CeleryExecutor", "KubernetesExecutor"
NAMES = (
    "AVREC_EXECUTOR",
    "AVREC_AIRFLOW_DATABASE",
    "AVREC_BROKER",
    "AVREC_MLFLOW_DATABASE",
    "AVREC_MLFLOW_ARTIFACTS",
    "AVREC_BIND",
)


@dataclass(frozen=True)
class Servers:
    """What stands in for the files of one machine.

    Attributes:
        executor: Airflow's executor (`AVREC_EXECUTOR`): LocalExecutor, CeleryExecutor or KubernetesExecutor.
        airflow_database: SQLAlchemy URL (`AVREC_AIRFLOW_DATABASE`); None is SQLite under the home.
        broker: Redis URL of Celery's queue and results (`AVREC_BROKER`).
        mlflow_database: SQLAlchemy URL of runs, registry and logins (`AVREC_MLFLOW_DATABASE`); None is SQLite.
        mlflow_artifacts: Where MLflow's clients put artifacts (`AVREC_MLFLOW_ARTIFACTS`), any URL MLflow knows.
        bind: Address the servers listen on (`AVREC_BIND`); None is 127.0.0.1, a container says 0.0.0.0.
    """

    executor: str = LOCAL
    airflow_database: str | None = None
    broker: str | None = None
    mlflow_database: str | None = None
    mlflow_artifacts: str | None = None
    bind: str | None = None


def servers() -> Servers:
    """Reads the environment anew.

    Raises:
        PlatformError: an executor that is not known, or one that lacks what it needs; names the variable.
    """
    found = Servers(given("AVREC_EXECUTOR") or LOCAL, *(given(name) for name in NAMES[1:]))
    if found.executor not in (LOCAL, CELERY, KUBERNETES):
        raise PlatformError(f"AVREC_EXECUTOR is {found.executor!r}; it may be {LOCAL}, {CELERY} or {KUBERNETES}.")
    if found.executor == CELERY and not found.broker:
        raise PlatformError(f"{CELERY} needs AVREC_BROKER, as in redis://:password@host:6379/0.")
    return found


def without_servers(environment: dict[str, str]) -> dict[str, str]:
    """An environment without these values, and without the names of the files that hold them."""
    hidden = {*NAMES, *(f"{name}_FILE" for name in NAMES)}
    return {name: value for name, value in environment.items() if name not in hidden}


def async_url(database: str) -> str:
    """The same database for Airflow's asynchronous sessions: psycopg does both, Airflow would guess asyncpg."""
    return database.replace("+psycopg://", "+psycopg_async://", 1)
