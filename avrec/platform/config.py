"""How Airflow and MLflow are set up on one machine: commands, environment, secrets.

Everything is handed over by environment variables; no configuration file is generated, so that nothing in the
home folder can disagree with the code.
"""

from __future__ import annotations

import base64
import io
import json
import os
import secrets
import sys
from configparser import ConfigParser
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from avrec.errors import PlatformError
from avrec.platform.files import private_folder, write_private
from avrec.platform.identity import User, ensure_users
from avrec.platform.parts import Part, Plan, Probe
from avrec.platform.ports import HOST, choose
from avrec.platform.servers import CELERY, LOCAL, Servers, async_url, servers, without_servers
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
    """Where the two servers answer; `moved` says which did not get the usual port."""

    airflow: int
    mlflow: int
    moved: tuple[str, ...] = ()
    airflow_host: str = HOST
    mlflow_host: str = HOST

    @property
    def airflow_uri(self) -> str:
        return f"http://{self.airflow_host}:{self.airflow}"

    @property
    def mlflow_uri(self) -> str:
        return f"http://{self.mlflow_host}:{self.mlflow}"


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


def configured_ports() -> Ports:
    """Where `AVREC_AIRFLOW_URI` and `AVREC_MLFLOW_URI` say the servers are: each part is on a machine of its own."""
    airflow, mlflow = urlsplit(settings().airflow_uri), urlsplit(settings().mlflow_uri)
    return Ports(
        airflow.port or USUAL_PORTS["airflow"],
        mlflow.port or USUAL_PORTS["mlflow"],
        airflow_host=airflow.hostname or HOST,
        mlflow_host=mlflow.hostname or HOST,
    )


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
    """What an MLflow client needs in its environment; empty where this home has no users yet (no server of ours).

    A worker has no users file: it gets the one password its tasks need, as the file `mlflow-password`.
    """
    from avrec.platform.identity import password_of, users_file

    handed = settings().secrets / "mlflow-password"
    if not users_file().exists() and not handed.exists():
        return {}
    password = password_of("admin") if users_file().exists() else handed.read_text(encoding="utf-8").strip()
    return {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": password}


def environment(ports: Ports, dags: Path, demo: bool) -> dict[str, str]:
    """The whole environment of the supervisor and all parts, secrets included."""
    here, other = settings(), servers()
    users = ensure_users(demo)
    return {**_common(here, ports), **mlflow_login(), **_mlflow_server(here, ports, other, users),
            **_airflow(here, ports, dags, users)}  # fmt: skip


def worker_environment(dags: Path) -> dict[str, str]:
    """The environment of a Celery worker: it knows the queue, the API server and the data, and no database of ours.

    Raises:
        PlatformError: a secret that the servers share with their workers is not in this home.
    """
    here, ports = settings(), configured_ports()
    values = {
        **_tasks(here, ports, dags, servers()),
        "API__SECRET_KEY": _shared("airflow-api"),  # by which the API server proves who asks for a log
        **_quick(),
    }
    return {**_common(here, ports), **mlflow_login(), **_as_airflow(here, values)}


def _common(here: Settings, ports: Ports) -> dict[str, str]:
    """What every process of ours gets; nothing of another Airflow that the shell is configured for."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW__", "_AIRFLOW"))}
    hosts = {HOST, "localhost", ports.airflow_host, ports.mlflow_host}
    own = {
        "AVREC_AIRFLOW_URI": ports.airflow_uri,
        "AVREC_MLFLOW_URI": ports.mlflow_uri,
        "MLFLOW_TRACKING_URI": ports.mlflow_uri,
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(PROJECT), str(AIRFLOW_SETTINGS), os.environ.get("PYTHONPATH")])
        ),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), *sorted(hosts)])),
        "PYTHONUNBUFFERED": "1",
    }
    return {**without_servers(inherited), **here.environment(), **QUIET, **own}


def _shared(name: str) -> str:
    path = settings().secrets / name
    if not path.exists():
        raise PlatformError(f"{path} is missing: a worker gets it from the home of the servers (docs/scale.md).")
    return path.read_text(encoding="utf-8").strip()


def _mlflow_server(here: Settings, ports: Ports, other: Servers, users: dict[str, User]) -> dict[str, str]:
    folder = here.home / "mlflow"
    hosts = {HOST, "localhost", ports.mlflow_host}
    return {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_BACKEND_STORE_URI": other.mlflow_database or f"sqlite:///{folder / 'mlflow.db'}",
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": other.mlflow_artifacts or str(folder / "artifacts"),
        "MLFLOW_AUTH_CONFIG_PATH": str(_mlflow_logins(here, other)),
        "MLFLOW_AUTH_ADMIN_PASSWORD": users["admin"].password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secret("mlflow-session"),
        **(
            {"MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(f"{h}:{ports.mlflow}" for h in sorted(hosts))}
            if other.bind
            else {}
        ),
    }


def _mlflow_logins(here: Settings, other: Servers) -> Path:
    """The configuration of MLflow's logins; with a database of their own a private copy that names it."""
    policy = PROJECT / "mlflow" / "basic_auth.ini"
    if other.mlflow_database is None:
        return policy
    words = ConfigParser(interpolation=None)
    words.read(policy, encoding="utf-8")
    words["mlflow"]["database_uri"] = other.mlflow_database
    text = io.StringIO()
    words.write(text)
    write_private(here.secrets / policy.name, text.getvalue())
    return here.secrets / policy.name


def _airflow(here: Settings, ports: Ports, dags: Path, users: dict[str, User]) -> dict[str, str]:
    other = servers()
    passwords = here.secrets / "airflow-passwords.json"
    write_private(passwords, json.dumps({user.name: user.password for user in users.values()}))
    values = {
        **_tasks(here, ports, dags, other),
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": True,
        "CORE__FERNET_KEY": secret("airflow-fernet", "fernet"),
        "CORE__AUTH_MANAGER": "dags.config.avrec_logins.Logins",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{u.name}:{AIRFLOW_ROLES[u.roles[0]]}" for u in users.values()),
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": passwords,
        **_database(here, other),
        "API__HOST": other.bind or HOST,
        "API__PORT": ports.airflow,
        "API__BASE_URL": ports.airflow_uri,
        "API__WORKERS": 1,
        "API__SECRET_KEY": secret("airflow-api"),
        "API_AUTH__JWT_SECRET": secret("airflow-jwt"),
        **_quick(),
    }
    return _as_airflow(here, values)


def _tasks(here: Settings, ports: Ports, dags: Path, other: Servers) -> dict[str, object]:
    """What scheduler and workers must agree on."""
    values: dict[str, object] = {
        "CORE__DAGS_FOLDER": dags,
        "CORE__PLUGINS_FOLDER": PROJECT / "dags" / "plugins",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__EXECUTOR": other.executor,
        "CORE__EXECUTION_API_SERVER_URL": f"{ports.airflow_uri}/execution/",
        "LOGGING__BASE_LOG_FOLDER": here.logs / "tasks",
    }
    if other.executor == LOCAL:
        values["CORE__PARALLELISM"] = worker_slots()
    if other.executor == CELERY:
        values["CELERY__BROKER_URL"] = values["CELERY__RESULT_BACKEND"] = other.broker
        values["CELERY__WORKER_CONCURRENCY"] = worker_slots()
    return values


def _database(here: Settings, other: Servers) -> dict[str, object]:
    if other.airflow_database is None and other.executor != LOCAL:
        raise PlatformError(f"{other.executor} needs AVREC_AIRFLOW_DATABASE, the URL of a PostgreSQL database.")
    if other.airflow_database is None:
        return {"DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{here.home / 'airflow' / 'airflow.db'}"}
    return {
        "DATABASE__SQL_ALCHEMY_CONN": other.airflow_database,
        "DATABASE__SQL_ALCHEMY_CONN_ASYNC": async_url(other.airflow_database),
    }


def _as_airflow(here: Settings, values: dict[str, object]) -> dict[str, str]:
    named = {f"AIRFLOW__{name}": str(value) for name, value in values.items()}
    return {"AIRFLOW_HOME": str(here.home / "airflow"), **named}


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
    health = f"{ports.airflow_uri}/api/v2/monitor/health"
    parts = (
        _mlflow(here, ports),
        _migrate(here),
        _part("api-server", "airflow", "api-server", needs=("migrate",),
              probe=Probe(f"{ports.airflow_uri}/execution/health", ("status",)), address=ports.airflow_uri),
        _part("scheduler", "airflow", "scheduler", "--skip-serve-logs", needs=("migrate",),
              probe=Probe(health, ("scheduler", "status"))),
        _part("dag-processor", "airflow", "dag-processor", needs=("migrate",),
              probe=Probe(health, ("dag_processor", "status"))),
        _part("triggerer", "airflow", "triggerer", "--skip-serve-logs", needs=("migrate",),
              probe=Probe(health, ("triggerer", "status"))),
        _part("provision", "avrec.platform.provision", once=True, needs=("api-server", "mlflow")),
    )  # fmt: skip
    return Plan(str(here.home), parts)


def worker_part() -> Part:
    """A Celery worker; `avrec up` starts none, each machine that works starts its own.

    It lets itself be asked for its logs only where `AVREC_BIND` says that other machines may.
    """
    return _part("worker", "airflow", "celery", "worker", *(() if servers().bind else ("--skip-serve-logs",)))


def _migrate(here: Settings) -> Part:
    """Takes seven seconds of work even when there is nothing to do; the stamp says for which version it was done."""
    part = _part("migrate", "airflow", "db", "migrate", once=True)
    if servers().airflow_database is not None:
        return part  # whose database it is, and how old, is not ours to remember
    database = here.home / "airflow" / "airflow.db"
    stamp = database.with_name(f"migrated-{version('apache-airflow')}")
    if not database.exists():
        stamp.unlink(missing_ok=True)
    return replace(part, stamp=str(stamp))


def _mlflow(here: Settings, ports: Ports) -> Part:
    """Its database and the place of its artifacts come by environment: a URL with a password is no argument."""
    folder = here.home / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    return _part(
        "mlflow", "mlflow", "server", "--host", servers().bind or HOST, "--port", str(ports.mlflow), "--workers", "1",
        "--no-serve-artifacts", "--app-name", "basic-auth",
        cwd=folder, probe=Probe(f"{ports.mlflow_uri}/health"), address=ports.mlflow_uri,
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
