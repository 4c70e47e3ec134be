"""Whether somebody is in the picture: ImageNet's thousand names hold no person, and most films show some.

BlazeFace of MediaPipe, the model for faces up to five metres away (Bazarevsky et al. 2019), in TensorFlow Lite.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from avrec.features.tensorflow import load
from avrec.features.weights import FACES, find_weights
from avrec.media.sample import Frames, Sample

SIZE = 192
SEEN = 0.5
"""Probability from which MediaPipe takes a place for a face."""
SHARE = 1 / 3
"""Share of the frames with a face from which an item shows a person."""
PERSON = "person"


class FaceFinder:
    """Looks at frames one at a time, so that a frame's answer is the same in any company."""

    def share(self, sample: Sample) -> float:
        """Share of the sampled frames with a face."""
        width, height = sample.probe.width or SIZE, sample.probe.height or SIZE
        if sample.turned:
            width, height = height, width
        found = [self._best(boxed(frame, width, height)) >= SEEN for frame in sample.frames]
        return float(np.mean(found)) if found else 0.0

    @cached_property
    def _interpreter(self) -> Any:
        interpreter = load().lite.Interpreter(model_path=str(find_weights(FACES)), num_threads=1)
        interpreter.allocate_tensors()
        return interpreter

    def _best(self, frame: Frames) -> float:
        """Probability of the likeliest face in `[192, 192, 3]`."""
        network = self._interpreter
        network.set_tensor(network.get_input_details()[0]["index"], frame[None].astype(np.float32) / 127.5 - 1.0)
        network.invoke()
        scores = next(out for out in network.get_output_details() if out["shape"][-1] == 1)  # the others are boxes
        return float(1.0 / (1.0 + np.exp(-float(network.get_tensor(scores["index"]).max()))))


def boxed(frame: Frames, width: int, height: int) -> Frames:
    """A square frame in the shape it had, on black, `[192, 192, 3]`: the network takes no squeezed face for one."""
    import cv2

    longest = max(width, height)
    wide, high = max(1, round(SIZE * width / longest)), max(1, round(SIZE * height / longest))
    small = cv2.resize(frame, (wide, high), interpolation=cv2.INTER_AREA)
    square = np.zeros((SIZE, SIZE, 3), np.uint8)
    top, left = (SIZE - high) // 2, (SIZE - wide) // 2
    square[top : top + high, left : left + wide] = small
    return square
