"""A real PostgreSQL server of the tests' own, on a free port of 127.0.0.1, gone when they are."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER = "postgres"
END = signal.SIGQUIT  # at once, without a farewell to its clients


def binaries() -> Path | None:
    """The folder of `initdb` and `postgres`, newest version first; distributions keep it out of PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    return installed[-1].parent if installed else None


@contextmanager
def server() -> Iterator[str]:
    """SQLAlchemy URL, without a database name, of a server whose state lies in a temporary folder."""
    tools = binaries()
    assert tools is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=", "fsync=off"]
    with tempfile.TemporaryDirectory(prefix="avrec-postgresql-") as folder:
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        data = f"{folder}/data"
        initdb = [tools / "initdb", "-D", data, "-U", USER, "--auth=trust", "--encoding=UTF8", "--no-sync"]
        done = subprocess.run(_as_user(*initdb), cwd="/", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        start = _as_user(tools / "postgres", "-D", data, *(word for option in options for word in ("-c", option)))
        log = Path(folder) / "log"
        with log.open("w") as out, subprocess.Popen(start, cwd="/", stdout=out, stderr=out) as process:
            try:
                while subprocess.run([tools / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]).returncode:
                    assert process.poll() is None, log.read_text()
                    time.sleep(0.1)
                yield f"postgresql+psycopg://{USER}@127.0.0.1:{port}"
            finally:
                process.send_signal(END)


def _as_user(*command: object) -> list[str]:
    """A command that ends when this process does, however that ends; PostgreSQL refuses to run as root."""
    user = ["--reuid", USER, "--regid", USER, "--init-groups"] if os.geteuid() == 0 else []
    return ["setpriv", *user, "--pdeathsig", END.name, "--", *(str(word) for word in command)]
