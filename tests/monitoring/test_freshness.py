from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from avrec.monitoring.freshness import freshness
from tests.validation.small import AS_OF, build, interaction, item


def test_age_counts_from_the_newest_interaction(tmp_path: Path) -> None:
    rows = [interaction(0, timestamp=AS_OF - timedelta(days=days)) for days in (9, 3, 5)]
    found = freshness(build(tmp_path, [item(0)], rows), AS_OF)
    assert found.days == pytest.approx(3.0)
    assert "3.0 days ago" in found.message()
    assert found.is_stale(2.5)
    assert not found.is_stale(4.0)
    assert not found.is_stale(None)


def test_data_without_time_are_never_stale(tmp_path: Path) -> None:
    rows = [interaction(0, timestamp=None, given_split="train")]
    found = freshness(build(tmp_path, [item(0)], rows, has_time=False), AS_OF)
    assert found.days is None
    assert not found.is_stale(0.1)
    assert "cannot be told" in found.message()
