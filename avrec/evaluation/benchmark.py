"""`avrec benchmark`: every matcher on a public data set, in one table.

On validation nothing is fitted or chosen on the people that are reported: one half of the validation users serves for
choosing, the other is reported, and the halves change places. On test, models are fitted on train and choose on
validation.
"""

from __future__ import annotations

import json as jsonlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from avrec.errors import DataError
from avrec.evaluation.chance import Chance
from avrec.evaluation.evaluate import Yardstick, evaluate_matcher
from avrec.evaluation.metrics import Reals
from avrec.evaluation.public import PublicData, load_public
from avrec.evaluation.report import rounded
from avrec.evaluation.significance import paired_bootstrap
from avrec.evaluation.slices import Slice, Traits, build_slices, cold_items
from avrec.evaluation.truth import Truth
from avrec.matching.base import FitReport, Matcher
from avrec.matching.data import Histories, Interactions
from avrec.matching.hybrid import Hybrid
from avrec.matching.loading import evaluation_set, validation_halves
from avrec.matching.registry import SINGLE, build
from avrec.params import MatchingParams, TwoTowerParams, load_params

K = 20
METRICS = (f"recall@{K}", f"ndcg@{K}")
SLICES = ("all", "cold_all", "cold_only")
SPLITS = ("val", "test")
FUSED = "two_tower"
"""The matcher that stands in the table once more with each other fusion layer, as `two_tower/LAYER`."""

LAYERS: tuple[str, ...] = get_args(TwoTowerParams.model_fields["fusion"].annotation)

NAME_WIDTH = 21


@dataclass(frozen=True)
class Fold:
    """One pass: settings are chosen on `choose`, lists are made from `known`, and judged by `judged`."""

    choose: Interactions
    known: Interactions
    judged: Interactions


@dataclass(frozen=True)
class Fitted:
    """A matcher of one pass.

    Attributes:
        row: What it is called in the table.
        matcher: Fitted on train.
        report: What it says of its training.
        seconds: Of fitting and choosing.
        members_seconds: The same of the members of the hybrid; 0 for others.
    """

    row: str
    matcher: Matcher
    report: FitReport
    seconds: float
    members_seconds: float = 0.0


@dataclass
class Entry:
    """One matcher over all folds.

    Attributes:
        people: Metrics of people by slice and name, of all folds one after the other.
        settings: Chosen in each fold.
        tried: Configurations compared on validation, epochs of early stopping included, summed over the folds.
        seconds: Of fitting, choosing and ranking, summed over the folds.
    """

    people: dict[str, dict[str, list[Reals]]] = field(default_factory=dict)
    settings: list[dict[str, Any]] = field(default_factory=list)
    tried: int = 0
    seconds: float = 0.0

    def values(self, part: str, metric: str) -> Reals:
        """Metric of every person of a slice, `[n]`."""
        return np.concatenate(self.people.get(part, {}).get(metric) or [np.zeros(0)])


def run_benchmark(name: str, data: Path, split: str = "val", json: Path | None = None,
                  matchers: Sequence[str] | None = None, seeds: int = 1) -> dict[str, Any]:  # fmt: skip
    """Fits, measures and prints every matcher.

    Args:
        name: tiktok or movielens.
        data: Folder of the data set.
        split: val (cross-fit) or test.
        json: File to write the same figures to.
        matchers: Single matchers to measure, of which the hybrid is made, and `two_tower/LAYER` for the towers with
            another fusion layer, which stay out of it; by default every single one is measured, and the hybrid is
            made of those that params.yaml enables.
        seeds: How often all of it is done, each time with another seed of halves and training. Rows are those of the
            first, the one of params.yaml; the spread over all is told beside them.

    Returns:
        What is written: `{"rows": [{"matcher", "slice", "recall@20", "ndcg@20", "seconds"}], ...}`.

    Raises:
        DataError: unknown name, split or matcher, no seed, the folder is not that data set, or has no test part.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before its first import; it greets at length
    public = load_public(name, data)
    params = load_params().matching if Path("params.yaml").is_file() else MatchingParams()
    measured, blended = chosen_matchers(params, matchers)
    if seeds < 1:
        raise DataError(f"--seeds {seeds}: expected at least 1.")
    runs: dict[int, dict[str, Entry]] = {}
    for seed in range(params.seed, params.seed + seeds):
        entries: dict[str, Entry] = {}
        passes = folds(public, split, seed)
        for number, fold in enumerate(passes, start=1):
            print(f"{name}, {split}, seed {seed}, pass {number} of {len(passes)}:", file=sys.stderr, flush=True)
            measure_fold(public, fold, params.model_copy(update={"seed": seed}), entries, measured, blended)
        runs[seed] = entries
    report = summary(public, split, runs)
    print(as_text(report), flush=True)
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
        json.write_text(jsonlib.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def folds(public: PublicData, split: str, seed: int) -> list[Fold]:
    """What is chosen on and reported: both halves of val in turn, or val and test."""
    if split not in SPLITS:
        raise DataError(f"--split {split}: expected one of {', '.join(SPLITS)}.")
    if split == "val":
        first, second = validation_halves(public.val, seed)
        return [Fold(a, public.train, b) for a, b in ((first, second), (second, first))]
    if public.test is None:
        raise DataError(
            f"--split test: the folder of {public.name} holds no test.csv. Use --split val, or add the file."
        )
    return [Fold(public.val, public.known_at_test, public.test)]


def chosen_matchers(params: MatchingParams, named: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Which rows are measured, and which of them the hybrid is made of.

    Raises:
        DataError: one of those named has no row.
    """
    rows = [*SINGLE, *fusion_rows(params)]
    unknown = sorted(set(named or ()) - set(rows))
    if unknown:
        raise DataError(f"--matchers: '{unknown[0]}' is unknown; expected some of {', '.join(rows)}.")
    if named:
        measured = [name for name in rows if name in named]
        return measured, [name for name in SINGLE if name in named]
    return list(SINGLE), [name for name in SINGLE if getattr(params, name).enabled]


