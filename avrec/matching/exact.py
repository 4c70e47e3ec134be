"""Matrix products whose every entry depends on its own row and column alone, to the last bit.

A BLAS adds up an entry in an order that depends on where it lies in the block, how large the block is and how many
threads there are; so a person's scores would change in the last bits with the company they are computed in, and a
published row could not be made again. Here the factors are rounded to so few bits that no partial sum is ever rounded:
then every order gives the same answer, on every machine (the idea of the error-free transformations of Ozaki et al.,
"Error-free transformations of matrix multiplication", Numerical Algorithms 2012).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from avrec.matching.data import Floats

MANTISSA = 53
"""Bits of a float64."""


class Exact:
    """A right factor, prepared once: rows `[m, k]`, whose products with other rows are exact.

    With `k` columns each factor keeps `(53 - log2 k) / 2` bits, 23 for 64 columns: about what float32 holds.

    Example:
        ```python
        scores = Exact(item_vectors).dot(people)  # [n, m] float32
        ```
    """

    def __init__(self, rows: npt.NDArray[Any]) -> None:
        self.bits = (MANTISSA - int(np.ceil(np.log2(max(rows.shape[1], 2))))) // 2
        self._rows, self._scale = _rounded(rows, self.bits)

    def __len__(self) -> int:
        return len(self._rows)

    def dot(self, left: npt.NDArray[Any]) -> Floats:
        """`left [n, k]` times the transposed rows, `[n, m]` float32."""
        values, scale = _rounded(left, self.bits)
        product = values @ self._rows.T
        product *= scale[:, None]
        product *= self._scale
        return product.astype(np.float32)

    def dot_at(self, left: npt.NDArray[Any], columns: npt.NDArray[np.int64]) -> Floats:
        """The entries of `dot(left)` at `columns` `[n, c]` alone, `[n, c]` float32, equal in every bit."""
        values, scale = _rounded(left, self.bits)
        product: npt.NDArray[np.float64] = np.einsum("nd,ncd->nc", values, self._rows[columns])
        product *= scale[:, None]
        product *= self._scale[columns]
        return product.astype(np.float32)


def _rounded(rows: npt.NDArray[Any], bits: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Rows as whole numbers of at most `bits` bits, and the power of two each row is to be multiplied with."""
    values = rows.astype(np.float64)
    largest = np.abs(values).max(axis=1, initial=0.0)
    exponent = np.frexp(largest)[1]
    scale = np.ldexp(1.0, exponent - bits)
    return np.rint(values / scale[:, None]), scale


def batched_dot(left: npt.NDArray[Any], right: npt.NDArray[Any]) -> Floats:
    """`left [n, a, k]` times the transposed `right [n, b, k]`, `[n, a, b]` float32; exact as `Exact.dot` is."""
    bits = (MANTISSA - int(np.ceil(np.log2(max(left.shape[2], 2))))) // 2
    (x, p), (y, q) = (_rounded(part.reshape(-1, part.shape[2]), bits) for part in (left, right))
    product = x.reshape(left.shape) @ y.reshape(right.shape).transpose(0, 2, 1)
    product *= p.reshape(len(left), -1, 1)
    product *= q.reshape(len(right), 1, -1)
    return product.astype(np.float32)
