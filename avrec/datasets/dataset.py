"""A data set on disk: one Parquet file a table and one JSON of what it is."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from avrec.errors import DataError
from avrec.schema import TABLES

if TYPE_CHECKING:
    import duckdb

META = "dataset.json"


@dataclass(frozen=True)
class DatasetMeta:
    """What a data set is.

    Attributes:
        source: Name of the source it came from.
        synthetic: True where no person made it; every report says so beside its figures.
        as_of: ISO instant the data set is a picture of; empty where it has no time.
        has_time: False where interactions carry no timestamp and `given_split` is used.
        media_root: Folder or fsspec URL that relative `media_uri` values are below.
        key_fingerprint: First 16 hex digits of the SHA-256 of the pseudonym key.
        given_features: Modalities that came as ready-made vectors: `given/MODALITY.npy`, float32 `[n_items, dim]`
            in the order of the items; a row of NaN is missing.
    """

    source: str
    synthetic: bool
    as_of: str | None
    has_time: bool
    media_root: str | None
    key_fingerprint: str
    given_features: tuple[str, ...] = field(default=())


class Dataset:
    """A folder of tables as `avrec.schema` defines them, read when asked for.

    Example:
        ```python
        dataset = Dataset(Path("data/valid"))
        dataset.table("items").num_rows
        dataset.sql("select item_id, count(*) n from interactions group by item_id order by n desc")
        ```
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        if not (self.folder / META).is_file():
            raise DataError(f"{self.folder} is not a data set: {META} is missing. Run `dvc repro dataset`.")

    @cached_property
    def meta(self) -> DatasetMeta:
        values = json.loads((self.folder / META).read_text(encoding="utf-8"))
        values["given_features"] = tuple(values.get("given_features", ()))
        return DatasetMeta(**values)

    def has(self, name: str) -> bool:
        return self.path(name).is_file()

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"

    def table(self, name: str) -> pa.Table:
        """The whole table; an optional table that is absent comes back empty."""
        spec = TABLES[name]
        if not self.has(name):
            if spec.optional:
                return spec.empty()
            raise DataError(f"{self.path(name)} is missing; {name} is required.")
        return spec.conform(pq.read_table(self.path(name)))

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """Runs a query over the tables by name, streaming from Parquet; rows keep file order unless sorted."""
        import duckdb

        connection = duckdb.connect()
        for path in sorted(self.folder.glob("*.parquet")):
            connection.read_parquet(str(path)).create_view(path.stem)
        return connection.sql(query)


def write_table(folder: Path, name: str, table: pa.Table) -> Path:
    """Writes one table, checked against its spec; equal tables give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.parquet"
    pq.write_table(TABLES[name].conform(table), path, compression="zstd", store_schema=False)
    return path


def write_meta(folder: Path, meta: DatasetMeta) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / META).write_text(json.dumps(asdict(meta), indent=2, sort_keys=True) + "\n", encoding="utf-8")
