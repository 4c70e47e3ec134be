"""The numbers behind the pictures: small CSV files that DVC and MLflow draw."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avrec.evaluation.decision import calibration
from avrec.evaluation.evaluate import fused_vectors
from avrec.evaluation.metrics import Reals
from avrec.evaluation.protocol import TWIN, Evaluated
from avrec.evaluation.slices import CATEGORY
from avrec.matching.data import Catalog, Floats

Rows = list[list[Any]]


def recall_by_k(evaluated: Evaluated) -> Rows:
    """`matcher, k, recall` over all people."""
    rows: Rows = [["matcher", "k", "recall"]]
    for name, slices in evaluated.results.items():
        if "all" in slices:
            rows += [[name, k, _short(slices["all"].values[f"recall@{k}"])] for k in evaluated.params.ks]
    return rows


def per_category(evaluated: Evaluated) -> Rows:
    """`matcher, category, ndcg, users` at the primary cut; twins left out."""
    rows: Rows = [["matcher", "category", "ndcg", "users"]]
    for name, slices in evaluated.results.items():
        if not name.endswith(TWIN):
            found = {s.removeprefix(CATEGORY): r for s, r in slices.items() if s.startswith(CATEGORY)}
            rows += [[name, c, _short(r.values[evaluated.primary]), len(r.rows)] for c, r in found.items()]
    return rows


def calibration_rows(evaluated: Evaluated) -> Rows:
    """`matcher, predicted, observed, count`: probability of liking against how often it came true.

    Only the header where the data set has no true negatives. Twins are left out.
    """
    rows: Rows = [["matcher", "predicted", "observed", "count"]]
    for name, decision in evaluated.decisions.items():
        if decision and not name.endswith(TWIN):
            bins = calibration(decision.probability, decision.liked)
            rows += [[name, _short(b.predicted), _short(b.observed), b.count] for b in bins]
    return rows


def loss(training: Mapping[str, Mapping[str, Any]]) -> Rows:
    """`matcher, epoch, metric, value` of the matchers that learn by epochs (those that report a loss).

    Args:
        training: `artifacts/training/NAME.json` by matcher.
    """
    rows: Rows = [["matcher", "epoch", "metric", "value"]]
    for name, said in training.items():
        epochs = said.get("epochs") or []
        if any("loss" in metric for epoch in epochs for metric in epoch):
            rows += [
                [name, int(epoch.get("epoch", number)), metric, _short(float(value))]
                for number, epoch in enumerate(epochs, start=1)
                for metric, value in sorted(epoch.items())
                if metric != "epoch"
            ]
    return rows


def projection(catalog: Catalog, categories: Sequence[str | None]) -> Rows:
    """`item_id, x, y, category`: the item space in two dimensions. Items without any feature are left out."""
    vectors = fused_vectors(catalog)
    known = np.flatnonzero(np.abs(vectors).sum(axis=1) > 0)
    rows: Rows = [["item_id", "x", "y", "category"]]
    if len(known) < 3:
        return rows
    points = principal_plane(vectors[known])
    for i, (x, y) in zip(known.tolist(), points.tolist(), strict=True):
        rows.append([catalog.item_ids[i], round(x, 4) + 0.0, round(y, 4) + 0.0, categories[i] or ""])
    return rows


def principal_plane(vectors: Floats, steps: int = 30, seed: int = 0) -> Reals:
    """The first two principal components of `vectors` `[n, dim]`, `[n, 2]` float64.

    By subspace iteration (Halko et al., 2011) from a fixed start, which needs no square matrix of either side. Each
    axis points to where its longest entry is positive, so that equal data give an equal picture.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    width = min(10, *centred.shape)
    basis = np.random.default_rng(seed).standard_normal((centred.shape[1], width))
    for _ in range(steps):
        basis, _ = np.linalg.qr(centred.T @ (centred @ basis))
    left, sizes, _ = np.linalg.svd(centred @ basis, full_matrices=False)
    points = np.zeros((len(vectors), 2))
    points[:, : min(2, width)] = left[:, :2] * sizes[:2]
    signs = np.sign(points[np.abs(points).argmax(axis=0), np.arange(2)])
    signed: Reals = points * np.where(signs == 0, 1, signs)
    return signed


def write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Writes rows, the header first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")


def _short(value: float) -> float:
    return round(value, 6)
