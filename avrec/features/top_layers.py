"""The top layers of a network of MobileNet's body: as variables to train, and as files of what came of it."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from avrec.errors import ParamsError, WeightsError
from avrec.features.mobilenet_v1 import LAYERS, Array, kernels_of, run_lower, run_upper
from avrec.features.tensorflow import load
from avrec.features.weights import check_file

NETWORK = "network"
"""Entry of a file that says which network the layers are of: all have the same shapes."""


class TopLayers:
    """A network whose last layers can be trained; what lies below stays as it is.

    A weight is what it was given as plus `step` times a variable that starts at zero, in standard deviations of the
    weights of its kernel: batch norm, folded in, left kernels of very different sizes, and an optimiser like Adam moves
    all variables by the same amounts.

    Args:
        name: Of the network.
        weights: `conv0` to `conv26` and their biases.
        layers: How many of the separable layers are trained, counted from the top.
        step: Standard deviations that a variable of 1 stands for.
        activation: After each convolution.
        prepare: Makes what the network takes of what it is called with.

    Raises:
        ParamsError: there are not so many layers.
    """

    def __init__(self, name: str, weights: Mapping[str, Array], layers: int, step: float,
                 activation: Callable[[Any], Any], prepare: Callable[[Any], Any]) -> None:  # fmt: skip
        if not 1 <= layers <= len(LAYERS):
            raise ParamsError(f"layers must be from 1 to {len(LAYERS)}, got {layers}.")
        self._tf = load()
        import keras

        self.name, self._weights, self._activation, self._prepare = name, dict(weights), activation, prepare
        self._below = len(LAYERS) - layers
        names = top_names(layers)
        self._units = {n: np.float32(step * max(float(weights[n].std()), 1e-6)) for n in names}
        self._moves = {n: keras.Variable(np.zeros(weights[n].shape, np.float32), name=n) for n in names}

    @property
    def variables(self) -> list[Any]:
        return list(self._moves.values())

    def __call__(self, inputs: Any) -> Any:
        """Vectors `[n, 1024]` float32; gradients reach the top layers alone."""
        x = run_lower(self._tf, self._prepare(inputs), self._weights, self._activation, self._below)
        return run_upper(self._tf, x, self._current(), self._activation, self._below)

    def _current(self) -> dict[str, Any]:
        return {n: self._weights[n] + unit * self._moves[n].value for n, unit in self._units.items()}

    def arrays(self) -> dict[str, Array]:
        """The top layers as they are now, by name."""
        return {n: np.asarray(value, np.float32) for n, value in self._current().items()}


def top_names(layers: int) -> list[str]:
    """Names of the weights of the last `layers` separable layers."""
    kernels = [n for layer in range(len(LAYERS) - layers, len(LAYERS)) for n in kernels_of(layer)]
    return [f"{n}{part}" for n in kernels for part in ("", "_bias")]


def with_tuned(name: str, weights: dict[str, Array], path: str | None, sha256: str | None) -> dict[str, Array]:
    """`weights` of network `name` with the layers of a file in their places; the same object where `path` is None.

    Raises:
        WeightsError: the file is not there, not the one it should be, or does not hold layers of this network.
    """
    if path is None:
        return weights
    found = check_file(Path(path), str(sha256))
    try:
        with np.load(found, allow_pickle=False) as file:
            arrays = dict(file)
        of = str(arrays.pop(NETWORK).item())
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{found} cannot be read; give a file that `avrec finetune` wrote.") from error
    wrong = [n for n, array in arrays.items() if n not in weights or array.shape != weights[n].shape]
    if of != name or wrong or set(arrays) not in [set(top_names(n)) for n in range(1, len(LAYERS) + 1)]:
        raise WeightsError(f"{found} does not hold top layers of {name}: it is of {of}, with {', '.join(arrays)[:80]}.")
    return {**weights, **arrays}


def first_tuned(weights: Mapping[str, Array], tuned: Mapping[str, Array]) -> int:
    """Number of the first separable layer, from 0, whose weights differ; the last layer's where none does."""
    changed = [layer for layer in range(len(LAYERS)) if any(tuned[n] is not weights[n] for n in kernels_of(layer))]
    return min(changed, default=len(LAYERS) - 1)
