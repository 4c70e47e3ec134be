"""The contract of every matcher: fit, score, recommend, save, load."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from avrec.errors import NotFittedError
from avrec.matching.data import Catalog, Floats, Histories, Interactions, Longs, Mask

BLOCK = 256
"""Rows scored together. Blocks are padded to this size, so that a row's scores are bit-equal alone and in any shard."""


@dataclass(frozen=True)
class FitReport:
    """What training says of itself; goes to the run's metrics.

    Attributes:
        settings: The settings actually used, those chosen on validation included (for `refit`).
        epochs: One mapping of metric to value an epoch, for matchers that iterate.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    epochs: list[dict[str, float]] = field(default_factory=list)


class Matcher(ABC):
    """Scores every item of a catalogue for any history, of people it knows or never saw.

    A subclass sets `name`, and writes `fit`, `_score`, `_state` and `_restore`. It never sees whose history it is
    beyond `Histories.user`, and never looks at `seen`: masking is done here, once, for all.
    """

    name: ClassVar[str]
    catalog: Catalog | None = None

    @abstractmethod
    def fit(self, catalog: Catalog, train: Interactions, validation: Interactions | None = None) -> FitReport:
        """Learns from `train`. `validation` serves early stopping only; None in refit, which uses frozen settings."""

    @abstractmethod
    def _score(self, histories: Histories) -> Floats:
        """Scores `[len(histories), n_items]` float32, finite, for one block."""

    @abstractmethod
    def _state(self) -> dict[str, np.ndarray]:
        """Arrays that `_restore` needs, without the catalogue."""

    @abstractmethod
    def _restore(self, state: dict[str, np.ndarray], settings: dict[str, Any], catalog: Catalog) -> None:
        """Becomes the matcher that was saved. The catalogue may hold items that are newer than the training."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Settings as JSON values; with them and the same data `fit` gives the same matcher."""

    def score(self, histories: Histories) -> Floats:
        """Scores of one block `[n, n_items]`, `n <= BLOCK`, computed on a padded block of fixed size."""
        self._require_fitted()
        n = len(histories)
        if n > BLOCK:
            raise ValueError(f"histories: expected at most {BLOCK} rows in a block, got {n}; use `recommend`.")
        return self._score(_padded(histories))[:n]

    def recommend(self, histories: Histories, k: int, allowed: Mask | None = None) -> tuple[Longs, Floats]:
        """The best `k` items a row, best first, everything seen left out.

        Args:
            histories: `n` rows.
            k: Length of the lists; rows with fewer eligible items end in -1 and `-inf`.
            allowed: `[n_items]` bool; items that may be listed (availability, media type, safety).

        Returns:
            Item indices `[n, k]` int64 and scores `[n, k]` float32. Equal scores are in index order.
        """
        if k < 1:
            raise ValueError(f"k: expected at least 1, got {k}.")
        blocks = [
            top_k(mask_scores(self.score(part), part, allowed), k)
            for part in (histories.slice(i, min(i + BLOCK, len(histories))) for i in range(0, len(histories), BLOCK))
        ]
        if not blocks:
            return np.zeros((0, k), np.int64), np.zeros((0, k), np.float32)
        return np.concatenate([b[0] for b in blocks]), np.concatenate([b[1] for b in blocks])

    def save(self, folder: Path) -> None:
        """Writes `settings.json` and `state.npz` (no pickle; equal states give equal bytes)."""
        self._require_fitted()
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"name": self.name, "settings": self.settings()}, indent=2, sort_keys=True)
        (folder / "settings.json").write_text(text + "\n", encoding="utf-8")
        save_arrays(folder / "state.npz", self._state())

    @classmethod
    def load(cls, folder: Path, catalog: Catalog) -> Matcher:
        """Reads what `save` wrote, for a catalogue that holds at least the items of the training."""
        values = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        matcher = cls.__new__(cls)
        with np.load(folder / "state.npz", allow_pickle=False) as arrays:
            matcher._restore(dict(arrays), values["settings"], catalog)
        matcher.catalog = catalog
        return matcher

    def _require_fitted(self) -> None:
        if self.catalog is None:
            raise NotFittedError(f"{self.name}: call fit or load first.")


def mask_scores(scores: Floats, histories: Histories, allowed: Mask | None) -> Floats:
    """`scores` with `-inf` at what was seen and what is not allowed; a new array."""
    scores = scores.copy()
    rows = np.repeat(np.arange(len(histories)), np.diff(histories.seen_indptr))
    scores[rows, histories.seen_items] = -np.inf
    if allowed is not None:
        scores[:, ~allowed] = -np.inf
    return scores


def top_k(scores: Floats, k: int) -> tuple[Longs, Floats]:
    """Best `k` columns a row, best first, ties in index order; -1 where the score is `-inf`."""
    n, m = scores.shape
    width = min(k, m)
    # A stable sort of the few candidates above the k-th value keeps ties in index order.
    kth = np.partition(scores, m - width, axis=1)[:, m - width]
    items = np.full((n, k), -1, np.int64)
    values = np.full((n, k), -np.inf, np.float32)
    for row in range(n):
        candidates = np.flatnonzero(scores[row] >= kth[row])
        order = candidates[np.argsort(-scores[row, candidates], kind="stable")][:width]
        items[row, :width], values[row, :width] = order, scores[row, order]
    items[values == -np.inf] = -1
    return items, values


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """`np.savez` with a fixed order and fixed dates, so that equal arrays give equal bytes."""
    import io
    import zipfile

    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(arrays[name]), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), buffer.getvalue())


def _padded(histories: Histories) -> Histories:
    missing = BLOCK - len(histories)
    if not missing:
        return histories
    return Histories(
        np.concatenate([histories.user, np.full(missing, -1, np.int32)]),
        np.concatenate([histories.indptr, np.full(missing, histories.indptr[-1])]),
        histories.items,
        np.concatenate([histories.seen_indptr, np.full(missing, histories.seen_indptr[-1])]),
        histories.seen_items,
    )
