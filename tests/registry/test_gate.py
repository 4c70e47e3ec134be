"""The gate lets an honest model pass, and refuses a leak, shuffled features and popularity in disguise."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from avrec.errors import RegistryError
from avrec.matching.base import Matcher
from avrec.matching.ease import Ease
from avrec.matching.loading import concat
from avrec.matching.popularity import Popularity
from avrec.params import EaseParams, PopularityParams
from avrec.registry import approval, leaks, promotion, rivalry, versions
from avrec.registry import client as server
from avrec.registry.evidence import Evidence
from avrec.registry.gate import gate, read_report
from avrec.registry.policy import Policy, load_policy
from avrec.registry.report import Report
from avrec.registry.runs import track
from avrec.registry.verdict import GateReport, number

from .conftest import CODE, Checkout, Fitted, default_params, evaluate, fit_all, make_checkout, write_lock, write_refit

REASON = "Better where it counts"


def registered(root: Path) -> str:
    return versions.register(track(root, CODE))


def judged(root: Path, policy: Policy | None = None) -> GateReport:
    return gate(registered(root), root, policy)


def replan(base: Checkout, root: Path, deployed: Matcher, twin: Matcher | None = None) -> Checkout:
    """The checkout of `base` with another deployed model, evaluated and refitted for real."""
    shutil.copytree(base.root / "data", root / "data")
    fitted = Fitted(base.fitted.catalog, base.fitted.split, {**base.fitted.matchers, "hybrid": deployed})
    if twin is not None:
        fitted.matchers["hybrid+shuffled"] = twin
    evaluate(root, fitted)
    write_refit(root, fitted, deployed)
    write_lock(root, default_params(matching={"seed": 8}))
    return Checkout(root, fitted)


def failed(report: GateReport) -> dict[str, str]:
    return {check.name: check.explanation for check in report.checks if not check.passed}


@pytest.mark.usefixtures("home")
def test_an_honest_model_passes_and_is_not_promoted(checkout: Checkout) -> None:
    report = judged(checkout.root)
    assert failed(report) == {}
    assert report.verdict == "passed"
    client = server.connect()
    assert versions.champion(client) is None
    version = versions.resolve(client, "challenger")
    assert version.tags["avrec.gate"] == "passed"
    assert read_report(client, version) == report
    assert {c.name for c in report.checks if c.void} >= {"champion"}
    assert "| baseline.ease | ok |" in report.markdown()


@pytest.mark.usefixtures("home")
def test_a_leak_of_the_future_is_refused(checkout: Checkout, tmp_path: Path) -> None:
    split = checkout.fitted.split
    knows_test = Ease(EaseParams(l2=1.0))
    knows_test.fit(checkout.fitted.catalog, concat(split.train, split.test))
    reasons = failed(judged(replan(checkout, tmp_path / "leak", knows_test).root))
    assert "the future was probably in the training" in reasons["leak.test_over_validation"]


@pytest.mark.usefixtures("home")
def test_baselines_that_know_new_items_are_refused(checkout: Checkout, tmp_path: Path) -> None:
    base, split = checkout.fitted, checkout.fitted.split
    knows_test = Ease(EaseParams(l2=1.0))
    knows_test.fit(base.catalog, concat(split.train, split.val, split.test))
    leaky = Fitted(base.catalog, split, {**base.matchers, "ease": knows_test})
    reasons = failed(judged(replan(Checkout(checkout.root, leaky), tmp_path / "leak", base.matchers["hybrid"]).root))
    assert "knows ids only" in reasons["leak.cold_by_ease"]


@pytest.mark.usefixtures("home")
def test_a_split_that_overlaps_is_refused(checkout: Checkout, tmp_path: Path) -> None:
    root = tmp_path / "overlap"
    shutil.copytree(checkout.root / "data", root / "data")
    folder = root / "data" / "split"
    tables = {part: pq.read_table(folder / f"{part}.parquet") for part in ("train", "test")}
    half = tables["test"].slice(0, tables["test"].num_rows // 2)
    pq.write_table(pa.concat_tables([tables["train"], half]), folder / "train.parquet")
    fitted = fit_all(root)
    evaluate(root, fitted)
    write_refit(root, fitted, fitted.matchers["hybrid"])
    write_lock(root, default_params())
    reasons = failed(judged(root))
    assert "the future was in the training" in reasons["leak.time_order"]
    assert "rows of the test are in training" in reasons["leak.overlap"]


@pytest.mark.usefixtures("home")
def test_a_model_on_shuffled_features_is_refused(checkout: Checkout, tmp_path: Path) -> None:
    root = tmp_path / "shuffled"
    reasons = failed(judged(make_checkout(root, twin=True).root))
    assert "features of other items" in reasons["content.twin"]


@pytest.mark.usefixtures("home")
def test_popularity_in_disguise_is_refused(checkout: Checkout, tmp_path: Path) -> None:
    disguised = Popularity(PopularityParams(half_life_days=13.0))
    disguised.fit(checkout.fitted.catalog, checkout.fitted.split.train)
    reasons = failed(judged(replan(checkout, tmp_path / "disguise", disguised).root))
    assert "not shown to be better" in reasons["baseline.popularity"]
    assert "baseline.ease" in reasons


def promoted(root: Path) -> str:
    """Version of a checkout that went all the way."""
    version = registered(root)
    client = server.connect()
    if approval.read_record(client, versions.resolve(client, version)) is None:
        gate(version, root)
        approval.record(version, approved=True, who="approver", why=REASON)
    promotion.promote(version)
    return version


@pytest.mark.usefixtures("home")
def test_on_the_same_split_the_evaluated_models_are_compared(checkout: Checkout, tmp_path: Path) -> None:
    champion = promoted(checkout.root)
    worse = Ease(EaseParams(l2=20.0))
    worse.fit(checkout.fitted.catalog, checkout.fitted.split.train)
    report = judged(replan(checkout, tmp_path / "worse", worse).root)
    assert report.champion == champion
    assert "worse than the champion" in failed(report)["champion.all"]
    assert {c.name: c.void for c in report.checks}["champion.light_users"]  # too few of them here
    body = approval.request_body(report.version)
    assert f"champion (version {champion})" in body
    assert "compare-runs?runs=" in body


@pytest.mark.usefixtures("home")
def test_a_champion_that_has_seen_the_test_is_no_rival(checkout: Checkout, tmp_path: Path) -> None:
    champion = promoted(checkout.root)
    root = tmp_path / "later"
    shutil.copytree(checkout.root / "data", root / "data")
    move_split(root, val=0.75, test=0.85)
    report = judged(remake(root).root)
    check = next(c for c in report.checks if c.name.startswith("champion"))
    assert check.void and check.passed
    assert "it has seen the answers" in check.explanation
    assert f"Version {champion}" in check.explanation


def test_a_champion_of_the_past_is_scored_on_the_new_test(home: Path, checkout: Checkout, tmp_path: Path) -> None:
    promoted(checkout.root)
    client = server.connect()
    champion = versions.champion(client)
    assert champion is not None
    report = Report.read(checkout.root)
    assert rivalry.reached(champion, report) is not None
    champion.tags["avrec.trained_through"] = "2026-02-01T00:00:00+00:00"
    assert rivalry.reached(champion, report) is None
    champion.tags["avrec.split_md5"] = "another"
    evidence = Evidence.read(checkout.root / "artifacts" / "evaluation" / "per_user.parquet")
    found = list(rivalry.against_champion(client, report, evidence, champion, load_policy()))
    assert [c.name for c in found] == ["champion.all", "champion.cold_all", "champion.light_users"]
    assert not found[0].void


def move_split(root: Path, val: float, test: float) -> None:
    table = pq.read_table(root / "data" / "valid" / "interactions.parquet")
    n = table.num_rows
    for part, (a, b) in {"train": (0, val), "val": (val, test), "test": (test, 1.0)}.items():
        rows = table.slice(int(n * a), int(n * b) - int(n * a))
        pq.write_table(rows, root / "data" / "split" / f"{part}.parquet")


def remake(root: Path) -> Checkout:
    fitted = fit_all(root)
    evaluate(root, fitted)
    write_refit(root, fitted, fitted.matchers["hybrid"])
    write_lock(root, default_params())
    return Checkout(root, fitted)


@pytest.mark.usefixtures("home")
def test_bounds_of_table_and_latency_hold(checkout: Checkout) -> None:
    values = load_policy().model_dump()
    values["table"] |= {"max_rows": 100, "min_users": 1000}
    values["latency"] |= {"max_p95_ms": 1e-6}
    values["minimum"] = {"all": {"ndcg@10": 0.99}, "light_users": {"map@7": 0.1}}
    reasons = failed(judged(checkout.root, Policy.model_validate(values)))
    assert set(reasons) == {
        "table.rows", "table.users", "latency.p95_ms", "minimum.all ndcg@10", "minimum.light_users map@7",
    }  # fmt: skip


@pytest.mark.usefixtures("home")
def test_the_gate_wants_the_checkout_of_the_version(checkout: Checkout, tmp_path: Path) -> None:
    version = registered(checkout.root)
    root = tmp_path / "other"
    shutil.copytree(checkout.root, root)
    write_lock(root, default_params(matching={"seed": 99}))
    with pytest.raises(RegistryError, match="avrec data checkout"):
        gate(version, root)
    with pytest.raises(RegistryError, match="registered versions"):
        gate("77", checkout.root)


def test_stages_must_have_used_the_same_split(checkout: Checkout) -> None:
    report = Report.read(checkout.root)
    assert leaks.lineage(report).passed
    report.lock_entries["train@content"]["deps"]["data/split"] = "another.dir"
    check = leaks.lineage(report)
    assert not check.passed
    assert "train@content used another data/split" in check.explanation


def test_rows_newer_than_the_data_set_are_found(checkout: Checkout, tmp_path: Path) -> None:
    root = tmp_path / "late"
    shutil.copytree(checkout.root, root)
    meta = root / "data" / "valid" / "dataset.json"
    meta.write_text(meta.read_text().replace("2026-03-02", "2026-02-20"))
    found = {check.name: check for check in leaks.dates(Report.read(root))}
    assert not found["leak.interactions_dates"].passed
    assert found["leak.interactions_dates"].value > 100


def test_a_report_survives_json() -> None:
    from avrec.registry.verdict import Check

    report = GateReport("1", "r", None, True, (Check("a", False, "why", 1.0, 2.0),), "2026-01-01", {"x": 1})
    assert GateReport.from_json(report.to_json()) == report
    assert report.reasons == ("why",)
    assert "REFUSED" in report.markdown()


def test_figures_are_written_for_a_person() -> None:
    assert [number(value) for value in (None, 0, 0.0172, 36.08, 10020.0, 5e8)] == [
        "", "0", "0.0172", "36.08", "10,020", "500,000,000",
    ]  # fmt: skip
