"""The networks that look at frames, by the name that params give them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avrec.errors import ParamsError, WeightsError
from avrec.features import mobilenet
from avrec.features.tensorflow import Network, load
from avrec.features.weights import IMAGENET_NAMES, MOBILENET, XCEPTION, Weights, check_file, find_weights
from avrec.params import VisualParams

KerasNetwork = tuple[str, str, int, int]

# Class and module of keras.applications, side of the pictures, length of the vector.
KERAS: dict[str, KerasNetwork] = {
    "xception": ("Xception", "xception", 299, 2048),
    "vgg19": ("VGG19", "vgg19", 224, 512),
    "resnet50": ("ResNet50", "resnet50", 224, 2048),
    "efficientnet_b0": ("EfficientNetB0", "efficientnet", 224, 1280),
}
FILES = {
    "vgg19": "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "resnet50": "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "efficientnet_b0": "efficientnetb0_notop.h5",
}


@dataclass(frozen=True)
class PictureNetwork:
    """A network over frames.

    Attributes:
        size: Width and height of the frames it takes.
        dim: Length of its vectors.
        batch: Frames of a batch.
        weights: Hashes of all it is made of.
        build: Makes it: frames `[batch, size, size, 3]` uint8 to vectors `[batch, dim]` and, where there are `names`,
            their probabilities `[batch, classes]` and `[batch, 1]`: unsafe.
        names: Reads the names of the classes; None where it knows none.
    """

    size: int
    dim: int
    batch: int
    weights: tuple[str, ...]
    build: Callable[[], Network]
    names: Callable[[], list[str]] | None = None


def picture_network(params: VisualParams) -> PictureNetwork:
    """The network of `params`. Cheap: its weights are looked for when it is built.

    Raises:
        ParamsError: its weights file must be given, and is not.
    """
    if params.network == "mobilenet":
        hashes = (MOBILENET.sha256, IMAGENET_NAMES.sha256, *filter(None, [params.weights_sha256]))
        return PictureNetwork(
            mobilenet.SIZE, mobilenet.DIM, mobilenet.BATCH, hashes, lambda: mobilenet.build_mobilenet(params),
            mobilenet.imagenet_names,
        )  # fmt: skip
    if params.weights is None and params.network != "xception":
        raise ParamsError(
            f"features.visual.network '{params.network}' needs features.visual.weights, the path of a weights file of "
            f"Keras without top such as {FILES[params.network]}, and features.visual.weights_sha256."
        )
    _, _, size, dim = KERAS[params.network]
    digest = params.weights_sha256 or XCEPTION.sha256
    # A batch of one: a row is the same in any company, whatever the widths inside these networks.
    return PictureNetwork(size, dim, 1, (digest,), lambda: build_keras(params))


def build_keras(params: VisualParams) -> Network:
    """A network of keras.applications with its weights: frames `[1, size, size, 3]` uint8 to `[1, dim]`.

    Raises:
        WeightsError: the weights file is not there, not the one it should be, or not of this network.
    """
    tf = load()
    import keras

    name, module, size, _ = KERAS[params.network]
    shape = (size, size, 3)
    model = getattr(keras.applications, name)(include_top=False, weights=None, pooling="avg", input_shape=shape)
    _fill(model, params)
    prepare = getattr(keras.applications, module).preprocess_input

    def network(frames: Any) -> Any:
        return model(prepare(tf.cast(frames, tf.float32)), training=False)

    function = tf.function(network, input_signature=[tf.TensorSpec([1, *shape], tf.uint8)])
    return lambda frames: (function(tf.constant(frames)),)


def _fill(model: Any, params: VisualParams) -> None:
    if params.weights is None:
        model.set_weights(_packaged(XCEPTION))
        return
    path = check_file(Path(params.weights), str(params.weights_sha256))
    try:
        with warnings.catch_warnings():
            # Keras only warns where a layer keeps the random weights it was made with.
            warnings.filterwarnings("error", message=".*freshly-initialized")
            model.load_weights(path)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        raise WeightsError(
            f"{path} does not hold the weights of {params.network} without top: {str(error).splitlines()[0]}"
        ) from error


def _packaged(weights: Weights) -> list[Any]:
    """The arrays of the layer `xception` inside a larger Keras model. Safe mode: nothing of the file is run."""
    import keras

    whole = keras.saving.load_model(find_weights(weights), compile=False, safe_mode=True)
    arrays: list[Any] = whole.get_layer("xception").get_weights()
    return arrays
