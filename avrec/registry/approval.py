"""The approval record: who decided what about a version, when and why. Written once, for both outcomes."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from avrec.errors import RegistryError
from avrec.platform.identity import DEMO_APPROVER, read_users, users_file
from avrec.registry import card, leaderboard, versions
from avrec.registry import client as server
from avrec.registry.gate import read_report
from avrec.registry.policy import Policy, load_policy
from avrec.settings import settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

ARTIFACT = "approval.json"
APPROVED, REJECTED = "approved", "rejected"
_LONGEST_TAG = 4000


@dataclass(frozen=True)
class ApprovalRecord:
    """What was decided about a version.

    Attributes:
        version, run_id: Registered version and its MLflow run.
        decision: approved or rejected.
        who, when, why: Person, ISO instant, reason.
        automated: No person stands behind it (the demo's approver).
        override: Approved although the gate had refused.
        gate: The gate's verdict, with the reasons of a refusal.
        synthetic: The figures are of data no person made.
        champion: Version that served at that time, if one did.
        metrics: The deployed model on test, by slice.
        thresholds: The policy the gate had used.
        dataset_version, bundle_md5, commit, dvc_run: What it was made of.
    """

    version: str
    run_id: str
    decision: str
    who: str
    when: str
    why: str
    automated: bool
    override: bool
    gate: dict[str, Any]
    synthetic: bool
    champion: str | None
    metrics: dict[str, float]
    thresholds: dict[str, Any]
    dataset_version: str
    bundle_md5: str
    commit: str
    dvc_run: str


def record(name: str, *, approved: bool, who: str, why: str, when: datetime | None = None, override: bool = False,
           automated: bool = False, policy: Policy | None = None) -> ApprovalRecord:  # fmt: skip
    """Writes the decision on a judged version: `approval.json` in its run, tags on run and version.

    Args:
        name: Version number or alias.
        approved: The decision.
        who: Authenticated user name; must be an approver of the policy, or the demo's.
        why: Reason.
        when: Time of the answer; now by default.
        override: Approve a version that the gate refused.
        automated: No person stands behind the answer.
        policy: `mlflow/promotion.yaml` by default.

    Raises:
        RegistryError: not an approver, no reason, not judged, refused by the gate without override, or decided before.
    """
    policy = policy or load_policy()
    client = server.connect()
    version = versions.resolve(client, name)
    automated = automated or who == DEMO_APPROVER
    _check_person(who, automated, policy)
    why = _checked_reason(why, policy)
    with one_at_a_time():
        if approved:
            versions.refuse_revoked(version)
        _refuse_second(client, version)
        made = _make(client, version, approved, who, why, when or datetime.now(UTC), override, automated)
        client.log_dict(version.run_id, asdict(made), ARTIFACT)
        versions.tag(client, version, _tags(made))
    return made


def read_record(client: MlflowClient, version: ModelVersion) -> ApprovalRecord | None:
    """The decision on a version; None where nobody has decided.

    Raises:
        RegistryError: tags and `approval.json` do not say the same: somebody edited one of them.
    """
    import mlflow

    if not any(file.path == ARTIFACT for file in client.list_artifacts(version.run_id)):
        if version.tags.get("avrec.approval"):
            raise RegistryError(f"version {version.version} is tagged as decided but has no {ARTIFACT}; not trusted.")
        return None
    made = ApprovalRecord(**mlflow.artifacts.load_dict(f"runs:/{version.run_id}/{ARTIFACT}"))
    if made.version != version.version or made.bundle_md5 != version.tags.get("avrec.bundle_md5"):
        raise RegistryError(f"{ARTIFACT} of version {version.version} speaks of another model; not trusted.")
    if version.tags.get("avrec.approval") not in (None, made.decision):
        raise RegistryError(f"tag and {ARTIFACT} of version {version.version} contradict each other; not trusted.")
    return made


def request_body(name: str, links: Mapping[str, str] | None = None) -> str:
    """What the person who decides is shown, as Markdown: challenger, champion and baselines side by side, what
    would change in people's lists, the gate.

    Args:
        name: Version number or alias.
        links: Further pages by title (data docs, recommendation page); the MLflow ones are added.
    """
    from avrec.registry.shadow import read_shadow
    from avrec.registry.sidebyside import side_by_side

    client = server.connect()
    version = versions.resolve(client, name)
    report = read_report(client, version)
    champion = versions.champion(client)
    lines = [f"## Version {version.version} of {server.MODEL}", ""]
    if report.synthetic:
        lines += ["**Synthetic data:** the figures say nothing about people.", ""]
    lines += side_by_side(client, version, champion)
    made = read_shadow(client, version)
    lines += ["", *(made.markdown() if made else []), report.markdown(), "### Look closer", ""]
    pages = {**_links(client, version, champion), **(links or {})}
    lines += [f"- [{title}]({address})" for title, address in pages.items()]
    lines += ["", "A reason is required. Both answers are recorded with your name.", ""]
    return "\n".join(lines)


def comparison_address(client: MlflowClient, runs: list[str]) -> str:
    """Address of MLflow's page that compares runs."""
    experiment = server.experiment_id(client)
    quoted = ",".join(f"%22{run}%22" for run in runs)
    return f"{_page(client)}/#/compare-runs?runs=[{quoted}]&experiments=[%22{experiment}%22]"


def _links(client: MlflowClient, version: ModelVersion, champion: ModelVersion | None) -> dict[str, str]:
    run = f"{_page(client)}/#/experiments/{server.experiment_id(client)}/runs/{version.run_id}"
    artifacts = {"model card": card.FILE, "leaderboard": leaderboard.FILE, "data docs in the run": "data_docs"}
    pages = {"the run in MLflow": run, **{title: f"{run}/artifacts/{path}" for title, path in artifacts.items()}}
    if champion is not None and champion.run_id != version.run_id:
        pages["compare with the champion"] = comparison_address(client, [champion.run_id, version.run_id])
    return pages


def _page(client: MlflowClient) -> str:
    uri = str(client.tracking_uri)
    return uri.rstrip("/") if uri.startswith("http") else settings().mlflow_uri.rstrip("/")


def _check_person(who: str, automated: bool, policy: Policy) -> None:
    if who not in policy.approvers and not (automated and _is_demo_approver(who)):
        raise RegistryError(
            f"'{who}' is not an approver; mlflow/promotion.yaml names {', '.join(policy.approvers)}. "
            "Add the name there, in git, or ask one of them."
        )


def _is_demo_approver(who: str) -> bool:
    """The demo's approver exists only where `avrec up` made a demo home."""
    return who == DEMO_APPROVER and users_file().exists() and who in read_users()


def _checked_reason(why: str, policy: Policy) -> str:
    why = " ".join(why.split())
    if len(why) < policy.min_reason:
        raise RegistryError(f"why: a reason of at least {policy.min_reason} characters is required, got '{why}'.")
    return why


def _refuse_second(client: MlflowClient, version: ModelVersion) -> None:
    before = read_record(client, version)
    if before is not None:
        raise RegistryError(
            f"version {version.version} was {before.decision} by {before.who} on {before.when}: '{before.why}'. "
            "A decision stands; train again for a new version."
        )


def _make(client: MlflowClient, version: ModelVersion, approved: bool, who: str, why: str, when: datetime,
          override: bool, automated: bool) -> ApprovalRecord:  # fmt: skip
    report = read_report(client, version)
    if approved and not report.passed and not override:
        raise RegistryError(
            f"the gate refused version {version.version}: {' '.join(report.reasons)} "
            "Reject it, or approve with override."
        )
    champion, tags = versions.champion(client), version.tags
    return ApprovalRecord(
        version=version.version,
        run_id=version.run_id,
        decision=APPROVED if approved else REJECTED,
        who=who,
        when=when.astimezone(UTC).isoformat(timespec="seconds"),
        why=why,
        automated=automated,
        override=approved and not report.passed,
        gate={"verdict": report.verdict, "reasons": list(report.reasons), "judged_at": report.judged_at},
        synthetic=report.synthetic,
        champion=champion.version if champion else None,
        metrics=deployed_metrics(client, version.run_id),
        thresholds=report.thresholds,
        dataset_version=tags.get("avrec.dataset_version", ""),
        bundle_md5=tags.get("avrec.bundle_md5", ""),
        commit=tags.get("avrec.commit", ""),
        dvc_run=tags.get("avrec.run_id", ""),
    )


def deployed_metrics(client: MlflowClient, run_id: str) -> dict[str, float]:
    """Figures of the deployed model on test, all slices."""
    values = client.get_run(run_id).data.metrics
    return {
        n: v
        for n, v in sorted(values.items())
        if n.startswith("test") and not n.startswith(("test_users", "test_by_k"))
    }


def _tags(made: ApprovalRecord) -> dict[str, str]:
    return {
        "avrec.approval": made.decision,
        "avrec.approved_by" if made.decision == APPROVED else "avrec.rejected_by": made.who,
        "avrec.decided_at": made.when,
        "avrec.decision_reason": made.why[:_LONGEST_TAG],
        "avrec.override": str(made.override).lower(),
        "avrec.automated": str(made.automated).lower(),
    }


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Two answers on this machine cannot both find that nobody has answered."""
    path = settings().home / "mlflow" / "decisions.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def decided(version: ModelVersion) -> str:
    """One line on the decision, from the tags: for lists."""
    tags = version.tags
    word = tags.get("avrec.approval")
    if not word:
        return "open"
    who = tags.get("avrec.approved_by") or tags.get("avrec.rejected_by")
    marks = [
        m for m, on in (("automated", "avrec.automated"), ("override", "avrec.override")) if tags.get(on) == "true"
    ]
    when = str(tags.get("avrec.decided_at"))[:16].replace("T", " ")
    return " ".join([word, f"by {who},", f"{when} UTC", *(f"({mark})" for mark in marks)])
