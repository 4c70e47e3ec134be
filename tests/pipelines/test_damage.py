"""A damaged object in this machine's cache is noticed, fetched again from the remote, and never computed on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from avrec.settings import settings
from pipelines import git, runs
from tests.pipelines.conftest import execute, finished


def test_a_damaged_cache_object_is_fetched_again(project: Path) -> None:
    runs.start_run("one", {})
    finished(execute("one", "numbers"))
    md5 = hashlib.md5(b"1", usedforsecurity=False).hexdigest()
    cached = settings().dvc_cache / "files" / "md5" / md5[:2] / md5[2:]
    cached.chmod(0o644)
    cached.write_bytes(b"7")
    finished(execute("one", "part@odd"))
    assert json.loads(git.show(project, runs.ref_of("one"), "artifacts/odd.json")) == {"count": 3}
    assert cached.read_bytes() == b"1"
    lists = [path.read_bytes() for path in cached.parents[1].rglob("*") if path.is_file()]
    assert b"[1, 3, 5]" in lists
    assert b"[3, 5, 7]" not in lists
