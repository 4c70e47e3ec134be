"""Features as a network likes them: centred, without correlation between columns, few columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avrec.features.base import Features
from avrec.matching.data import Floats, Mask
from avrec.matching.exact import Exact


@dataclass(frozen=True)
class Projection:
    """Principal components of unit vectors, scaled so that the whole has unit variance.

    Attributes:
        centre: `[dim]` float32.
        basis: `[dim, width]` float32.
    """

    centre: Floats
    basis: Floats

    @classmethod
    def of(cls, features: Features, trained: Mask, width: int) -> Projection:
        """Fitted on the training items that have the modality; on all that have it where none has."""
        rows = features.present & trained
        rows = rows if rows.any() else features.present
        units = features.normalised()[rows].astype(np.float64)
        centre = units.mean(axis=0)
        covariance = np.cov(units - centre, rowvar=False, bias=True).reshape(features.dim, features.dim)
        values, vectors = np.linalg.eigh(covariance)
        vectors = vectors[:, ::-1][:, :width]
        largest = np.abs(vectors).argmax(axis=0)
        vectors = vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])])  # a sign of its own for each axis
        scale = 1.0 / np.sqrt(max(values[::-1][:width].sum(), 1e-12))
        return cls(centre.astype(np.float32), (vectors * scale).astype(np.float32))

    def apply(self, features: Features) -> Floats:
        """Inputs `[n_items, width]` float32; zero where not present, to be masked."""
        projected = Exact(self.basis.T).dot(features.normalised() - self.centre)
        return np.where(features.present[:, None], projected, 0.0).astype(np.float32)
