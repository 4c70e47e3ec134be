"""The two towers as TFLite files, for devices that make vectors where TensorFlow is too large.

`user_tower.tflite` takes vectors of the newest likes `[1, history, dim]` and which of them there are `[1, history]`
(1 or 0); `item_tower.tflite` takes the inputs of each modality `[1, width]` and which are present `[1, modalities]`,
and places an item that nobody has met. Both answer with a unit vector `[1, dim]`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from avrec.matching.data import Floats
from avrec.matching.towers import content_tower, person_vectors
from avrec.matching.two_tower import TwoTower

USER, ITEM = "user_tower.tflite", "item_tower.tflite"


def write_towers(matcher: TwoTower, folder: Path, numbers: str) -> None:
    """Writes both towers; the item tower only where there are modalities. Equal weights give equal bytes.

    Args:
        matcher: Fitted.
        folder: Exists.
        numbers: float32, float16, or int8 (weights; sums stay float32).
    """
    (folder / USER).write_bytes(_converted(*_user(matcher), numbers))
    if matcher.modalities:
        (folder / ITEM).write_bytes(_converted(*_item(matcher), numbers))


class LiteTower:
    """A written tower.

    Example:
        ```python
        person = LiteTower(folder / USER)(likes, known)  # [1, dim] float32
        ```
    """

    def __init__(self, path: Path) -> None:
        self._interpreter = tf.lite.Interpreter(model_path=str(path))
        self._interpreter.allocate_tensors()
        names = sorted(self._interpreter.get_input_details(), key=lambda told: told["name"])
        self._inputs = [told["index"] for told in names]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def __call__(self, *values: Floats) -> Floats:
        """The vector `[1, dim]` for inputs in the order of the module's description."""
        for index, value in zip(self._inputs, values, strict=True):
            self._interpreter.set_tensor(index, np.asarray(value, np.float32))
        self._interpreter.invoke()
        vector: Floats = self._interpreter.get_tensor(self._output)
        return vector


Signature = list[Any]


def _user(matcher: TwoTower) -> tuple[Callable[..., Any], Signature]:
    kernel, nobody = tf.constant(matcher.kernel), tf.constant(matcher.nobody)
    length = matcher.params.history
    shapes = (1, length, matcher.dim), (1, length)
    return (lambda likes, known: person_vectors(likes, known, kernel, nobody)), _named(*shapes)


def _item(matcher: TwoTower) -> tuple[Callable[..., Any], Signature]:
    tower = content_tower(matcher.content_weights, matcher.dim, matcher.params.fusion)
    widths = [matcher.projections[name].basis.shape[1] for name in matcher.modalities]

    def place(*values: Any) -> Any:
        present = tf.concat([tf.zeros([1, 1]), values[-1]], axis=1)
        # Not by calling it: Keras counts the models of a process, and the count would be in the file.
        return tower.call(tf.zeros([1], tf.int32), list(values[:-1]), present)[0]

    return place, _named(*((1, width) for width in widths), (1, len(widths)))


def _named(*shapes: tuple[int, ...]) -> Signature:
    """Inputs whose names sort in their order: TFLite keeps names and no order."""
    return [tf.TensorSpec(shape, tf.float32, name=f"input_{i:02d}") for i, shape in enumerate(shapes)]


def _converted(function: Callable[..., Any], signature: Signature, numbers: str) -> bytes:
    concrete = tf.function(function, input_signature=signature).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    if numbers != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if numbers == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return bytes(converter.convert())
