"""Networks over frames by name: each loads its weights, and says which file it lacks."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from avrec.errors import ParamsError, WeightsError
from avrec.features.look import poster_of
from avrec.features.networks import FILES, KERAS, picture_network
from avrec.features.registry import build_extractor
from avrec.features.visual import VisualExtractor
from avrec.features.weights import XCEPTION, find_weights
from avrec.media.sample import Sample
from avrec.params import AudioParams, FeaturesParams, LimitsParams, VisualParams


def written(name: str, folder: Path) -> tuple[Any, VisualParams]:
    """A network of Keras with random weights, and the params that name the file it was saved in."""
    import h5py
    import keras
    from keras.src.legacy.saving import legacy_h5_format

    keras.utils.set_random_seed(3)
    cls, _, size, _ = KERAS[name]
    model = getattr(keras.applications, cls)(
        include_top=False, weights=None, pooling="avg", input_shape=(size, size, 3)
    )
    path = folder / (f"{name}.h5" if name == "resnet50" else f"{name}.weights.h5")
    if name == "resnet50":  # the older layout, in which Keras publishes its files
        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, model)
    else:
        model.save_weights(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return model, VisualParams(network=name, weights=str(path), weights_sha256=digest, frames=2)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["vgg19", "resnet50", "efficientnet_b0"])
def test_a_network_of_keras_with_a_weights_file(name: str, tmp_path: Path) -> None:
    import importlib

    model, params = written(name, tmp_path)
    _, module, size, dim = KERAS[name]
    frame = np.random.default_rng(0).integers(0, 255, (1, size, size, 3), dtype=np.uint8)
    (vector,) = picture_network(params).build()(frame)
    prepare = importlib.import_module(f"keras.applications.{module}").preprocess_input
    expected = model(prepare(frame.astype(np.float32)), training=False)
    assert np.asarray(vector).shape == (1, dim)
    assert np.allclose(vector, expected, rtol=1e-3, atol=1e-4)


def test_an_extractor_with_a_network_of_keras(tmp_path: Path, samples: list[Sample]) -> None:
    extractor = VisualExtractor(written("efficientnet_b0", tmp_path)[1], LimitsParams())
    together = list(extractor.extract(samples))
    (alone,) = extractor.extract(samples[1:2])
    assert together[1].vector is not None and together[1].vector.shape == (1280,)
    assert np.array_equal(together[1].segments, alone.segments)
    assert together[1].signals and "visual_tags" not in together[1].signals and "poster_s" in together[1].signals


def test_xception_from_its_package(samples: list[Sample]) -> None:
    try:
        find_weights(XCEPTION)
    except WeightsError as error:
        pytest.skip(str(error))
    import keras

    network = picture_network(VisualParams(network="xception"))
    frame = np.random.default_rng(0).integers(0, 255, (1, 299, 299, 3), dtype=np.uint8)
    whole = keras.saving.load_model(find_weights(XCEPTION), compile=False)
    layer = whole.get_layer("xception")
    vector = np.asarray(network.build()(frame)[0])[0]
    assert vector.shape == (2048,)
    assert layer.count_params() == 20_861_480
    assert 0.0 < vector.mean() < 1.0


@pytest.mark.parametrize("name", sorted(FILES))
def test_the_error_names_the_file_to_give(name: str) -> None:
    with pytest.raises(ParamsError, match=FILES[name].replace(".", r"\.")):
        build_extractor("visual", FeaturesParams(visual=VisualParams(network=name)))  # type: ignore[arg-type]


def test_absent_changed_and_foreign_weights_are_refused(tmp_path: Path) -> None:
    _, params = written("efficientnet_b0", tmp_path)
    for changed, reason in (
        ({"weights": str(tmp_path / "none.h5")}, "not found"),
        ({"weights_sha256": "0" * 64}, "is not the file it should be"),
        ({"network": "vgg19"}, "does not hold the weights of vgg19"),
    ):
        with pytest.raises(WeightsError, match=reason):
            picture_network(params.model_copy(update=changed)).build()


def test_a_path_without_its_hash_is_refused() -> None:
    with pytest.raises(ValidationError, match="belong together"):
        VisualParams(network="vgg19", weights="a.h5")
    with pytest.raises(ValidationError, match="belong together"):
        AudioParams(weights_sha256="0" * 64)


def test_the_weights_and_not_their_place_make_the_identity() -> None:
    def identity(path: str, digest: str) -> str:
        params = VisualParams(network="vgg19", weights=path, weights_sha256=digest * 64)
        return build_extractor("visual", FeaturesParams(visual=params)).identity

    assert identity("a.h5", "0") == identity("b.h5", "0") != identity("a.h5", "1")


def test_the_poster_is_a_frame_with_something_on_it() -> None:
    rng = np.random.default_rng(1)
    frames = np.zeros((5, 32, 32, 3), np.uint8)
    frames[3] = rng.integers(0, 255, (32, 32, 3))
    assert poster_of(frames) == 3
    assert poster_of(np.zeros((5, 32, 32, 3), np.uint8)) == 2
