"""Registering, trusting, deciding, promoting, rolling back; and the commands that do it."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner, Result

from avrec.cli import app
from avrec.errors import RegistryError
from avrec.platform.identity import ensure_users, password_of
from avrec.registry import approval, promotion, versions
from avrec.registry import client as server
from avrec.registry.gate import gate
from avrec.registry.report import Report
from avrec.registry.runs import MODEL_ID, track

from .conftest import CODE, Checkout, default_params, write_lock

REASON = "Better where it counts"


@pytest.fixture
def client(home: Path) -> MlflowClient:
    return server.connect()


@pytest.fixture(scope="module")
def roots(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four checkouts that differ in a parameter: four versions."""
    found = []
    for seed in range(4):
        root = tmp_path_factory.mktemp("checkout") / str(seed)
        shutil.copytree(checkout.root, root)
        write_lock(root, default_params(matching={"seed": seed}))
        found.append(root)
    return found


def version_of(root: Path, judged: bool = True) -> str:
    version = versions.register(track(root, CODE))
    if judged:
        gate(version, root)
    return version


def cli(*arguments: str, answers: tuple[str, ...] = ()) -> Result:
    return CliRunner().invoke(app, ["models", *arguments], input="".join(f"{a}\n" for a in answers))


def test_registering_twice_gives_one_version(client: MlflowClient, roots: list[Path]) -> None:
    version = version_of(roots[0], judged=False)
    assert version_of(roots[0], judged=False) == version
    found = versions.resolve(client, "challenger")
    assert found.version == version
    report = Report.read(roots[0])
    assert found.tags["avrec.key"] == report.key
    assert found.tags["avrec.bundle_md5"] == report.bundle_md5
    assert len(found.tags[versions.MODEL_SHA256]) == 64
    assert versions.resolve(client, f"v{version}").version == version


def test_a_half_written_run_is_not_registered(client: MlflowClient) -> None:
    run = client.create_run(server.experiment_id(client))
    with pytest.raises(RegistryError, match="half written"):
        versions.register(run.info.run_id)
    client.delete_run(run.info.run_id)
    with pytest.raises(RegistryError, match="knows no run"):
        versions.register("0" * 32)


def test_a_run_made_on_a_laptop_is_adopted(
    client: MlflowClient, roots: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = version_of(roots[0], judged=False)
    assert versions.resolve(client, version).tags["avrec.run_id"] == "local"
    monkeypatch.setenv("AVREC_RUN_ID", "r42")
    assert version_of(roots[0], judged=False) == version
    assert versions.resolve(client, version).tags["avrec.run_id"] == "r42"


def test_what_was_changed_after_registering_is_not_loaded(
    client: MlflowClient, roots: list[Path], tmp_path: Path
) -> None:
    version = version_of(roots[3], judged=False)
    folder = versions.fetch(version, tmp_path / "good")
    assert (folder / "bundle.json").is_file()
    stored = client.get_logged_model(versions.resolve(client, version).tags[MODEL_ID]).artifact_location
    path = Path(unquote(urlparse(stored).path))
    for name in ("artifacts/bundle/items.parquet", "artifacts/pyfunc_model.py"):
        file = next(path.rglob(Path(name).name))
        before = file.read_bytes()
        file.write_bytes(before + b"\n")
        with pytest.raises(RegistryError, match="was changed after it was registered"):
            versions.fetch(version, tmp_path / "bad")
        assert not (tmp_path / "bad").exists()
        file.write_bytes(before)
    (tmp_path / "good" / "artifacts" / "bundle" / "bundle.json").write_text("{}")
    assert versions.fetch(version, tmp_path / "good")  # an altered earlier download is replaced


def test_the_way_to_the_champion_and_back(client: MlflowClient, roots: list[Path]) -> None:
    first, second = version_of(roots[0]), version_of(roots[1])
    with pytest.raises(RegistryError, match="no approval record"):
        promotion.promote(first)
    for version in (first, second):
        made = approval.record(version, approved=True, who="approver", why=REASON)
        assert approval.read_record(client, versions.resolve(client, version)) == made
        move = promotion.promote(version)
        assert promotion.promote(version).version == version  # a retry is harmless
    assert (move.version, move.before, move.who) == (second, first, "approver")
    champion = versions.resolve(client, "champion")
    assert champion.version == second
    assert champion.tags[promotion.PREVIOUS] == first
    with pytest.raises(RegistryError, match=f"{first} is not the champion"):
        promotion.rollback("operator", "The wrong one", leaving=first)
    back = promotion.rollback("operator", "Complaints about the new lists", leaving=second)
    again = promotion.rollback("operator", "Complaints about the new lists", leaving=second)  # a retry is harmless
    assert (again.version, again.before) == (first, second)
    assert (back.version, back.before) == (first, second)
    assert versions.resolve(client, "champion").version == first
    with pytest.raises(RegistryError, match="--again"):
        promotion.promote(second)
    with pytest.raises(RegistryError, match="first champion"):
        promotion.rollback("operator", "Once more")
    assert promotion.promote(second, again=True).version == second
    moves = [(m.kind, m.version) for m in promotion.history()]
    assert moves == [("promote", second), ("rollback", first), ("promote", second), ("promote", first)]


def test_a_record_says_everything(client: MlflowClient, roots: list[Path]) -> None:
    version = version_of(roots[2])
    made = approval.record(version, approved=False, who="approver", why="  Lists look  stale to me ")
    report = Report.read(roots[2])
    assert (made.decision, made.why, made.automated, made.override) == (
        "rejected",
        "Lists look stale to me",
        False,
        False,
    )
    assert made.metrics["test/ndcg_at_10"] == report.evaluation["matchers"]["hybrid"]["all"]["ndcg@10"]
    assert made.thresholds["paired"]["level"] == 0.95
    assert (made.dataset_version, made.commit) == (report.dataset_version, CODE.commit)
    tags = client.get_run(made.run_id).data.tags
    assert (tags["avrec.approval"], tags["avrec.rejected_by"]) == ("rejected", "approver")
    with pytest.raises(RegistryError, match="A decision stands"):
        approval.record(version, approved=True, who="approver", why=REASON)
    with pytest.raises(RegistryError, match="was rejected by approver"):
        promotion.promote(version)
    client.set_model_version_tag(server.MODEL, version, "avrec.approval", "approved")
    with pytest.raises(RegistryError, match="contradict"):
        promotion.promote(version)


@pytest.mark.parametrize(
    ("who", "why", "match"),
    [
        ("viewer", REASON, "not an approver"),
        ("", REASON, "not an approver"),
        ("approver", "   ok   ", "at least 10 characters"),
        ("approver", "\n\t", "at least 10 characters"),
    ],
)
def test_only_approvers_with_a_reason_decide(
    client: MlflowClient, roots: list[Path], who: str, why: str, match: str
) -> None:
    version = version_of(roots[3])
    with pytest.raises(RegistryError, match=match):
        approval.record(version, approved=True, who=who, why=why)
    assert approval.read_record(client, versions.resolve(client, version)) is None


def test_of_two_answers_at_once_one_counts(client: MlflowClient, roots: list[Path]) -> None:
    version = version_of(roots[3])

    def answer(approved: bool) -> str:
        try:
            return approval.record(version, approved=approved, who="approver", why=REASON).decision
        except RegistryError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(answer, (True, False)))
    assert sum("A decision stands" in text for text in said) == 1
    assert sum(text in ("approved", "rejected") for text in said) == 1


