"""Under a stage: a damaged object is fetched again and never computed on, a full disk moves no ref."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from avrec.settings import settings
from pipelines import git, runs
from tests.pipelines.conftest import execute, finished
from tests.small_disk import full_disk


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


BIG = """
  big:
    cmd: python -c "import pathlib; pathlib.Path('data').mkdir(); pathlib.Path('data/big').write_bytes(b'x' * 2000000)"
    outs: [data/big]
"""


def test_a_full_disk_fails_the_stage_and_the_same_again_finishes(project: Path) -> None:
    (project / "dvc.yaml").write_text((project / "dvc.yaml").read_text() + BIG)
    git.git(project, "commit", "--quiet", "--all", "--message", "A big output")
    started = runs.start_run("one", {})
    with full_disk(1_000_000):  # a child has the limit of its parent
        process = execute("one", "big")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "File too large" in said
    assert "big failed" in said
    assert runs.tip("one") == started
    finished(execute("one", "big"))
    assert runs.tip("one") != started
