"""Names that MLflow takes, and hashes that agree with DVC's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from avrec.errors import ParamsError, RegistryError
from avrec.platform.identity import configured_approvers
from avrec.registry.hashing import dvc_md5, tree_sha256
from avrec.registry.naming import batches, flatten, legal, parameters, slice_prefix
from avrec.registry.policy import POLICY, Policy, load_policy


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ndcg@10", "ndcg_at_10"),
        ("category=Комедия & Co", "category/Комедия _ Co"),
        ("hybrid+shuffled", "hybrid_shuffled"),
    ],
)
def test_names_become_legal_and_stay_readable(name: str, expected: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    assert legal(name) == expected
    _validate_metric_name(legal(name))


def test_slices_sort_beside_the_whole() -> None:
    assert [slice_prefix(n) for n in ("all", "cold_all", "category=cats")] == [
        "test", "test_cold_all", "test_category/cats",
    ]  # fmt: skip


def test_parameters_are_flat() -> None:
    values = {"a": {"b": 1, "c": {}}, "ks": [5, 10], "none": None}
    assert dict(flatten(values))["a.b"] == 1
    assert parameters(values, "x") == {"x.a.b": "1", "x.a.c": "none", "x.ks": "5, 10", "x.none": "none"}
    assert list(batches(range(5), 2)) == [[0, 1], [2, 3], [4]]


def test_hashes_are_those_of_dvc(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    (folder / "deep").mkdir(parents=True)
    (folder / "b.txt").write_text("b")
    (folder / "deep" / "a.bin").write_bytes(bytes(range(256)))
    (tmp_path / "single.json").write_text("{}\n")
    run = lambda *command: subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)  # noqa: E731
    run(sys.executable, "-m", "dvc", "init", "--no-scm", "-q")
    run(sys.executable, "-m", "dvc", "add", "-q", "out", "single.json")
    for name in ("out", "single.json"):
        assert dvc_md5(tmp_path / name) == yaml.safe_load((tmp_path / f"{name}.dvc").read_text())["outs"][0]["md5"]


def test_missing_output_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="dvc repro"):
        dvc_md5(tmp_path / "nothing")


def test_a_changed_or_renamed_file_changes_the_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = tree_sha256(tmp_path)
    (tmp_path / "registered_model_meta").write_text("MLflow writes this beside what it downloads")
    assert tree_sha256(tmp_path) == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert tree_sha256(tmp_path) != first


def test_the_policy_of_the_project_is_valid() -> None:
    policy = load_policy()
    assert policy.approvers == ("approver",)
    assert set(policy.baselines) == {"popularity", "ease"}
    assert set(yaml.safe_load(POLICY.read_text())) == set(Policy.model_fields)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("approver: [me]", "approver"),
        ("paired: {samples: 3}", "paired.samples"),
        ("latency: {max_p95_ms: fast}", "latency.max_p95_ms"),
        ("- a list", "valid dictionary"),
    ],
)
def test_a_wrong_policy_names_its_key(tmp_path: Path, text: str, names: str) -> None:
    path = tmp_path / "promotion.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=names):
        load_policy(path)


def test_another_policy_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text("approvers: [anna]\n")
    monkeypatch.setenv("AVREC_POLICY", str(path))
    assert load_policy().approvers == configured_approvers() == ("anna",)


def test_a_policy_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_policy().min_reason = 1  # type: ignore[misc]
