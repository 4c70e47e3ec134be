"""Reading dvc.yaml as plain YAML, and telling which entries of dvc.lock are current."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from avrec.errors import ParamsError
from pipelines import lockfile
from pipelines.graph import edges, pulled, read_stages
from tests.pipelines.conftest import DVC_YAML


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    path = tmp_path / "dvc.yaml"
    path.write_text(DVC_YAML, encoding="utf-8")
    return path


def test_a_matrix_is_a_stage_an_entry(toy: Path) -> None:
    stages = read_stages(toy)
    assert list(stages) == ["numbers", "part@even", "part@odd", "total", "told"]
    odd = stages["part@odd"]
    assert odd.cmd == "python -m toy part data/numbers data/odd odd"
    assert (odd.deps, odd.outs, odd.files) == (("data/numbers", "toy.py"), ("data/odd",), ("artifacts/odd.json",))


def test_edges_follow_files_of_git_too(toy: Path) -> None:
    stages = read_stages(toy)
    assert edges(stages) == {
        ("numbers", "part@even"), ("numbers", "part@odd"), ("part@even", "total"), ("part@odd", "total"),
        ("total", "told"),
    }  # fmt: skip
    assert pulled(stages["total"], stages) == ["data/even", "data/odd"]  # the metrics file is in git


@pytest.mark.parametrize(
    "entry", ["a${b}: {cmd: x}", "a: {foreach: [1], do: {cmd: x}}", "a: {matrix: {m: '${b}'}, cmd: x}"]
)
def test_what_the_rules_forbid_is_refused(tmp_path: Path, entry: str) -> None:
    path = tmp_path / "dvc.yaml"
    path.write_text("stages:\n  " + entry + "\n", encoding="utf-8")
    with pytest.raises(ParamsError, match="literal lists"):
        read_stages(path)


def test_an_entry_is_current_while_what_it_read_is(toy: Path) -> None:
    stages = read_stages(toy)
    entries: dict[str, lockfile.Entry] = {
        "numbers": {"outs": [{"path": "data/numbers", "md5": "1.dir"}]},
        "part@even": {"deps": [{"path": "data/numbers", "md5": "1.dir"}, {"path": "toy.py", "md5": "c"}]},
    }
    assert lockfile.is_current(entries, stages["part@even"])
    assert not lockfile.is_current(entries, stages["part@odd"])
    entries["numbers"]["outs"][0]["md5"] = "2.dir"
    assert not lockfile.is_current(entries, stages["part@even"])


def test_the_bytes_of_a_lock_do_not_depend_on_the_order() -> None:
    one, two = {"cmd": "b"}, {"cmd": "a"}
    assert lockfile.dump({"b": one, "a": two}) == lockfile.dump({"a": two, "b": one})
    assert lockfile.parse(lockfile.dump({"b": one})) == {"b": one}


def test_a_python_without_the_packages_says_what_to_activate(root: Path) -> None:
    command = [sys.executable, "-S", "-m", "pipelines.dataset"]  # -S: without its site-packages
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "source .venv/bin/activate" in done.stderr
