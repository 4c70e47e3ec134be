"""Secrets as files, for servers and workers on machines of their own.

    python -m avrec.platform.secret_files [--postgres HOST] [--redis HOST] [--storage URL]

Makes in `AVREC_HOME/secrets` whatever is not there yet: logins, signing keys, the pseudonym key, and the passwords and
addresses of PostgreSQL, Redis and the S3-compatible storage. docker/compose.yaml hands each container what it needs.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
from pathlib import Path
from urllib.parse import quote

from avrec.platform.config import secret
from avrec.platform.files import private_folder, write_private
from avrec.platform.identity import ensure_users
from avrec.settings import settings

USER = "avrec"
DATABASES = {"airflow": "airflow-database", "mlflow": "mlflow-database", "tables": "tables-url"}
"""Databases of PostgreSQL, each with a login of its own, and the file that holds its URL."""
PSEUDONYM_KEY, KEY_BYTES = "pseudonym.key", 32  # as avrec/privacy/pseudonyms.py reads it
WORKERS = ("airflow-api", "mlflow-password", PSEUDONYM_KEY)
"""What a worker needs of the servers' home: to show its logs, to write to MLflow, to make pseudonyms."""


def make_shared() -> Path:
    """Logins, signing keys and the pseudonym key of this home; returns the folder."""
    folder = private_folder(settings().secrets)
    users = ensure_users((settings().home / "demo").exists())
    for name, kind in (("airflow-fernet", "fernet"), ("airflow-api", ""), ("airflow-jwt", ""), ("mlflow-session", "")):
        secret(name, kind)
    write_private(folder / "mlflow-password", users["admin"].password)
    passwords = {user.name: user.password for user in users.values()}
    write_private(folder / "airflow-passwords.json", json.dumps(passwords))  # as Airflow's simple logins read them
    _kept(folder / PSEUDONYM_KEY, secrets.token_hex(KEY_BYTES))
    return folder


def make_servers(postgres: str, redis: str, storage: str) -> None:
    """Passwords of the servers we talk to, and the addresses that carry them.

    Args:
        postgres: Host of PostgreSQL, which has the databases airflow, mlflow and tables.
        redis: Host of Redis.
        storage: URL of the S3-compatible storage.
    """
    folder = private_folder(settings().secrets)
    _kept(folder / "postgres-password")
    logins = {name: _kept(folder / f"postgres-password-{name}") for name in DATABASES}
    for name, file in DATABASES.items():
        write_private(folder / file, f"postgresql+psycopg://{name}:{quote(logins[name])}@{postgres}:5432/{name}")
    write_private(folder / "postgres-init.sql", "".join(_database(name, logins[name]) for name in DATABASES))
    queue = _kept(folder / "redis-password")
    write_private(folder / "broker", f"redis://:{quote(queue)}@{redis}:6379/0")
    write_private(folder / "redis.conf", f'requirepass "{queue}"\nsave ""\nappendonly no\n')
    _kept(folder / "storage-user", USER)
    key = _kept(folder / "storage-password")
    write_private(
        folder / "storage-credentials", f"[default]\naws_access_key_id = {USER}\naws_secret_access_key = {key}\n"
    )
    write_private(folder / "storage-config", f"[default]\nregion = us-east-1\nendpoint_url = {storage}\n")


def hand_over(source: Path, target: Path) -> None:
    """Copies to a worker what it needs, and nothing else."""
    private_folder(target)
    for name in WORKERS:
        shutil.copy2(source / name, target / name)


def _database(name: str, password: str) -> str:
    """A login and its database, which no other login may open."""
    return (
        f"CREATE ROLE {name} LOGIN PASSWORD '{password}';\n"
        f"CREATE DATABASE {name} OWNER {name};\n"
        f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC;\n"
    )


def _kept(path: Path, value: str | None = None) -> str:
    if not path.exists():
        write_private(path, value or secrets.token_urlsafe(24))
    return path.read_text(encoding="utf-8").strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgres", default="postgres")
    parser.add_argument("--redis", default="redis")
    parser.add_argument("--storage", default="http://storage:9000")
    given = parser.parse_args()
    folder = make_shared()
    make_servers(given.postgres, given.redis, given.storage)
    print(f"{folder} holds {', '.join(sorted(path.name for path in folder.iterdir()))}")


if __name__ == "__main__":
    main()
