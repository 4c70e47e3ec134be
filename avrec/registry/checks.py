"""The checks that need nothing but the version's own reports."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.parquet as pq

from avrec.registry.evidence import Evidence, compare
from avrec.registry.metrics import DEPLOYED, TWIN
from avrec.registry.policy import Policy
from avrec.registry.report import Report
from avrec.registry.verdict import Check, void

MB = 1_000_000


def absolute(report: Report, policy: Policy) -> Iterator[Check]:
    """Every bound of the policy against the deployed model's figures on test."""
    slices = report.evaluation.get("matchers", {}).get(DEPLOYED, {})
    for kind, bounds in (("minimum", policy.minimum), ("maximum", policy.maximum)):
        for part, metrics in bounds.items():
            for metric, bound in metrics.items():
                name = f"{kind}.{part} {metric}"
                value = slices.get(part, {}).get(metric)
                if value is None:
                    yield Check(name, False, f"{metric} on '{part}' was not measured, so its bound cannot be held.")
                elif kind == "minimum":
                    yield Check(name, value >= bound, f"{metric} on '{part}' must be at least {bound}.", value, bound)
                else:
                    text = f"{metric} on '{part}' above {bound} is too good to be true: look for test data in training."
                    yield Check(name, value <= bound, text, value, bound)


def baselines(report: Report, evidence: Evidence, policy: Policy) -> Iterator[Check]:
    """Better than every baseline, the whole paired interval above zero."""
    mine = evidence.of(DEPLOYED, "all", report.primary)
    for other in policy.baselines:
        name = f"baseline.{other}"
        theirs = evidence.of(other, "all", report.primary)
        if not len(theirs):
            yield Check(name, False, f"{other} was not evaluated; a version must be measured against it.")
            continue
        found = compare(mine, theirs, policy.paired)
        if found is None:
            yield Check(name, False, f"fewer than {policy.paired.min_users} test users: too few to beat {other}.")
            continue
        d = found.difference
        better = d.lower > 0
        text = f"{report.primary} is {d.mean:+.4f} [{d.lower:+.4f}, {d.upper:+.4f}] against {other}"
        yield Check(name, better, text + (": better." if better else ": not shown to be better."), d.lower, 0.0)


def content(report: Report, evidence: Evidence, policy: Policy) -> Check:
    """The twin with shuffled features must be clearly worse on at least one slice."""
    found = {}
    for part in policy.content.slices:
        real, twin = (evidence.of(name, part, report.primary) for name in (DEPLOYED, DEPLOYED + TWIN))
        result = compare(real, twin, policy.paired)
        if result is not None:
            found[part] = result.difference
    if not found:
        return Check("content.twin", False, "No twin with shuffled features was evaluated: run `dvc repro evaluate`.")
    part, best = max(found.items(), key=lambda pair: pair[1].lower)
    said = f"real features against shuffled ones on '{part}': {best.mean:+.4f} [{best.lower:+.4f}, {best.upper:+.4f}]"
    if best.lower > 0:
        return Check("content.twin", True, f"{said}: the content helps.", best.lower, 0.0)
    text = f"{said}: the model does as well with features of other items; are they lined up with the items?"
    return Check("content.twin", False, text, best.lower, 0.0)


def table(report: Report, policy: Policy, k: int) -> Iterator[Check]:
    """Size of the table it would publish, and of the bundle."""
    folder, bounds = report.bundle_folder, policy.table
    items = pq.read_metadata(folder / "items.parquet").num_rows
    users = _known_users(report)
    rows = (users + 1) * k
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / MB
    yield Check("table.items", items >= bounds.min_items, "items it can recommend", items, bounds.min_items)
    yield Check("table.users", users >= bounds.min_users, "people it has a history of", users, bounds.min_users)
    yield Check("table.rows", rows <= bounds.max_rows, f"rows of the table at {k} a list", rows, bounds.max_rows)
    yield Check("table.bundle_mb", size <= bounds.max_bundle_mb, "size of the bundle, MB", size, bounds.max_bundle_mb)


def quotients(report: Report, policy: Policy) -> Iterator[Check]:
    """Figures that are too good beside others of the same run."""
    matchers, leak = report.evaluation.get("matchers", {}), policy.leak
    mine = matchers.get(DEPLOYED, {}).get("all", {}).get(report.primary)
    validation = (report.training.get(DEPLOYED, {}).get("val") or {}).get(report.primary)
    yield _quotient("leak.test_over_validation", mine, validation, leak.max_test_over_validation, "validation")
    best = report.evaluation.get("best_single")
    single = matchers.get(best, {}).get("all", {}).get(report.primary)
    yield _quotient("leak.over_best_single", mine, single, leak.max_over_best_single, f"its best part, {best}")
    for name in policy.baselines:
        value = matchers.get(name, {}).get("cold_all", {}).get(report.primary)
        if value is not None:
            text = (
                f"{name} knows ids only, so it can know nothing of items that no one met in training. Where people "
                "have met nearly all of a small catalogue, new items are what is left for it: then raise "
                "leak.max_cold_by_ids in mlflow/promotion.yaml."
            )
            yield Check(f"leak.cold_by_{name}", value <= leak.max_cold_by_ids, text, value, leak.max_cold_by_ids)


def _quotient(name: str, mine: float | None, other: float | None, bound: float, what: str) -> Check:
    if mine is None or not other:
        return void(name, f"no figure of {what} to compare with.")
    value = mine / other
    text = f"test is {value:.2f} times {what}; above {bound} the future was probably in the training."
    return Check(name, value <= bound, text, value, bound)


def _known_users(report: Report) -> int:
    import numpy as np

    with np.load(report.bundle_folder / "histories.npz", allow_pickle=False) as arrays:
        return len(arrays["user_ids"])
