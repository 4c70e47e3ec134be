"""MobileNet V1 1.0 224 (Howard et al. 2017) out of a frozen graph: 1024-d, ImageNet logits, a safety score."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from avrec.features.tensorflow import load, padded_width, row_by_row
from avrec.features.weights import IMAGENET_NAMES, MOBILENET, find_weights

SIZE = 224
DIM = 1024
BATCH = 16
CLASSES = 1001  # the first is background
POOLED = "MobilenetV1/Logits/AvgPool_1a/AvgPool:0"
LOGITS = ("MobilenetV1/Logits/Conv2d_1c_1x1/weights", "MobilenetV1/Logits/Conv2d_1c_1x1/biases")
SAFETY = ("final_training_ops/weights/final_weights", "final_training_ops/biases/final_biases")


def build_mobilenet() -> Callable[[Any], tuple[Any, ...]]:
    """The network: frames `[BATCH, 224, 224, 3]` uint8 to `[BATCH, 1024]`, `[BATCH, 1000]` and `[BATCH, 1]`: unsafe."""
    tf = load()
    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(find_weights(MOBILENET).read_bytes())
    for node in graph.node:
        if node.name == "input":  # the file was frozen for one image at a time
            node.attr["shape"].shape.dim[0].size = BATCH

    constants = {node.name: node.attr["value"].tensor for node in graph.node if node.op == "Const"}
    (logits, bias), (safety, safety_bias) = (
        [tf.make_ndarray(constants[name]).reshape(shape) for name, shape in zip(names, shapes, strict=True)]
        for names, shapes in ((LOGITS, ([DIM, CLASSES], [CLASSES])), (SAFETY, ([CLASSES, 2], [2])))
    )
    beside = padded_width(CLASSES) - CLASSES

    def network(frames: Any) -> Any:
        scaled = tf.cast(frames, tf.float32) / 127.5 - 1.0
        (pooled,) = tf.graph_util.import_graph_def(graph, {"input:0": scaled}, [POOLED], name="")
        pooled = tf.reshape(pooled, [BATCH, DIM])
        scores = row_by_row(tf, pooled, logits) + bias
        probabilities = tf.nn.softmax(tf.pad(scores, [[0, 0], [0, beside]], constant_values=-1e9))
        safe_unsafe = tf.nn.softmax(row_by_row(tf, scores, safety) + safety_bias)
        return pooled, probabilities[:, 1:CLASSES], safe_unsafe[:, 1:]

    spec = tf.TensorSpec([BATCH, SIZE, SIZE, 3], tf.uint8)
    function = tf.compat.v1.wrap_function(network, signature=[spec])
    return lambda frames: tuple(function(tf.constant(frames)))


def imagenet_names() -> list[str]:
    """Names of the 1,000 classes, in the order of the probabilities."""
    names: list[str] = json.loads(find_weights(IMAGENET_NAMES).read_text(encoding="utf-8"))
    return names
