"""The monitor's page: what is out of bounds, then every figure with its bound and its curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from avrec.monitoring import html
from avrec.monitoring.drift import Drift
from avrec.monitoring.html import Cell, number
from avrec.monitoring.report import Alert, Report
from avrec.params import MonitorParams

Curves = Mapping[str, Sequence[tuple[datetime, float]]]

CURVES = {
    "data/age_days": "age of the data, days",
    "champion/age_days": "age of the champion, days of data",
    "drift/most_of_columns": "drift of the column that drifts most (PSI)",
    "drift/most_of_vectors": "drift of the modality that drifts most (AUC)",
    "table/coverage": "coverage of the table",
    "table/gini": "concentration of the table (Gini)",
    "live/hit_rate": "hit rate of the table",
    "live/lift": "lift over the default list",
    "live/answered": "share of the shown rows that were liked",
    "skew/new_items": "share of items new to the champion",
    "skew/new_people": "share of people new to it",
}
"""What is drawn, by its name in MLflow."""


def render(report: Report, alerts: Sequence[Alert], bounds: MonitorParams, curves: Curves) -> str:
    """The page as text, self-contained."""
    found = html.points([a.text for a in alerts], "bad") if alerts else html.points(["All within bounds."], "good")
    facts = [("Looked", report.at[:16].replace("T", " ") + " UTC"), ("Data", report.data_run),
             ("As of", (report.as_of or "no time")[:10]),
             ("Champion", f"version {report.champion.version}" if report.champion else "none yet")]  # fmt: skip
    sections = [
        html.section("Alerts", found),
        html.section("Over time", _drawn(curves, bounds)),
        html.section(
            f"Drift: the last {bounds.window_days} days of data against all before", drift_table(report.drift)
        ),
        html.section("Published tables, and what people then did", tables_table(report)),
        html.section("Training and serving", _skew(report, bounds)),
        html.section("Put aside", _quarantine(report)),
    ]
    mark = "synthetic data" if report.synthetic else ""
    return html.page("Monitor", mark, facts, sections, "Figures over time are in MLflow, in the run “monitor”.")


def drift_table(drift: Sequence[Drift]) -> str:
    rows: list[list[Cell | str]] = []
    for one in drift:
        kind = "" if one.distance is None else "bad" if one.drifted else "good"
        word = "too few rows" if one.distance is None else "drift" if one.drifted else "as before"
        measure = "AUC new against old" if one.kind == "vectors" else "stability index"
        rows.append([one.name, measure, Cell(number(one.distance), kind), f"{one.bound:g}", number(one.statistic),
                     f"{one.before:,}", f"{one.now:,}", Cell(word, kind)])  # fmt: skip
    heads = ["what", "measure", "distance", "bound", "Kolmogorov-Smirnov", "rows before", "rows now", ""]
    return html.table(heads, rows) if rows else html.note("Nothing was compared: the data carry no time.")


def tables_table(report: Report) -> str:
    if not report.tables:
        return html.note("Nothing is published yet.")
    rows = [
        [str(t.run_date), f"version {t.model_version}", f"{t.people:,}", number(t.coverage, True), number(t.gini),
         number(t.top_share, True), f"{t.judged:,}", number(t.hit_rate, True), number(t.default_rate, True),
         number(t.lift), f"{t.shown:,}", number(t.answered, True)]
        for t in reversed(report.tables)
    ]  # fmt: skip
    heads = ["day", "model", "people", "coverage", "Gini", "top 10", "judged", "hit rate", "default list", "lift",
             "shown", "liked of those"]  # fmt: skip
    return html.table(heads, rows)


def _drawn(curves: Curves, bounds: MonitorParams) -> str:
    limits = {
        "data/age_days": bounds.max_data_age_days,
        "champion/age_days": bounds.max_champion_age_days,
        "drift/most_of_columns": bounds.max_psi,
        "drift/most_of_vectors": bounds.max_auc,
        "table/coverage": bounds.min_coverage,
        "table/gini": bounds.max_gini,
        "live/lift": bounds.min_lift,
    }
    figures = [html.curve(title, curves[name], limits.get(name)) for name, title in CURVES.items() if name in curves]
    return html.curves(figures) if figures else html.note("The first point is drawn with the next look.")


def _skew(report: Report, bounds: MonitorParams) -> str:
    if report.skew is None:
        return html.note("There is no champion yet.")
    rows: list[list[Cell | str]] = []
    for name, share in report.skew.vectors.items():
        cell = Cell(number(share, True), "bad" if share > bounds.max_skew else "good")
        rows.append([f"{name}: items with another vector than in training", cell, number(bounds.max_skew, True)])
    rows.append(["items that training never saw", number(report.skew.new_items, True), ""])
    rows.append(["people that training never saw", number(report.skew.new_people, True), ""])
    return html.table(["what", "share", "bound"], rows)


def _quarantine(report: Report) -> str:
    rows = [[name, f"{count:,}"] for name, count in report.quarantined.items() if count]
    return html.table(["table", "rows"], rows) if rows else html.note("No row of the newest data was put aside.")
