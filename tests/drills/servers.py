"""Real servers for a drill, each on a free port of 127.0.0.1 and gone at its end: Redis, S3-compatible storage, git."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests

from tests import postgresql
from tests.drills.common import PROJECT

HOST = "127.0.0.1"
STORAGE = PROJECT / ".venv-drill" / "bin" / "moto_server"
ANSWER_S = 60.0


def missing() -> list[str]:
    """What this machine lacks, each with the command that brings it."""
    wanted = {
        "PostgreSQL: apt-get install postgresql": postgresql.binaries() is not None,
        "Redis: apt-get install redis-server": shutil.which("redis-server") is not None,
        "S3-compatible storage (moto): make .venv-drill/bin/moto_server": STORAGE.exists(),
        "git daemon: apt-get install git": git_daemon_binary() is not None,
    }
    return [how for how, there in wanted.items() if not there]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """URL of an empty Redis that asks for a password."""
    port, password = free_port(), "drill"
    config = folder / "redis.conf"
    config.write_text(
        f'bind {HOST}\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\ndir {folder}\n', encoding="utf-8"
    )
    with _process([shutil.which("redis-server") or "redis-server", str(config)], folder / "redis.log", _listens(port)):
        yield f"redis://:{password}@{HOST}:{port}/0"


@contextmanager
def storage(folder: Path) -> Iterator[dict[str, str]]:
    """S3-compatible storage, as the environment that every S3 client reads; nothing in it outlives the drill."""
    port = free_port()
    address = f"http://{HOST}:{port}"
    command = [str(STORAGE), "-H", HOST, "-p", str(port)]
    with _process(command, folder / "storage.log", lambda: requests.get(address, timeout=2).status_code < 500):
        yield {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "drill",
            "AWS_SECRET_ACCESS_KEY": "drill",
            "AWS_DEFAULT_REGION": "us-east-1",
        }


def git_daemon_binary() -> Path | None:
    path = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip()
    daemon = Path(path) / "git-daemon"
    return daemon if daemon.exists() else None


@contextmanager
def repository(folder: Path) -> Iterator[str]:
    """URL of a bare clone of the project that may be pushed to: not even the repository is a shared folder."""
    bare, port = folder / "avrec.git", free_port()
    subprocess.run(["git", "clone", "--quiet", "--bare", str(PROJECT), str(bare)], check=True)
    command = [str(git_daemon_binary()), f"--base-path={folder}", f"--listen={HOST}", f"--port={port}",
               "--export-all", "--enable=receive-pack", "--reuseaddr"]  # fmt: skip
    with _process(command, folder / "git.log", _listens(port)):
        yield f"git://{HOST}:{port}/avrec.git"


def _listens(port: int) -> Callable[[], bool]:
    def ask() -> bool:
        with socket.create_connection((HOST, port), timeout=2):
            return True

    return ask


@contextmanager
def _process(command: Sequence[str], log: Path, answers: Callable[[], bool]) -> Iterator[None]:
    """A child that answers inside the block and is gone after it."""
    with log.open("ab") as output, tempfile.TemporaryDirectory() as cwd:
        process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            _wait(process, answers, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], answers: Callable[[], bool], log: Path) -> None:
    limit = time.monotonic() + ANSWER_S
    while time.monotonic() < limit and process.poll() is None:
        try:
            if answers():
                return
        except (OSError, requests.RequestException):
            time.sleep(0.1)
    raise SystemExit(f"{process.args!r} does not answer:\n{log.read_text(errors='replace')[-2000:]}")
