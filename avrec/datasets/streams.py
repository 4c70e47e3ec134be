"""Writing tables that need not fit into memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from avrec.schema import TABLES

GROUP = 1 << 17
"""Rows a row group. Groups are cut to this size whatever the size of the batches, so that bytes do not depend on it."""


def write_query(connection: Any, query: str, path: Path, spec_name: str) -> int:
    """Writes the result of a DuckDB query as one Parquet file, streaming. Returns the number of rows.

    Args:
        connection: DuckDB connection.
        query: Ordered; its columns are those of the spec.
        path: The file.
        spec_name: Table of `avrec.schema` that the rows have to conform to.
    """
    spec = TABLES[spec_name]
    reader = connection.sql(query).to_arrow_reader(GROUP)
    total: int = 0
    pending = spec.empty()
    with pq.ParquetWriter(path, spec.schema, compression="zstd", store_schema=False) as writer:
        for batch in reader:
            pending = pa.concat_tables([pending, spec.conform(pa.Table.from_batches([batch]))])
            while pending.num_rows >= GROUP:
                writer.write_table(pending.slice(0, GROUP).combine_chunks(), row_group_size=GROUP)
                total, pending = total + GROUP, pending.slice(GROUP)
        if pending.num_rows or not total:
            writer.write_table(pending.combine_chunks(), row_group_size=GROUP)
    return total + int(pending.num_rows)
