"""The body of MobileNet V1 (Howard et al. 2017), which both the picture and the sound network are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

# (stride, output channels) of the separable layers after the first convolution (32 channels, stride 2).
LAYERS = ((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), *((1, 512),) * 5, (2, 1024), (1, 1024))


def run_body(tf: Any, x: Any, weights: Mapping[str, Array], activation: Callable[[Any], Any]) -> Any:
    """Images `[n, h, w, c]` to the mean over places of the last layer, `[n, 1024]`.

    Args:
        tf: TensorFlow.
        x: The images.
        weights: `conv0` to `conv26`, batch norm folded in, odd ones depthwise; and `conv0_bias` to `conv26_bias`.
        activation: After each convolution.
    """

    def finish(y: Any, name: str) -> Any:
        return activation(tf.nn.bias_add(y, weights[f"{name}_bias"]))  # one fused step with the convolution

    x = finish(tf.nn.conv2d(x, weights["conv0"], 2, "SAME"), "conv0")
    for layer, (stride, _) in enumerate(LAYERS):
        depth, point = f"conv{2 * layer + 1}", f"conv{2 * layer + 2}"
        x = finish(tf.nn.depthwise_conv2d(x, weights[depth], [1, stride, stride, 1], "SAME"), depth)
        x = finish(tf.nn.conv2d(x, weights[point], 1, "SAME"), point)
    return tf.reduce_mean(x, axis=[1, 2])