def fusion_rows(params: MatchingParams) -> list[str]:
    """The towers with each fusion layer but the one of params, whose row is that of `two_tower` itself."""
    return [f"{FUSED}/{layer}" for layer in LAYERS if layer != params.two_tower.fusion]


def built(row: str, params: MatchingParams) -> Matcher:
    """The unfitted matcher of a row, by its name or as `two_tower/LAYER`."""
    name, _, layer = row.partition("/")
    if layer:
        towers = params.two_tower.model_copy(update={"fusion": layer})
        params = params.model_copy(update={FUSED: towers})
    return build(name, params)


def measure_fold(
    public: PublicData,
    fold: Fold,
    params: MatchingParams,
    entries: dict[str, Entry],
    measured: Sequence[str],
    blended: Sequence[str],
) -> None:
    """Adds one fold to `entries`; `measured` and `blended` are those of `chosen_matchers`."""
    histories, slices = judged_slices(public, fold)
    yardstick = Yardstick.of(public.catalog, public.train)
    for fitted in fitted_matchers(public, fold.choose, params, measured, blended):
        started = time.perf_counter()
        result = evaluate_matcher(fitted.matcher, histories, slices, [K], yardstick)
        judging = time.perf_counter() - started
        entry = entries.setdefault(fitted.row, Entry())
        entry.seconds += fitted.seconds + fitted.members_seconds + judging
        entry.settings.append(fitted.report.settings)
        entry.tried += max(len(fitted.report.trials), len(fitted.report.epochs), 1)
        told = f"{fitted.seconds:.0f} s to fit and choose, {judging:.0f} s to rank"
        print(f"  {fitted.row}: {told}", file=sys.stderr, flush=True)
        for part, found in result.items():
            for metric in METRICS:
                entry.people.setdefault(part, {}).setdefault(metric, []).append(found.people[metric])


def judged_slices(public: PublicData, fold: Fold) -> tuple[Histories, list[Slice]]:
    """People with truth in the judged part, and the slices that benchmarks report."""
    n_items = len(public.catalog)
    histories, liked = evaluation_set(fold.known, fold.judged)
    nobody, nothing = np.zeros(len(liked), np.bool_), np.zeros(n_items, np.bool_)
    traits = Traits(cold_items(public.train, n_items), nobody, nothing, [None] * n_items)
    slices = build_slices(Truth.of([row.tolist() for row in liked]), traits)
    return histories, [part for part in slices if part.name in SLICES]


def fitted_matchers(
    public: PublicData,
    choose: Interactions,
    params: MatchingParams,
    measured: Sequence[str],
    blended: Sequence[str],
) -> Iterator[Fitted]:
    """Chance, and matchers fitted on train, the hybrid last.

    As in the pipeline, single matchers choose on one half of `choose`, and the hybrid learns its blend on the other.
    """
    for_members, for_blend = validation_halves(choose, params.seed)
    yield _fitted("random", Chance(params.seed), public, for_members)
    members: dict[str, Matcher] = {}
    total = 0.0
    for row in measured:
        fitted = _fitted(row, built(row, params), public, for_members)
        if row in blended:
            members[row], total = fitted.matcher, total + fitted.seconds
        yield fitted
    if len(members) > 1:
        hybrid = Hybrid(params.rank, members, seed=params.seed)
        yield replace(_fitted("hybrid", hybrid, public, for_blend), members_seconds=total)


