"""The numbers of a run as MLflow metrics. Names are chosen for the page that compares two runs.

`_headline/...` are the few that answer "did it help"; MLflow sorts by name and shows seven rows without scrolling.
`test/...` is the model that would be deployed, over all test users; `test_SLICE/...` the same over a slice;
`baselines/MATCHER/...` the others; `gain/over_MATCHER...` the paired difference with its interval;
`ablation/MATCHER/CONTENT/...` what is left when a modality is alone, left out, or all is shuffled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from avrec.registry.naming import legal, numbers, slice_prefix
from avrec.registry.report import Report

DEPLOYED = "hybrid"
TWIN = "+shuffled"
_COMPARED_SLICES = ("all", "cold_all", "cold_only", "light_users", "missing_modality")


@dataclass(frozen=True)
class Point:
    """One value of one metric; `step` is the epoch or the length of the list where that is meant."""

    name: str
    value: float
    step: int = 0


def points(report: Report, timings: Mapping[str, float]) -> list[Point]:
    """Every metric of a run; equal reports give equal points, timings aside."""
    found = [
        *_headline(report),
        *_deployed(report),
        *_others(report),
        *_gains(report.json("artifacts/evaluation/comparison.json", {})),
        *_ablation(report.json("artifacts/evaluation/ablation.json", {})),
        *_named("decision", _decision(report)),
        *_named("test_users", report.evaluation.get("counts")),
        *_named("diversity", report.evaluation.get("diversity")),
        *_training(report),
        *_named("data/validation", report.json("artifacts/validation.json", {})),
        *_named("data/split", report.json("artifacts/split.json", {})),
        *(Point(legal(f"seconds/{stage}"), seconds) for stage, seconds in timings.items()),
    ]
    if timings:
        found.append(Point("seconds/all", sum(timings.values())))
    return found


def matcher_table(report: Report) -> dict[str, list[Any]]:
    """All matchers over all slices, one row each, as columns for `mlflow.log_table`."""
    matchers: dict[str, dict[str, dict[str, float]]] = report.evaluation.get("matchers", {})
    counts = report.evaluation.get("counts", {})
    metrics = list(dict.fromkeys(m for slices in matchers.values() for values in slices.values() for m in values))
    rows = [(matcher, name, values) for matcher, slices in matchers.items() for name, values in slices.items()]
    table: dict[str, list[Any]] = {
        "matcher": [matcher for matcher, _, _ in rows],
        "slice": [name for _, name, _ in rows],
        "users": [counts.get(name) for _, name, _ in rows],
        "synthetic data": [report.synthetic] * len(rows),
    }
    return table | {metric: [values.get(metric) for _, _, values in rows] for metric in metrics}


def ablation_table(report: Report) -> dict[str, list[Any]]:
    """What each modality is worth, one row a matcher, content and slice, as columns for `mlflow.log_table`."""
    table = report.json("artifacts/evaluation/ablation.json", {})
    rows = [
        {"matcher": matcher, "content": view.replace("_", " "), "slice": name, **values}
        for matcher, seen in table.items()
        for view, parts in seen.items()
        for name, values in parts.items()
    ]
    names = list(dict.fromkeys(["matcher", *(name for row in rows for name in row)]))
    return {name: [row.get(name) for row in rows] for name in names}


def _headline(report: Report) -> Iterator[Point]:
    slices = report.evaluation.get("matchers", {}).get(DEPLOYED, {})
    primary = legal(report.primary)
    recall = "recall@" + report.primary.split("@")[-1]
    for part, metric in (("all", report.primary), ("all", recall), ("cold_all", report.primary),
                         ("light_users", report.primary)):  # fmt: skip
        if metric in slices.get(part, {}):
            name = legal(metric) if part == "all" else f"{primary}_{part}"
            yield Point(f"_headline/{name}", float(slices[part][metric]))
    gains = report.json("artifacts/evaluation/comparison.json", {})
    for other, name in (("ease", "gain_over_ease"), ("popularity", "gain_over_popularity"),
                        (DEPLOYED + TWIN, "content_is_worth")):  # fmt: skip
        if "difference" in gains.get(other, {}).get("all", {}):
            yield Point(f"_headline/{name}", float(gains[other]["all"]["difference"]))


_FIRST = ("ndcg", "recall", "precision", "f1", "map", "mrr", "hit_rate", "coverage", "novelty", "gini", "ild")
"""MLflow's pages show metrics in the order they came: what a comparison is about first."""


