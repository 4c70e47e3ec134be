"""One part of the platform in the place of this process: what a container, or a machine that only works, runs.

    python -m avrec.platform.part NAME [--healthy]

NAME is `worker` or a part of the local platform: mlflow, migrate, api-server, scheduler, dag-processor, triggerer,
provision. The environment says where everything is (docs/scale.md); the parts are those of `avrec up`. With `--healthy`
it is only asked whether the part answers.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys

from avrec.errors import PlatformError
from avrec.platform import config
from avrec.platform.parts import Part
from avrec.platform.probing import Prober
from avrec.settings import PROJECT


def environment_of(name: str) -> dict[str, str]:
    """The environment of one part."""
    if name == "worker":
        return config.worker_environment(PROJECT / "dags")
    return config.environment(config.configured_ports(), PROJECT / "dags", demo=False)


def part_of(name: str) -> Part:
    """A part by name.

    Raises:
        PlatformError: there is none of this name.
    """
    parts = {part.name: part for part in (*config.plan(config.configured_ports()).parts, config.worker_part())}
    if name not in parts:
        raise PlatformError(f"there is no part '{name}'; there are {', '.join(parts)}.")
    return parts[name]


def run(name: str) -> None:
    """Becomes the part; does not return."""
    part = part_of(name)
    environment = {**environment_of(name), **part.environment}
    os.chdir(part.cwd)
    sys.stdout.flush()
    os.execve(part.command[0], part.command, environment)  # noqa: S606 - arguments, no shell


def healthy(name: str) -> bool:
    """Whether the part answers; a worker is asked through its queue."""
    part = part_of(name)
    if name != "worker":
        return part.probe is None or Prober(timeout=10.0).answers(part.probe)
    app = "airflow.providers.celery.executors.celery_executor.app"
    ping = [sys.executable, "-m", "celery", "--app", app, "inspect", "ping", "--timeout", "10",
            "--destination", f"celery@{socket.gethostname()}"]  # fmt: skip
    return subprocess.run(ping, env=environment_of(name), check=False).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--healthy", action="store_true")
    given = parser.parse_args()
    try:
        if given.healthy:
            return 0 if healthy(given.name) else 1
        run(given.name)
    except PlatformError as error:
        print(f"avrec: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
