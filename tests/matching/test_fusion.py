from __future__ import annotations

import numpy as np
import pytest
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


def test_the_gate_depends_on_the_item() -> None:
    vectors = np.random.default_rng(3).normal(size=(2, 3, 4)).astype(np.float32)
    shares = np.array(built("gated").mixing(vectors, np.ones((2, 3), np.float32)))
    assert not np.allclose(shares[0], shares[1])
