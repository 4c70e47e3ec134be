"""The gate: judges a version against bounds, baselines, its shuffled twin and the champion. It never promotes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from avrec.errors import RegistryError
from avrec.registry import checks, versions
from avrec.registry import client as server
from avrec.registry.evidence import Evidence
from avrec.registry.latency import latency
from avrec.registry.leaks import data_checks
from avrec.registry.policy import Policy, load_policy
from avrec.registry.report import Report
from avrec.registry.rivalry import against_champion
from avrec.registry.verdict import Check, GateReport, void

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

ARTIFACT = "gate.json"
_LONGEST_TAG = 4000


def gate(name: str, root: Path, policy: Policy | None = None) -> GateReport:
    """Judges a version and writes the verdict to MLflow (`gate.json` in its run, tags on run and version).

    Args:
        name: Version number or alias.
        root: The checkout the version came from, with `data/` and `artifacts/`.
        policy: `mlflow/promotion.yaml` by default.

    Raises:
        RegistryError: no such version, the checkout is of another one, or its files were changed.
    """
    policy = policy or load_policy()
    client = server.connect()
    version = versions.resolve(client, name)
    report = Report.read(root)
    if report.key != version.tags.get("avrec.key"):
        raise RegistryError(
            f"{root} is not the checkout of version {version.version}; get it with "
            f"`avrec data checkout {version.tags.get('avrec.run_id', 'RUN')}` and run the gate there."
        )
    champion = versions.champion(client)
    judged = GateReport(
        version=version.version,
        run_id=version.run_id,
        champion=champion.version if champion else None,
        synthetic=report.synthetic,
        checks=tuple(_checks(client, version, champion, report, policy)),
        judged_at=datetime.now(UTC).isoformat(timespec="seconds"),
        thresholds=policy.model_dump(mode="json"),
    )
    _write(client, version, judged)
    return judged


def read_report(client: MlflowClient, version: ModelVersion) -> GateReport:
    """The last verdict on a version.

    Raises:
        RegistryError: the gate has not judged it.
    """
    import mlflow

    if not version.tags.get("avrec.gate"):
        raise RegistryError(f"version {version.version} was not judged; run `avrec models gate {version.version}`.")
    return GateReport.from_json(mlflow.artifacts.load_dict(f"runs:/{version.run_id}/{ARTIFACT}"))


def _checks(
    client: MlflowClient, version: ModelVersion, champion: ModelVersion | None, report: Report, policy: Policy
) -> Iterator[Check]:
    evidence = Evidence.read(report.root / "artifacts" / "evaluation" / "per_user.parquet")
    yield from data_checks(report)
    yield from checks.quotients(report, policy)
    yield from checks.absolute(report, policy)
    yield from checks.baselines(report, evidence, policy)
    yield checks.content(report, evidence, policy)
    if champion is None:
        yield void("champion", "there is no champion yet.")
    elif champion.version == version.version:
        yield void("champion", "it is the champion.")
    else:
        yield from against_champion(client, report, evidence, champion, policy)
    yield from checks.table(report, policy, int(report.bundle.get("k") or 20))
    with tempfile.TemporaryDirectory() as scratch:
        yield latency(versions.fetch_model(client, version.version, Path(scratch) / "model"), policy.latency)


def _write(client: MlflowClient, version: ModelVersion, judged: GateReport) -> None:
    client.log_dict(version.run_id, judged.to_json(), ARTIFACT)
    client.log_text(version.run_id, judged.markdown(), "gate.md")
    reasons = " ".join(judged.reasons)[:_LONGEST_TAG]
    versions.tag(client, version, {"avrec.gate": judged.verdict, "avrec.gate_reasons": reasons or "none"})
