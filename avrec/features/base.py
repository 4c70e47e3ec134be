"""The contract of every extractor, and the feature tables that the rest of avrec reads."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from avrec.errors import DataError
from avrec.schema import FEATURES

Vectors = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Extraction:
    """What one extractor found in one item.

    Attributes:
        vector: Pooled vector `[dim]` float32, or None where the modality is missing.
        segments: Segment vectors `[n, dim]` float32; `n` may be 0.
        starts, ends: Seconds within the item, `[n]` float32 each.
        reason: Why the modality is missing; None where it is present.
        signals: Columns of `avrec.schema.SIGNALS` that came along.
    """

    vector: Vectors | None
    segments: Vectors
    starts: Vectors
    ends: Vectors
    reason: str | None = None
    signals: dict[str, Any] | None = None

    @classmethod
    def missing(cls, reason: str, dim: int) -> Extraction:
        """The extraction of an item that lacks this modality; never a vector of zeros."""
        none = np.zeros(0, np.float32)
        return cls(None, np.zeros((0, dim), np.float32), none, none, reason)


class Extractor(ABC):
    """Turns media or texts into vectors.

    An extractor is deterministic: networks run on padded batches of one fixed size, so that a vector is bit-equal
    alone, in any shard, and resumed. `identity` names the code version and every setting that may change a
    vector; it is part of the key of the feature store.
    """

    name: ClassVar[str]
    modality: ClassVar[str]
    version: ClassVar[int]
    dim: int

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything that may change a vector, weights' hashes included; JSON values."""

    @property
    def identity(self) -> str:
        """`name@version+hash`, the folder of this extractor in the feature store."""
        digest = hashlib.sha256(json.dumps(self.settings(), sort_keys=True).encode()).hexdigest()
        return f"{self.name}@{self.version}+{digest[:16]}"

    @abstractmethod
    def extract(self, inputs: Iterable[Any]) -> Iterable[Extraction]:
        """One extraction an input, in order. Inputs are samples of `avrec.media`, or texts; they may be a stream."""


@dataclass(frozen=True)
class Features:
    """Vectors of one modality for every item of a catalogue, in catalogue order.

    Attributes:
        modality: visual, audio or text.
        vectors: `[n_items, dim]` float32. Rows that are not present are zero and must be masked by `present`.
        present: `[n_items]` bool.
    """

    modality: str
    vectors: Vectors
    present: Mask

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    def normalised(self) -> Vectors:
        """Rows of unit length, zero where not present."""
        norms = np.linalg.norm(self.vectors, axis=1, keepdims=True)
        return np.divide(self.vectors, norms, out=np.zeros_like(self.vectors), where=norms > 0).astype(np.float32)

    def shuffled(self, seed: int) -> Features:
        """The twin: the same vectors given to other items, to show that it is the content that helps."""
        order = np.random.default_rng(seed).permutation(len(self.present))
        return Features(self.modality, self.vectors[order], self.present[order])


def partition_of(item_id: str, partitions: int = 16) -> int:
    """The partition an item's row is in: a prefix of a hash, so that one new item rewrites one file."""
    return int(hashlib.sha256(item_id.encode()).hexdigest()[:4], 16) % partitions


def read_features(folder: Path, modality: str, item_ids: Sequence[str]) -> Features:
    """Reads `folder/features/part-*.parquet` and lines it up with `item_ids`.

    Items without a row count as missing.

    Raises:
        DataError: no part file, or vectors of different length or not finite.
    """
    parts = sorted((folder / "features").glob("part-*.parquet"))
    if not parts:
        raise DataError(f"{folder}/features holds no part-*.parquet; run `dvc repro features@{modality}`.")
    table = pa.concat_tables([FEATURES.conform(pq.read_table(part)) for part in parts])
    table = table.filter(table["present"])
    rows = {item: row for row, item in enumerate(table["item_id"].to_pylist())}
    lengths = set(table["vector"].combine_chunks().value_lengths().to_pylist()) if table.num_rows else {1}
    if len(lengths) != 1:
        raise DataError(f"{folder}: vectors of different lengths {sorted(lengths)[:5]}; expected one.")
    dim = lengths.pop()
    flat = np.asarray(table["vector"].combine_chunks().flatten(), dtype=np.float32).reshape(-1, dim)
    if not np.isfinite(flat).all():
        raise DataError(f"{folder}: a vector holds NaN or infinity; extract again.")
    index = np.array([rows.get(item, -1) for item in item_ids], dtype=np.int64)
    present = index >= 0
    vectors = np.zeros((len(item_ids), dim), np.float32)
    vectors[present] = flat[index[present]]
    return Features(modality, vectors, present)
