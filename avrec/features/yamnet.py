"""YAMNet (AudioSet, MobileNet V1 body) in TensorFlow: the float weights out of an ONNX file, the network our own.

The file's fake-quantisation steps are left out: its weights are float32. Reading it needs four fields of the ONNX
protobuf, so no ONNX library: the current one cannot be imported beside TensorFlow 2.16's ml-dtypes.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from avrec.features.mobilenet_v1 import Array, run_lower, run_upper
from avrec.features.protobuf import fields
from avrec.features.tensorflow import load, padded_width, row_by_row
from avrec.features.top_layers import TopLayers, first_tuned, with_tuned
from avrec.features.weights import YAMNET, YAMNET_NAMES, find_weights
from avrec.media.sample import RATE
from avrec.params import AudioParams

DIM = 1024
CLASSES = 521
BATCH = 32
FRAMES, MELS = 96, 64
WINDOW, STRIDE, FFT = 400, 160, 512
PATCH = (FRAMES - 1) * STRIDE + WINDOW
"""Samples of one patch: 0.975 s."""
HOP = FRAMES // 2 * STRIDE
"""Samples from one patch to the next: 0.48 s."""


def build_yamnet(params: AudioParams) -> Callable[[Any], tuple[Any, ...]]:
    """Patches `[BATCH, 15600]` float32 to `[BATCH, 1024]`, scores `[BATCH, 521]` and MFCC statistics `[BATCH, 4*mfcc]`.

    The statistics are mean and deviation over the patch of coefficients 1 to `mfcc` and of their first differences.
    Tuned layers make the vector alone: the scores go on coming from the given ones.
    """
    tf = load()
    weights = read_yamnet()
    tuned = with_tuned("yamnet", weights, params.weights, params.weights_sha256)
    below = first_tuned(weights, tuned)
    beside = padded_width(CLASSES) - CLASSES
    classifier = np.pad(weights["classifier"], [(0, 0), (0, beside)])
    bias = np.pad(weights["bias"], (0, beside))

    def network(patches: Any) -> Any:
        log_mel = _log_mel(tf, patches)
        lower = run_lower(tf, log_mel[..., None], weights, tf.nn.relu, below)
        given = run_upper(tf, lower, weights, tf.nn.relu, below)
        embedding = run_upper(tf, lower, tuned, tf.nn.relu, below) if tuned is not weights else given
        scores = tf.sigmoid(row_by_row(tf, given, classifier) + bias)
        return embedding, scores[:, :CLASSES], _mfcc_statistics(tf, log_mel, params.mfcc)

    function = tf.function(network, input_signature=[tf.TensorSpec([BATCH, PATCH], tf.float32)])
    return lambda patches: tuple(function(tf.constant(patches)))


def build_log_mel() -> Callable[[Any], tuple[Any, ...]]:
    """The front end alone: patches `[BATCH, 15600]` float32 to log-mel spectrograms `[BATCH, 96, 64]`."""
    tf = load()
    signature = [tf.TensorSpec([BATCH, PATCH], tf.float32)]
    function = tf.function(lambda patches: _log_mel(tf, patches), input_signature=signature)
    return lambda patches: (function(tf.constant(patches)),)


def trainable_yamnet(params: AudioParams, layers: int, step: float) -> TopLayers:
    """The network of `params` over log-mel `[n, 96, 64]`, its last `layers` separable layers as variables."""
    tf = load()
    weights = with_tuned("yamnet", read_yamnet(), params.weights, params.weights_sha256)
    return TopLayers("yamnet", weights, layers, step, tf.nn.relu, lambda log_mel: log_mel[..., None])


def _log_mel(tf: Any, patches: Any) -> Any:
    import tensorflow_io as tfio

    spectrogram = tfio.audio.spectrogram(patches, nfft=FFT, window=WINDOW, stride=STRIDE)[:, :FRAMES]
    mel = tfio.audio.melscale(spectrogram, rate=RATE, mels=MELS, fmin=125.0, fmax=7500.0)
    return tf.math.log(mel + 1e-3)


def _mfcc_statistics(tf: Any, log_mel: Any, count: int) -> Any:
    # All coefficients are computed and the wanted ones cut out at the end: `run_padded` says why.
    coefficients = tf.signal.mfccs_from_log_mel_spectrograms(log_mel)
    deltas = coefficients[:, 1:] - coefficients[:, :-1]
    parts = [f(x, axis=1) for x in (coefficients, deltas) for f in (tf.reduce_mean, tf.math.reduce_std)]
    return tf.concat([part[:, 1 : count + 1] for part in parts], axis=1)


def read_yamnet() -> dict[str, Array]:
    """The weights in TensorFlow's layouts: `conv0` to `conv26` with `_bias`, `classifier` `[1024, 521]`, `bias`."""
    with zipfile.ZipFile(find_weights(YAMNET)) as archive:
        graph = archive.read(next(name for name in archive.namelist() if name.endswith(".onnx")))
        data = archive.read(next(name for name in archive.namelist() if name.endswith(".data")))
    arrays = dict(_initialisers(graph, data))
    numbers = sorted(int(m[1]) for name in arrays if (m := re.fullmatch(r"onnx::Conv_(\d+)", name)))
    kernels = [n for n in numbers if arrays[f"onnx::Conv_{n}"].ndim == 4]
    weights = {"classifier": arrays["model.classifier.weight"].T.copy(), "bias": arrays["model.classifier.bias"]}
    for index, number in enumerate(kernels):
        kernel = arrays[f"onnx::Conv_{number}"]
        # ONNX: [out, in / groups, height, width]; a depthwise kernel in TensorFlow: [height, width, in, 1].
        depthwise = index % 2 == 1
        weights[f"conv{index}"] = np.ascontiguousarray(kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0)))
        weights[f"conv{index}_bias"] = arrays[f"onnx::Conv_{number + 1}"]
    return weights


def _initialisers(model: bytes, data: bytes) -> Iterator[tuple[str, Array]]:
    """Float32 tensors of an ONNX model. Fields: model.graph 7, graph.initializer 5; tensor: dims 1, type 2, name 8."""
    graph = next(value for number, value in fields(model) if number == 7)
    for number, tensor in fields(graph):
        if number != 5:
            continue
        parts = list(fields(tensor))
        dims = [value for field, value in parts if field == 1]
        kind = next((value for field, value in parts if field == 2), 0)
        name = next(value for field, value in parts if field == 8).decode()
        if kind == 1:  # FLOAT
            yield name, np.frombuffer(_raw(parts, data), "<f4").reshape(dims)


def _raw(parts: list[tuple[int, Any]], data: bytes) -> bytes:
    """The tensor's bytes: in place (field 9), or in the file beside (field 13: location, offset, length)."""
    place = dict(tuple(dict(fields(value)).values()) for field, value in parts if field == 13)
    if not place:
        return bytes(next(value for field, value in parts if field == 9))
    offset, length = int(place[b"offset"]), int(place[b"length"])
    return data[offset : offset + length]


def audioset_names() -> list[str]:
    """Names of the 521 classes, in the order of the scores."""
    text = find_weights(YAMNET_NAMES).read_text(encoding="utf-8")
    return [row["display_name"] for row in csv.DictReader(io.StringIO(text))]
