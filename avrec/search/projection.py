"""A linear map from what is seen or heard into the space of sentences, learned from the catalogue itself.

Pairs are a moment of an item and the words that belong to it. The map starts as ridge regression and is refined by the
symmetric InfoNCE loss (Radford et al. 2021, CLIP): a moment must find its own words among those of others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avrec.features.base import Vectors

Reals = npt.NDArray[np.float64]

WIDTH = 128
"""Principal components kept of the moments."""
MOST_PAIRS = 4096
BATCH = 512
STEPS = 120
RIDGE = 0.1
TEMPERATURE = 0.07
RATE = 0.002


@dataclass(frozen=True)
class Projection:
    """Moments `[n, dim]` to unit vectors `[n, 512]`.

    Attributes:
        centre: `[dim]`. basis: `[dim, width]`. kernel: `[width, 512]`. All float32.
    """

    centre: Vectors
    basis: Vectors
    kernel: Vectors

    def __call__(self, vectors: Vectors) -> Vectors:
        """Unit vectors in the space of sentences."""
        return unit((unit(vectors) - self.centre) @ self.basis @ self.kernel)


def unit(vectors: Vectors) -> Vectors:
    """Rows of unit length; zero rows stay zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), np.float32)


def fit_projection(moments: Vectors, words: Vectors, seed: int = 7) -> Projection | None:
    """Learns from pairs; equal inputs give an equal map.

    Args:
        moments: `[n, dim]`.
        words: `[n, 512]` unit vectors, the words of each moment.
        seed: Of the batches.

    Returns:
        The map; None where there are fewer than two pairs.
    """
    if len(moments) < 2:
        return None
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(moments))[:MOST_PAIRS])
    x, y = unit(moments[chosen]).astype(np.float64), words[chosen].astype(np.float64)
    centre = x.mean(axis=0)
    width = min(WIDTH, len(x) - 1, x.shape[1])
    values, vectors = np.linalg.eigh((x - centre).T @ (x - centre) / len(x))
    basis = vectors[:, ::-1][:, :width] / np.sqrt(np.maximum(values[::-1][:width], 1e-9))
    basis = basis * np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(width)])
    inputs = (x - centre) @ basis
    kernel = np.linalg.solve(inputs.T @ inputs + RIDGE * len(x) * np.eye(width), inputs.T @ y)
    kernel = _contrast(inputs, y, kernel, rng)
    return Projection(centre.astype(np.float32), basis.astype(np.float32), kernel.astype(np.float32))


def _contrast(inputs: Reals, words: Reals, kernel: Reals, rng: np.random.Generator) -> Reals:
    """Adam on the symmetric InfoNCE loss; pairs with equal words are not each other's negatives."""
    first, second = np.zeros_like(kernel), np.zeros_like(kernel)
    for step in range(1, STEPS + 1):
        batch = rng.permutation(len(inputs))[:BATCH]
        gradient = _gradient(inputs[batch], words[batch], kernel)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        rate = RATE * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        kernel = kernel - rate * first / (np.sqrt(second) + 1e-8)
    return kernel


def _gradient(inputs: Reals, words: Reals, kernel: Reals) -> Reals:
    raw = inputs @ kernel
    norms = np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-9)
    found = raw / norms
    logits = found @ words.T / TEMPERATURE
    same = words @ words.T > 1 - 1e-6
    target = same / same.sum(axis=1, keepdims=True)
    error = (_softmax(logits) - target) + (_softmax(logits.T) - target).T
    by_found = error @ words / (2 * TEMPERATURE * len(inputs))
    by_raw = (by_found - found * (by_found * found).sum(axis=1, keepdims=True)) / norms
    return np.asarray(inputs.T @ by_raw)


def _softmax(logits: Reals) -> Reals:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
