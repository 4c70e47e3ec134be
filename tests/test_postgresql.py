"""The PostgreSQL server of the tests ends with them, also where they are killed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests import postgresql

HOLD = "from tests import postgresql; import time\nwith postgresql.server() as u: print(u, flush=True); time.sleep(600)"


@pytest.mark.skipif(postgresql.binaries() is None, reason="needs PostgreSQL (apt-get install postgresql)")
def test_a_killed_test_run_leaves_no_server(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD]
    env = {"PYTHONPATH": str(root), "TMPDIR": str(tmp_path), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(parent.stat().st_mode | 0o011)  # the server's account, which is not root, gets to its folder
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