def test_the_demo_approver_is_marked(client: MlflowClient, roots: list[Path], tmp_path: Path) -> None:
    root = tmp_path / "refused"
    shutil.copytree(roots[0], root)
    write_lock(root, default_params(matching={"seed": 50}))
    version = versions.register(track(root, CODE))
    with pytest.raises(RegistryError, match="was not judged"):
        approval.record(version, approved=True, who="approver", why=REASON)
    from avrec.registry.policy import load_policy

    strict = load_policy().model_copy(update={"minimum": {"all": {"ndcg@10": 0.99}}})
    assert not gate(version, root, strict).passed
    with pytest.raises(RegistryError, match="not an approver"):  # no demo home
        approval.record(version, approved=True, who="demo_approver", why=REASON)
    ensure_users(demo=True)
    with pytest.raises(RegistryError, match="the gate refused"):
        approval.record(version, approved=True, who="demo_approver", why=REASON)
    made = approval.record(version, approved=True, who="demo_approver", why=REASON, override=True)
    assert (made.automated, made.override, made.gate["verdict"]) == (True, True, "refused")
    assert "(automated) (override)" in approval.decided(versions.resolve(client, version))


def test_commands(client: MlflowClient, roots: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "by-command"
    shutil.copytree(roots[0], root)
    write_lock(root, default_params(matching={"seed": 60}))
    version = versions.register(track(root, CODE))
    ensure_users(demo=False)
    monkeypatch.chdir(root)
    # What `gate` runs in a checkout of the version's run; here the folder is one.
    assert "Verdict: passed" in cli("judge", version).output
    word = password_of("approver")
    assert "Login refused" in str(cli("approve", version, "--reason", REASON, answers=("approver", "guess")).exception)
    refused = cli("approve", version, "--reason", REASON, answers=("viewer", password_of("viewer")))
    assert "may not decide" in str(refused.exception)
    assert "no terminal" in str(cli("approve", version, "--reason", REASON).exception)
    assert "approved by approver" in cli("approve", version, "--reason", REASON, answers=("approver", word)).output
    assert f"Version {version} is the champion" in cli("promote", version).output
    listed = cli("list").output
    assert "champion" in listed and "approved by approver" in listed and REASON in listed
    assert "role operator or approver" in str(
        cli("rollback", "--reason", "why not", answers=("viewer", password_of("viewer"))).exception
    )


def test_the_list_of_an_empty_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVREC_HOME", str(tmp_path / "empty"))
    assert "No version is registered yet" in cli("list").output
