"""TensorFlow, imported late and quietly, and networks run on batches of one shape."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Network = Callable[[Any], tuple[Any, ...]]

_loading = threading.Lock()

WIDTH = 16
"""Float32 numbers in the widest vector of a processor."""


def load() -> Any:
    """The module `tensorflow`, without its start-up messages and without a GPU: features are the same everywhere."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _loading:  # threads that import it at once would meet it half made
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
    network: Network, inputs: Iterable[npt.NDArray[Any]], batch: int
) -> Iterator[list[npt.NDArray[np.float32]]]:
    """Runs `network` over the rows of many inputs in batches of exactly `batch` rows, the last one padded with zeros.

    Inputs are taken as they are needed, and batches run across them: a stream of files fills them whole.

    A network's rows differ in their last bits between batch shapes; with one shape a row is bit-equal alone, in any
    batch and at any place in it. For that the network must also keep the last dimension of what it computes element by
    element or reduces a multiple of the processor's vectors (`WIDTH`): else a row's place decides whether a number is
    computed in a vector or alone, and these differ in the last bit.

    Args:
        network: `[batch, ...]` to a tuple of arrays `[batch, ...]`.
        inputs: Arrays `[n, ...]` of one row shape and dtype; `n` may be 0.
        batch: Rows of a batch.

    Yields:
        For each input, in order, one array `[n, ...]` for each output of the network; an empty list where `n` is 0.
    """
    waiting: deque[_Rows] = deque()
    rows: list[npt.NDArray[Any]] = []
    for given in inputs:
        waiting.append(_Rows(len(given)))
        rows.extend(given)
        while len(rows) >= batch:
            _deliver(network(np.stack(rows[:batch])), batch, waiting)
            del rows[:batch]
        while waiting and waiting[0].complete:
            yield waiting.popleft().joined()
    if rows:
        padded = np.zeros((batch, *rows[0].shape), rows[0].dtype)
        padded[: len(rows)] = rows
        _deliver(network(padded), len(rows), waiting)
    yield from (each.joined() for each in waiting)


class _Rows:
    """The rows of one input that came out of the network so far."""

    def __init__(self, count: int) -> None:
        self.lacks = count
        self._parts: list[list[npt.NDArray[np.float32]]] = []

    @property
    def complete(self) -> bool:
        return self.lacks == 0

    def take(self, outputs: Sequence[npt.NDArray[np.float32]], start: int, end: int) -> int:
        """Takes what is its own of rows `start` to `end`; how many."""
        count = min(self.lacks, end - start)
        if count:
            self._parts.append([out[start : start + count] for out in outputs])
            self.lacks -= count
        return count

    def joined(self) -> list[npt.NDArray[np.float32]]:
        return [np.concatenate(parts) for parts in zip(*self._parts, strict=True)]


def _deliver(outputs: Sequence[Any], count: int, waiting: Iterable[_Rows]) -> None:
    """Hands the first `count` rows of a batch to the inputs that wait for them, first come first served."""
    arrays = [np.asarray(out) for out in outputs]
    start = 0
    for each in waiting:
        start += each.take(arrays, start, count)
