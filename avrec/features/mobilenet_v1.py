"""The body of MobileNet V1 (Howard et al. 2017), which both the picture and the sound network are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

# (stride, output channels) of the separable layers after the first convolution (32 channels, stride 2).
LAYERS = ((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), *((1, 512),) * 5, (2, 1024), (1, 1024))


def run_lower(tf: Any, x: Any, weights: Mapping[str, Any], activation: Callable[[Any], Any], layers: int) -> Any:
    """Images `[n, h, w, c]` through the first convolution and the first `layers` separable layers.

    Args:
        tf: TensorFlow.
        x: The images.
        weights: `conv0` to `conv26`, batch norm folded in, odd ones depthwise; and `conv0_bias` to `conv26_bias`.
        activation: After each convolution.
        layers: How far.
    """
    x = _finish(tf, tf.nn.conv2d(x, weights["conv0"], 2, "SAME"), weights, "conv0", activation)
    return _separable(tf, x, weights, activation, range(layers))


def run_upper(tf: Any, x: Any, weights: Mapping[str, Any], activation: Callable[[Any], Any], layers: int) -> Any:
    """What `run_lower` made with as many `layers`, to the mean over places of the last layer, `[n, 1024]`."""
    x = _separable(tf, x, weights, activation, range(layers, len(LAYERS)))
    return tf.reduce_mean(x, axis=[1, 2])


def _separable(tf: Any, x: Any, weights: Mapping[str, Any], activation: Callable[[Any], Any], layers: range) -> Any:
    for layer in layers:
        stride, (depth, point) = LAYERS[layer][0], kernels_of(layer)
        x = tf.nn.depthwise_conv2d(x, weights[depth], [1, stride, stride, 1], "SAME")
        x = _finish(tf, x, weights, depth, activation)
        x = _finish(tf, tf.nn.conv2d(x, weights[point], 1, "SAME"), weights, point, activation)
    return x


def _finish(tf: Any, x: Any, weights: Mapping[str, Any], name: str, activation: Callable[[Any], Any]) -> Any:
    return activation(tf.nn.bias_add(x, weights[f"{name}_bias"]))  # one fused step with the convolution


def kernels_of(layer: int) -> tuple[str, str]:
    """Names of the two kernels of a separable layer, counted from 0; their biases have `_bias` behind."""
    return f"conv{2 * layer + 1}", f"conv{2 * layer + 2}"
