"""From the store to the feature tables of one modality, in item order and in partitions."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from avrec.datasets.dataset import write_table
from avrec.errors import DataError
from avrec.features.base import Extraction, Extractor, Vectors, partition_of
from avrec.features.extract import fill_store
from avrec.features.registry import build_extractor
from avrec.features.store import FeatureStore, Place
from avrec.features.subjects import Subject, subjects_of
from avrec.features.words import with_found_words
from avrec.params import FeaturesParams
from avrec.schema import FEATURES, SEGMENTS, SIGNALS
from avrec.settings import settings

PARTITIONS = 16
MEMORY_BYTES = 512 << 20
"""Extractions held at once while partitions are written."""
MADE_OF = b"avrec.made_of"

Row = tuple[str, Extraction]


class LostError(DataError):
    """The feature store no longer holds what was written to it."""


def collect(
    items: pa.Table, media_root: str | None, params: FeaturesParams, modality: str, out: Path, progress: bool = True
) -> dict[str, Any]:
    """Fills the store with what `items` lack of `modality` and writes the tables below `out`.

    Returns:
        Counts: items, present, missing, reasons, dim.

    Raises:
        LostError: the store does not keep what was written to it.
    """
    if modality == "text":
        items = with_found_words(items, media_root, params, progress)
    subjects = subjects_of(items, modality, media_root, params)
    again = partial(fill_store, items, media_root, params, [modality], progress=progress)
    again()
    return collect_subjects(subjects, params, modality, out, again).close([subject.item_id for subject in subjects])


def collect_subjects(
    subjects: Sequence[Subject], params: FeaturesParams, modality: str, out: Path, again: Callable[[], Any]
) -> FeatureWriter:
    """Writes the partitions of `subjects`, which the store holds; `again` fills it anew where it turns out damaged."""
    store, extractor = FeatureStore(settings().feature_store), build_extractor(modality, params)
    writer = FeatureWriter(out, modality, extractor.dim, extractor.identity)
    try:
        write_partitions(store, extractor, subjects, writer)
    except LostError:
        # A shard was damaged and set aside while being read: what it held is extracted again.
        again()
        write_partitions(store, extractor, subjects, writer)
    return writer


def write_partitions(
    store: FeatureStore, extractor: Extractor, subjects: Sequence[Subject], writer: FeatureWriter
) -> None:
    """Writes those partitions that are not there already; many at a time, so that the store is read once.

    Raises:
        LostError: the store lacks what it was just said to hold.
    """
    index = store.index(extractor)
    keys = [subject.key for subject in subjects if subject.key]
    light = store.signals(extractor, keys, index)
    stale: list[tuple[int, list[Subject]]] = []
    for number, members in enumerate(partitions(subjects)):
        if not writer.keep(number, members, _rows(members, light, extractor.dim)):
            stale.append((number, members))
    for batch in _within_memory(stale, index):
        wanted = [subject.key for _, members in batch for subject in members if subject.key]
        found = store.read(extractor, wanted, index)
        for number, members in batch:
            writer.partition(number, _rows(members, found, extractor.dim), members)


def _within_memory(
    stale: Sequence[tuple[int, list[Subject]]], index: Mapping[str, Place]
) -> Iterator[list[tuple[int, list[Subject]]]]:
    """Runs of partitions that take less than `MEMORY_BYTES` together; one at least."""
    batch: list[tuple[int, list[Subject]]] = []
    taken = 0
    for number, members in stale:
        size = sum(index[key].size for subject in members if (key := subject.key) and key in index)
        if batch and taken + size > MEMORY_BYTES:
            yield batch
            batch, taken = [], 0
        batch.append((number, members))
        taken += size
    if batch:
        yield batch


def partitions(subjects: Sequence[Subject]) -> Iterator[list[Subject]]:
    """The subjects of each partition, in item order."""
    members: list[list[Subject]] = [[] for _ in range(PARTITIONS)]
    for subject in subjects:
        members[partition_of(subject.item_id, PARTITIONS)].append(subject)
    yield from members


def _rows(members: Sequence[Subject], found: Mapping[str, Extraction], dim: int) -> list[Row]:
    return [(subject.item_id, _extraction(subject, found, dim)) for subject in members]


def _extraction(subject: Subject, found: Mapping[str, Extraction], dim: int) -> Extraction:
    if subject.key is None:
        return Extraction.missing(subject.reason or "nothing to extract", dim)
    if subject.key not in found:
        raise LostError(f"the feature store lost {subject.item_id} ({subject.key[:12]}); check AVREC_FEATURE_STORE.")
    return found[subject.key]


class FeatureWriter:
    """Writes the tables of one modality, partition by partition; equal extractions give equal bytes.

    A partition says in its metadata what it was made of, so that one new clip rewrites one partition and no more.

    Attributes:
        found: What every item gave, without its vectors.
    """

    def __init__(self, out: Path, modality: str, dim: int, identity: str = "given") -> None:
        self._out, self._modality, self._dim, self._identity = out, modality, dim, identity
        self.found: dict[str, Extraction] = {}

    def keep(self, number: int, members: Sequence[Subject], light: Sequence[Row]) -> bool:
        """Whether the partition is there, made of just these; `light` are its rows without vectors."""
        features, segments = (self._out / kind / f"part-{number:02d}.parquet" for kind in ("features", "segments"))
        try:
            written = (pq.read_metadata(features).metadata or {}).get(MADE_OF)
        except (OSError, pa.ArrowException):
            return False
        if not segments.is_file() or written != self._made_of(members, light):
            return False
        self.found.update(light)
        return True

    def partition(self, number: int, rows: Sequence[Row], members: Sequence[Subject] | None = None) -> None:
        """Writes one partition: its segments, then its vectors, which say what both were made of."""
        name = f"part-{number:02d}"
        _write(self._out / "segments", name, _segment_table(rows))
        made_of = {} if members is None else {MADE_OF: self._made_of(members, rows)}
        _write(self._out / "features", name, _feature_table(rows), made_of)
        none = np.zeros(0, np.float32)
        self.found |= {item: Extraction(None, none, none, none, e.reason, e.signals) for item, e in rows}

    def _made_of(self, members: Sequence[Subject], rows: Sequence[Row]) -> bytes:
        listed = [[s.item_id, s.key, extraction.reason] for s, (_, extraction) in zip(members, rows, strict=True)]
        return hashlib.sha256(json.dumps([self._identity, listed]).encode()).hexdigest().encode()

    def close(self, item_ids: Sequence[str]) -> dict[str, Any]:
        """Writes signals and failures in item order; the counts."""
        signals = {item_id: self.found[item_id].signals or {} for item_id in item_ids}
        reasons = {item_id: reason for item_id in item_ids if (reason := self.found[item_id].reason) is not None}
        columns = [name for name in SIGNALS.schema.names if name != "item_id"]
        rows = [{"item_id": i} | {c: values.get(c) for c in columns} for i, values in signals.items() if values]
        write_table(self._out, "signals", pa.Table.from_pylist(rows, schema=SIGNALS.schema))
        content = json.dumps({"modality": self._modality})
        row_of = {item_id: row for row, item_id in enumerate(item_ids)}
        table = pa.table({
            "table": pa.array([f"features/{self._modality}"] * len(reasons), pa.string()),
            "row": pa.array([row_of[item_id] for item_id in reasons], pa.int64()),
            "item_id": pa.array(list(reasons), pa.string()),
            "reason": pa.array(list(reasons.values()), pa.string()),
            "content": pa.array([content] * len(reasons), pa.string()),
        })  # fmt: skip
        write_table(self._out, "quarantine", table).rename(self._out / "failures.parquet")
        return {"modality": self._modality, "dim": self._dim, "items": len(item_ids),
                "present": len(item_ids) - len(reasons), "missing": len(reasons),
                "reasons": dict(Counter(reasons.values()))}  # fmt: skip


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


def _write(folder: Path, name: str, table: pa.Table, metadata: Mapping[bytes, bytes] | None = None) -> None:
    """Parquet without timestamps; vectors do not compress, and trying costs more than extracting."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{name}.part"
    options = {"compression": "none", "use_dictionary": False, "store_schema": False}
    with pq.ParquetWriter(aside, table.schema, **options) as writer:
        writer.write_table(table)
        if metadata:
            writer.add_key_value_metadata(dict(metadata))
    aside.replace(folder / f"{name}.parquet")
