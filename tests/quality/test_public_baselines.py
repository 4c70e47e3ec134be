"""Known baselines on real behaviour: figures far from the published ones mean that the protocol is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from avrec.evaluation.benchmark import run_benchmark


def test_popularity_on_tiktok_is_what_it_is_elsewhere(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured on the test part with full ranking: .0597 and .0255; validation is of the same people and time."""
    monkeypatch.chdir(tmp_path)
    rows = {
        row["slice"]: row for row in run_benchmark("tiktok", shared_data / "tiktok", matchers=["popularity"])["rows"]
    }
    assert rows["all"]["recall@20"] == pytest.approx(0.06, abs=0.008)
    assert rows["all"]["ndcg@20"] == pytest.approx(0.026, abs=0.004)
    assert rows["cold_all"]["recall@20"] == 0  # an item nobody met is never popular
