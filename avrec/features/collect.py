"""From the store to the feature tables of one modality, in item order and in partitions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from avrec.datasets.dataset import write_table
from avrec.errors import DataError
from avrec.features.base import Extraction, Vectors, partition_of
from avrec.features.extract import fill_store
from avrec.features.registry import build_extractor
from avrec.features.store import FeatureStore
from avrec.features.subjects import Subject, subjects_of
from avrec.params import FeaturesParams
from avrec.schema import FEATURES, SEGMENTS, SIGNALS
from avrec.settings import settings

PARTITIONS = 16

Row = tuple[str, Extraction]


def collect(
    items: pa.Table, media_root: str | None, params: FeaturesParams, modality: str, out: Path, progress: bool = True
) -> dict[str, Any]:
    """Fills the store with what `items` lack of `modality` and writes the tables below `out`.

    Returns:
        Counts: items, present, missing, reasons, dim.

    Raises:
        DataError: the store does not keep what was written to it.
    """
    store = FeatureStore(settings().feature_store)
    fill_store(items, media_root, params, [modality], store=store, progress=progress)
    extractor = build_extractor(modality, params)
    subjects = subjects_of(items, modality, media_root, params)
    writer = FeatureWriter(out, modality, extractor.dim)
    for number, members in enumerate(partitions(subjects)):
        keys = [subject.key for subject in members if subject.key]
        found = store.read(extractor, keys)
        if any(key not in found for key in keys):
            # A shard was damaged and set aside while being read: what it held is extracted again.
            fill_store(items, media_root, params, [modality], store=store, progress=progress)
            found = store.read(extractor, keys)
        writer.partition(number, [(subject.item_id, _extraction(subject, found, extractor.dim)) for subject in members])
    return writer.close(items["item_id"].to_pylist())


def partitions(subjects: Sequence[Subject]) -> Iterator[list[Subject]]:
    """The subjects of each partition, in item order."""
    members: list[list[Subject]] = [[] for _ in range(PARTITIONS)]
    for subject in subjects:
        members[partition_of(subject.item_id, PARTITIONS)].append(subject)
    yield from members


def _extraction(subject: Subject, found: dict[str, Extraction], dim: int) -> Extraction:
    if subject.key is None:
        return Extraction.missing(subject.reason or "nothing to extract", dim)
    if subject.key not in found:
        raise DataError(f"the feature store lost {subject.item_id} ({subject.key[:12]}); check AVREC_FEATURE_STORE.")
    return found[subject.key]


class FeatureWriter:
    """Writes the tables of one modality, partition by partition; equal extractions give equal bytes."""

    def __init__(self, out: Path, modality: str, dim: int) -> None:
        self._out, self._modality, self._dim = out, modality, dim
        self._signals: dict[str, dict[str, Any]] = {}
        self._reasons: dict[str, str] = {}

    def partition(self, number: int, rows: Sequence[Row]) -> None:
        name = f"part-{number:02d}"
        _write(self._out / "features", name, _feature_table(rows))
        _write(self._out / "segments", name, _segment_table(rows))
        for item_id, extraction in rows:
            if extraction.reason is not None:
                self._reasons[item_id] = extraction.reason
            if extraction.signals:
                self._signals[item_id] = extraction.signals

    def close(self, item_ids: Sequence[str]) -> dict[str, Any]:
        """Writes signals and failures in item order; the counts."""
        known = [item_id for item_id in item_ids if item_id in self._signals]
        columns = [name for name in SIGNALS.schema.names if name != "item_id"]
        rows = [{"item_id": i} | {c: self._signals[i].get(c) for c in columns} for i in known]
        write_table(self._out, "signals", pa.Table.from_pylist(rows, schema=SIGNALS.schema))
        failures = [item_id for item_id in item_ids if item_id in self._reasons]
        content = json.dumps({"modality": self._modality})
        table = pa.table({
            "table": pa.array([f"features/{self._modality}"] * len(failures), pa.string()),
            "row": pa.array([item_ids.index(item_id) for item_id in failures], pa.int64()),
            "item_id": pa.array(failures, pa.string()),
            "reason": pa.array([self._reasons[item_id] for item_id in failures], pa.string()),
            "content": pa.array([content] * len(failures), pa.string()),
        })  # fmt: skip
        write_table(self._out, "quarantine", table).rename(self._out / "failures.parquet")
        return self._counts(item_ids)

    def _counts(self, item_ids: Sequence[str]) -> dict[str, Any]:
        reasons: dict[str, int] = {}
        for reason in self._reasons.values():
            reasons[reason] = reasons.get(reason, 0) + 1
        missing = len(self._reasons)
        return {"modality": self._modality, "dim": self._dim, "items": len(item_ids),
                "present": len(item_ids) - missing, "missing": missing, "reasons": reasons}  # fmt: skip


def _feature_table(rows: Sequence[Row]) -> pa.Table:
    vectors = [extraction.vector for _, extraction in rows]
    return pa.table(
        {
            "item_id": pa.array([item_id for item_id, _ in rows], pa.string()),
            "vector": _lists([np.zeros(0, np.float32) if v is None else v for v in vectors]),
            "present": pa.array([v is not None for v in vectors], pa.bool_()),
            "reason": pa.array([extraction.reason for _, extraction in rows], pa.string()),
        },
        schema=FEATURES.schema,
    )


def _segment_table(rows: Sequence[Row]) -> pa.Table:
    ids = [item_id for item_id, extraction in rows for _ in extraction.starts]
    starts = np.concatenate([extraction.starts for _, extraction in rows] or [np.zeros(0, np.float32)])
    ends = np.concatenate([extraction.ends for _, extraction in rows] or [np.zeros(0, np.float32)])
    vectors = [vector for _, extraction in rows for vector in extraction.segments]
    return pa.table(
        {
            "item_id": pa.array(ids, pa.string()),
            "start_s": pa.array(starts, pa.float32()),
            "end_s": pa.array(ends, pa.float32()),
            "vector": _lists(vectors),
        },
        schema=SEGMENTS.schema,
    )


def _lists(vectors: Sequence[Vectors]) -> pa.ListArray:
    offsets = np.concatenate([[0], np.cumsum([len(vector) for vector in vectors], dtype=np.int64)]).astype(np.int32)
    flat = np.concatenate(vectors) if vectors else np.zeros(0, np.float32)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(flat, pa.float32()))


def _write(folder: Path, name: str, table: pa.Table) -> None:
    """Parquet without timestamps; vectors do not compress, and trying costs more than extracting."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{name}.part"
    pq.write_table(table, aside, compression="none", use_dictionary=False, store_schema=False)
    aside.replace(folder / f"{name}.parquet")
