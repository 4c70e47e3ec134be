"""How far the newest data are from what came before: column by column, and modality by modality.

The statistics are scipy's and scikit-learn's. What raises an alarm is the size of a difference, never a p-value: over a
large log every difference is significant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from avrec.datasets.dataset import Dataset
from avrec.features.base import Features
from avrec.params import MonitorParams
from avrec.validation.profile import BINS, CATEGORICAL, NUMERIC

Values = npt.NDArray[Any]
SAMPLE = 100_000
"""Rows of a column that are looked at on either side."""
VECTORS = 1000
"""Vectors of a modality that are looked at on either side."""
SEED = 7
_FLOOR = 1e-4
"""Share that a bin has at least, so that an empty one keeps the distance finite."""
_WHEN = {"items": "published_at", "interactions": "timestamp"}


@dataclass(frozen=True)
class Drift:
    """One distance between before and now.

    Attributes:
        name: `TABLE.COLUMN`, or a modality.
        kind: numeric, categorical or vectors.
        distance: Population stability index, or AUC of a classifier; None where either side is too small to say.
        statistic: Kolmogorov-Smirnov distance of a numeric column; None for the others.
        bound: From where on it is drift.
        before, now: Rows on either side.
    """

    name: str
    kind: str
    distance: float | None
    statistic: float | None
    bound: float
    before: int
    now: int

    @property
    def drifted(self) -> bool:
        return self.distance is not None and self.distance > self.bound


def column_drift(dataset: Dataset, since: datetime, params: MonitorParams) -> list[Drift]:
    """Distances of the columns, rows from `since` on against all rows before."""
    found = []
    for kind, columns in (("numeric", NUMERIC), ("categorical", CATEGORICAL)):
        for table, names in columns.items():
            for name in names:
                before, now = (_sample(dataset, table, name, since, sign) for sign in ("<", ">="))
                found.append(compare(f"{table}.{name}", kind, before, now, params))
    return found


def compare(name: str, kind: str, before: Values, now: Values, params: MonitorParams) -> Drift:
    """The distance of two samples of a column."""
    from scipy import stats

    distance = statistic = None
    if min(len(before), len(now)) >= params.min_rows:
        shares = numeric_shares(before, now) if kind == "numeric" else category_shares(before, now)
        distance = stability_index(*shares)
        statistic = float(stats.ks_2samp(before, now).statistic) if kind == "numeric" else None
    return Drift(name, kind, distance, statistic, params.max_psi, len(before), len(now))


def stability_index(before: Values, now: Values) -> float:
    """Population stability index of two distributions `[bins]`: their Jeffreys divergence in nats (Siddiqi 2006)."""
    from scipy.stats import entropy

    p, q = np.maximum(before, _FLOOR), np.maximum(now, _FLOOR)
    return float(entropy(p, q) + entropy(q, p))


def numeric_shares(before: Values, now: Values) -> tuple[Values, Values]:
    """Shares over the deciles of `before`; the outer bins are open."""
    edges = np.unique(np.quantile(before, np.linspace(0, 1, BINS + 1)))[1:-1]
    if not len(edges):  # nearly constant: what is below, at and above it
        edges = np.array([np.nextafter(before[0], -np.inf), np.nextafter(before[0], np.inf)])
    both = [np.bincount(np.searchsorted(edges, v, side="right"), minlength=len(edges) + 1) for v in (before, now)]
    return both[0] / len(before), both[1] / len(now)


def category_shares(before: Values, now: Values) -> tuple[Values, Values]:
    """Shares of every category that either side has."""
    names, codes = np.unique(np.concatenate([before, now]).astype(str), return_inverse=True)
    first = np.bincount(codes[: len(before)], minlength=len(names)) / len(before)
    return first, np.bincount(codes[len(before) :], minlength=len(names)) / len(now)


def vector_drift(
    features: Mapping[str, Features], published: Values, since: datetime, params: MonitorParams
) -> Iterator[Drift]:
    """How well a linear classifier tells the vectors of new items from those of old ones, cross-validated.

    .5 is not at all, 1 is every time (classifier two-sample test, Lopez-Paz and Oquab 2017).

    Args:
        features: By modality, in the order of the items.
        published: `[n_items]` datetime64[us] UTC, NaT where unknown: such items count as old.
        since: From when on an item is new.
        params: Bounds.
    """
    new = published >= np.datetime64(since.replace(tzinfo=None), "us")
    for modality, found in features.items():
        before, now = found.vectors[found.present & ~new], found.vectors[found.present & new]
        enough = min(len(before), len(now)) >= params.min_rows
        distance = separability(before, now) if enough else None
        yield Drift(modality, "vectors", distance, None, params.max_auc, len(before), len(now))


def separability(before: Values, now: Values) -> float:
    """Cross-validated AUC of a logistic regression between two samples of vectors `[n, dim]`."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(SEED)
    some = [v[rng.permutation(len(v))[:VECTORS]] for v in (before, now)]
    x, y = np.concatenate(some), np.repeat([0, 1], [len(v) for v in some])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200, class_weight="balanced"))
    folds = StratifiedKFold(5, shuffle=True, random_state=SEED)
    return float(roc_auc_score(y, cross_val_predict(model, x, y, cv=folds, method="decision_function")))


def _sample(dataset: Dataset, table: str, column: str, since: datetime, sign: str) -> Values:
    when = _WHEN[table]
    unknown = f" or {when} is null" if sign == "<" else ""
    query = (
        f"select {column} as v from {table} where {column} is not null and "
        f"({when} {sign} timestamptz '{since.isoformat()}'{unknown})"
    )
    rows = dataset.sql(f"select v from ({query}) using sample reservoir({SAMPLE} rows) repeatable ({SEED})")
    return np.asarray(rows.to_arrow_table()["v"].to_pylist())
