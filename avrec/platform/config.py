"""How Airflow and MLflow are set up on one machine: commands, environment, secrets.

Everything is handed over by environment variables; no configuration file is generated, so that nothing in the
home folder can disagree with the code.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from avrec.platform.files import private_folder, write_private
from avrec.platform.identity import User, ensure_users
from avrec.platform.parts import Part, Plan, Probe
from avrec.platform.ports import HOST, choose
from avrec.settings import PROJECT, Settings, settings

AIRFLOW_SETTINGS = PROJECT / "dags" / "config"  # holds airflow_local_settings.py, which Airflow looks for on its path
USUAL_PORTS = {"airflow": 8080, "mlflow": 5000}
POOLS = {
    "training": (2, "Stages that train: each may take all cores."),
    "extraction": (2, "Shards of media being decoded and embedded."),
    "publishing": (1, "One table is swapped at a time."),
}
AIRFLOW_ROLES = {"admin": "admin", "operator": "op", "approver": "user", "viewer": "viewer"}
# The servers report home unless told otherwise; so do libraries inside tasks.
QUIET = {
    "DO_NOT_TRACK": "1",
    "SCARF_ANALYTICS": "false",
    "SCARF_NO_ANALYTICS": "true",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "true",
    "UV_NO_PROGRESS": "1",
}


@dataclass(frozen=True)
class Ports:
    """Where the two servers listen; `moved` says which did not get the usual port."""

    airflow: int
    mlflow: int
    moved: tuple[str, ...] = ()


def choose_ports() -> Ports:
    """The usual ports, or the next free ones.

    Raises:
        PlatformError: nothing free near the usual port.
    """
    airflow = choose(USUAL_PORTS["airflow"])
    mlflow = choose(USUAL_PORTS["mlflow"], {airflow})
    chosen = {"airflow": airflow, "mlflow": mlflow}
    moved = tuple(f"{name}: port {USUAL_PORTS[name]} is taken, using {p}" for name, p in chosen.items()
                  if p != USUAL_PORTS[name])  # fmt: skip
    return Ports(airflow, mlflow, moved)


def worker_slots() -> int:
    """Tasks at a time: one more than cores, for those that only wait, and at most 4. Pools bound the heavy ones."""
    return min(4, (os.cpu_count() or 1) + 1)


def secret(name: str, kind: str = "token") -> str:
    """A generated secret of this home, made on first use and kept (0600)."""
    path = private_folder(settings().secrets) / name
    if not path.exists():
        raw = secrets.token_bytes(32)
        write_private(path, base64.urlsafe_b64encode(raw).decode() if kind == "fernet" else raw.hex())
    return path.read_text(encoding="utf-8").strip()


def mlflow_login() -> dict[str, str]:
    """What an MLflow client needs in its environment; empty where this home has no users yet (no server of ours)."""
    from avrec.platform.identity import password_of, users_file

    if not users_file().exists():
        return {}
    return {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": password_of("admin")}


def environment(ports: Ports, dags: Path, demo: bool) -> dict[str, str]:
    """The whole environment of the supervisor and all parts, secrets included."""
    here = settings()
    users = ensure_users(demo)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW__", "_AIRFLOW"))}
    own = {
        "AVREC_AIRFLOW_URI": f"http://{HOST}:{ports.airflow}",
        "AVREC_MLFLOW_URI": f"http://{HOST}:{ports.mlflow}",
        "MLFLOW_TRACKING_URI": f"http://{HOST}:{ports.mlflow}",
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(PROJECT), str(AIRFLOW_SETTINGS), os.environ.get("PYTHONPATH")])
        ),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), HOST, "localhost"])),
        "PYTHONUNBUFFERED": "1",
    }
    return {**inherited, **here.environment(), **QUIET, **own, **mlflow_login(), **_mlflow_server(here, users),
            **_airflow(here, ports, dags, users)}  # fmt: skip


def _mlflow_server(here: Settings, users: dict[str, User]) -> dict[str, str]:
    return {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_AUTH_CONFIG_PATH": str(PROJECT / "mlflow" / "basic_auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": users["admin"].password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secret("mlflow-session"),
    }


def _airflow(here: Settings, ports: Ports, dags: Path, users: dict[str, User]) -> dict[str, str]:
    home = here.home / "airflow"
    address = f"http://{HOST}:{ports.airflow}"
    passwords = here.secrets / "airflow-passwords.json"
    write_private(passwords, json.dumps({user.name: user.password for user in users.values()}))
    values = {
        "CORE__DAGS_FOLDER": dags,
        "CORE__PLUGINS_FOLDER": PROJECT / "dags" / "plugins",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": worker_slots(),
        "CORE__LOAD_EXAMPLES": False,
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": True,
        "CORE__FERNET_KEY": secret("airflow-fernet", "fernet"),
        "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{u.name}:{AIRFLOW_ROLES[u.roles[0]]}" for u in users.values()),
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": passwords,
        "CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "LOGGING__BASE_LOG_FOLDER": here.logs / "tasks",
        "API__HOST": HOST,
        "API__PORT": ports.airflow,
        "API__BASE_URL": address,
        "API__WORKERS": 1,
        "API__SECRET_KEY": secret("airflow-api"),
        "API_AUTH__JWT_SECRET": secret("airflow-jwt"),
        **_quick(),
    }
    return {"AIRFLOW_HOME": str(home), **{f"AIRFLOW__{name}": str(value) for name, value in values.items()}}


def _quick() -> dict[str, object]:
    """What keeps the time between two tasks short, and the wait after an accident."""
    return {
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.1,
        "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": 1,
        # A task whose process is gone (machine restarted, worker killed) is tried again after this long.
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": 120,
        "DAG_PROCESSOR__REFRESH_INTERVAL": 10,
        "DAG_PROCESSOR__PARSING_PROCESSES": 1,
        # A worker that has missed the end of its task notices it at the next heartbeat.
        "WORKERS__MIN_HEARTBEAT_INTERVAL": 1,
        # On a busy machine an answer takes longer than the five seconds after which a task would ask again.
        "WORKERS__EXECUTION_API_TIMEOUT": 60,
    }


def plan(ports: Ports) -> Plan:
    """Airflow's four processes, MLflow, and what must be done before and after they start.

    The API server builds the part that tasks talk to at its first request, for seconds during which it answers
    nobody. Asking that part whether it lives makes this happen before the first task.
    """
    here = settings()
    health = f"http://{HOST}:{ports.airflow}/api/v2/monitor/health"
    parts = (
        _mlflow(here, ports),
        _migrate(here),
        _part("api-server", "airflow", "api-server", needs=("migrate",),
              probe=Probe(f"http://{HOST}:{ports.airflow}/execution/health", ("status",)),
              address=f"http://{HOST}:{ports.airflow}"),
        _part("scheduler", "airflow", "scheduler", "--skip-serve-logs", needs=("migrate",),
              probe=Probe(health, ("scheduler", "status"))),
        _part("dag-processor", "airflow", "dag-processor", needs=("migrate",),
              probe=Probe(health, ("dag_processor", "status"))),
        _part("triggerer", "airflow", "triggerer", "--skip-serve-logs", needs=("migrate",),
              probe=Probe(health, ("triggerer", "status"))),
        _part("provision", "avrec.platform.provision", once=True, needs=("api-server", "mlflow")),
    )  # fmt: skip
    return Plan(str(here.home), parts)


def _migrate(here: Settings) -> Part:
    """Takes seven seconds of work even when there is nothing to do; the stamp says for which version it was done."""
    database = here.home / "airflow" / "airflow.db"
    stamp = database.with_name(f"migrated-{version('apache-airflow')}")
    if not database.exists():
        stamp.unlink(missing_ok=True)
    return replace(_part("migrate", "airflow", "db", "migrate", once=True), stamp=str(stamp))


def _mlflow(here: Settings, ports: Ports) -> Part:
    folder = here.home / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    address = f"http://{HOST}:{ports.mlflow}"
    return _part(
        "mlflow", "mlflow", "server", "--host", HOST, "--port", str(ports.mlflow), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--no-serve-artifacts",
        "--default-artifact-root", str(folder / "artifacts"), "--app-name", "basic-auth",
        cwd=folder, probe=Probe(f"{address}/health"), address=address,
    )  # fmt: skip


def _part(
    name: str,
    module: str,
    *arguments: str,
    cwd: Path = PROJECT,
    probe: Probe | None = None,
    once: bool = False,
    needs: tuple[str, ...] = (),
    address: str | None = None,
) -> Part:
    return Part(name, (sys.executable, "-m", module, *arguments), str(cwd), probe, once, needs, address)
