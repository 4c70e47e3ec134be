"""Spread and effect of a table, against examples worked out by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from avrec.datasets.dataset import Dataset, DatasetMeta, write_meta, write_table
from avrec.evaluation.metrics import gini
from avrec.monitoring.tables import TableHealth, gini_of, table_health
from avrec.schema import IMPRESSIONS, INTERACTIONS, ITEMS, RECOMMENDATIONS

DAY = date(2026, 3, 1)
NIGHT = datetime(2026, 3, 2, tzinfo=UTC)


def rows(lists: dict[str, list[str]]) -> pa.Table:
    flat = [(user, rank, item) for user, items in lists.items() for rank, item in enumerate(items, 1)]
    n = len(flat)
    return RECOMMENDATIONS.conform(pa.table({
        "run_date": pa.array([DAY] * n, pa.date32()), "user_id": [row[0] for row in flat],
        "rank": pa.array([row[1] for row in flat], pa.int32()), "item_id": [row[2] for row in flat],
        "score": pa.array([1.0] * n, pa.float32()), "reason_kind": ["taste"] * n,
        **{name: ["x"] * n for name in ("model_version", "dataset_version", "run_id", "publication_id")},
        "generated_at": [NIGHT] * n,
    }))  # fmt: skip


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Five items; after the night a likes what is listed, b what is not, c has no list, d only skipped."""
    write_table(tmp_path, "items", ITEMS.conform(pa.table({"item_id": list("vwxyz"), "media_type": ["video"] * 5})))
    happened = [("a", "v", 1, "positive"), ("b", "z", 2, "positive"), ("c", "v", 3, "positive"),
                ("d", "v", 4, "negative"), ("b", "x", -1, "positive"), ("b", "x", 30, "positive")]  # fmt: skip
    write_table(tmp_path, "interactions", INTERACTIONS.conform(pa.table({
        "user_id": [row[0] for row in happened], "item_id": [row[1] for row in happened],
        "timestamp": [NIGHT + timedelta(hours=row[2]) for row in happened], "event": ["view"] * len(happened),
        "label": [row[3] for row in happened], "weight": pa.array([1.0] * len(happened), pa.float32()),
    })))  # fmt: skip
    write_table(tmp_path, "impressions", IMPRESSIONS.conform(pa.table({
        "user_id": ["a", "a", "b"], "item_id": ["v", "w", "x"], "timestamp": [NIGHT, NIGHT + timedelta(1), NIGHT],
        "publication_id": ["p", "p", "other"], "outcome": ["like", "ignored", "like"],
    })))  # fmt: skip
    write_meta(tmp_path, DatasetMeta("folder", False, None, True, None, "0" * 16))
    return Dataset(tmp_path)


def health(dataset: Dataset, table: pa.Table) -> TableHealth:
    parts = [table.slice(0, 3), table.slice(3)]
    return table_health(("p", DAY, "1"), parts, dataset, NIGHT, NIGHT + timedelta(days=1))


def test_what_came_of_a_table(dataset: Dataset) -> None:
    found = health(dataset, rows({"*": ["z"], "a": ["v", "w"], "b": ["x", "w"], "d": ["v"]}))
    assert found.people == 3
    assert found.coverage == pytest.approx(3 / 5)  # v, w, x; the default list is nobody's own
    assert (found.judged, found.hit_rate, found.default_rate) == (2, 0.5, 0.5)  # a and b liked something next day
    assert found.lift == 1.0
    assert (found.shown, found.answered) == (2, 0.5)


def test_nothing_is_known_before_anything_happened(dataset: Dataset) -> None:
    found = health(dataset, rows({"*": ["z"], "nobody": ["v", "w"]}))
    assert (found.judged, found.hit_rate, found.lift) == (0, None, None)


def test_gini_is_the_one_of_the_evaluation() -> None:
    ranked = np.array([[0, 1], [0, 2], [0, 1]])
    assert gini_of([3, 2, 1], 6) == pytest.approx(gini(ranked, 2, 6))
    assert gini_of([2, 2, 2], 3) == 0
