"""In MLflow everybody with a login reads and only the platform writes (the real server: tests/end_to_end)."""

from __future__ import annotations

import configparser
import importlib
from pathlib import Path

import pytest

from avrec.registry.logins import only_reads


def test_every_call_by_which_mlflow_changes_something_is_known_to_write() -> None:
    from mlflow.server.handlers import get_endpoints

    harmless = {path for path, _, methods in get_endpoints() if "POST" in methods and only_reads("POST", path)}
    assert harmless
    words = ("create", "delete", "update", "set-", "log-", "alias", "rename", "upload", "register", "restore")
    assert [path for path in harmless if any(word in path.rsplit("/", 1)[1] for word in words)] == []


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_no_other_method_reads(method: str) -> None:
    assert not only_reads(method, "/api/2.0/mlflow/runs/search")


def test_the_server_is_told_to_ask_us(root: Path) -> None:
    words = configparser.ConfigParser(interpolation=None)
    words.read(root / "mlflow" / "basic_auth.ini")
    module, _, name = words["mlflow"]["authorization_function"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))
