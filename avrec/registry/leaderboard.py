"""The leaderboard: every matcher of a run by slice, and the runs before it, as one static page."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from avrec.registry.metrics import DEPLOYED, TWIN
from avrec.registry.naming import legal, slice_prefix
from avrec.registry.report import Report

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

FILE = "leaderboard.html"
MOST_RUNS = 50
SLICES = ("all", "cold_all", "cold_only", "light_users", "missing_modality")

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:0 0 1.5rem}td,th{padding:.25rem .7rem;border-bottom:1px solid #ddd;
text-align:right}td:nth-child(2),th:nth-child(2){text-align:left}.own{font-weight:600;background:#f2f6ff}
.note{background:#fff6dd;padding:.6rem 1rem}.worse{color:#9a2c00}.better{color:#0a6b2c}h2{margin-top:2.2rem}"""


@dataclass(frozen=True)
class Earlier:
    """A run that was tracked before.

    Attributes:
        name: As MLflow shows it.
        same_test: Whether its figures are of the same test people and items.
        values: Primary metric of its hybrid by slice.
    """

    name: str
    same_test: bool
    values: Mapping[str, float]


def earlier_runs(client: MlflowClient, run: Run, report: Report) -> list[Earlier]:
    """Complete runs other than this one, newest first."""
    found = client.search_runs([run.info.experiment_id], "tags.`avrec.complete` = 'true'", max_results=MOST_RUNS + 1)
    split = report.outputs.get("data/split", "")
    return [
        Earlier(
            str(other.info.run_name),
            bool(split) and other.data.tags.get("avrec.split_md5") == split,
            _values(other.data.metrics, report.primary),
        )
        for other in found
        if other.info.run_id != run.info.run_id
    ][:MOST_RUNS]


def _values(metrics: Mapping[str, float], primary: str) -> dict[str, float]:
    named = {part: f"{slice_prefix(part)}/{legal(primary)}" for part in SLICES}
    return {part: metrics[name] for part, name in named.items() if name in metrics}


def leaderboard(report: Report, earlier: Sequence[Earlier] = ()) -> str:
    """The page.

    Args:
        report: Of the run.
        earlier: Runs to list below its matchers.
    """
    evaluation, primary = report.evaluation, report.primary
    counts: Mapping[str, int] = evaluation.get("counts", {})
    parts = [
        f"<h1>Leaderboard: {html.escape(primary)} on test</h1>",
        *(["<p class='note'><b>Synthetic data:</b> these figures say nothing about real people.</p>"]
          if report.synthetic else []),
        "<p>Full ranking over all items, what was seen is left out. Brackets: 95 % bootstrap interval over people. The "
        f"last column is {DEPLOYED} less the row, person by person; a difference whose interval holds 0 may be chance."
        " Rows named shuffled had the content of other items.</p>",
        *(_section(report, name) for name in SLICES if name in counts),
        *_others(report, [name for name in counts if name not in SLICES]),
        _runs(report, earlier),
    ]  # fmt: skip
    body = "\n".join(parts)
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Leaderboard</title>"
        f"<style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )


def _section(report: Report, part: str) -> str:
    recall = "recall@" + report.primary.split("@")[-1]
    matchers: Mapping[str, Any] = report.evaluation.get("matchers", {})
    there = {name: slices[part] for name, slices in matchers.items() if report.primary in slices.get(part, {})}
    gains: Mapping[str, Any] = report.json("artifacts/evaluation/comparison.json", {})
    bounds: Mapping[str, Any] = report.evaluation.get("intervals", {})
    rows = []
    for rank, name in enumerate(sorted(there, key=lambda n: -there[n][report.primary]), start=1):
        value = _figure(there[name][report.primary]) + _bounds(bounds.get(name, {}).get(part, {}).get(report.primary))
        cells = [str(rank), html.escape(name.replace(TWIN, ", shuffled")), value, _figure(there[name].get(recall))]
        cells += ["" if name == DEPLOYED else _gain(gains.get(name, {}).get(part))]
        rows.append(_row(cells, name == DEPLOYED))
    head = _row(["", "matcher", report.primary, recall, f"{DEPLOYED} is ahead by"], head=True)
    return f"<h2>{part}: {report.evaluation['counts'][part]} people</h2>\n<table>{head}{''.join(rows)}</table>"


def _others(report: Report, names: Sequence[str]) -> Iterator[str]:
    """Categories and groups of people: one table, the best matcher of each named."""
    if not names:
        return
    matchers: Mapping[str, Any] = report.evaluation.get("matchers", {})
    real = [name for name in matchers if not name.endswith(TWIN)]
    rows = []
    for part in sorted(names):
        values = {name: matchers[name].get(part, {}).get(report.primary) for name in real}
        known = {name: value for name, value in values.items() if value is not None}
        best = max(known, key=lambda name: known[name]) if known else ""
        cells = ["", html.escape(part), str(report.evaluation["counts"][part]), _figure(known.get(DEPLOYED))]
        rows.append(_row([*cells, f"{html.escape(best)} {_figure(known.get(best))}"]))
    head = _row(["", "slice", "people", DEPLOYED, "best"], head=True)
    yield f"<h2>Categories and groups of people</h2>\n<table>{head}{''.join(rows)}</table>"


def _runs(report: Report, earlier: Sequence[Earlier]) -> str:
    mine: Mapping[str, Any] = report.evaluation.get("matchers", {}).get(DEPLOYED, {})
    own = Earlier("this run", True, {p: mine[p][report.primary] for p in SLICES if report.primary in mine.get(p, {})})
    ordered = sorted([own, *earlier], key=lambda one: (not one.same_test, -one.values.get("all", -1.0)))
    rows = [
        _row(["", html.escape(one.name), *(_figure(one.values.get(part)) for part in SLICES),
              "yes" if one.same_test else "no: not comparable"], one is own)
        for one in ordered
    ]  # fmt: skip
    head = _row(["", "run", *SLICES, "same test"], head=True)
    return f"<h2>Runs ({DEPLOYED})</h2>\n<table>{head}{''.join(rows)}</table>"


def _gain(found: Mapping[str, Any] | None) -> str:
    if not found or "difference" not in found:
        return "n/a"
    lower, upper = found["lower"], found["upper"]
    word = "better" if lower > 0 else "worse" if upper < 0 else "may be chance"
    return f"<span class='{word}'>{found['difference']:+.4f} ({lower:+.4f} to {upper:+.4f}): {word}</span>"


def _row(cells: Sequence[str], own: bool = False, head: bool = False) -> str:
    tag = "th" if head else "td"
    inner = "".join(f"<{tag}>{cell}</{tag}>" for cell in cells)
    return f"<tr{' class=own' if own else ''}>{inner}</tr>"


def _bounds(found: Sequence[float] | None) -> str:
    return f" ({found[0]:.4f} to {found[1]:.4f})" if found else ""


def _figure(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, (int, float)) else "n/a"
