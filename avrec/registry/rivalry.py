"""Challenger against champion: the same people, the same truth, or no comparison at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from avrec.errors import AvrecError
from avrec.registry.evidence import Evidence, compare
from avrec.registry.metrics import DEPLOYED
from avrec.registry.policy import Policy
from avrec.registry.report import Report
from avrec.registry.verdict import Check, void
from avrec.registry.versions import REVOKED, fetch

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

PER_USER = "reports/evaluation/per_user.parquet"


def against_champion(
    client: MlflowClient, report: Report, evidence: Evidence, champion: ModelVersion, policy: Policy
) -> Iterator[Check]:
    """Not worse than the champion on any slice of the policy.

    Two ways are fair. Where both runs were judged on the same split, their evaluated models (fitted on its training
    part alone) are compared. Else the champion itself is scored on the challenger's test, unless its training reached
    into it: it would have seen the answers, and the comparison is void.
    """
    theirs: Evidence | str
    if champion.tags.get(REVOKED):
        yield void("champion", f"version {champion.version} was revoked: it learned from data that were erased.")
        return
    if champion.tags.get("avrec.split_md5") == report.outputs.get("data/split"):
        theirs = _recorded(client, champion)
    else:
        theirs = reached(champion, report) or _scored(champion, report)
    if isinstance(theirs, str):
        yield void("champion", f"{theirs} Version {champion.version} stays the measure of nothing here.")
        return
    for part in policy.champion.slices:
        yield _judge(report, evidence, theirs, part, champion.version, policy)


def reached(champion: ModelVersion, report: Report) -> str | None:
    """Why the champion cannot be scored on this test; None where it can."""
    through, begins = champion.tags.get("avrec.trained_through"), report.test_period.get("from")
    if not begins or not through or through == "None":
        return "the champion was trained on another split and without time nobody can say what it has seen."
    if datetime.fromisoformat(through) >= datetime.fromisoformat(begins):
        return (
            f"the champion was trained through {through}, into the test that begins {begins}: it has seen the answers."
        )
    return None


def _judge(report: Report, mine: Evidence, theirs: Evidence, part: str, version: str, policy: Policy) -> Check:
    name = f"champion.{part}"
    old = theirs.of(DEPLOYED, part, report.primary)
    found = compare(mine.of(DEPLOYED, part, report.primary), old, policy.paired)
    if found is None:
        return void(name, f"fewer than {policy.paired.min_users} people in both.")
    d = found.difference
    allowed = -policy.champion.tolerance * float(old.mean())
    fine = d.upper >= 0 and d.mean >= allowed
    text = f"{report.primary} on '{part}' is {d.mean:+.4f} [{d.lower:+.4f}, {d.upper:+.4f}] against version {version}"
    return Check(name, fine, text + (": not worse." if fine else ": worse than the champion."), d.mean, allowed)


def _recorded(client: MlflowClient, champion: ModelVersion) -> Evidence:
    with tempfile.TemporaryDirectory() as scratch:
        return Evidence.read(Path(client.download_artifacts(champion.run_id, PER_USER, scratch)))


def _scored(champion: ModelVersion, report: Report) -> Evidence | str:
    """The champion on the challenger's test set; a sentence where its model does not fit these data."""
    import pandas as pd

    from avrec.evaluation.evaluate import evaluate_matcher
    from avrec.evaluation.protocol import TestSet
    from avrec.matching.registry import load_matcher
    from avrec.recommend.bundle import Bundle

    data = report.root / "data"
    on = TestSet.read(data / "valid", data / "split", data / "features")
    k = int(report.primary.split("@")[1])
    with tempfile.TemporaryDirectory() as scratch:
        folder = fetch(champion.version, Path(scratch) / "model")
        try:
            bundle = Bundle.load(folder)
            model = load_matcher(folder / "matchers" / bundle.info["serve"], on.catalog)
            people = replace(on.histories, user=bundle.users([on.split.user_ids[u] for u in on.histories.user]))
            slices = [part for part in on.slices if part.detail]
            result = evaluate_matcher(model, people, slices, [k], on.yardstick, k)
        except (AvrecError, ValueError) as error:  # other extractors, items withdrawn: not the same world
            return f"the champion cannot be scored on these data ({error})."
    frames = [
        pd.DataFrame({"matcher": DEPLOYED, "slice": p.name, "user_id": on.user_ids(p), **result[p.name].people})
        for p in slices
    ]
    return Evidence(pd.concat(frames, ignore_index=True))
