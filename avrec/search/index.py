"""The index: every item's words and moments in spaces where a question can be compared with them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from avrec.errors import DataError
from avrec.features.base import Vectors

FORMAT = 1
INFO = "index.json"

CHANNELS = ("words", "said", "heard", "seen", "sound", "picture", "audio", "visual", "semantic")
"""Spaces of the index.

words: sentences by and about the item. said: what is spoken in a moment. heard, seen: probability of every label.
sound, picture: moments brought into the space of sentences. audio, visual: moments as the networks describe them.
semantic: moments as an encoder reads them, which knows the whole item; where params name one.
"""

ITEM_COLUMNS = pa.schema([
    ("item_id", pa.string()),
    ("title", pa.string()),
    ("media_type", pa.string()),
    ("description", pa.string()),
    ("heard", pa.list_(pa.string())),
    ("duration_s", pa.float32()),
    ("motion", pa.float32()),
])  # fmt: skip


@dataclass(frozen=True)
class Channel:
    """Rows of one space.

    Attributes:
        item: Row of the items table `[n]` int32.
        start, end: Seconds within the item `[n]` float32.
        whole: Row stands for the whole item, not for a moment `[n]` bool.
        vectors: `[n, dim]` float16.
    """

    item: npt.NDArray[Any]
    start: npt.NDArray[Any]
    end: npt.NDArray[Any]
    whole: npt.NDArray[Any]
    vectors: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.item)

    @cached_property
    def _faiss(self) -> Any:
        import faiss

        index = faiss.IndexFlatIP(self.vectors.shape[1])
        index.add(np.ascontiguousarray(self.vectors, np.float32))
        return index

    @cached_property
    def mean(self) -> Vectors:
        """The mean row `[dim]` float32: what everything in the catalogue has in common."""
        return np.asarray(self.vectors.astype(np.float32).mean(axis=0), np.float32)

    def nearest(self, query: Vectors, most: int) -> tuple[npt.NDArray[np.int64], Vectors]:
        """Rows with the largest inner product with `query` `[dim]`, best first, and the products."""
        if not len(self):
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        scores, rows = self._faiss.search(np.ascontiguousarray(query[None], np.float32), min(most, len(self)))
        return rows[0], scores[0]


@dataclass(frozen=True)
class SearchIndex:
    """A built index.

    Attributes:
        items: Table `ITEM_COLUMNS`.
        channels: By name, see `CHANNELS`; a catalogue without sound lacks those of sound.
        labels: Vocabulary of `heard` and of `seen`, and its vectors `[classes, 512]` under `NAME_words`.
        info: Facts: number of items, pairs the projections learned from, features' settings.

    Example:
        ```python
        index = SearchIndex.load(Path("out/search"))
        find(index, Question(text="a dog barking in the rain"), k=5)
        ```
    """

    items: pa.Table
    channels: Mapping[str, Channel]
    labels: Mapping[str, tuple[str, ...]]
    label_words: Mapping[str, Vectors]
    info: Mapping[str, Any]

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Row of each item id."""
        return {item_id: row for row, item_id in enumerate(self.items["item_id"].to_pylist())}

    def save(self, folder: Path) -> None:
        """Writes a folder; equal indexes give equal bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(self.items, folder / "items.parquet", compression="zstd", store_schema=False)
        for name, channel in self.channels.items():
            np.savez(folder / f"{name}.npz", item=channel.item, start=channel.start, end=channel.end,
                     whole=channel.whole, vectors=channel.vectors)  # fmt: skip
        for name, words in self.label_words.items():
            np.savez(folder / f"{name}_labels.npz", names=np.array(self.labels[name], dtype=str), words=words)
        info = {**self.info, "format": FORMAT, "channels": sorted(self.channels), "labels": sorted(self.labels)}
        (folder / INFO).write_text(json.dumps(info, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> SearchIndex:
        """Reads what `save` wrote.

        Raises:
            DataError: it is not an index, or one of another format.
        """
        try:
            info = json.loads((folder / INFO).read_text(encoding="utf-8"))
            if info["format"] != FORMAT:
                raise DataError(f"{folder / INFO}: expected format {FORMAT}, got {info['format']}; build it again.")
            channels = {name: _read_channel(folder / f"{name}.npz") for name in info["channels"]}
            labels = {name: _read_labels(folder / f"{name}_labels.npz") for name in info["labels"]}
            items = pq.read_table(folder / "items.parquet", schema=ITEM_COLUMNS)
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise DataError(f"{folder} is no search index ({error}); remove it and search again.") from error
        names = {name: found[0] for name, found in labels.items()}
        return cls(items, channels, names, {name: found[1] for name, found in labels.items()}, info)


def _read_channel(path: Path) -> Channel:
    with np.load(path, allow_pickle=False) as arrays:
        return Channel(*(arrays[name] for name in ("item", "start", "end", "whole", "vectors")))


def _read_labels(path: Path) -> tuple[tuple[str, ...], Vectors]:
    with np.load(path, allow_pickle=False) as arrays:
        return tuple(arrays["names"].tolist()), arrays["words"]


class ChannelWriter:
    """Collects rows of one channel."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, float, float, bool]] = []
        self._vectors: list[Vectors] = []

    def add(self, item: int, starts: Vectors, ends: Vectors, vectors: Vectors, whole: bool = False) -> None:
        """Rows of one item: `[n]`, `[n]`, `[n, dim]`."""
        self._rows += [(item, float(a), float(b), whole) for a, b in zip(starts, ends, strict=True)]
        self._vectors.append(np.asarray(vectors, np.float16))

    def add_with_mean(self, item: int, starts: Vectors, ends: Vectors, vectors: Vectors) -> None:
        """The moments of an item and their mean, which stands for the whole."""
        self.add(item, starts, ends, vectors)
        self.add(item, starts[:1], ends[-1:], vectors.mean(axis=0, keepdims=True), whole=True)

    def __bool__(self) -> bool:
        return bool(self._rows)

    def close(self) -> Channel:
        columns: Iterator[Any] = zip(*self._rows, strict=True)
        types = (np.int32, np.float32, np.float32, np.bool_)
        item, start, end, whole = (np.array(column, kind) for column, kind in zip(columns, types, strict=True))
        return Channel(item, start, end, whole, np.concatenate(self._vectors))
