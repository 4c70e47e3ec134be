"""The two towers as a device uses them: people and new items come out of the TFLite files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from avrec.matching.data import Arrays, Floats, Histories
from avrec.matching.fused import FusedItems
from avrec.matching.tflite import ITEM, USER, LiteTower, write_towers
from avrec.matching.two_tower import TwoTower
from avrec.params import CompressionParams


class DeviceTowers(TwoTower):
    """Fitted towers whose people, and items nobody met, are placed by files that were written for a device.

    Vectors and biases of the other items lie beside the files; `_state` holds both, so that its size is what a device
    needs to make a list.

    Args:
        matcher: Fitted, not smaller than it was trained.
        folder: Exists; the files are written there.
        numbers: float32, float16 or int8, as `write_towers` takes them.
    """

    def __init__(self, matcher: TwoTower, folder: Path, numbers: str) -> None:
        compression = CompressionParams.model_validate({"tflite": numbers})
        super().__init__(matcher.params.model_copy(update={"compression": compression}), matcher.seed)
        self.best_epoch, self.teacher_epoch, self.catalog = matcher.best_epoch, None, matcher.catalog
        FusedItems._restore(self, matcher._weights(), self.settings(), self._require_fitted())
        write_towers(self, folder, numbers)
        self._files = {path.name: np.fromfile(path, np.uint8) for path in sorted(folder.glob("*.tflite"))}
        self._user = LiteTower(folder / USER)
        if ITEM in self._files:
            self._place_new(LiteTower(folder / ITEM))
            self.prepare()

    def _place_new(self, tower: LiteTower) -> None:
        values, present = self.inputs(self._require_fitted())
        new = (self.shares[:, 0] == 0) & (present.sum(axis=1) > 0)  # without an id
        for item in np.flatnonzero(new):
            one = slice(item, item + 1)
            self.vectors[one] = tower(*(value[one] for value in values), present[one])

    def people(self, histories: Histories) -> Floats:
        found = np.empty((len(histories), self.dim), np.float32)
        for row in range(len(histories)):
            liked = np.unique(histories.liked(row)[-self.params.history :])
            likes = np.zeros((1, self.params.history, self.dim), np.float32)
            known = np.zeros((1, self.params.history), np.float32)
            likes[0, : len(liked)], known[0, : len(liked)] = self.vectors[liked], 1
            found[row] = self._user(likes, known)[0]
        return found

    def _state(self) -> Arrays:
        return {**self._files, "vectors": self.vectors, "bias": self.bias}