def _deployed(report: Report) -> Iterator[Point]:
    cut = "@" + report.primary.split("@")[-1]
    slices = report.evaluation.get("matchers", {}).get(DEPLOYED, {})
    for name, values in slices.items():
        for metric in sorted(
            dict(numbers(values)), key=lambda m: (m != report.primary, not m.endswith(cut), _place(m))
        ):
            if name == "all" or metric.endswith(cut):  # slices at the primary cut only, or the page is too long
                yield Point(f"{slice_prefix(name)}/{legal(metric)}", float(values[metric]))
    for metric, value in numbers(slices.get("all", {})):
        if "@" in metric:
            kind, k = metric.split("@")
            yield Point(f"test_by_k/{legal(kind)}", value, int(k))


def _place(metric: str) -> int:
    kind = metric.split("@")[0]
    return _FIRST.index(kind) if kind in _FIRST else len(_FIRST)


def _others(report: Report) -> Iterator[Point]:
    recall = "recall@" + report.primary.split("@")[-1]
    for matcher, slices in report.evaluation.get("matchers", {}).items():
        for name in _COMPARED_SLICES:
            for metric in (report.primary, recall):
                value = slices.get(name, {}).get(metric)
                if matcher != DEPLOYED and isinstance(value, (int, float)):
                    group = "shuffled_twins" if matcher.endswith(TWIN) else "baselines"
                    part = "" if name == "all" else f"{name}/"
                    yield Point(legal(f"{group}/{matcher.removesuffix(TWIN)}/{part}{metric}"), float(value))


def _gains(comparison: Mapping[str, Any]) -> Iterator[Point]:
    for other, slices in comparison.items():
        group = "content_is_worth" if other == DEPLOYED + TWIN else f"gain/over_{other}"
        if other == DEPLOYED + TWIN or not other.endswith(TWIN):
            for name in _COMPARED_SLICES:
                found = slices.get(name, {})
                part = "" if name == "all" else f"{name}/"
                for value in ("difference", "lower", "upper"):
                    if value in found:
                        yield Point(legal(f"{group}/{part}{value}"), float(found[value]))


def _ablation(table: Mapping[str, Any]) -> Iterator[Point]:
    for matcher, seen in table.items():
        for view, parts in seen.items():
            for name, values in parts.items():
                part = "" if name == "all" else f"{name}/"
                for metric, value in numbers(values):
                    yield Point(legal(f"ablation/{matcher}/{view}/{part}{metric}"), value)


def _decision(report: Report) -> Any:
    decisions = report.evaluation.get("decision")
    return decisions.get(DEPLOYED) if isinstance(decisions, Mapping) else None


def _training(report: Report) -> Iterator[Point]:
    for matcher, said in report.training.items():
        for epoch, values in enumerate(said.get("epochs") or [], start=1):
            for metric, value in numbers(values):
                if metric != "epoch":
                    yield Point(legal(f"training/{matcher}/{metric}"), value, epoch)
        yield from _named(f"validation/{matcher}", said.get("val"))
        yield from _named(f"size/{matcher}", said.get("sizes"))


def _named(prefix: str, values: Any) -> Iterator[Point]:
    if isinstance(values, Mapping):
        for name, value in numbers(values):
            yield Point(legal(f"{prefix}/{name.replace('.', '/')}"), value)
