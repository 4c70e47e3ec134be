"""The commands `avrec models ...`."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

from avrec.errors import RegistryError
from avrec.registry import approval, card, promotion, runs, versions
from avrec.registry import client as server
from avrec.registry.naming import legal, slice_prefix
from avrec.registry.policy import load_policy
from avrec.registry.verdict import GateReport, number

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from avrec.platform.identity import Identity

_SHOWN_REASON = 60
_MARKS = {"rolled back": promotion.ROLLED_BACK, "revoked": versions.REVOKED}


def print_versions() -> None:
    """Prints every version with aliases, metrics, gate verdict and decision, newest first."""
    client = server.connect()
    found = versions.all_versions(client)
    if not found:
        print("No version is registered yet; `avrec train` or a run of the training DAG makes one.")
        return
    table = Table(title=f"Versions of {server.MODEL} ({client.tracking_uri})", title_justify="left")
    for heading in (
        "version",
        "run",
        "metric",
        "all",
        "cold_all",
        "gate",
        "decision",
        "why",
        "data",
        "trained through",
    ):
        table.add_column(heading, overflow="fold")
    for version in found:
        table.add_row(*_row(client, version))
    _console().print(table)
    print("Model card of a version: `avrec models card VERSION`; its leaderboard is beside it in the run.")


def print_card(name: str) -> None:
    """Prints the model card of a version: use, data, training, metrics by slice, limits.

    Raises:
        RegistryError: no such version, or its run has no card.
    """
    import mlflow.artifacts
    from mlflow.exceptions import MlflowException

    client = server.connect()
    version = versions.resolve(client, name)
    try:
        print(mlflow.artifacts.load_text(f"runs:/{version.run_id}/{card.FILE}"))
    except (MlflowException, OSError) as error:
        raise RegistryError(
            f"version {version.version}: its run {version.run_id} holds no {card.FILE}; it was tracked by an earlier "
            "avrec. Track its run again."
        ) from error


def run_of(name: str) -> str:
    """The run (a git ref) a version was made by.

    Raises:
        RegistryError: no such version.
    """
    return str(versions.resolve(server.connect(), name).tags[runs.RUN_ID])


def gate_version(name: str, root: Path | None = None) -> int:
    """Judges a version with the checkout in `root` (the current folder) and prints every check; 0 passed, 2 refused."""
    from avrec.registry.gate import gate

    report = gate(name, root or Path.cwd())
    _print_report(report)
    return 0 if report.passed else 2


def decide(name: str, approved: bool, reason: str, override: bool = False) -> None:
    """Asks for a login and records the decision."""
    person = _login()
    if not person.may_approve(load_policy().approvers):
        raise RegistryError(f"'{person.name}' may not decide: it takes the role approver and a name in promotion.yaml.")
    made = approval.record(
        name, approved=approved, who=person.name, why=reason, override=override, automated=person.automated
    )
    print(f"Version {made.version} {made.decision} by {made.who}; recorded in run {made.run_id}.")
    if approved:
        print(f"It serves after `avrec models promote {made.version}`.")


def promote_version(name: str, again: bool = False) -> None:
    """Makes an approved version the champion."""
    move = promotion.promote(name, again=again)
    print(f"Version {move.version} is the champion; before: {move.before or 'none'}.")


def roll_back(reason: str) -> promotion.Move:
    """Asks for a login and makes the previous champion the champion again."""
    person = _login()
    if not {"approver", "operator"} & set(person.roles):
        raise RegistryError(f"'{person.name}' may not roll back: it takes the role operator or approver.")
    move = promotion.rollback(person.name, reason)
    print(f"Version {move.version} is the champion again; version {move.before} was rolled back by {move.who}.")
    return move


def _row(client: MlflowClient, version: ModelVersion) -> list[str]:
    tags, metrics = version.tags, client.get_run(version.run_id).data.metrics
    primary = tags.get("avrec.primary", "ndcg@10")
    values = [metrics.get(f"{slice_prefix(part)}/{legal(primary)}") for part in ("all", "cold_all")]
    label = " ".join([version.version, *version.aliases, *(word for word, tag in _MARKS.items() if tags.get(tag))])
    return [
        label,
        version.description or version.run_id,
        primary,
        *("n/a" if value is None else f"{value:.4f}" for value in values),
        tags.get("avrec.gate", "not judged"),
        approval.decided(version),
        textwrap.shorten(tags.get("avrec.decision_reason", ""), _SHOWN_REASON, placeholder=" …"),
        tags.get("avrec.dataset_version", "")[:8],
        tags.get("avrec.trained_through", "n/a")[:10],
    ]


def _print_report(report: GateReport) -> None:
    mark = " (synthetic data)" if report.synthetic else ""
    against = f"champion {report.champion}" if report.champion else "no champion yet"
    table = Table(title=f"Gate on version {report.version}, {against}{mark}", title_justify="left")
    for heading in ("check", "result", "found", "allowed", "meaning"):
        table.add_column(heading, overflow="fold")
    for check in report.checks:
        numbers = (number(value) for value in (check.value, check.bound))
        table.add_row(check.name, check.word, *numbers, check.explanation)
    _console().print(table)
    print(f"Verdict: {report.verdict}" + "".join(f"\n  - {reason}" for reason in report.reasons))


def _login() -> Identity:
    from avrec.platform.identity import login

    return login(_ask("User"), _ask("Password", hidden=True))


def _ask(what: str, hidden: bool = False) -> str:
    """One answer: from a terminal with a prompt, else the next line of stdin (never an argument, which others see)."""
    if sys.stdin.isatty():
        return str(typer.prompt(what, hide_input=hidden))
    line = sys.stdin.readline()
    if not line:
        raise RegistryError(f"{what}: no terminal to ask on; give it as a line of stdin.")
    return line.rstrip("\n")


def _console() -> Any:
    # A narrow pipe would fold the table into one column of letters.
    return Console(width=None if sys.stdout.isatty() else 200)
