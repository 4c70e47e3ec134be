from __future__ import annotations

import json
from pathlib import Path

import pytest

from avrec.platform import config, identity
from avrec.platform.files import is_private
from avrec.platform.parts import Plan
from avrec.settings import PROJECT

PORTS = config.Ports(airflow=18080, mlflow=15000)


@pytest.fixture
def environment() -> dict[str, str]:
    return config.environment(PORTS, PROJECT / "dags", demo=False)


def test_everything_is_on_this_machine_alone(environment: dict[str, str]) -> None:
    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    for part in config.plan(PORTS).parts:
        assert not any("0.0.0.0" in argument for argument in part.command)
        assert part.probe is None or part.probe.url.startswith("http://127.0.0.1:")


def test_the_databases_are_separate(environment: dict[str, str], home: Path) -> None:
    assert environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"sqlite:///{home}/airflow/airflow.db"
    assert environment["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{home}/mlflow/mlflow.db"


def test_nothing_reports_home(environment: dict[str, str]) -> None:
    assert config.QUIET.items() <= environment.items()


def test_two_to_four_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, slots in ((1, 2), (2, 3), (3, 4), (64, 4)):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        assert config.worker_slots() == slots


def test_airflow_knows_the_users_of_the_file(environment: dict[str, str]) -> None:
    users = identity.read_users()
    assert "viewer:viewer" in environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"].split(",")
    passwords = Path(environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    assert json.loads(passwords.read_text()) == {name: user.password for name, user in users.items()}
    assert is_private(passwords)


def test_the_plan_holds_no_secret(environment: dict[str, str], tmp_path: Path) -> None:
    plan_file = tmp_path / "plan.json"
    config.plan(PORTS).write(plan_file)
    text = plan_file.read_text()
    assert Plan.read(plan_file) == config.plan(PORTS)
    secrets = [user.password for user in identity.read_users().values()] + [
        environment["AIRFLOW__API_AUTH__JWT_SECRET"]
    ]
    assert not any(secret in text for secret in secrets)


def test_a_shell_configured_for_another_airflow_does_not_leak_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True")
    environment = config.environment(PORTS, PROJECT / "dags", demo=False)
    assert "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS" not in environment
