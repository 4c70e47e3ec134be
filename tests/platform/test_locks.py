"""The locks: one set of versions, hashed, and no address of an index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from avrec.platform.doctor import locked_versions

LOCKS = (
    "requirements.lock",
    "requirements-scheduler.lock",
    "requirements-worker.lock",
    "requirements-gpu.lock",
    "requirements-drill.txt",
    "requirements-images.txt",
    "requirements-weights.txt",
    "requirements-weights-optional.txt",
    "requirements-uv.txt",
    "requirements-audit.txt",
)


@pytest.mark.parametrize("name", LOCKS)
def test_every_entry_is_pinned_and_hashed(root: Path, name: str) -> None:
    text = (root / name).read_text(encoding="utf-8")
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert entries
    for entry in entries:
        assert re.match(r"[\w.-]+(\[[\w,]+\])?==", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]


@pytest.mark.parametrize("name", LOCKS)
def test_no_lock_names_an_index(root: Path, name: str) -> None:
    text = (root / name).read_text(encoding="utf-8")
    assert "://" not in text
    assert "index-url " not in text.replace("--no-emit-index-url ", "")


@pytest.mark.parametrize("name", ["requirements-scheduler.lock", "requirements-worker.lock"])
def test_servers_and_workers_have_the_same_versions(root: Path, name: str) -> None:
    everything = locked_versions((root / "requirements.lock").read_text(encoding="utf-8"))
    some = locked_versions((root / name).read_text(encoding="utf-8"))
    assert [found for found, version in some.items() if everything.get(found, version) != version] == []
    assert {"apache-airflow-providers-celery", "psycopg", "boto3", "dvc-s3"} <= set(some)
    assert not {"pytest", "mypy", "playwright"} & set(some)


def test_the_scheduler_has_the_same_versions_and_no_tensorflow(root: Path) -> None:
    everything = locked_versions((root / "requirements.lock").read_text(encoding="utf-8"))
    scheduler = locked_versions((root / "requirements-scheduler.lock").read_text(encoding="utf-8"))
    assert all(everything.get(name, version) == version for name, version in scheduler.items())
    assert {"apache-airflow", "dvc", "mlflow", "great-expectations"} <= set(scheduler)
    assert not {"tensorflow", "tensorflow-io", "keras", "av", "onnxruntime"} & set(scheduler)
