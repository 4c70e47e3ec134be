"""An item as one sequence in time: segments of every modality as tokens of one width, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from avrec.features.base import Mask, Vectors, read_features
from avrec.features.signals import segments_of

WIDTH = 64
"""Principal components kept of each modality."""
MOST_A_MODALITY = 24
"""Segments of a modality in a sequence; of more, so many evenly spaced ones."""
TINY = 1e-9

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Segments:
    """What one modality found in one item: vectors `[n, dim]`, starts and ends `[n]` in seconds, all float32."""

    vectors: Vectors
    starts: Vectors
    ends: Vectors

    def thinned(self) -> Segments:
        """At most `MOST_A_MODALITY` of them."""
        if len(self.vectors) <= MOST_A_MODALITY:
            return self
        rows = np.linspace(0, len(self.vectors) - 1, MOST_A_MODALITY).round().astype(int)
        return Segments(self.vectors[rows], self.starts[rows], self.ends[rows])


Item = Mapping[str, Segments]
"""Segments of one item by modality; one that is missing has no entry."""


def read_items(folders: Mapping[str, Path], item_ids: Sequence[str]) -> list[Item]:
    """The segments of every item, from folders that the feature stages wrote.

    A modality that has no segments in any item (texts; vectors that came with the data) is one token an item: its
    pooled vector, from the item's beginning to its end.

    Args:
        folders: By modality.
        item_ids: Items in the order wanted; those that a folder does not know lack its modality.

    Raises:
        DataError: a folder without vectors.
    """
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    items: list[dict[str, Segments]] = [{} for _ in item_ids]
    whole: list[str] = []
    for modality, folder in folders.items():
        found = False
        for item_id, vectors, starts, ends in segments_of(folder):
            found = True
            if item_id in row_of:
                items[row_of[item_id]][modality] = Segments(vectors, starts, ends)
        if not found:
            whole.append(modality)
    ends_s = [max((float(s.ends.max()) for s in item.values()), default=1.0) for item in items]
    for modality in whole:
        pooled = read_features(folders[modality], modality, item_ids)
        for row in np.flatnonzero(pooled.present):
            end = np.array([ends_s[row]], np.float32)
            items[row][modality] = Segments(pooled.vectors[[row]], np.zeros(1, np.float32), end)
    return list(items)


@dataclass(frozen=True)
class Tokens:
    """Sequences of many items, padded at the end.

    Attributes:
        vectors: `[n, length, width]` float32.
        kind: Number of the modality from 1, 0 for padding, `[n, length]` int32.
        when: Start and length of the segment as parts of the item's length, `[n, length, 2]` float32.
        starts, ends: Seconds, `[n, length]` float32.
    """

    vectors: Vectors
    kind: Ints
    when: Vectors
    starts: Vectors
    ends: Vectors

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def present(self) -> Mask:
        """Items that have a token `[n]`."""
        there: Mask = (self.kind > 0).any(axis=1)
        return there

    def trimmed(self) -> Tokens:
        """Without the padding that all of them have."""
        most = max(int((self.kind > 0).sum(axis=1).max(initial=0)), 1)
        parts = {name: getattr(self, name)[:, :most] for name in ("vectors", "kind", "when", "starts", "ends")}
        return replace(self, **parts)


@dataclass(frozen=True)
class Basis:
    """Brings segments of every modality to one width: centred, on principal axes, of unit variance.

    Attributes:
        centres: By modality `[dim]` float32.
        axes: By modality `[dim, width]` float32.
    """

    centres: dict[str, Vectors]
    axes: dict[str, Vectors]

    @property
    def modalities(self) -> tuple[str, ...]:
        """In the order of their numbers, which begin with 1."""
        return tuple(sorted(self.centres))

    @property
    def width(self) -> int:
        return int(next(iter(self.axes.values())).shape[1])

    @property
    def length(self) -> int:
        """Tokens of a sequence, padding included: always the same, whatever the items."""
        return MOST_A_MODALITY * len(self.modalities)

    @classmethod
    def fit(cls, items: Sequence[Item], learn: Mask, width: int = WIDTH) -> Basis:
        """From the segments of the items under `learn` `[n]`; a modality none of them has is left out.

        Raises:
            ValueError: none of them has a segment.
        """
        chosen = [item for item, use in zip(items, learn, strict=True) if use]
        names = sorted({name for item in chosen for name, found in item.items() if len(found.vectors)})
        if not names:
            raise ValueError(f"learn: none of {len(chosen)} items has a segment.")
        rows = {name: np.concatenate([unit(item[name].vectors) for item in chosen if name in item]) for name in names}
        centres = {name: values.mean(axis=0, dtype=np.float64) for name, values in rows.items()}
        axes = {name: _axes(values - centres[name], width) for name, values in rows.items()}
        return cls({name: c.astype(np.float32) for name, c in centres.items()}, axes)

    def tokens(self, items: Sequence[Item]) -> Tokens:
        """Items as sequences `[n, length]` in time, tokens of one start in the order of the modalities.

        Raises:
            ValueError: a segment has another length than those the basis is from.
        """
        n = len(items)
        vectors, kind = np.zeros((n, self.length, self.width), np.float32), np.zeros((n, self.length), np.int32)
        times = np.zeros((n, self.length, 2), np.float32)
        for row, item in enumerate(items):
            values, kinds, spans = self._sequence(item)
            vectors[row, : len(kinds)], kind[row, : len(kinds)], times[row, : len(kinds)] = values, kinds, spans
        whole = np.maximum(times[..., 1].max(axis=1, initial=0.0), TINY)[:, None]
        when = np.stack([times[..., 0] / whole, (times[..., 1] - times[..., 0]) / whole], axis=-1)
        return Tokens(vectors, kind, when.astype(np.float32), times[..., 0], times[..., 1])

    def _sequence(self, item: Item) -> tuple[Vectors, Ints, Vectors]:
        parts = [
            (number, name, item[name].thinned())
            for number, name in enumerate(self.modalities, 1)
            if name in item and len(item[name].vectors)
        ]
        if not parts:
            return np.zeros((0, self.width), np.float32), np.zeros(0, np.int32), np.zeros((0, 2), np.float32)
        vectors = np.concatenate([self._along(name, found.vectors) for _, name, found in parts])
        kinds = np.concatenate([np.full(len(found.vectors), number, np.int32) for number, _, found in parts])
        spans = np.concatenate([np.stack([found.starts, found.ends], axis=1) for *_, found in parts])
        order = np.lexsort((kinds, spans[:, 0]))
        return vectors[order], kinds[order], spans[order].astype(np.float32)

    def _along(self, name: str, vectors: Vectors) -> Vectors:
        if vectors.shape[1] != len(self.centres[name]):
            raise ValueError(f"{name}: expected segments of {len(self.centres[name])}, got {vectors.shape[1]}.")
        # A row at a time: in a product of many rows its last bits would depend on how many there are.
        return np.stack([row @ self.axes[name] for row in unit(vectors) - self.centres[name]])


def mean_pooled(tokens: Tokens, modalities: int) -> Vectors:
    """Each modality's mean, of unit length, side by side, `[n, modalities * width]`: what has to be beaten."""
    parts = []
    for number in range(1, modalities + 1):
        there = (tokens.kind == number)[..., None]
        total = (tokens.vectors * there).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
        parts.append(unit(total))
    return unit(np.concatenate(parts, axis=1))


def unit(vectors: Vectors) -> Vectors:
    """Of length 1 along the last axis; zero stays zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > TINY).astype(np.float32)


def _axes(centred: Doubles, width: int) -> Vectors:
    values, vectors = np.linalg.eigh(centred.T @ centred / max(len(centred), 1))
    values, vectors = values[::-1][:width], vectors[:, ::-1][:, :width]
    vectors = vectors * np.where(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])] < 0, -1, 1)
    # Directions in which the items do not differ carry noise alone, and stay small.
    scaled = vectors / np.sqrt(np.maximum(values, 0.0) + 0.01 * max(float(values.mean()), TINY))
    padded = np.zeros((len(vectors), width), np.float32)
    padded[:, : scaled.shape[1]] = scaled
    return padded
