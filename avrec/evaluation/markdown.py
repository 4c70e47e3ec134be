"""Evaluations side by side as Markdown, for the page on which a person approves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CHALLENGER = "hybrid"
MAIN_SLICES = ("all", "cold_all", "cold_only", "light_users", "missing_modality")
_SHOWN = ("ndcg", "recall", "precision", "f1", "map", "mrr", "hit_rate", "coverage", "novelty", "gini", "ild")
_DECISION = ("accuracy", "precision", "recall", "f1")


def comparison_markdown(evaluation: Mapping[str, Any], champion: Mapping[str, Any] | None = None) -> str:
    """Challenger, champion and baselines side by side, over all people and by slice.

    Args:
        evaluation: Content of `evaluation.json` of the run to be approved.
        champion: The same of the present champion; None where there is none.

    Returns:
        Markdown with three tables; figures of synthetic data are marked as such.
    """
    columns = _columns(evaluation, champion)
    primary = str(evaluation.get("primary", "ndcg@10"))
    parts = [
        _notice(evaluation),
        "### All people",
        _metrics_table(evaluation, columns, primary.split("@")[-1]),
        f"### {_label(primary)} by slice",
        _slices_table(evaluation, columns, primary),
        "### Will they like it",
        _decision_table(evaluation, champion),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _columns(evaluation: Mapping[str, Any], champion: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    """Slices by metric of every column: challenger, champion, the others by name, their twins."""
    matchers: Mapping[str, Any] = evaluation.get("matchers", {})
    columns = {"challenger": matchers.get(CHALLENGER, {})}
    if champion is not None:
        columns["champion"] = champion.get("matchers", {}).get(CHALLENGER, {})
    others = sorted((name.endswith("+shuffled"), name) for name in matchers if name != CHALLENGER)
    return columns | {name: matchers[name] for _, name in others}


def _notice(evaluation: Mapping[str, Any]) -> str:
    users = evaluation.get("counts", {}).get("all", 0)
    text = f"Test on {users} people, full ranking, seen items left out."
    best = evaluation.get("best_single")
    text += f" Best single matcher: {best}." if best else ""
    return (
        "**Synthetic data: these figures say nothing about real people.** " if evaluation.get("synthetic") else ""
    ) + text


def _metrics_table(evaluation: Mapping[str, Any], columns: Mapping[str, Mapping[str, Any]], k: str) -> str:
    rows = [
        [_label(f"{name}@{k}"), *(_figure(slices.get("all", {}).get(f"{name}@{k}")) for slices in columns.values())]
        for name in _SHOWN
    ]
    bounds = evaluation.get("intervals", {}).get(CHALLENGER, {}).get("all", {}).get(f"ndcg@{k}")
    if bounds and rows:
        rows[0][1] += f" ({bounds[0]:.4f} to {bounds[1]:.4f})"
    return table(["", *columns], rows)


def _slices_table(evaluation: Mapping[str, Any], columns: Mapping[str, Mapping[str, Any]], metric: str) -> str:
    counts: Mapping[str, int] = evaluation.get("counts", {})
    names = [name for name in MAIN_SLICES if name in counts] + sorted(
        name for name in counts if name not in MAIN_SLICES
    )
    rows = [
        [name, str(counts[name]), *(_figure(slices.get(name, {}).get(metric)) for slices in columns.values())]
        for name in names
    ]
    return table(["slice", "people", *columns], rows)


def _decision_table(evaluation: Mapping[str, Any], champion: Mapping[str, Any] | None) -> str:
    found = [("challenger", _decision(evaluation)), ("champion", _decision(champion or {}))]
    rows = [[name, *(_figure(said.get(m)) for m in _DECISION)] for name, said in found if said]
    if not rows:
        return "n/a: the data set has no true negatives."
    majority = found[0][1].get("majority") or found[1][1].get("majority") or {}
    rows.append(["always the majority", *(_figure(majority.get(m)) for m in _DECISION)])
    return table(["", *_DECISION], rows)


def _decision(evaluation: Mapping[str, Any]) -> Mapping[str, Any]:
    decisions = evaluation.get("decision")
    said = decisions.get(CHALLENGER) if isinstance(decisions, Mapping) else None
    return said if isinstance(said, Mapping) else {}


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column to the left, figures to the right."""
    lines = [header, [":--", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(str(text).replace("|", "\\|").split())


def _figure(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, (int, float)) else "n/a"


def _label(metric: str) -> str:
    name, _, k = metric.partition("@")
    special = {"hit_rate": "Hit rate", "ild": "Intra-list diversity", "gini": "Gini of exposure"}
    upper = name.upper() if name in ("ndcg", "map", "mrr", "f1") else name.capitalize()
    return f"{special.get(name, upper)}@{k}"
