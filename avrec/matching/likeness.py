"""The item-item graph: each item's nearest known neighbours by one modality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from avrec.features.base import Features
from avrec.matching.base import BLOCK
from avrec.matching.data import Floats, Longs, Mask
from avrec.matching.exact import Exact

TINY = 1e-6
"""A neighbour that points away still counts this much: it is among the nearest."""


@dataclass(frozen=True)
class Neighbourhood:
    """Centred unit vectors of one modality, and who may be a neighbour.

    The statistics come from the training, so that items that came later change nothing for the others.

    Attributes:
        centre: Mean unit vector of the known items `[dim]` float32.
        known: Items that may be neighbours, `[n_items]` bool.
        k: Neighbours an item has at most.
    """

    centre: Floats
    known: Mask
    k: int

    @classmethod
    def of(cls, features: Features, known: Mask, k: int) -> Neighbourhood:
        rows = features.present & known
        rows = rows if rows.any() else features.present
        centre = features.normalised()[rows].mean(axis=0, dtype=np.float64).astype(np.float32)
        return cls(centre, known, k)

    def graph(self, features: Features, items: Longs) -> Any:
        """Neighbours of `items`, sparse `[len(items), n_items]` float32.

        A row adds up to 1, nearer neighbours having more of it; it is empty where the item lacks the modality. No
        item is its own neighbour.
        """
        units = self._units(features)
        candidates = np.flatnonzero(self.known & features.present)
        shape = (len(items), len(units))
        if not len(candidates):
            return sparse.csr_matrix(shape, dtype=np.float32)
        exact = Exact(units[candidates])  # the same bits for an item alone and among others
        blocks = [items[i : i + BLOCK] for i in range(0, len(items), BLOCK)]
        rows = [self._rows(exact.dot(units[block]), block, candidates, features.present) for block in blocks]
        return sparse.vstack(rows, format="csr") if rows else sparse.csr_matrix(shape, dtype=np.float32)

    def _rows(self, similar: Floats, items: Longs, candidates: Longs, present: Mask) -> Any:
        similar = np.where(items[:, None] == candidates[None, :], -np.inf, similar)
        width = min(self.k, similar.shape[1])
        nearest = np.argpartition(-similar, width - 1, axis=1)[:, :width]
        values = np.take_along_axis(similar, nearest, axis=1)
        weights = np.where(np.isfinite(values), np.maximum(values, TINY), 0.0) * present[items][:, None]
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), TINY)
        rows, places = np.nonzero(weights)
        entries = weights[rows, places].astype(np.float32), (rows, candidates[nearest[rows, places]])
        return sparse.csr_matrix(entries, shape=(len(items), len(present)))

    def _units(self, features: Features) -> Floats:
        centred = np.where(features.present[:, None], features.normalised() - self.centre, 0.0)
        norms = np.sqrt((centred * centred).sum(axis=1, keepdims=True))
        units: Floats = (centred / np.maximum(norms, TINY)).astype(np.float32)
        return units
