"""`avrec compress`: the table of smaller towers, printed and told to MLflow."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

from avrec.evaluation.compression import Row, as_text, compare
from avrec.evaluation.trial_data import trial_data
from avrec.params import Params
from avrec.registry import client as server
from avrec.registry.studies import Study


def compress(params: Params, root: Path, public: str | None = None, folder: Path | None = None) -> list[Row]:
    """Trains, compares, prints, and logs a run with a child a row.

    Args:
        params: Of the project.
        root: Its folder.
        public: Instead of its data, a public data set.
        folder: Of the public data set.

    Raises:
        DataError: data are missing.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    on, k = trial_data(root, params.matching.seed, public, folder), params.evaluation.primary_k
    print(f"compress: {len(on.catalog)} items, judged by half of the validation people of {on.name}", flush=True)
    rows = []
    for row in compare(params.matching, params.evaluation, on):
        print(f"compress: {row.name}: {row.bytes} bytes, NDCG@{k} {row.quality:.4f}", flush=True)
        rows.append(row)
    table = as_text(rows, k)
    print(table)
    started = datetime.now(UTC).isoformat()
    study = Study(server.connect(), hashlib.sha256(f"{on.key} {started}".encode()).hexdigest()[:16],
                  f"compress {on.name}")  # fmt: skip
    for row in rows:
        study.trial(row.name, row.name, row.compression.model_dump(), figures(row, k))
    study.finish({}, {}, {"compression.txt": table + "\n"})
    print(f"MLflow run {study.run_id}")
    return rows


def figures(row: Row, k: int) -> dict[str, float]:
    """A row as metrics."""
    values = {"bytes": row.bytes, "list_ms": row.list_ms, "lists_a_second": row.people_s, f"ndcg@{k}": row.quality}
    if row.against is not None:
        change = row.against.difference
        values |= {"change": change.mean, "change_lower": change.lower, "change_upper": change.upper}
    return values
