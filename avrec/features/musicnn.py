"""musicnn (Pons and Serra, ISMIR 2019, late-breaking demo): a network that knows music, for the moments that are music.

The weights are those trained on MagnaTagATune, out of a TensorFlow 1 checkpoint; the network is written here anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from avrec.features.tensorflow import load
from avrec.features.weights import MUSICNN, MUSICNN_DATA, find_together
from avrec.media.sample import RATE

Vectors = npt.NDArray[np.float32]

DIM = 200
FRAMES, MELS = 187, 96
FFT, STRIDE = 512, 256
WINDOW = (FRAMES - 1) * STRIDE + FFT
"""Samples of one window: 3.008 s."""
TAGS = (
    "guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast", "piano", "ambient",
    "beat", "violin", "vocal", "synth", "female", "indian", "opera", "male", "singing", "vocals", "no vocals",
    "harpsichord", "loud", "quiet", "flute", "woman", "male vocal", "no vocal", "pop", "soft", "sitar", "solo", "man",
    "classic", "choir", "voice", "new age", "dance", "male voice", "female vocal", "beats", "harp", "cello", "no voice",
    "weird", "country", "metal", "female voice", "choral",
)  # fmt: skip
"""MagnaTagATune's 50 most frequent tags, in the order of the scores."""


def build_musicnn() -> Callable[[Vectors], tuple[Vectors, Vectors]]:
    """One window `[WINDOW]` float32 at 16 kHz to a vector `[200]` and scores of `TAGS` `[50]`.

    A window at a time, so that a row is the same in any company.

    Raises:
        WeightsError: the weights are not installed.
    """
    tf = load()
    weights = read_musicnn()
    filters = mel_filters()

    def network(wave: Any) -> tuple[Any, Any]:
        power = tf.square(tf.abs(tf.signal.stft(wave[None], FFT, STRIDE, FFT)))
        log_mel = tf.math.log(10_000.0 * (power @ filters) + 1.0) / np.float32(np.log(10.0))
        return _network(tf, _Layers(tf, weights), log_mel)

    function = tf.function(network, input_signature=[tf.TensorSpec([WINDOW], tf.float32)])

    def run(wave: Vectors) -> tuple[Vectors, Vectors]:
        vector, scores = function(tf.constant(wave))
        return np.asarray(vector)[0], np.asarray(scores)[0]

    return run


def _network(tf: Any, layers: _Layers, log_mel: Any) -> tuple[Any, Any]:
    """Log-mel `[1, 187, 96]` to the last but one layer `[1, 200]` and probabilities `[1, 50]`."""
    picture = layers.norm(log_mel[..., None])
    padded = tf.pad(picture, [[0, 0], [3, 3], [0, 0], [0, 0]])
    # Timbre: filters over many bands; time: over many frames. The highest answer of any band is kept.
    front = [tf.reduce_max(layers.convolve(padded, "VALID"), 2) for _ in range(2)]
    front += [tf.reduce_max(layers.convolve(picture, "SAME"), 2) for _ in range(3)]
    front = tf.concat(front, 2)
    first = layers.along_time(front)
    second = layers.along_time(first) + first
    third = layers.along_time(second) + second
    features = tf.concat([front, first, second, third], 2)
    pooled = tf.stack([tf.reduce_max(features, 1), tf.reduce_mean(features, 1)], 2)
    vector = layers.norm(tf.nn.relu(layers.dense(layers.norm(tf.reshape(pooled, [1, -1])))))
    return vector, tf.sigmoid(layers.dense(vector))


class _Layers:
    """The layers of the checkpoint, taken in the order in which their authors made them."""

    def __init__(self, tf: Any, weights: dict[str, Vectors]) -> None:
        self._tf = tf
        self._weights = weights
        self._made: dict[str, int] = {}

    def _next(self, kind: str) -> str:
        number = self._made.get(kind, 0)
        self._made[kind] = number + 1
        return f"{kind}_{number}" if number else kind

    def norm(self, x: Any) -> Any:
        name = self._next("batch_normalization")
        mean, variance, scale, offset = (
            self._weights[f"{name}/{part}"] for part in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        return self._tf.nn.batch_normalization(x, mean, variance, offset, scale, 1e-3)

    def convolve(self, x: Any, padding: str) -> Any:
        name = self._next("conv2d")
        y = self._tf.nn.conv2d(x, self._weights[f"{name}/kernel"], 1, padding) + self._weights[f"{name}/bias"]
        return self.norm(self._tf.nn.relu(y))

    def along_time(self, x: Any) -> Any:
        """`[1, time, channels]` to `[1, time, 64]`."""
        padded = self._tf.pad(x, [[0, 0], [3, 3], [0, 0]])
        return self.convolve(padded[..., None], "VALID")[:, :, 0]

    def dense(self, x: Any) -> Any:
        name = self._next("dense")
        return x @ self._weights[f"{name}/kernel"] + self._weights[f"{name}/bias"]


def read_musicnn() -> dict[str, Vectors]:
    """The arrays of the checkpoint by their names.

    Raises:
        WeightsError: not installed, or its files are not beside one another.
    """
    tf = load()
    index, _ = find_together((MUSICNN, MUSICNN_DATA))
    reader = tf.compat.v1.train.NewCheckpointReader(f"{index.parent}/")
    wanted = (name for name in reader.get_variable_to_shape_map() if "Adam" not in name and "/" in name)
    return {name: np.asarray(reader.get_tensor(name), np.float32) for name in wanted}


def mel_filters() -> Vectors:
    """`[257, 96]`: triangles on Slaney's mel scale from 0 to 8 kHz, each of unit area, as librosa makes them."""
    edges = _slaney_hertz(np.linspace(0.0, _slaney_mel(RATE / 2), MELS + 2))
    hertz = np.linspace(0.0, RATE / 2, FFT // 2 + 1)
    up = (hertz[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    down = (edges[2:] - hertz[:, None]) / (edges[2:] - edges[1:-1])
    return np.asarray(np.maximum(0.0, np.minimum(up, down)) * 2.0 / (edges[2:] - edges[:-2]), np.float32)


LINEAR_TO, MEL_HZ = 1000.0, 200.0 / 3.0
STEP = np.log(6.4) / 27.0
"""Slaney's scale is linear to 1 kHz, 200/3 Hz a mel, and logarithmic beyond it."""


def _slaney_mel(hertz: float) -> float:
    return float(LINEAR_TO / MEL_HZ + np.log(hertz / LINEAR_TO) / STEP)


def _slaney_hertz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    border = LINEAR_TO / MEL_HZ
    return np.where(mel < border, mel * MEL_HZ, LINEAR_TO * np.exp(STEP * (mel - border)))
