"""Content of a large catalogue at once: short vectors propose, whole ones decide.

The unit vectors of three modalities are some ten kilobytes an item; to read those of 100,000 items takes longer than a
request may. So each modality is also kept in its principal axes (Hotelling 1933), of which the first few hold most of
what tells items apart. They rank the catalogue well enough to find who is among the best; those alone are scored by
their whole vectors. The mean and the deviation of the scores over the catalogue, which the hybrid standardises by,
come from the vectors' second moments and are those of the whole vectors, so that what is scored again keeps its score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from avrec.matching.data import Floats, Longs, Mask

AXES = 64
"""Of each modality; with three of them 77 MB for 100,000 items, all of which a request reads."""

ROWS = 8192
"""Items whose whole vectors stand side by side while moments are taken."""


@dataclass(frozen=True)
class Rough:
    """What a matcher says of the catalogue for one person before it has looked closely.

    Attributes:
        scores: Approximations `[n_items]` float32.
        mean, deviation: Of the scores themselves over the catalogue, not of the approximations.
        at: The scores themselves of some items `[c]`, float32.
    """

    scores: Floats
    mean: float
    deviation: float
    at: Callable[[Longs], Floats]


class Shortlist:
    """Scores `sum over modalities of unit . (own + share * fused)`, where `own` and `fused` describe a person.

    Args:
        units: Unit vectors of the items by modality, `[n_items, dim]` float32; zero where not present.
        share: What an item's vectors count in the fused one, `[n_items]` float32.
    """

    def __init__(self, units: Mapping[str, Floats], share: Floats) -> None:
        self._units, self._share = dict(units), share
        self._kinds = [(value, share == value) for value in np.unique(share)]
        """Items with as many modalities have the same share: for them the score is one product."""
        moments = [self._moments(rows) for _, rows in self._kinds]
        self._sums, self._squares = [m[0] for m in moments], [m[1] for m in moments]
        self._axes = self._principal()
        blocks = [values @ axes for values, axes in zip(self._units.values(), self._axes, strict=True)]
        # Column by column: one vector after the other is added up, which takes a third of the time of products by row.
        self._short = np.asfortranarray(np.concatenate(blocks, axis=1), np.float32)

    def _moments(self, rows: Mask) -> tuple[Floats, Floats]:
        """Sum `[D]` and second moments `[D, D]` of the items of one kind, all modalities side by side."""
        width, where = sum(values.shape[1] for values in self._units.values()), np.flatnonzero(rows)
        total, squares = np.zeros(width), np.zeros((width, width), np.float32)
        for start in range(0, len(where), ROWS):
            part = where[start : start + ROWS]
            joined = np.concatenate([values[part] for values in self._units.values()], axis=1)
            total += joined.sum(axis=0, dtype=np.float64)
            squares += joined.T @ joined
        return total.astype(np.float32), squares

    def _principal(self) -> list[Floats]:
        """The first axes of each modality `[dim, at most AXES]`."""
        found, start, squares = [], 0, np.sum(self._squares, axis=0)
        for values in self._units.values():
            stop = start + values.shape[1]
            _, axes = np.linalg.eigh(squares[start:stop, start:stop])
            found.append(np.ascontiguousarray(axes[:, ::-1][:, :AXES], np.float32))
            start = stop
        return found

    def rough(self, own: Mapping[str, Floats], fused: Mapping[str, Floats]) -> Rough:
        """Of one person.

        Args:
            own: By modality `[dim]`.
            fused: The same.
        """
        scores, mean, square, n = np.empty(len(self._share), np.float32), 0.0, 0.0, len(self._share)
        for (share, rows), total, squares in zip(self._kinds, self._sums, self._squares, strict=True):
            person = {name: own[name] + share * fused[name] for name in self._units}
            whole = np.concatenate(list(person.values()))
            mean += float(total @ whole) / n
            square += float(whole @ (squares @ whole)) / n
            pairs = zip(person.values(), self._axes, strict=True)
            short = np.concatenate([vector @ axes for vector, axes in pairs])
            each = self._short @ short
            scores = each if len(self._kinds) == 1 else np.where(rows, each, scores)
        return Rough(scores, mean, float(np.sqrt(max(square - mean * mean, 0.0))), self._exact(own, fused))

    def _exact(self, own: Mapping[str, Floats], fused: Mapping[str, Floats]) -> Callable[[Longs], Floats]:
        def at(items: Longs) -> Floats:
            total = np.zeros(len(items), np.float32)
            for name, values in self._units.items():
                some = values[items]
                total += some @ own[name] + self._share[items] * (some @ fused[name])
            return total

        return at
