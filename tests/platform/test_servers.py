"""Servers of their own by configuration: who is told what."""

from __future__ import annotations

from pathlib import Path

import pytest

from avrec.errors import PlatformError
from avrec.platform import config, part, secret_files
from avrec.privacy.pseudonyms import Pseudonyms
from avrec.settings import PROJECT, settings

DATABASE = "postgresql+psycopg://avrec:db-password@postgres:5432"
CLUSTER = {
    "AVREC_EXECUTOR": "CeleryExecutor",
    "AVREC_AIRFLOW_DATABASE": f"{DATABASE}/airflow",
    "AVREC_MLFLOW_DATABASE": f"{DATABASE}/mlflow",
    "AVREC_MLFLOW_ARTIFACTS": "s3://avrec/mlflow",
    "AVREC_BROKER": "redis://:broker-password@redis:6379/0",
    "AVREC_AIRFLOW_URI": "http://api-server:8080",
    "AVREC_MLFLOW_URI": "http://mlflow:5000",
    "AVREC_BIND": "0.0.0.0",
}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    for name, value in CLUSTER.items():
        monkeypatch.setenv(name, value)
    secret_files.make_shared()
    return home


def test_the_servers_are_those_of_the_environment(cluster: Path) -> None:
    found = part.environment_of("scheduler")
    assert found["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"{DATABASE}/airflow"
    assert found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"].startswith("postgresql+psycopg_async://avrec:")
    assert found["AIRFLOW__CELERY__BROKER_URL"] == CLUSTER["AVREC_BROKER"]
    assert found["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://api-server:8080/execution/"
    assert found["MLFLOW_BACKEND_STORE_URI"] == f"{DATABASE}/mlflow"
    assert found["MLFLOW_DEFAULT_ARTIFACT_ROOT"] == "s3://avrec/mlflow"
    assert "mlflow:5000" in found["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert f"{DATABASE}/mlflow" in Path(found["MLFLOW_AUTH_CONFIG_PATH"]).read_text()
    assert "0.0.0.0" in part.part_of("mlflow").command


def test_no_command_holds_a_password(cluster: Path) -> None:
    parts = [*config.plan(config.configured_ports()).parts, config.worker_part()]
    assert len(parts) == 8
    assert not [word for one in parts for word in one.command if "password" in word]


def test_a_worker_is_told_the_queue_and_no_database(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, fingerprint = tmp_path / "worker", Pseudonyms.of_home().fingerprint
    secret_files.hand_over(settings().secrets, worker / "secrets")
    monkeypatch.setenv("AVREC_HOME", str(worker))
    assert Pseudonyms.of_home().fingerprint == fingerprint
    found = part.environment_of("worker")
    assert found["AIRFLOW__CELERY__BROKER_URL"] == CLUSTER["AVREC_BROKER"]
    assert not [name for name, value in found.items() if "db-password" in value]
    assert not {"AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__CORE__FERNET_KEY", "AVREC_BROKER"} & found.keys()
    assert not (worker / "secrets" / "users.json").exists()
    assert found["MLFLOW_TRACKING_PASSWORD"] == (cluster / "secrets" / "mlflow-password").read_text()


def test_a_worker_without_its_secrets_says_which_is_missing(cluster: Path) -> None:
    (cluster / "secrets" / "airflow-api").unlink()
    with pytest.raises(PlatformError, match="airflow-api is missing"):
        part.environment_of("worker")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AVREC_EXECUTOR", "SequentialExecutor", "LocalExecutor, CeleryExecutor"),
        ("AVREC_BROKER", "", "AVREC_BROKER"),
        ("AVREC_AIRFLOW_DATABASE", "", "AVREC_AIRFLOW_DATABASE"),
    ],
)
def test_what_is_missing_is_named(
    cluster: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(PlatformError, match=said):
        part.environment_of("scheduler")


def test_an_unknown_part_is_refused_and_the_known_are_named(cluster: Path) -> None:
    with pytest.raises(PlatformError, match="api-server"):
        part.part_of("web-server")


def test_a_value_may_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "url").write_text("postgresql+psycopg://u:p@h/tables\n")
    monkeypatch.setenv("AVREC_TABLES_URL_FILE", str(tmp_path / "url"))
    assert settings().tables_url == "postgresql+psycopg://u:p@h/tables"
    monkeypatch.setenv("AVREC_TABLES_URL_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(PlatformError, match="AVREC_TABLES_URL_FILE names"):
        settings()


def test_secrets_are_made_once_and_kept(cluster: Path) -> None:
    secret_files.make_servers("postgres", "redis", "http://storage:9000")
    before = {path.name: path.read_bytes() for path in settings().secrets.iterdir()}
    secret_files.make_shared()
    secret_files.make_servers("postgres", "redis", "http://storage:9000")
    assert {path.name: path.read_bytes() for path in settings().secrets.iterdir()} == before
    password = before["postgres-password-airflow"].decode()
    assert before["airflow-database"].decode() == f"postgresql+psycopg://airflow:{password}@postgres:5432/airflow"
    assert password not in before["tables-url"].decode()  # who has one database's login has no other's
    assert all(path.stat().st_mode & 0o077 == 0 for path in settings().secrets.iterdir())


def test_the_project_is_where_the_parts_look(cluster: Path) -> None:
    assert Path(part.environment_of("scheduler")["AIRFLOW__CORE__DAGS_FOLDER"]) == PROJECT / "dags"
