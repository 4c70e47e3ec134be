"""Weights in fewer bytes: the small entries dropped, the others as shorter numbers.

Dropping is magnitude pruning (Han et al., "Learning both weights and connections for efficient neural networks",
NIPS 2015), within each row, so that no item loses everything. `int8` is symmetric, with a scale a row (Jacob et al.,
"Quantization and training of neural networks for efficient integer-arithmetic-only inference", CVPR 2018).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from avrec.matching.data import Arrays
from avrec.params import CompressionParams

LONGEST = 127
"""Largest whole number of int8 that is used."""

SCALE_BITS = 16
"""Bits of a scale: so few that `LONGEST` times it is exact, and packing what was packed before changes nothing."""

SCALE, KEPT, SHAPE = ".scale", ".kept", ".shape"


def pruned(matrix: Any, share: float) -> Any:
    """`matrix [n, m]` with the smallest `share` of each row set to zero; of equal ones the first are kept."""
    kept = matrix.shape[1] - int(share * matrix.shape[1])
    order = np.argsort(-np.abs(matrix), axis=1, kind="stable")
    result = np.zeros_like(matrix)
    np.put_along_axis(result, order[:, :kept], np.take_along_axis(matrix, order[:, :kept], axis=1), axis=1)
    return result


def pack(arrays: Arrays, params: CompressionParams) -> Arrays:
    """Arrays as they are stored; whatever is no float32 matrix stays as it is.

    Args:
        arrays: By name, without a dot.
        params: `storage` decides on the numbers; with `prune`, zeros are not stored.
    """
    packed: Arrays = {}
    for name, array in arrays.items():
        packed.update(_packed(name, array, params) if is_matrix(array) else {name: array})
    return packed


def unpack(packed: Arrays) -> Arrays:
    """What `pack` was given, matrices as float32 of what is left of them."""
    arrays: Arrays = {}
    for name in packed:
        if "." not in name:
            arrays[name] = _unpacked(name, packed)
    return arrays


def size(arrays: Arrays) -> int:
    """Bytes of the numbers in some arrays; identifiers and names do not count."""
    return sum(array.nbytes for array in arrays.values() if array.dtype.kind != "U")


def is_matrix(array: Any) -> bool:
    """Whether an array is one that can be made smaller: float32, two axes."""
    return bool(array.ndim == 2 and array.dtype == np.float32)


def _packed(name: str, matrix: Any, params: CompressionParams) -> Arrays:
    parts: Arrays = {name: matrix}
    if params.storage == "float16" and np.abs(matrix).max(initial=0.0) < np.finfo(np.float16).max:
        parts[name] = matrix.astype(np.float16)
    elif params.storage == "int8":
        parts[name + SCALE] = _scales(matrix)
        parts[name] = np.rint(matrix / parts[name + SCALE][:, None]).astype(np.int8)
    if params.prune:
        values = parts[name]
        parts[name + SHAPE], parts[name + KEPT] = np.array(values.shape, np.int64), np.packbits(values != 0)
        parts[name] = values[values != 0]
    return parts


def _scales(matrix: Any) -> Any:
    """By row what 1 stands for, `[n]` float32, rounded up to few bits."""
    fraction, exponent = np.frexp(np.abs(matrix).max(axis=1, initial=0.0).astype(np.float64) / LONGEST)
    scales = np.ldexp(np.ceil(np.ldexp(fraction, SCALE_BITS)), exponent - SCALE_BITS)
    return np.where(scales > 0, scales, 1.0).astype(np.float32)


def _unpacked(name: str, packed: Arrays) -> Any:
    values = packed[name]
    if name + SHAPE in packed:
        shape = tuple(packed[name + SHAPE].tolist())
        kept = np.unpackbits(packed[name + KEPT], count=shape[0] * shape[1]).astype(bool).reshape(shape)
        dense = np.zeros(shape, values.dtype)
        dense[kept] = values
        values = dense
    if name + SCALE in packed:
        return values.astype(np.float32) * packed[name + SCALE][:, None]
    return values.astype(np.float32) if values.dtype == np.float16 else values
