"""The page to begin with: who serves, how good it is, what people get, what drifts, what waits for a person."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avrec.monitoring import html
from avrec.monitoring.html import Cell, number
from avrec.recommend.sql import Publication
from avrec.registry import approval, promotion, versions
from avrec.registry import client as server
from avrec.registry.naming import legal, slice_prefix

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

SHOWN = 12
"""Versions and tables on the page."""
SLICES = {"all": "all", "cold_all": "new items", "light_users": "short histories"}


@dataclass(frozen=True)
class Overview:
    """What the page shows.

    Attributes:
        at: When it was made.
        versions: Registered versions, newest first, as rows.
        champion: Version in service; None before the first promotion.
        champion_facts: What is said of it, by name.
        progress: By slice, the primary metric of every version that became champion, at its promotion.
        primary: Name of that metric.
        waiting: Sentences about what waits for a person.
        tables: Publications in force, newest first.
        monitor: The monitor's last `report.json`; None where it never looked.
        pages: Addresses of further pages, by title.
    """

    at: datetime
    versions: Sequence[Sequence[Cell | str]]
    champion: str | None
    champion_facts: Sequence[tuple[str, str]]
    progress: Mapping[str, Sequence[tuple[datetime, float]]]
    primary: str
    waiting: Sequence[str]
    tables: Sequence[Publication]
    monitor: Mapping[str, Any] | None
    pages: Mapping[str, str]


def gather(
    at: datetime, tables: Sequence[Publication], monitor: Path, refused: Mapping[str, str], pages: Mapping[str, str]
) -> Overview:
    """Asks the registry, and adds what the caller knows.

    Args:
        at: Now.
        tables: Publications in force, oldest first.
        monitor: The monitor's `report.json`, there or not.
        refused: Batches of the inbox that wait for a person, with the reason.
        pages: Addresses of further pages, by title.
    """
    client = server.connect()
    found = versions.all_versions(client)
    champion = versions.champion(client)
    report = json.loads(monitor.read_text(encoding="utf-8")) if monitor.is_file() else None
    return Overview(
        at=at,
        versions=[_row(client, version) for version in found[:SHOWN]],
        champion=champion.version if champion else None,
        champion_facts=_facts(champion),
        progress=_progress(client),
        primary=(champion.tags if champion else {}).get("avrec.primary", "ndcg@10"),
        waiting=[*_waiting(found), *(f"Batch {name} was refused: {why.strip()}" for name, why in refused.items())],
        tables=list(reversed(tables))[:SHOWN],
        monitor=report,
        pages=pages,
    )


def render(found: Overview) -> str:
    """The page as text, self-contained."""
    synthetic = bool(found.monitor and found.monitor["report"]["synthetic"])
    facts = [("Made", f"{found.at:%Y-%m-%d %H:%M} UTC"), *found.champion_facts]
    waiting = html.points(found.waiting, "wait") if found.waiting else html.points(["Nothing waits."], "good")
    sections = [
        html.section("Waits for a person", waiting),
        html.section(f"Champions over time: {found.primary} on test", _drawn(found)),
        html.section("Versions", _versions(found)),
        html.section("Tables in force", _tables(found.tables)),
        html.section("Alerts and drift", *_monitor(found)),
        html.section("Put aside", _quarantine(found)),
        html.section("Further pages", _pages(found)),
    ]
    footer = "Made by the command avrec overview and by the DAG avrec_monitor; nothing on it is live."
    return html.page("Overview", "synthetic data" if synthetic else "", facts, sections, footer)


def _row(client: MlflowClient, version: ModelVersion) -> list[Cell | str]:
    metrics, tags = client.get_run(version.run_id).data.metrics, version.tags
    primary = legal(tags.get("avrec.primary", "ndcg@10"))
    gate = tags.get("avrec.gate", "not judged")
    role = ", ".join(version.aliases) or ("rolled back" if tags.get(promotion.ROLLED_BACK) else "")
    return [
        Cell(version.version, "good" if "champion" in role else ""), role,
        *(number(metrics.get(f"{slice_prefix(part)}/{primary}")) for part in SLICES),
        Cell(gate, "good" if gate == "passed" else "bad" if gate == "refused" else ""), approval.decided(version),
        tags.get("avrec.decision_reason", ""), tags.get("avrec.trained_through", "n/a")[:10],
    ]  # fmt: skip


def _facts(champion: ModelVersion | None) -> list[tuple[str, str]]:
    if champion is None:
        return [("Champion", "none yet")]
    tags = champion.tags
    return [
        ("Champion", f"version {champion.version}"),
        ("Approved by", tags.get("avrec.approved_by", "unknown")),
        ("Decided", tags.get("avrec.decided_at", "")[:16].replace("T", " ")),
        ("Trained through", tags.get("avrec.trained_through", "n/a")[:10]),
        ("Run", tags.get("avrec.run_id", "")),
    ]


def _progress(client: MlflowClient) -> dict[str, list[tuple[datetime, float]]]:
    """The primary metric of each champion at the instant it became one."""
    found: dict[str, list[tuple[datetime, float]]] = {name: [] for name in SLICES}
    for move in reversed(promotion.history()):
        version = versions.resolve(client, move.version)
        metrics = client.get_run(version.run_id).data.metrics
        primary = legal(version.tags.get("avrec.primary", "ndcg@10"))
        for name in SLICES:
            value = metrics.get(f"{slice_prefix(name)}/{primary}")
            if value is not None:
                found[name].append((datetime.fromisoformat(move.when), value))
    return {name: values for name, values in found.items() if values}


def _waiting(found: Sequence[ModelVersion]) -> list[str]:
    """Versions that passed the gate and are not decided, and those that are approved and not promoted."""
    said = []
    for version in found:
        tags = version.tags
        if tags.get("avrec.gate") == "passed" and not tags.get("avrec.approval"):
            said.append(
                f"Version {version.version} passed the gate: approve or reject it in Airflow (Required Actions), "
                f"or with `avrec models approve {version.version}`."
            )
        if tags.get("avrec.approval") == approval.APPROVED and promotion.PREVIOUS not in tags:
            said.append(
                f"Version {version.version} is approved but not promoted: `avrec models promote {version.version}`."
            )
    return said


def _drawn(found: Overview) -> str:
    figures = [html.curve(SLICES[name], values) for name, values in found.progress.items()]
    return html.curves(figures) if figures else html.note("No version was promoted yet.")


def _versions(found: Overview) -> str:
    heads = ["version", "role", *SLICES.values(), "gate", "decision", "why", "trained through"]
    return html.table(heads, found.versions) if found.versions else html.note("No version is registered yet.")


def _tables(tables: Sequence[Publication]) -> str:
    if not tables:
        return html.note("Nothing is published yet.")
    rows: list[list[Cell | str]] = [
        [Cell(str(one.run_date), link=f"recommendations/{one.run_date}/index.html"), f"version {one.model_version}",
         f"{one.row_count:,}", f"{one.switched_at:%Y-%m-%d %H:%M}", one.plan.data_run, one.id]
        for one in tables
    ]  # fmt: skip
    return html.table(["day", "model", "rows", "in force since", "data", "publication"], rows)


def _monitor(found: Overview) -> list[str]:
    if found.monitor is None:
        return [html.note("The monitor never looked: `avrec monitor`, or unpause the DAG avrec_monitor.")]
    report, alerts = found.monitor["report"], found.monitor["alerts"]
    rows: list[list[Cell | str]] = [
        [one["name"], Cell(number(one["distance"]), "bad" if one["distance"] > one["bound"] else "good"),
         f"{one['bound']:g}", f"{one['now']:,}"]
        for one in report["drift"]
        if one["distance"] is not None
    ]  # fmt: skip
    said = (
        html.points([one["text"] for one in alerts], "bad") if alerts else html.points(["All within bounds."], "good")
    )
    looked = f"Looked {report['at'][:16].replace('T', ' ')} UTC at {report['data_run']}."
    drift = (
        html.table(["drift of", "distance", "bound", "rows now"], rows)
        if rows
        else html.note("Too few rows to compare.")
    )
    return [said, drift, html.note(looked)]


def _quarantine(found: Overview) -> str:
    counts = found.monitor["report"]["quarantined"] if found.monitor else {}
    rows = [[name, f"{count:,}"] for name, count in counts.items() if count]
    return html.table(["table", "rows put aside in the newest data"], rows) if rows else html.note("Nothing.")


def _pages(found: Overview) -> str:
    return html.table(["page"], [[Cell(title, link=address)] for title, address in found.pages.items()])
