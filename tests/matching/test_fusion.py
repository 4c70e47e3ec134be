from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from avrec.matching.fusion import FUSIONS, Fusion


def built(name: str) -> Fusion:
    layer = FUSIONS[name]()
    layer.build((None, 3, 4), (None, 3))
    for i, variable in enumerate(layer.weights):
        variable.assign(np.random.default_rng(i).normal(size=variable.shape))
    return layer


@pytest.mark.parametrize("name", sorted(FUSIONS))
def test_what_is_missing_has_no_influence(name: str) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(2, 3, 4)).astype(np.float32)
    vectors[1] = vectors[0]
    vectors[1, 2] = 99.0
    present = np.array([[1, 1, 0], [1, 1, 0]], np.float32)
    first, second = np.array(built(name)(vectors, present))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", sorted(FUSIONS))
def test_weights_can_be_read_and_add_up_to_one(name: str) -> None:
    vectors = np.random.default_rng(2).normal(size=(3, 3, 4)).astype(np.float32)
    present = np.array([[1, 1, 1], [0, 1, 0], [0, 0, 0]], np.float32)
    shares = np.array(ops.convert_to_numpy(built(name).mixing(vectors, present)))
    np.testing.assert_allclose(shares.sum(axis=1), [1, 1, 0], atol=1e-6)
    assert (shares[present == 0] == 0).all()


@pytest.mark.parametrize("name", ["gated", "attention"])
def test_the_gate_depends_on_the_item(name: str) -> None:
    vectors = np.random.default_rng(3).normal(size=(2, 3, 4)).astype(np.float32)
    shares = np.array(built(name).mixing(vectors, np.ones((2, 3), np.float32)))
    assert not np.allclose(shares[0], shares[1])


@pytest.mark.parametrize("name", sorted(FUSIONS))
def test_every_weight_is_learned(name: str) -> None:
    layer = built(name)
    vectors = np.random.default_rng(4).normal(size=(5, 3, 4)).astype(np.float32)
    present = np.ones((5, 3), np.float32)
    present[0, 0] = 0
    with tf.GradientTape() as tape:
        fused = layer(vectors, present)
        loss = tf.reduce_sum(fused * fused)
    for variable, gradient in zip(layer.weights, tape.gradient(loss, layer.weights), strict=True):
        assert np.abs(np.array(gradient)).max() > 0, variable.name


def test_the_pairs_of_bilinear_fusion_are_those_that_are_present() -> None:
    layer = built("bilinear")
    vectors = np.random.default_rng(5).normal(size=(1, 3, 4)).astype(np.float32)
    for present in ([1, 1, 1], [1, 0, 1], [0, 1, 0]):
        mask = np.array([present], np.float32)
        shares = np.array(layer.mixing(vectors, mask))[0]
        mapped = [shares[m] * vectors[0, m] @ np.array(layer.maps)[m] for m in range(3)]
        pairs = sum(mapped[a] * mapped[b] for a in range(3) for b in range(a))
        np.testing.assert_allclose(np.array(layer(vectors, mask))[0], shares @ vectors[0] + pairs, atol=1e-5)


def test_the_weight_of_a_concatenated_modality_is_what_it_adds() -> None:
    layer = built("concat")
    kernels = np.array(layer.kernel).reshape(3, 4, 4)
    vectors = np.random.default_rng(6).normal(size=(1, 3, 4)).astype(np.float32)
    lengths = np.array([np.linalg.norm(vectors[0, m] @ kernels[m]) for m in (0, 2)])
    shares = np.array(layer.mixing(vectors, np.array([[1, 0, 1]], np.float32)))[0]
    np.testing.assert_allclose(shares[[0, 2]], lengths / lengths.sum(), rtol=1e-5)


def test_a_layer_without_weights_to_read_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="mixing"):
        Fusion()  # type: ignore[abstract]
