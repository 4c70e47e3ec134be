"""Distances that are nought where nothing changed, large where something did, and silent where too little is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from avrec.datasets.dataset import Dataset, DatasetMeta, write_meta, write_table
from avrec.features.base import Features
from avrec.monitoring.drift import column_drift, compare, separability, stability_index, vector_drift
from avrec.params import MonitorParams
from avrec.schema import INTERACTIONS, ITEMS

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
BOUNDS = MonitorParams()


def test_the_stability_index_by_hand() -> None:
    before, now = np.array([0.5, 0.5]), np.array([0.75, 0.25])
    by_hand = 0.25 * np.log(1.5) + (-0.25) * np.log(0.5)  # sum of (q - p) ln(q / p)
    assert stability_index(before, now) == pytest.approx(by_hand)
    assert stability_index(before, before) == 0
    assert np.isfinite(stability_index(np.array([1.0, 0.0]), np.array([0.0, 1.0])))


@pytest.mark.parametrize(("shift", "drifted"), [(0.0, False), (2.0, True)])
def test_numbers(shift: float, drifted: bool) -> None:
    rng = np.random.default_rng(1)
    found = compare("t.c", "numeric", rng.normal(size=2000), rng.normal(size=2000) + shift, BOUNDS)
    assert found.drifted == drifted
    assert found.statistic is not None
    assert (found.statistic > 0.5) == drifted


def test_categories_and_a_new_one() -> None:
    before = np.array(["view"] * 80 + ["like"] * 20)
    assert not compare("t.c", "categorical", before, before[::-1], BOUNDS).drifted
    assert compare("t.c", "categorical", before, np.array(["view"] * 40 + ["bot"] * 60), BOUNDS).drifted


def test_a_constant_that_moves() -> None:
    ones = np.ones(100)
    assert not compare("t.c", "numeric", ones, ones, BOUNDS).drifted
    assert compare("t.c", "numeric", ones, ones + 1, BOUNDS).drifted


def test_too_few_rows_say_nothing() -> None:
    found = compare("t.c", "numeric", np.arange(1000.0), np.arange(10.0) + 5000, BOUNDS)
    assert found.distance is None
    assert not found.drifted


def test_vectors_of_the_same_kind_cannot_be_told_apart() -> None:
    rng = np.random.default_rng(2)
    same = separability(rng.normal(size=(300, 16)), rng.normal(size=(300, 16)))
    other = separability(rng.normal(size=(300, 16)), rng.normal(size=(300, 16)) + 0.5)
    assert same < 0.62
    assert other > 0.85


def test_new_items_against_old_ones() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(300, 8)).astype(np.float32)
    vectors[200:] += 3
    published = np.array([np.datetime64("2026-01-01", "us")] * 200 + [np.datetime64("2026-03-02", "us")] * 100)
    features = {"visual": Features("visual", vectors, np.ones(300, bool)),
                "audio": Features("audio", vectors, np.arange(300) < 220)}  # fmt: skip
    visual, audio = vector_drift(features, published, SINCE, BOUNDS)
    assert (visual.before, visual.now, visual.drifted) == (200, 100, True)
    assert (audio.now, audio.distance) == (20, None)


def test_columns_of_a_data_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    n = 400
    when = [SINCE + timedelta(days=int(d)) for d in np.repeat([-5, 1], n // 2)]
    write_table(tmp_path, "items", ITEMS.conform(pa.table({
        "item_id": [f"i{i}" for i in range(n)], "media_type": ["video"] * n, "published_at": when,
        "category": ["music"] * (n // 2) + ["sport"] * (n // 2),
    })))  # fmt: skip
    write_table(tmp_path, "interactions", INTERACTIONS.conform(pa.table({
        "user_id": ["u"] * n, "item_id": [f"i{i}" for i in range(n)], "timestamp": when, "event": ["view"] * n,
        "watch_ratio": pa.array(rng.uniform(size=n), pa.float32()), "label": ["positive"] * n,
        "weight": pa.array(np.ones(n), pa.float32()),
    })))  # fmt: skip
    write_meta(tmp_path, DatasetMeta("folder", False, None, True, None, "0" * 16))
    found = {one.name: one for one in column_drift(Dataset(tmp_path), SINCE, BOUNDS)}
    assert found["items.category"].drifted
    assert (found["interactions.watch_ratio"].before, found["interactions.watch_ratio"].now) == (200, 200)
    assert [name for name, one in found.items() if one.drifted] == ["items.category"]
