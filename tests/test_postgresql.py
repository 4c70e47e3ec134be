"""The PostgreSQL server of the tests ends with them, also where they are killed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests import postgresql

HOLD = "from tests import postgresql; import time\nwith postgresql.server() as u: print(u, flush=True); time.sleep(600)"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Where the server's account, which is not root, gets to its own folder; pytest's are root's alone."""
    with tempfile.TemporaryDirectory(prefix="avrec-killed-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.mark.skipif(postgresql.binaries() is None, reason="needs PostgreSQL (apt-get install postgresql)")
def test_a_killed_test_run_leaves_no_server(root: Path, open_folder: Path) -> None:
    command = [sys.executable, "-c", HOLD]
    env = {"PYTHONPATH": str(root), "TMPDIR": str(open_folder), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    with subprocess.Popen(command, cwd=root, env=env, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline().startswith("postgresql+psycopg://")
        left = psutil.Process(run.pid).children(recursive=True)
        assert any(process.name() == "postgres" for process in left)
        run.kill()
    limit = time.monotonic() + 60
    while alive := [process for process in left if _works(process)]:
        assert time.monotonic() < limit, alive
        time.sleep(0.1)


def _works(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
