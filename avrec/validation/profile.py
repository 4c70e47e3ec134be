"""The distribution of a data set in a few numbers, and how far another one is from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from avrec.datasets.dataset import Dataset
from avrec.errors import ParamsError
from avrec.validation.gx import WARNING, Check

NUMERIC: dict[str, tuple[str, ...]] = {"items": ("duration_s",), "interactions": ("watch_ratio",)}
CATEGORICAL: dict[str, tuple[str, ...]] = {"items": ("media_type", "category"), "interactions": ("event", "label")}
BINS = 10

PROFILES = Path("pipelines/profiles")
"""Reference profiles, in git beside the stages: a declared input of `validate`."""


def profile(dataset: Dataset) -> dict[str, Any]:
    """Shares of categories and of quantile bins, `{"source": ..., "columns": {"TABLE.COLUMN": partition}}`."""
    columns: dict[str, Any] = {}
    for table, names in NUMERIC.items():
        for name in names:
            columns[f"{table}.{name}"] = _numeric(dataset, table, name)
    for table, names in CATEGORICAL.items():
        for name in names:
            columns[f"{table}.{name}"] = _categorical(dataset, table, name)
    return {"source": dataset.meta.source, "columns": {name: p for name, p in columns.items() if p}}


def drift_checks(reference: dict[str, Any], table: str, threshold: float) -> list[Check]:
    """Kullback-Leibler divergence of each profiled column of `table` from the reference, as warnings."""
    checks = []
    for name, partition in reference["columns"].items():
        owner, column = name.split(".")
        if owner == table:
            # Hold-outs keep the divergence finite where one side has nothing in a bin.
            tails = {"tail_weight_holdout": 0.01, "internal_weight_holdout": 0.01} if "bins" in partition else {}
            kwargs = {"column": column, "partition_object": partition, "threshold": threshold, **tails}
            reason = f"{column} is distributed unlike the reference profile"
            checks.append(Check("ExpectColumnKLDivergenceToBeLessThan", kwargs, reason, WARNING))
    return checks


def load_profile(name: str | None, source: str, folder: Path = PROFILES) -> dict[str, Any] | None:
    """The reference profile called `name`; None where there is none for this source.

    Raises:
        ParamsError: params.yaml names a profile that does not exist.
    """
    if name is None:
        return None
    path = folder / f"{name}.json"
    if not path.is_file():
        known = sorted(p.stem for p in folder.glob("*.json"))
        raise ParamsError(
            f"validation.reference_profile: '{name}' is not in {folder} (there: {known}). "
            f"Copy artifacts/validation/profile.json of a run you trust to {path}, or set it to null."
        )
    reference: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return reference if reference["source"] == source else None


def _numeric(dataset: Dataset, table: str, column: str) -> dict[str, list[float]] | None:
    values = np.asarray(dataset.sql(f"select {column} from {table} where {column} is not null").fetchnumpy()[column])
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1))) if len(values) else np.zeros(0)
    if len(edges) < 3:
        return None  # constant or absent: nothing to compare
    counts, _ = np.histogram(values, edges)
    return {"bins": [float(e) for e in edges], "weights": [float(w) for w in counts / counts.sum()]}


def _categorical(dataset: Dataset, table: str, column: str) -> dict[str, list[Any]] | None:
    query = f"select {column}, count(*) n from {table} where {column} is not null group by 1 order by 1"
    rows = dataset.sql(query).fetchall()
    total = sum(n for _, n in rows)
    return {"values": [v for v, _ in rows], "weights": [n / total for _, n in rows]} if rows else None
