"""What the servers must hold before the first run: buckets, Airflow's pools, MLflow's users. Safe to repeat."""

from __future__ import annotations

import os
import sys
from urllib.parse import urlsplit

import requests

from avrec.errors import PlatformError
from avrec.platform.airflow import Airflow
from avrec.platform.config import POOLS
from avrec.platform.identity import read_users
from avrec.settings import settings


def ensure_buckets() -> None:
    """Makes the buckets that configured addresses name, where storage is S3-compatible and has none yet.

    Raises:
        PlatformError: the storage does not answer or refuses.
    """
    import fsspec

    here = settings()
    places = [here.dvc_remote, here.feature_store, here.imports, here.receipts, here.inbox, here.media]
    places += [here.publications, os.environ.get("MLFLOW_DEFAULT_ARTIFACT_ROOT", "")]
    for bucket in sorted({urlsplit(place).netloc for place in places if place.startswith("s3://")}):
        try:
            storage = fsspec.filesystem("s3")
            if not storage.exists(bucket):
                storage.mkdir(bucket)
        except Exception as error:  # the S3 client raises what it likes
            raise PlatformError(
                f"bucket {bucket} cannot be made ({error}); check AWS_ENDPOINT_URL and login."
            ) from error


def ensure_pools(airflow: Airflow) -> None:
    """Creates the pools that tasks name. An operator's own number of slots stays."""
    have = airflow.pools()
    for name, (slots, description) in POOLS.items():
        if name not in have:
            airflow.create_pool(name, slots, description)


def ensure_mlflow_users() -> None:
    """Gives everybody of the users file a login to MLflow; all may read, the admin alone may write."""
    users = read_users()
    session = requests.Session()
    session.trust_env = False
    session.auth = ("admin", users["admin"].password)
    for user in users.values():
        if user.name == "admin":
            continue
        answer = session.post(
            f"{settings().mlflow_uri}/api/2.0/mlflow/users/create",
            json={"username": user.name, "password": user.password},
            timeout=30,
        )
        if answer.status_code != 200 and answer.json().get("error_code") != "RESOURCE_ALREADY_EXISTS":
            raise PlatformError(f"MLflow refuses to make user '{user.name}': {answer.status_code} {answer.text[:300]}")


def main() -> int:
    try:
        ensure_buckets()
        ensure_pools(Airflow("admin"))
        ensure_mlflow_users()
    except (PlatformError, requests.RequestException) as error:
        print(f"provision: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
