"""TensorFlow, imported late and quietly, and networks run on batches of one shape."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

WIDTH = 16
"""Float32 numbers in the widest vector of a processor."""


def load() -> Any:
    """The module `tensorflow`, without its start-up messages and without a GPU: features are the same everywhere."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    tf.config.set_visible_devices([], "GPU")
    return tf


def padded_width(columns: int) -> int:
    """`columns` rounded up to a multiple of `WIDTH`."""
    return -(-columns // WIDTH) * WIDTH


def row_by_row(tf: Any, rows: Any, matrix: Any) -> Any:
    """`rows @ matrix` (`[n, k]`, `[k, m]`), one row at a time.

    A product of few rows handles the last ones in another order than the first, so that a row's place would show.
    """
    return tf.map_fn(lambda row: tf.linalg.matvec(matrix, row, transpose_a=True), rows)


def run_padded(
    network: Callable[[Any], tuple[Any, ...]], inputs: npt.NDArray[Any], batch: int
) -> list[npt.NDArray[np.float32]]:
    """Runs `network` over `inputs` in batches of exactly `batch` rows, the last one padded with zeros.

    A network's rows differ in their last bits between batch shapes; with one shape a row is bit-equal alone, in any
    batch and at any place in it. For that the network must also keep the last dimension of what it computes element by
    element or reduces a multiple of the processor's vectors (`WIDTH`): else a row's place decides whether a number is
    computed in a vector or alone, and these differ in the last bit.

    Returns:
        One array `[len(inputs), ...]` for each output of the network.
    """
    outputs: list[list[npt.NDArray[np.float32]]] = []
    for start in range(0, len(inputs), batch):
        rows = inputs[start : start + batch]
        padded = np.zeros((batch, *inputs.shape[1:]), inputs.dtype)
        padded[: len(rows)] = rows
        outputs.append([np.asarray(out)[: len(rows)] for out in network(padded)])
    return [np.concatenate(parts) for parts in zip(*outputs, strict=True)]
