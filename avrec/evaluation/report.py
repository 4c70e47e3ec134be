"""What an evaluation says, as the files that the gate, MLflow and people read. Equal evaluations give equal bytes."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from avrec.evaluation.evaluate import SliceResult
from avrec.evaluation.markdown import comparison_markdown
from avrec.evaluation.protocol import HYBRID, Evaluated
from avrec.evaluation.significance import LEVEL, Comparison, Interval, bootstrap_interval, paired_bootstrap
from avrec.evaluation.slices import Slice

__all__ = ["comparison", "comparison_markdown", "evaluation", "per_user_table", "write_per_user"]

COMPARED_SLICES = ("all", "cold_all", "cold_only", "light_users")
DIGITS = 6  # more would be noise, and the last bits of a sum may differ between machines

PROTOCOL = {
    "ranking": "full: every item of the catalogue competes, none is sampled",
    "masked": "everything the person had seen before",
    "history": "train and validation; models are fitted on train, the blend on validation",
    "ndcg": "binary gain, ideal list cut at K",
    "f1": "mean over people of each one's harmonic mean of precision and recall",
    "map": "precision at each hit, over min(K, size of the truth)",
    "cold": "items without a training interaction; cold_all among all items, cold_only among cold ones",
    "definitions": "docs/definitions.md",
}


def evaluation(evaluated: Evaluated, synthetic: bool) -> dict[str, Any]:
    """The content of `evaluation.json`: every matcher, slice and metric, and how they were measured."""
    on = evaluated.on
    split = "given" if on.period["from"] is None else "global, by time"
    return {
        "synthetic": synthetic,
        "primary": evaluated.primary,
        "protocol": {**PROTOCOL, "split": split},
        "matchers": {
            name: {s: rounded(r.values) for s, r in slices.items()} for name, slices in evaluated.results.items()
        },
        "counts": {part.name: len(part) for part in on.slices},
        "best_single": evaluated.best_single,
        "intervals": _intervals(evaluated),
        "interval_level": LEVEL,
        "decision": {name: rounded(d.summary()) if d else "n/a" for name, d in evaluated.decisions.items()},
    }


def comparison(evaluated: Evaluated, champion: str = HYBRID) -> dict[str, Any]:
    """The content of `comparison.json`: `champion` less each other matcher, in the primary metric, person by person.

    `{OTHER: {SLICE: {difference, lower, upper, ratio, ratio_lower, ratio_upper, users}}}`; bounds at the level that
    `evaluation.json` names; a ratio without sense (the other has nothing) is left out.
    """
    if champion not in evaluated.results:
        return {}
    mine = evaluated.results[champion]
    return {
        other: {
            name: _compared(_paired(mine[name], theirs[name], evaluated))
            for name in COMPARED_SLICES
            if name in mine and name in theirs
        }
        for other, theirs in evaluated.results.items()
        if other != champion
    }


def _paired(a: SliceResult, b: SliceResult, evaluated: Evaluated) -> Comparison:
    params, metric = evaluated.params, evaluated.primary
    return paired_bootstrap(a.people[metric], b.people[metric], params.bootstrap, params.seed)


def _compared(found: Comparison) -> dict[str, Any]:
    values: dict[str, Any] = {
        "users": found.users,
        "difference": found.difference.mean,
        "lower": found.difference.lower,
        "upper": found.difference.upper,
        "ratio": found.ratio.mean,
        "ratio_lower": found.ratio.lower,
        "ratio_upper": found.ratio.upper,
    }
    return dict(rounded(values))


def _intervals(evaluated: Evaluated) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Bootstrap bounds `[lower, upper]` of the primary metric and of recall at the same cut."""
    metrics = (evaluated.primary, f"recall@{evaluated.params.primary_k}")
    return {
        name: {
            s: {m: _bounds(_interval(slices[s], m, evaluated)) for m in metrics} for s in COMPARED_SLICES if s in slices
        }
        for name, slices in evaluated.results.items()
    }


def _interval(result: SliceResult, metric: str, evaluated: Evaluated) -> Interval:
    return bootstrap_interval(result.people[metric], evaluated.params.bootstrap, evaluated.params.seed)


def _bounds(interval: Interval) -> list[float]:
    values = asdict(interval)
    return [round(values["lower"], DIGITS), round(values["upper"], DIGITS)]


def per_user_table(evaluated: Evaluated) -> pa.Table:
    """One row a matcher, slice and person: `matcher, slice, user_id, truth` and each ranking metric as float64.

    Slices without detail (one a category) are left out. The order of people is the same for every matcher.
    """
    parts = [part for part in evaluated.on.slices if part.detail]
    tables = [
        _people(name, part, evaluated.on.user_ids(part), slices[part.name])
        for name, slices in evaluated.results.items()
        for part in parts
    ]
    return pa.concat_tables(tables) if tables else pa.table({name: pa.array([], pa.string()) for name in _KEYS})


_KEYS = ("matcher", "slice", "user_id")


def _people(matcher: str, part: Slice, users: list[str], result: SliceResult) -> pa.Table:
    n = len(part)
    columns: dict[str, Any] = {"matcher": pa.array([matcher] * n), "slice": pa.array([part.name] * n), "user_id": users}
    columns["truth"] = pa.array(part.truth.sizes.astype(np.int32))
    return pa.table(columns | {name: pa.array(values) for name, values in result.people.items()})


def write_per_user(path: Path, evaluated: Evaluated) -> None:
    """Writes `per_user_table` as Parquet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(per_user_table(evaluated), path, compression="zstd", store_schema=False)


def rounded(values: Any) -> Any:
    """Numbers at `DIGITS`; what has no value (NaN) is left out of mappings, for JSON knows no NaN."""
    if isinstance(values, dict):
        return {k: rounded(v) for k, v in values.items() if not (isinstance(v, float) and math.isnan(v))}
    return round(values, DIGITS) if isinstance(values, float) else values
