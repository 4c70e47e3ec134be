"""The model card of a version (Mitchell et al., "Model cards for model reporting", FAT* 2019)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from avrec.evaluation.markdown import table
from avrec.registry.metrics import DEPLOYED, TWIN
from avrec.registry.report import Report

FILE = "model_card.md"

_USE = (
    "Lists of audio and video for people of the catalogue it was trained on, known or not, and items like an item. "
    "A person approves each version.",
    "Not meant for decisions about people, for other catalogues, or as a filter of unsafe content on its own.",
)
_LIMITS = (
    "Figures are of past behaviour under other lists: what nobody was shown, nobody could like.",
    "Items nobody met are placed by picture, sound and text alone, and their share of the lists is a setting "
    "(`matching.rank.new_share`).",
    "Categories and groups of people with few people in the test have wide intervals; groups of fewer than 20 are "
    "not reported.",
    "The probability of unsafe pictures comes from sampled frames; sound and text are not judged.",
)


def model_card(report: Report, timings: Mapping[str, float], code: str) -> str:
    """Markdown: use, data, training, metrics by slice, limits.

    Args:
        report: Of the run.
        timings: Seconds by stage.
        code: Commit.
    """
    lines = [f"# Model card: bundle `{report.bundle_md5}`", ""]
    if report.synthetic:
        lines += ["> **Synthetic data:** the figures say nothing about real people.", ""]
    lines += ["## Intended use", "", *(f"- {line}" for line in _USE), "", "## Data", "", *_data(report), ""]
    lines += [
        "## Training",
        "",
        *_training(report, timings, code),
        "",
        "## Metrics by slice",
        "",
        *_metrics(report),
        "",
    ]
    lines += ["## Limits", "", *(f"- {line}" for line in [*_found_limits(report), *_LIMITS]), ""]
    return "\n".join(lines)


def _data(report: Report) -> Iterator[str]:
    said, period = report.bundle.get("dataset", {}), report.test_period
    yield f"- source: {said.get('source', 'unknown')}, as of {said.get('as_of') or 'n/a'}"
    yield f"- validated data: `{report.dataset_version}`"
    for name, value in report.json("artifacts/split.json", {}).items():
        if isinstance(value, (int, float)):
            yield f"- {name.replace('_', ' ')}: {value:,}"
    yield f"- test: {period.get('from') or 'given split'} to {period.get('to') or 'given split'}"


def _training(report: Report, timings: Mapping[str, float], code: str) -> Iterator[str]:
    on = [name for name, said in report.training.items() if not said.get("disabled")]
    bundle = report.bundle
    yield f"- matchers: {', '.join(on)}; served: {bundle.get('serve', DEPLOYED)}"
    yield f"- interactions from {bundle.get('trained_from') or 'n/a'} to {bundle.get('trained_through') or 'n/a'}"
    yield f"- code: `{code}`"
    learned = {name: seconds for name, seconds in timings.items() if name.startswith(("train", "rank", "refit"))}
    if learned:
        whole, parts = sum(learned.values()), ", ".join(f"{name} {s:.0f} s" for name, s in sorted(learned.items()))
        yield f"- training time: {whole:.0f} s ({parts})"
    else:
        yield "- training time: not measured in this pass"


def _metrics(report: Report) -> Iterator[str]:
    matchers: Mapping[str, Any] = report.evaluation.get("matchers", {})
    counts: Mapping[str, int] = report.evaluation.get("counts", {})
    best = str(report.evaluation.get("best_single"))
    recall = "recall@" + report.primary.split("@")[-1]
    mine, other = matchers.get(DEPLOYED, {}), matchers.get(best, {})
    bounds = report.evaluation.get("intervals", {}).get(DEPLOYED, {})
    rows = [
        [part, str(counts[part]), _figure(mine.get(part, {}).get(report.primary)),
         _bounds(bounds.get(part, {}).get(report.primary)), _figure(mine.get(part, {}).get(recall)),
         _figure(other.get(part, {}).get(report.primary))]
        for part in counts
    ]  # fmt: skip
    yield table(["slice", "people", report.primary, "95 % interval", recall, f"best single ({best})"], rows)
    yield ""
    yield "Full ranking over all items, what was seen is left out; definitions: docs/definitions.md."
    twin = matchers.get(DEPLOYED + TWIN, {}).get("all", {}).get(report.primary)
    if twin is not None:
        yield f"With the content of other items (shuffled) the same model comes to {twin:.4f} over all."


def _found_limits(report: Report) -> Iterator[str]:
    """What this version's own figures say: slices in which it is no better than a single matcher."""
    comparison = report.json("artifacts/evaluation/comparison.json", {})
    for other, slices in comparison.items():
        if not other.endswith(TWIN):
            for part, found in slices.items():
                if found.get("upper", 0.0) < 0:
                    yield f"On {part} the single matcher `{other}` is better by {-found['difference']:.4f}."
    decision = report.evaluation.get("decision", {}).get(DEPLOYED)
    if decision == "n/a":
        yield "The data have no true negatives: whether somebody will dislike something was not measured."


def _bounds(found: Any) -> str:
    return f"{found[0]:.4f} to {found[1]:.4f}" if found else "n/a"


def _figure(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, (int, float)) else "n/a"
