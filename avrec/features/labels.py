"""Names of what is seen and heard, segment by segment, out of vectors that are already stored: no file is opened again.

The last layer of each network is one matrix, and the extractors keep what goes into it. So how sure the network was,
and when in the item, can be told later, without TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from avrec.features.base import Vectors
from avrec.features.mobilenet import CLASSES, DIM, imagenet_names
from avrec.features.protobuf import fields
from avrec.features.weights import MOBILENET, find_weights
from avrec.features.yamnet import DIM as SOUND_DIM
from avrec.features.yamnet import audioset_names, read_yamnet
from avrec.params import FeaturesParams

Groups = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Labels:
    """A vocabulary and the layer that scores it.

    Attributes:
        names: `[classes]`, as the network's authors call them.
        scores: Segment vectors `[n, dim]` to probabilities `[n, classes]` float32.
    """

    names: tuple[str, ...]
    scores: Callable[[Vectors], Vectors]


def labels_of(modality: str, params: FeaturesParams) -> Labels | None:
    """The labels of visual or audio; None where the chosen network has no names for what it finds.

    Nor has one whose top layers were tuned: the last layer learned to read what they made before.
    """
    if modality == "visual" and params.visual.network == "mobilenet" and not params.visual.weights:
        return picture_labels()
    if modality == "audio" and params.audio.network == "yamnet" and not params.audio.weights:
        return sound_labels()
    return None


@cache
def picture_labels() -> Labels:
    """ImageNet's classes with coarse groups ("dog", "aircraft") behind them, whose score is the sum of their members'.

    A network that hesitates between three kinds of aircraft is sure that it sees an aircraft.
    """
    kernel, bias = _classifier()
    groups = list(GROUPS.values())

    def scores(vectors: Vectors) -> Vectors:
        logits = vectors[:, :DIM] @ kernel + bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        fine = (powers / powers.sum(axis=1, keepdims=True))[:, 1:]  # the first class is background
        coarse = [fine[:, list(members)].sum(axis=1, keepdims=True) for members in groups]
        return np.asarray(np.concatenate([fine, *coarse], axis=1), np.float32)

    return Labels((*imagenet_names(), *GROUPS), scores)


@cache
def sound_labels() -> Labels:
    """AudioSet's 521 classes; several may be heard at once."""
    weights = read_yamnet()
    kernel, bias = weights["classifier"], weights["bias"]

    def scores(vectors: Vectors) -> Vectors:
        return np.asarray(expit(vectors[:, :SOUND_DIM] @ kernel + bias), np.float32)

    return Labels(tuple(audioset_names()), scores)


def _classifier() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Kernel `[1024, 1001]` and bias `[1001]` of MobileNet's last layer.

    Fields: graph.node 1; node: name 1, attributes 5 (key 1, value 2); attribute.tensor 8; tensor.content 4.
    """
    wanted = {f"MobilenetV1/Logits/Conv2d_1c_1x1/{part}": part for part in ("weights", "biases")}
    found: dict[str, npt.NDArray[np.float32]] = {}
    for name, content in _constants(find_weights(MOBILENET).read_bytes()):
        if name in wanted:
            found[wanted[name]] = np.frombuffer(content, "<f4")
    return found["weights"].reshape(DIM, CLASSES), found["biases"]


def _constants(graph: bytes) -> Iterator[tuple[str, bytes]]:
    for number, node in fields(graph):
        if number != 1:
            continue
        parts = list(fields(node))
        name = next(value for field, value in parts if field == 1).decode()
        for attribute in (dict(fields(value)) for field, value in parts if field == 5):
            tensor: dict[int, Any] = dict(fields(dict(fields(attribute[2])).get(8, b"")))
            if 4 in tensor:
                yield name, tensor[4]


def _span(*ranges: tuple[int, int]) -> tuple[int, ...]:
    return tuple(index for first, last in ranges for index in range(first, last + 1))


# ImageNet's thousand classes are in the order of WordNet: most kinds of one thing are neighbours.
GROUPS: Groups = {
    "fish": _span((0, 6), (389, 397)),
    "bird": _span((7, 24), (80, 100), (127, 146)),
    "frog": _span((30, 32)),
    "turtle": _span((33, 37)),
    "lizard": _span((38, 48)),
    "snake": _span((52, 68)),
    "spider": _span((72, 77)),
    "dog": _span((151, 268)),
    "cat": _span((281, 285)),
    "big cat": _span((286, 293)),
    "bear": _span((294, 297)),
    "butterfly": _span((321, 326)),
    "rabbit": _span((330, 332)),
    "horse": _span((339, 340)),
    "ape": _span((365, 369)),
    "monkey": _span((370, 382)),
    "elephant": _span((385, 386)),
    "aircraft": (404, 405, 895),
    "car": (436, 468, 511, 609, 627, 656, 661, 751, 817),
    "truck": (555, 569, 675, 717, 734, 864, 867),
    "boat": (472, 510, 554, 576, 625, 628, 724, 780, 814, 871, 914),
    "train": (466, 547, 565, 705, 820, 829),
    "guitar": (402, 546),
    "piano": (579, 881),
    "clock": (409, 530, 892),
    "computer": (527, 620, 664, 681, 782),
    "fruit": _span((948, 957)),
}
_VEHICLES = ("aircraft", "car", "truck", "boat", "train")
_OTHER_VEHICLES = (444, 603, 612, 654, 665, 670, 671, 779, 829, 847, 870, 874, 880)
KINDS: Groups = {
    "animal": _span((0, 397)),
    "vehicle": tuple(sorted({i for name in _VEHICLES for i in GROUPS[name]} | set(_OTHER_VEHICLES))),
}
"""Groups of groups. Of a toy or a drawing a network seldom knows which animal it is, and often that it is one."""
GROUPS |= KINDS
