"""The page of a run in words: what it is, how good, and what changed since the champion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from avrec.registry.metrics import DEPLOYED, TWIN
from avrec.registry.report import Report

if TYPE_CHECKING:
    from mlflow.entities import Run

_SLICES = ("all", "cold_all", "cold_only", "light_users", "missing_modality")
_CHANGES_SHOWN = 25


def run_name(report: Report) -> str:
    """Source, day and key: `demo 2026-03-01 4f1c9a2e (synthetic)`."""
    data = report.params.get("dataset", {})
    day = str(data.get("as_of") or "").split("T")[0]
    words = [str(data.get("source", "unknown")), day, report.key[:8], "(synthetic)" if report.synthetic else ""]
    return " ".join(word for word in words if word)


def note(report: Report, before: Run | None, parameters: dict[str, str]) -> str:
    """Markdown shown at the head of the run's page.

    Args:
        report: What is being tracked.
        before: The champion's run; None where there is none yet.
        parameters: Parameters of this run as logged.
    """
    lines = [f"# {run_name(report)}", ""]
    if report.synthetic:
        lines += ["> **Synthetic data.** The figures say that the machinery works, not how good it is on people.", ""]
    lines += _table(report)
    lines += ["", "## Data and code", "", f"- validated data: `{report.dataset_version}`"]
    lines += [f"- model bundle: `{report.bundle_md5}`, trained through {report.bundle.get('trained_through') or 'n/a'}"]
    period = report.test_period
    lines += [f"- test period: {period.get('from') or 'given split'} to {period.get('to') or 'given split'}", ""]
    if before is not None:
        lines += _changes(before, parameters)
    return "\n".join(lines) + "\n"


def _table(report: Report) -> list[str]:
    matchers: dict[str, Any] = report.evaluation.get("matchers", {})
    names = [name for name in _SLICES if any(name in slices for slices in matchers.values())]
    lines = [f"## {report.primary} of every matcher, test users", "", "| matcher | " + " | ".join(names) + " |"]
    lines.append("| --- |" + " ---: |" * len(names))
    for matcher in sorted(matchers, key=lambda name: (name.endswith(TWIN), name != DEPLOYED)):
        cells = [_cell(matchers[matcher].get(name, {}).get(report.primary)) for name in names]
        label = matcher.replace(TWIN, ", features shuffled")
        lines.append(f"| {f'**{label}**' if matcher == DEPLOYED else label} | " + " | ".join(cells) + " |")
    return lines


def changed(before: Run | None, parameters: dict[str, str]) -> list[str]:
    """Parameters that differ from an earlier run, as `name: old -> new`; fingerprints of code and results left out."""
    if before is None:
        return []
    old = before.data.params
    names = sorted(n for n in {*old, *parameters} if not n.startswith(("code.", "model.")))
    return [
        f"{name}: {old.get(name, 'not set')} -> {parameters.get(name, 'not set')}"
        for name in names
        if old.get(name) != parameters.get(name)
    ]


def _changes(before: Run, parameters: dict[str, str]) -> list[str]:
    found = changed(before, parameters)
    lines = [f"## What changed since the champion ({before.info.run_name})", ""]
    lines += [f"- `{line}`" for line in found[:_CHANGES_SHOWN]]
    if len(found) > _CHANGES_SHOWN:
        lines.append(f"- and {len(found) - _CHANGES_SHOWN} more; the comparison page shows them all")
    if not found:
        lines.append("- nothing among parameters and data")
    return [*lines, ""]


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, (int, float)) else "n/a"
