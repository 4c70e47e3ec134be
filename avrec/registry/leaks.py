"""Checks of the data a version was trained and judged on: nothing of the test may have been in the training."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from avrec.datasets.dataset import Dataset
from avrec.registry.hashing import dvc_md5
from avrec.registry.report import Report
from avrec.registry.verdict import Check, void

_PARTS = ("train", "val", "test")


def data_checks(report: Report) -> Iterator[Check]:
    """Lineage, time order, overlap and dates of a checkout's data."""
    yield lineage(report)
    folder = report.root / "data" / "split"
    missing = [part for part in _PARTS if not (folder / f"{part}.parquet").is_file()]
    if missing:
        yield Check("leak.split", False, f"{folder} lacks {missing}, so a leak cannot be ruled out; `dvc pull` it.")
        return
    yield time_order(folder)
    yield overlap(folder)
    yield from dates(report)


def lineage(report: Report) -> Check:
    """All stages must have used this split and these tables, as dvc.lock says and as the files are."""
    name = "leak.lineage"
    for path in ("data/split", "data/valid"):
        made = report.outputs.get(path)
        for stage, entry in report.lock_entries.items():
            if path in entry["deps"] and entry["deps"][path] != made:
                return Check(name, False, f"stage {stage} used another {path} than the one reported; run `dvc repro`.")
        if (report.root / path).exists() and made is not None and dvc_md5(report.root / path) != made:
            return Check(name, False, f"{path} is not the one dvc.lock names; the models were made from another.")
    return Check(name, True, "Every stage used the split and the tables that are reported.")


def time_order(split: Path) -> Check:
    """The last training interaction comes before the first one of the test."""
    spans = {part: _span(split / f"{part}.parquet") for part in _PARTS}
    ends = [last for part in ("train", "val") if (last := spans[part][1]) is not None]
    begins = spans["test"][0]
    if begins is None or len(ends) < 2:
        return void("leak.time_order", "the data set has no time and brings its own split.")
    fine = max(ends) <= begins
    text = f"training and validation end {_day(max(ends))}, the test begins {_day(begins)}"
    return Check("leak.time_order", fine, text + ("." if fine else ": the future was in the training."))


def overlap(split: Path) -> Check:
    """No row of the test may be a row of the training."""
    import duckdb

    files = {part: str(split / f"{part}.parquet") for part in _PARTS}
    timed = _span(split / "train.parquet")[0] is not None
    # With time, somebody may watch a thing again; the same instant twice is the same row.
    columns = "user_id, item_id, timestamp" if timed else "user_id, item_id"
    query = f"""
        select count(*) from (
            select distinct {columns} from read_parquet($test)
            intersect select {columns} from read_parquet([$train, $val]))
    """
    rows = duckdb.execute(query, files).fetchone()
    shared = int(rows[0]) if rows else 0
    return Check(
        "leak.overlap", shared == 0, f"{shared} rows of the test are in training or validation too.", shared, 0
    )


def dates(report: Report) -> Iterator[Check]:
    """Nothing in the data may be newer than the instant they are a picture of."""
    folder = report.root / "data" / "valid"
    dataset = Dataset(folder) if (folder / "dataset.json").is_file() else None
    if dataset is None or dataset.meta.as_of is None:
        yield void("leak.dates", "the data set says of no instant that nothing is newer.")
        return
    for table, column in (("items", "published_at"), ("interactions", "timestamp")):
        late = _later(dataset, table, column)
        text = f"{late} rows of {table} have {column} after {dataset.meta.as_of}."
        yield Check(f"leak.{table}_dates", late == 0, text, late, 0)


def _later(dataset: Dataset, table: str, column: str) -> int:
    import duckdb

    query = f"select count(*) from read_parquet($file) where {column} > $instant::timestamptz"
    found = duckdb.execute(query, {"file": str(dataset.path(table)), "instant": dataset.meta.as_of}).fetchone()
    return int(found[0]) if found else 0


def _span(path: Path) -> tuple[int | None, int | None]:
    """First and last instant, microseconds; None where rows have no time."""
    import duckdb

    query = "select epoch_us(min(timestamp)), epoch_us(max(timestamp)) from read_parquet($file)"
    found = duckdb.execute(query, {"file": str(path)}).fetchone()
    return (found[0], found[1]) if found else (None, None)


def _day(micros: int) -> str:
    return datetime.fromtimestamp(micros / 1e6, UTC).isoformat(" ", "minutes")
