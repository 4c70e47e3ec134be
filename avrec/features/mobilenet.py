"""MobileNet V1 1.0 224 out of a frozen graph: 1024-d, ImageNet probabilities, a safety score."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from avrec.features.mobilenet_v1 import LAYERS, Array, run_lower, run_upper
from avrec.features.tensorflow import load, padded_width, row_by_row
from avrec.features.top_layers import TopLayers, first_tuned, with_tuned
from avrec.features.weights import IMAGENET_NAMES, MOBILENET, find_weights
from avrec.params import VisualParams

SIZE = 224
DIM = 1024
BATCH = 16
CLASSES = 1001  # the first is background
EPSILON = 0.001  # of the batch norms, as the graph has it


def build_mobilenet(params: VisualParams) -> Callable[[Any], tuple[Any, ...]]:
    """The network: frames `[BATCH, 224, 224, 3]` uint8 to `[BATCH, 1024]`, `[BATCH, 1000]` and `[BATCH, 1]`: unsafe.

    Tuned layers make the vector alone: names and safety were learned from the given ones and go on coming from them.
    """
    tf = load()
    weights = read_mobilenet()
    tuned = with_tuned("mobilenet", weights, params.weights, params.weights_sha256)
    below = first_tuned(weights, tuned)
    beside = padded_width(CLASSES) - CLASSES

    def network(frames: Any) -> Any:
        lower = run_lower(tf, scaled(tf, frames), weights, tf.nn.relu6, below)
        pooled = run_upper(tf, lower, weights, tf.nn.relu6, below)
        vectors = run_upper(tf, lower, tuned, tf.nn.relu6, below) if tuned is not weights else pooled
        logits = row_by_row(tf, pooled, weights["classifier"]) + weights["bias"]
        probabilities = tf.nn.softmax(tf.pad(logits, [[0, 0], [0, beside]], constant_values=-1e9))
        # The safety head was trained on the logits: [safe, unsafe].
        safety = row_by_row(tf, logits, weights["safety"]) + weights["safety_bias"]
        return vectors, probabilities[:, 1:CLASSES], tf.sigmoid(safety[:, 1:] - safety[:, :1])

    function = tf.function(network, input_signature=[tf.TensorSpec([BATCH, SIZE, SIZE, 3], tf.uint8)])
    return lambda frames: tuple(function(tf.constant(frames)))


def scaled(tf: Any, frames: Any) -> Any:
    """Frames of 0 to 255 as the network takes them, float32."""
    return tf.cast(frames, tf.float32) / 127.5 - 1.0


def trainable_mobilenet(params: VisualParams, layers: int, step: float) -> TopLayers:
    """The network of `params` over frames `[n, 224, 224, 3]`, its last `layers` separable layers as variables."""
    tf = load()
    weights = with_tuned("mobilenet", read_mobilenet(), params.weights, params.weights_sha256)
    return TopLayers("mobilenet", weights, layers, step, tf.nn.relu6, lambda frames: scaled(tf, frames))


def read_mobilenet() -> dict[str, Array]:
    """The weights with batch norm folded in: `conv0` to `conv26`, `classifier` `[1024, 1001]`, `safety` `[1001, 2]`."""
    tf = load()
    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(find_weights(MOBILENET).read_bytes())
    raw = {node.name: tf.make_ndarray(node.attr["value"].tensor) for node in graph.node if node.op == "Const"}
    weights: dict[str, Array] = {
        "classifier": raw["MobilenetV1/Logits/Conv2d_1c_1x1/weights"].reshape(DIM, CLASSES),
        "bias": raw["MobilenetV1/Logits/Conv2d_1c_1x1/biases"],
        "safety": raw["final_training_ops/weights/final_weights"],
        "safety_bias": raw["final_training_ops/biases/final_biases"],
    }
    weights |= _folded(raw, "conv0", "Conv2d_0", "weights")
    for layer in range(1, len(LAYERS) + 1):
        weights |= _folded(raw, f"conv{2 * layer - 1}", f"Conv2d_{layer}_depthwise", "depthwise_weights")
        weights |= _folded(raw, f"conv{2 * layer}", f"Conv2d_{layer}_pointwise", "weights")
    return weights


def _folded(raw: dict[str, Array], name: str, scope: str, kind: str) -> dict[str, Array]:
    def norm(part: str) -> Array:
        return raw[f"MobilenetV1/{scope}/BatchNorm/{part}"]

    kernel = raw[f"MobilenetV1/{scope}/{kind}"]
    scale = norm("gamma") / np.sqrt(norm("moving_variance") + EPSILON)
    # A depthwise kernel is [h, w, in, 1]: its channels are the third axis.
    shaped = scale[:, None] if kind == "depthwise_weights" else scale
    bias = norm("beta") - norm("moving_mean") * scale
    return {name: (kernel * shaped).astype(np.float32), f"{name}_bias": bias.astype(np.float32)}


def imagenet_names() -> list[str]:
    """Names of the 1,000 classes, in the order of the probabilities."""
    names: list[str] = json.loads(find_weights(IMAGENET_NAMES).read_text(encoding="utf-8"))
    return names
