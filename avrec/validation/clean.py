"""Takes bad rows out of a table, streaming: what passes goes on, what does not goes to quarantine with its reason."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from avrec.schema import QUARANTINE, TABLES
from avrec.validation.gx import SuiteResult, Validator
from avrec.validation.rules import TableRules

if TYPE_CHECKING:
    import duckdb

CHUNK = 2_000_000
"""Rows validated at a time, so that a log larger than memory passes."""
NEWEST = timedelta(days=1)
"""What came last, and is judged by itself too: in a long log a bad day would be lost."""


@dataclass
class Cleaned:
    """What happened to one table.

    Attributes:
        rows, kept: Of the whole table.
        newest, newest_kept: Of what happened within `NEWEST` before the data set's as_of.
    """

    name: str
    rows: int = 0
    kept: int = 0
    newest: int = 0
    newest_kept: int = 0
    suites: list[SuiteResult] = field(default_factory=list)

    @property
    def quarantined(self) -> int:
        return self.rows - self.kept

    def summary(self) -> dict[str, Any]:
        """Rows, quarantined rows, and how many for which reason."""
        reasons = Counter(reason for suite in self.suites for row in suite.rejected.values() for reason in row)
        return {"rows": self.rows, "quarantined": self.quarantined, "reasons": dict(sorted(reasons.items()))}


def clean_table(
    validator: Validator,
    connection: duckdb.DuckDBPyConnection,
    name: str,
    source: Path,
    rules: TableRules,
    as_of: str | None,
    valid: Path,
    quarantine: Path,
) -> Cleaned:
    """Validates one table of a data set.

    Args:
        validator: Runs the suite.
        connection: Has the clean `items` and `users` as views, where the rules need them.
        name: Name of the table in `avrec.schema`.
        source: Parquet file of the raw table.
        rules: What must hold.
        as_of: ISO instant after which nothing may have happened.
        valid: Folder that receives `NAME.parquet` with the rows that passed, in their order.
        quarantine: Folder that receives `NAME.parquet` with the others.
    """
    result = Cleaned(name)
    with (
        _writer(valid, name, TABLES[name].schema) as good,
        _writer(quarantine, name, QUARANTINE.schema) as bad,
    ):
        for number, chunk in enumerate(_chunks(connection, name, source, rules, as_of)):
            suite_name = name if number == 0 else f"{name} from row {result.rows}"
            frame = chunk.select([*rules.columns, *rules.derived]).to_pandas()
            suite = validator.run(suite_name, frame, rules.checks)
            keep = pa.array(suite.keep(chunk.num_rows))
            passed = TABLES[name].conform(chunk.select(TABLES[name].schema.names).filter(keep))
            good.write_table(passed)
            bad.write_table(_quarantine_rows(name, chunk, suite))
            result.rows += chunk.num_rows
            result.kept += passed.num_rows
            result.newest += _newest(chunk, as_of)
            result.newest_kept += _newest(passed, as_of)
            result.suites.append(suite)
    return result


def _newest(rows: pa.Table, as_of: str | None) -> int:
    """How many rows are events of the newest day."""
    if as_of is None or "timestamp" not in rows.schema.names:
        return 0
    end = datetime.fromisoformat(as_of)
    stamps = rows["timestamp"]
    first, last = (pa.scalar(instant, stamps.type) for instant in (end - NEWEST, end))
    return int(pc.sum(pc.and_(pc.greater(stamps, first), pc.less_equal(stamps, last))).as_py() or 0)


def _chunks(
    connection: duckdb.DuckDBPyConnection, name: str, source: Path, rules: TableRules, as_of: str | None
) -> Iterator[pa.Table]:
    """The raw table with its derived columns, in file order, `CHUNK` rows at a time; at least one chunk."""
    names_item = name != "items" and "item_id" in TABLES[name].schema.names
    join = "left join items i on r.item_id = i.item_id" if names_item else ""
    derived = "".join(f", {expression} as {column}" for column, expression in rules.derived.items())
    query = (
        f"select r.*{derived} from read_parquet($source, file_row_number = true) r {join} order by r.file_row_number"
    )
    reader = connection.execute(
        query.replace("$as_of", "$as_of::timestamptz"),
        {"source": str(source)} | ({"as_of": as_of} if "$as_of" in query else {}),
    ).to_arrow_reader(CHUNK)
    empty = True
    for batch in reader:
        empty = False
        yield pa.Table.from_batches([batch])
    if empty:
        yield reader.schema.empty_table()


def _quarantine_rows(name: str, chunk: pa.Table, suite: SuiteResult) -> pa.Table:
    positions = sorted(suite.rejected)
    rows = chunk.take(positions).to_pylist() if positions else []
    columns = TABLES[name].schema.names
    return QUARANTINE.conform(
        pa.Table.from_pylist(
            [
                {
                    "table": name,
                    "row": row["file_row_number"],
                    "item_id": row.get("item_id"),
                    "reason": "; ".join(suite.rejected[position]),
                    "content": _json({column: row[column] for column in columns}),
                }
                for position, row in zip(positions, rows, strict=True)
            ],
            schema=QUARANTINE.schema,
        )
    )


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, default=str, sort_keys=True, ensure_ascii=False)


def _writer(folder: Path, name: str, schema: pa.Schema) -> pq.ParquetWriter:
    folder.mkdir(parents=True, exist_ok=True)
    return pq.ParquetWriter(folder / f"{name}.parquet", schema, compression="zstd", store_schema=False)
