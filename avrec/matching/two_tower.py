"""Two towers: people and items as unit vectors, learned so that a person lies close to what they like."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from avrec.matching.base import FitReport
from avrec.matching.data import Arrays, Catalog, Interactions
from avrec.matching.fused import FusedItems
from avrec.matching.packing import is_matrix, pack, pruned, size, unpack
from avrec.matching.vectors import MeanMatcher, unit
from avrec.params import CompressionParams, TwoTowerParams


class TwoTower(MeanMatcher, FusedItems):
    """Item tower: id and modalities through a fusion layer. User tower: a linear map of the mean of the likes.

    Trained by a softmax over items (`avrec.matching.softmax`), stopped early on validation. TensorFlow is needed for
    training, and to load it with items newer than the training; scoring is plain numpy over the stored vectors.
    `params.compression` makes the trained towers smaller (`avrec.matching.packing`, `avrec.matching.distillation`).

    Example:
        ```python
        matcher = TwoTower(TwoTowerParams(epochs=5))
        report = matcher.fit(catalog, train, validation)
        report.importance  # {"id": 0.7, "visual": 0.2, "text": 0.1}
        ```
    """

    name: ClassVar[str] = "two_tower"
    params_class = TwoTowerParams
    params: TwoTowerParams

    def __init__(self, params: TwoTowerParams, seed: int = 7, frozen: dict[str, Any] | None = None) -> None:
        self._configure(params, seed, frozen)

    def _configure(self, params: Any, seed: int, frozen: dict[str, Any] | None) -> None:
        values = dict(frozen or {})
        self.teacher_epoch: int | None = values.pop("teacher_epoch", None)
        super()._configure(params, seed, values)

    @property
    def dim(self) -> int:
        return self.params.compression.dim or self.params.dim

    def fit(self, catalog: Catalog, train: Interactions, validation: Interactions | None = None) -> FitReport:
        if self.params.compression.dim is not None:
            whole = self.params.model_copy(update={"compression": CompressionParams()})
            teacher = TwoTower(whole, self.seed, frozen={"best_epoch": self.teacher_epoch})
            teacher.fit(catalog, train, validation)
            return self.fit_from(teacher, catalog, train, validation)
        from avrec.matching.two_tower_training import train_towers

        self.look(catalog, train)
        return self._finish(catalog, train_towers(self, catalog, train, validation))

    def fit_from(
        self, teacher: TwoTower, catalog: Catalog, train: Interactions, validation: Interactions | None = None
    ) -> FitReport:
        """`fit` with vectors of `dim`, by distillation from towers that were fitted on the same."""
        from avrec.matching.distillation import distil

        self.teacher_epoch = teacher.best_epoch
        self.look(catalog, train)
        return self._finish(catalog, distil(self, teacher, catalog, train, validation))

    def shrunk(self, compression: CompressionParams) -> TwoTower:
        """These fitted towers with the storage of `compression`, whose `dim` must be the same."""
        other = TwoTower(self.params.model_copy(update={"compression": compression}), self.seed)
        other.best_epoch, other.teacher_epoch, other.catalog = self.best_epoch, self.teacher_epoch, self.catalog
        FusedItems._restore(other, self._weights(), other.settings(), self._require_fitted())
        other._store()
        return other

    def _finish(self, catalog: Catalog, epochs: list[dict[str, float]]) -> FitReport:
        self.catalog = catalog
        before = float(size(self._weights()))
        self._store()
        sizes = {"bytes": float(size(self._state())), "bytes_before": before}
        return FitReport(self.settings(), epochs, importance=self.importance, sizes=sizes)

    def _store(self) -> None:
        """From here on what would be stored is what scores."""
        if self.params.compression.shrinks:
            self._restore(self._state(), self.settings(), self._require_fitted())

    def save(self, folder: Path) -> None:
        super().save(folder)
        if self.params.compression.tflite is not None:
            from avrec.matching.tflite import write_towers

            write_towers(self, folder, self.params.compression.tflite)

    def settings(self) -> dict[str, Any]:
        teacher = {"teacher_epoch": self.teacher_epoch} if self.params.compression.dim else {}
        return {**super().settings(), **teacher}

    def _weights(self) -> Arrays:
        """What `_state` packs."""
        return super()._state()

    def _state(self) -> Arrays:
        arrays, share = self._weights(), self.params.compression.prune
        if share:
            # What items count by id and modality is told to people and scores nothing: it is not dropped.
            names = [name for name, array in arrays.items() if is_matrix(array) and name != "shares"]
            fewer = {name: pruned(arrays[name], share) for name in names}
            if not np.array_equal(fewer["vectors"], arrays["vectors"]):
                fewer["vectors"] = unit(fewer["vectors"])
            arrays |= fewer
        return pack(arrays, self.params.compression)

    def _restore(self, state: Arrays, settings: dict[str, Any], catalog: Catalog) -> None:
        super()._restore(unpack(state), settings, catalog)

    def _learned(self) -> Arrays:
        return {"kernel": self.kernel, "nobody": self.nobody}

    def _adopt(self, state: Arrays) -> None:
        self.kernel, self.nobody = state["kernel"], state["nobody"]
