"""The command line as a person meets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("tensorflow", "mlflow", "airflow", "dvc", "pandas", "great_expectations", "sklearn")


def avrec(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "avrec.cli", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("group", [[], ["data"], ["features"], ["models"], ["tables"]])
def test_help_names_every_command_and_what_it_does(root: Path, group: list[str]) -> None:
    done = avrec(root, *group, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_help_loads_nothing_heavy(root: Path) -> None:
    code = f"import sys, avrec.cli; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_error_is_a_sentence_not_a_traceback(root: Path) -> None:
    done = avrec(root, "data", "import", "folder", "nowhere")
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_approving_asks_for_a_login(root: Path) -> None:
    done = avrec(root, "models", "approve", "1", "--reason", "because it is better")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_value_without_a_key_is_told(root: Path) -> None:
    done = avrec(root, "train", "--set", "epochs")
    assert done.returncode == 1
    assert "KEY=VALUE" in done.stderr
