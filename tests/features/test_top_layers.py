"""Top layers as variables and as files: what lies below stays, what the file is not is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avrec.errors import ParamsError, WeightsError
from avrec.features.audio import AudioExtractor
from avrec.features.labels import labels_of
from avrec.features.top_layers import NETWORK, top_names
from avrec.features.yamnet import BATCH, PATCH, build_log_mel, build_yamnet, read_yamnet, trainable_yamnet
from avrec.matching.base import save_arrays
from avrec.params import AudioParams, FeaturesParams, LimitsParams

PATCHES = np.random.default_rng(4).normal(0, 0.1, (BATCH, PATCH)).astype(np.float32)


def written(folder: Path, **changed: Any) -> AudioParams:
    """Params that name the last layer of YAMNet, moved a little."""
    weights = read_yamnet()
    arrays: dict[str, Any] = {name: weights[name] * 1.05 for name in top_names(1)}
    path = folder / "tuned.npz"
    save_arrays(path, {**arrays, NETWORK: np.array("yamnet"), **changed})
    return AudioParams(weights=str(path), weights_sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def test_untrained_layers_say_what_the_network_says_and_gradients_reach_them_alone() -> None:
    import tensorflow as tf

    network = trainable_yamnet(AudioParams(), layers=2, step=1.0)
    (log_mel,) = build_log_mel()(PATCHES)
    with tf.GradientTape() as tape:
        vectors = network(log_mel)
        loss = tf.reduce_sum(vectors**2)
    assert np.allclose(vectors, build_yamnet(AudioParams())(PATCHES)[0], rtol=1e-4, atol=1e-4)
    assert set(network.arrays()) == set(top_names(2)) and len(network.variables) == 8
    assert all(np.abs(gradient.numpy()).max() > 0 for gradient in tape.gradient(loss, network.variables))


def test_a_file_changes_the_vector_and_leaves_the_tags(tmp_path: Path) -> None:
    given, tuned = (build_yamnet(params)(PATCHES) for params in (AudioParams(), written(tmp_path)))
    assert not np.allclose(given[0], tuned[0], rtol=1e-3)
    assert np.allclose(given[1], tuned[1], atol=1e-6) and np.array_equal(given[2], tuned[2])


def test_vectors_of_other_layers_are_never_mixed_in_the_store(tmp_path: Path) -> None:
    params = written(tmp_path)
    plain, tuned = (AudioExtractor(p, LimitsParams()).identity for p in (AudioParams(), params))
    moved = AudioExtractor(params.model_copy(update={"weights": "elsewhere.npz"}), LimitsParams()).identity
    assert plain != tuned == moved
    assert labels_of("audio", FeaturesParams(audio=params)) is None  # the last layer cannot read these vectors


@pytest.mark.parametrize(
    "changed",
    [{NETWORK: np.array("mobilenet")}, {"conv25": np.zeros((3, 3, 2, 1), np.float32)}, {"conv3": np.zeros(3)}],
    ids=["network", "shape", "layer"],
)
def test_a_file_of_something_else_is_refused(changed: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not hold top layers of yamnet"):
        build_yamnet(written(tmp_path, **changed))


def test_there_are_thirteen_layers() -> None:
    for layers in (0, 14):
        with pytest.raises(ParamsError, match=f"from 1 to 13, got {layers}"):
            trainable_yamnet(AudioParams(), layers, 1.0)
