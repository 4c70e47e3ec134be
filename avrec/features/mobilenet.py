"""MobileNet V1 1.0 224 (Howard et al. 2017) out of a frozen graph: 1024-d, ImageNet logits, a safety score."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from avrec.features.tensorflow import load
from avrec.features.weights import IMAGENET_NAMES, MOBILENET, find_weights

SIZE = 224
DIM = 1024
BATCH = 16
POOLED = "MobilenetV1/Logits/AvgPool_1a/AvgPool:0"
LOGITS = "MobilenetV1/Predictions/Reshape:0"
UNSAFE = "final_result:0"  # [safe, unsafe]


def build_mobilenet() -> Callable[[Any], tuple[Any, ...]]:
    """The network: frames `[BATCH, 224, 224, 3]` uint8 to `[BATCH, 1024]`, `[BATCH, 1000]` and `[BATCH]` (unsafe)."""
    tf = load()
    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(find_weights(MOBILENET).read_bytes())
    for node in graph.node:
        if node.name == "input":  # the file was frozen for one image at a time
            node.attr["shape"].shape.dim[0].size = BATCH

    def network(frames: Any) -> Any:
        scaled = tf.cast(frames, tf.float32) / 127.5 - 1.0
        pooled, logits, unsafe = tf.graph_util.import_graph_def(
            graph, input_map={"input:0": scaled}, return_elements=[POOLED, LOGITS, UNSAFE], name=""
        )
        probabilities = tf.nn.softmax(tf.reshape(logits, [BATCH, 1001]))
        return tf.reshape(pooled, [BATCH, DIM]), probabilities[:, 1:], tf.reshape(unsafe, [BATCH, 2])[:, 1]

    spec = tf.TensorSpec([BATCH, SIZE, SIZE, 3], tf.uint8)
    function = tf.compat.v1.wrap_function(network, signature=[spec])
    return lambda frames: tuple(function(tf.constant(frames)))


def imagenet_names() -> list[str]:
    """Names of the 1,000 classes, in the order of the probabilities."""
    names: list[str] = json.loads(find_weights(IMAGENET_NAMES).read_text(encoding="utf-8"))
    return names