def _fitted(row: str, matcher: Matcher, public: PublicData, choose: Interactions) -> Fitted:
    started = time.perf_counter()
    report = matcher.fit(public.catalog, public.train, choose)
    return Fitted(row, matcher, report, time.perf_counter() - started)


def summary(public: PublicData, split: str, runs: dict[int, dict[str, Entry]]) -> dict[str, Any]:
    """Rows of the table and what is needed to judge them, from the entries of each seed; JSON values."""
    entries = next(iter(runs.values()))
    rows = [
        rounded({
            "matcher": name, "slice": part,
            **{metric: float(entry.values(part, metric).mean()) for metric in METRICS},
            "seconds": round(entry.seconds, 2),
        })
        for name, entry in entries.items() for part in SLICES if part in entry.people
    ]  # fmt: skip
    some = next(iter(entries.values()))
    return {
        "rows": rows,
        "benchmark": public.name,
        "split": split,
        "protocol": public.protocol,
        "users": {part: len(some.values(part, METRICS[0])) for part in SLICES},
        "settings": {name: entry.settings for name, entry in entries.items()},
        "tried": {name: entry.tried for name, entry in entries.items()},
        "against_ease": against(entries, "ease"),
        "seeds": list(runs),
        "spread": spread(runs),
    }


def spread(runs: dict[int, dict[str, Entry]]) -> dict[str, Any]:
    """Mean, least and most of every figure over the seeds, by matcher, slice and metric."""
    found: dict[str, Any] = {}
    for name, entry in next(iter(runs.values())).items():
        for part in entry.people:
            for metric in METRICS:
                means = [float(entries[name].values(part, metric).mean()) for entries in runs.values()]
                values = {"mean": float(np.mean(means)), "least": min(means), "most": max(means)}
                found.setdefault(name, {}).setdefault(part, {})[metric] = rounded(values)
    return found


def against(entries: dict[str, Entry], baseline: str) -> dict[str, Any]:
    """Ratio to a baseline over all people with its paired 95 % bounds, by matcher and metric."""
    if baseline not in entries:
        return {}
    compared: dict[str, Any] = {}
    for name, entry in entries.items():
        if name != baseline:
            for metric in METRICS:
                ratio = paired_bootstrap(entry.values("all", metric), entries[baseline].values("all", metric)).ratio
                values = {"ratio": ratio.mean, "lower": ratio.lower, "upper": ratio.upper}
                compared.setdefault(name, {})[metric] = rounded(values)
    return compared


def as_text(report: dict[str, Any]) -> str:
    """One table: a line a matcher, both metrics over each slice, seconds."""
    users = report["users"]
    lines = [
        f"{report['benchmark']}, {report['split']}: {report['protocol']}",
        f"{'people':<{NAME_WIDTH}}" + "".join(f"{part} ({users[part]})".rjust(20) for part in SLICES),
        f"{'matcher':<{NAME_WIDTH}}"
        + f"{'Recall@20':>11}{'NDCG@20':>9}" * len(SLICES)
        + f"{'tried':>7}{'seconds':>10}",
    ]
    for name in dict.fromkeys(row["matcher"] for row in report["rows"]):
        mine = {row["slice"]: row for row in report["rows"] if row["matcher"] == name}
        cells = "".join(_cell(mine.get(part), METRICS[0], 11) + _cell(mine.get(part), METRICS[1], 9) for part in SLICES)
        lines.append(
            f"{name:<{NAME_WIDTH}}{cells}{report['tried'][name]:>7}{next(iter(mine.values()))['seconds']:>10.1f}"
        )
    if len(report["seeds"]) > 1:
        lines += ["", f"least and most over the seeds {', '.join(map(str, report['seeds']))}"]
        lines += [_spread_line(name, parts) for name, parts in report["spread"].items()]
    return "\n".join(lines)


def _spread_line(name: str, parts: dict[str, Any]) -> str:
    cells = [parts.get(part, {}).get(METRICS[0]) for part in SLICES]
    return f"{name:<{NAME_WIDTH}}" + "".join(
        (f"{c['least']:.4f} to {c['most']:.4f}" if c else "n/a").rjust(20) for c in cells
    )


def _cell(row: dict[str, Any] | None, metric: str, width: int) -> str:
    return f"{row[metric]:.4f}".rjust(width) if row and metric in row else "n/a".rjust(width)
