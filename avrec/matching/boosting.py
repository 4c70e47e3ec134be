"""Boosted trees as plain arrays: grown by scikit-learn, kept and read without it and without pickle.

Friedman, "Greedy function approximation: a gradient boosting machine" (Annals of Statistics 2001), with histograms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avrec.matching.data import Arrays, Floats, Mask

Doubles = npt.NDArray[np.float64]

DEPTH = 4
"""Questions asked on the way to a leaf, at most."""

ROWS = 4096
"""Rows walked down all trees together; bounds the memory."""

_GROWTH = {"learning_rate": 0.05, "max_leaf_nodes": 12, "min_samples_leaf": 60, "l2_regularization": 1.0}


@dataclass(frozen=True)
class Trees:
    """A sum of trees; all arrays are `[trees, nodes]`, the root first, a leaf being its own child.

    Attributes:
        column: Column that a node looks at, int32.
        threshold: Go left at or below it, float64.
        left, right: Next node, int32.
        value: What a leaf adds, float64; 0 in other nodes.
    """

    column: npt.NDArray[np.int32]
    threshold: Doubles
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    value: Doubles

    @classmethod
    def grow(cls, columns: Floats, wanted: Mask, weight: Doubles, rising: Sequence[bool], trees: int,
             seed: int) -> Trees:  # fmt: skip
        """Trees whose sum is the log odds that a row is wanted, up to a constant.

        Args:
            columns: `[rows, p]` float32, finite.
            wanted: `[rows]` bool.
            weight: Of each row `[rows]`.
            rising: By column, whether a larger value may only raise the sum.
            trees: How many.
            seed: Of what is drawn for the histograms of large data.
        """
        from sklearn.ensemble import HistGradientBoostingClassifier

        model = HistGradientBoostingClassifier(
            max_iter=trees, max_depth=DEPTH, early_stopping=False, random_state=seed,
            monotonic_cst=[int(each) for each in rising], **_GROWTH,
        )  # fmt: skip
        model.fit(columns, wanted, sample_weight=weight)
        # The library offers no way to read a model but pickle; a test holds these arrays to its own predictions.
        return cls._packed([group[0].nodes for group in model._predictors])

    @classmethod
    def _packed(cls, grown: Sequence[npt.NDArray[np.void]]) -> Trees:
        shape = (len(grown), max((len(nodes) for nodes in grown), default=1))
        own = np.broadcast_to(np.arange(shape[1], dtype=np.int32), shape)
        packed = cls(np.zeros(shape, np.int32), np.zeros(shape), own.copy(), own.copy(), np.zeros(shape))
        for row, nodes in enumerate(grown):
            leaf, n = nodes["is_leaf"].astype(bool), len(nodes)
            packed.column[row, :n] = np.where(leaf, 0, nodes["feature_idx"])
            packed.threshold[row, :n] = np.where(leaf, 0.0, nodes["num_threshold"])
            packed.left[row, :n] = np.where(leaf, own[row, :n], nodes["left"])
            packed.right[row, :n] = np.where(leaf, own[row, :n], nodes["right"])
            packed.value[row, :n] = np.where(leaf, nodes["value"], 0.0)
        return packed

    @property
    def floor(self) -> float:
        """What no row falls below."""
        leaf = self.left == np.arange(self.left.shape[1])
        return float(np.where(leaf, self.value, np.inf).min(axis=1).sum())

    def sum(self, columns: Floats) -> Doubles:
        """Sum of the trees for each row of `columns` `[rows, p]`; a row's bits do not depend on the others."""
        parts = [self._walk(columns[start : start + ROWS]) for start in range(0, len(columns), ROWS)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _walk(self, columns: Floats) -> Doubles:
        trees, rows = np.arange(len(self.column))[None, :], np.arange(len(columns))[:, None]
        node = np.zeros((len(columns), len(self.column)), np.int32)
        for _ in range(DEPTH):
            low = columns[rows, self.column[trees, node]] <= self.threshold[trees, node]
            node = np.where(low, self.left[trees, node], self.right[trees, node])
        total: Doubles = self.value[trees, node].sum(axis=1)
        return total

    def state(self) -> Arrays:
        """Arrays by name, for `save_arrays`."""
        return {f"trees_{name}": getattr(self, name) for name in _ARRAYS}

    @classmethod
    def restored(cls, state: Arrays) -> Trees:
        """What `state` gave."""
        return cls(*(state[f"trees_{name}"] for name in _ARRAYS))


_ARRAYS = ("column", "threshold", "left", "right", "value")
