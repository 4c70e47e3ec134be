"""What docker/ promises, as far as it shows without Docker: `make images` holds syntax and schema, these the rest."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from avrec.platform import config, secret_files
from avrec.platform.doctor import locked_versions
from avrec.settings import settings

ONCE = {"repository", "migrate", "provision"}
OTHERS = {"postgres", "redis", "storage"}


@pytest.fixture(scope="module")
def compose(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((root / "docker" / "compose.yaml").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


def test_every_part_of_the_platform_has_its_container(services: dict[str, Any]) -> None:
    parts = {part.name for part in config.plan(config.configured_ports()).parts}
    assert set(services) == parts | OTHERS | {"repository", "worker", "gpu-worker"}
    for name in parts | {"worker"}:
        assert services[name]["command"] == ["python", "-m", "avrec.platform.part", name]
    assert services["worker"]["deploy"]["replicas"] == 2


def test_each_is_watched_limited_and_without_privileges(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory"} <= limits.keys(), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert ("healthcheck" in service) != (name in ONCE), name


def test_only_this_machine_reaches_what_is_published(services: dict[str, dict[str, Any]]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert set(published) == {"api-server", "mlflow"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_versions_are_pinned(services: dict[str, dict[str, Any]], root: Path) -> None:
    images = [service["image"] for service in services.values()]
    assert all(re.search(r":(.*\d+\.\d+|RELEASE\.\d{4})", image) for image in images), images
    bases = re.findall(r"^ARG PYTHON=(.+)$", (root / "docker" / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert [re.fullmatch(r"3\.11\.\d+-slim-\w+", base) is not None for base in bases] == [True]


def test_secrets_are_files_that_are_made_and_nothing_else(
    compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    secret_files.make_shared()
    secret_files.make_servers("postgres", "redis", "http://storage:9000")
    made = {path.name for path in settings().secrets.iterdir()}
    assert {Path(secret["file"]).name for secret in compose["secrets"].values()} <= made
    asked = {name for service in services.values() for name in _secrets(service)}
    assert asked == set(compose["secrets"])
    for name, service in services.items():
        told = service.get("environment", {})
        assert not [key for key in told if re.search("PASSWORD|SECRET|KEY|TOKEN|DATABASE|BROKER", key)
                    and not key.endswith("_FILE")], name  # fmt: skip
        for key, value in told.items():
            if str(value).startswith("/run/secrets/"):
                assert Path(value).name in _secrets(service), (name, key)


@pytest.mark.parametrize("name", ["worker", "gpu-worker"])
def test_a_worker_gets_no_database_of_the_servers(services: dict[str, dict[str, Any]], name: str) -> None:
    refused = {"airflow-database", "mlflow-database", "users.json", "airflow-jwt", "airflow-fernet"}
    assert not refused & _secrets(services[name])
    assert set(secret_files.WORKERS) <= _secrets(services[name])


def test_the_three_images_end_as_nobody_special_and_hold_the_tested_versions(root: Path) -> None:
    text = (root / "docker" / "Dockerfile").read_text(encoding="utf-8")
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", text, re.MULTILINE)
    assert [name for base, name in stages if base == "runtime"] == ["scheduler", "worker", "gpu-worker"]
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["${UID}"]
    for lock in re.findall(r"requirements-[\w]+\.(?:lock|txt)", text):
        assert (root / lock).is_file(), lock


def test_the_charts_values_name_images_parts_and_secrets_that_are_there(
    root: Path, compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    text = (root / "docker" / "helm-values.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    secret_files.make_shared()
    secret_files.make_servers("postgres", "redis", "http://storage:9000")
    files = {word.split("=")[-1] for word in re.findall(r"--from-file=(\S+)", text)}
    assert files <= {path.name for path in settings().secrets.iterdir()}
    assert values["executor"] == "KubernetesExecutor"
    scheduler = locked_versions((root / "requirements-scheduler.lock").read_text(encoding="utf-8"))
    assert values["airflowVersion"] == scheduler["apache-airflow"]
    assert "apache-airflow-providers-cncf-kubernetes" in scheduler
    pods = [values["images"][one] for one in ("airflow", "pod_template")]
    images = {f"{image['repository']}:{image['tag']}" for image in pods}
    built = {service["image"].replace("${AVREC_VERSION:-0.1.0}", "0.1.0") for service in services.values()}
    assert images == {"avrec-scheduler:0.1.0", "avrec-worker:0.1.0"}
    assert images <= built
    told = {one["name"]: one["value"] for one in values["env"]}
    of_celery = {"AVREC_EXECUTOR", "AVREC_BIND", "AVREC_BROKER_FILE"}
    assert told.keys() >= {n for n in services["worker"]["environment"] if n.startswith("AVREC_")} - of_celery
    assert not [name for name in told if re.search("PASSWORD|SECRET|DATABASE|TOKEN", name)]


def test_a_wrong_key_in_the_compose_file_is_found(root: Path, tmp_path: Path) -> None:
    python = root / ".venv-images" / "bin" / "python"
    if not python.exists():
        pytest.skip("the tools of images are not here: make images")
    wrong = (root / "docker" / "compose.yaml").read_text(encoding="utf-8").replace("healthcheck:", "healtcheck:", 1)
    (tmp_path / "compose.yaml").write_text(wrong, encoding="utf-8")
    check = [str(python), str(root / "docker" / "check_compose.py"), str(tmp_path / "compose.yaml")]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "healtcheck" in done.stdout


def _secrets(service: dict[str, Any]) -> set[str]:
    return {one if isinstance(one, str) else one["source"] for one in service.get("secrets", [])}
