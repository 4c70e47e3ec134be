"""Challenger, champion and baselines beside each other, for the person who decides and for the list of versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avrec.registry.naming import legal, slice_prefix

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

SLICES = ("all", "cold_all", "cold_only", "light_users", "missing_modality")


def side_by_side(client: MlflowClient, version: ModelVersion, champion: ModelVersion | None) -> list[str]:
    """A Markdown table: a row a slice, a column each for challenger, champion and baselines, in the primary metric."""
    shown = version.tags.get("avrec.primary", "ndcg@10")
    primary = legal(shown)
    mine = client.get_run(version.run_id).data.metrics
    baselines = sorted({name.split("/")[1] for name in mine if name.startswith("baselines/")})
    columns = {f"challenger (version {version.version})": {s: mine.get(f"{slice_prefix(s)}/{primary}") for s in SLICES}}
    if champion is not None and champion.run_id != version.run_id:
        theirs = client.get_run(champion.run_id).data.metrics
        title = f"champion (version {champion.version})"
        columns[title] = {s: theirs.get(f"{slice_prefix(s)}/{primary}") for s in SLICES}
    for name in baselines:
        columns[name] = {s: mine.get(baseline_metric(name, s, primary)) for s in SLICES}
    lines = [f"| {shown} on test | " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(columns)]
    for part in SLICES:
        values = [column.get(part) for column in columns.values()]
        if any(value is not None for value in values):
            lines.append(f"| {part} | " + " | ".join("n/a" if v is None else f"{v:.4f}" for v in values) + " |")
    if champion is not None and champion.tags.get("avrec.split_md5") != version.tags.get("avrec.split_md5"):
        lines += ["", "The champion's figures are from its own test, of other days: the gate says what is comparable."]
    return lines


def baseline_metric(matcher: str, part: str, metric: str) -> str:
    """Name under which `metrics.points` logs a baseline."""
    return legal(f"baselines/{matcher}/{'' if part == 'all' else part + '/'}{metric}")
