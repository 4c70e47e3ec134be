"""Measures the data set of this checkout against the clock: `python -m pipelines.freshness MAX_DAYS` (0: only tell)."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from avrec.datasets.dataset import Dataset
from avrec.errors import DataError
from avrec.monitoring.freshness import freshness
from pipelines.stage import DATA, effect, result


def work() -> None:
    allowed = float(sys.argv[1]) or None
    found = freshness(Dataset(DATA / "dataset"), datetime.now(UTC))
    print(f"freshness: {found.message()}", flush=True)
    result({"days": found.days})
    if found.is_stale(allowed):
        raise DataError(f"{found.message()} At most {allowed:g} days are allowed in this run; import newer data.")


if __name__ == "__main__":
    effect("freshness", work)
