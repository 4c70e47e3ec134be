"""Smaller towers: what is stored, what it costs in bytes and in quality, and that what is stored is what scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avrec.errors import ParamsError
from avrec.matching.data import Histories
from avrec.matching.packing import pack, pruned, size, unpack
from avrec.matching.selection import validation_quality
from avrec.matching.training import train_matcher
from avrec.matching.two_tower import TwoTower
from avrec.params import CompressionParams, TwoTowerParams, parse_params

from .conftest import PARAMS, World
from .suite import larger


def compressed(world: World, **values: object) -> TwoTower:
    update = {"compression": CompressionParams.model_validate(values), "epochs": 2}
    params = PARAMS.two_tower.model_copy(update=update)
    matcher = TwoTower(params, PARAMS.seed)
    matcher.fit(world.catalog, world.split.train, world.split.val)
    return matcher


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), storage=st.sampled_from(["float32", "float16", "int8"]),
       prune=st.sampled_from([0.0, 0.5, 0.9]), power=st.integers(-20, 3))  # fmt: skip
def test_what_was_packed_is_packed_again_to_the_same_bytes(seed: int, storage: str, prune: float, power: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = (rng.normal(size=(7, 20)) * 10.0**power).astype(np.float32)
    matrix[3] = 0
    params = CompressionParams(storage=storage, prune=prune)
    arrays = {"w": pruned(matrix, prune), "bias": matrix[0], "names": np.array(["a", "b"])}
    packed = pack(arrays, params)
    found = unpack(packed)
    assert list(found) == ["w", "bias", "names"]
    assert found["w"].dtype == np.float32
    again = pack(found, params)
    assert {n: a.tobytes() for n, a in again.items()} == {n: a.tobytes() for n, a in packed.items()}
    if storage == "int8":
        step = np.abs(arrays["w"]).max(axis=1, keepdims=True) / 127
        assert (np.abs(found["w"] - arrays["w"]) <= 0.5001 * step).all()


def test_pruning_keeps_the_largest_of_each_row() -> None:
    matrix = np.array([[1.0, -4.0, 2.0, -3.0], [0.1, 0.1, 0.1, 0.1]], np.float32)
    assert pruned(matrix, 0.5).tolist() == [[0, -4, 0, -3], [np.float32(0.1), np.float32(0.1), 0, 0]]
    np.testing.assert_array_equal(pruned(matrix, 0.0), matrix)


def test_numbers_too_large_for_float16_stay_as_they_are() -> None:
    packed = pack({"w": np.array([[1e6, 1.0]], np.float32)}, CompressionParams(storage="float16"))
    assert packed["w"].dtype == np.float32


def test_bytes_are_those_of_numbers_scales_and_places() -> None:
    matrix = np.ones((10, 16), np.float32)
    assert size(pack({"w": matrix}, CompressionParams(storage="int8"))) == 160 + 40
    half = pack({"w": pruned(matrix, 0.5)}, CompressionParams(prune=0.5))
    assert size(half) == 80 * 4 + 160 // 8 + 2 * 8


@pytest.mark.parametrize("values", [{"storage": "int8"}, {"storage": "float16", "prune": 0.5}])
def test_what_is_stored_is_what_scores(world: World, values: dict[str, object], tmp_path: Path) -> None:
    matcher = compressed(world, **values)
    matcher.save(tmp_path / "once")
    loaded = TwoTower.load(tmp_path / "once", world.catalog)
    asked = Histories.of([[1, 2, 3], []])
    np.testing.assert_array_equal(loaded.score(asked), matcher.score(asked))
    loaded.save(tmp_path / "twice")
    assert (tmp_path / "once/state.npz").read_bytes() == (tmp_path / "twice/state.npz").read_bytes()
    newer = TwoTower.load(tmp_path / "once", larger(world.catalog))
    assert isinstance(newer, TwoTower)
    np.testing.assert_allclose(np.linalg.norm(newer.vectors[:5], axis=1), 1, rtol=1e-5)


def test_the_stage_reports_bytes_and_quality_of_the_smaller_model(world: World, tmp_path: Path) -> None:
    small = PARAMS.two_tower.model_copy(update={"compression": CompressionParams(storage="int8"), "epochs": 2})
    params = PARAMS.model_copy(update={"two_tower": small})
    report = train_matcher("two_tower", params, world.catalog.with_features({}), world.split, tmp_path)
    assert report["sizes"]["bytes"] < 0.5 * report["sizes"]["bytes_before"]
    assert report["settings"]["compression"]["storage"] == "int8"
    with np.load(tmp_path / "state.npz") as state:
        assert state["vectors"].dtype == np.int8
    from avrec.matching.loading import validation_halves

    loaded = TwoTower.load(tmp_path, world.catalog.with_features({}))
    judge = validation_halves(world.split.val, params.seed)[1]
    assert report["val"] == validation_quality(loaded, world.split.train, judge)


def test_a_student_is_smaller_close_to_its_teacher_and_trained_again_in_refit(world: World, tmp_path: Path) -> None:
    student = compressed(world, dim=6, storage="int8")
    assert student.vectors.shape == (len(world.catalog), 6)
    assert student.kernel.shape == (6, 6)
    student.save(tmp_path)
    loaded = TwoTower.load(tmp_path, larger(world.catalog))
    assert isinstance(loaded, TwoTower)
    np.testing.assert_allclose(np.linalg.norm(loaded.vectors[:5], axis=1), 1, rtol=1e-5)
    again = TwoTower(TwoTowerParams(), frozen=student.settings())
    report = again.fit(world.catalog, world.split.train)
    assert len(report.epochs) == student.best_epoch
    np.testing.assert_array_equal(again.vectors, student.vectors)


def test_a_student_agrees_more_with_a_teacher_that_is_listened_to(world: World) -> None:
    teacher = world.matcher("two_tower")
    assert isinstance(teacher, TwoTower)
    asked = Histories.from_interactions(world.split.train, np.arange(60, dtype=np.int32))

    def distance(share: float) -> float:
        small = {"compression": CompressionParams(dim=8, teacher=share), "epochs": 2}
        student = TwoTower(PARAMS.two_tower.model_copy(update=small))
        student.fit_from(teacher, world.catalog, world.split.train)
        a, b = (m.score(asked) - m.score(asked).mean(axis=1, keepdims=True) for m in (teacher, student))
        return float(np.mean((a - b) ** 2))

    assert distance(1.0) < distance(0.0)


@pytest.mark.parametrize(("numbers", "close"), [("float32", 1e-5), ("int8", 0.02)])
def test_tflite_towers_place_people_and_new_items_where_the_matcher_does(
    world: World, tmp_path: Path, numbers: str, close: float
) -> None:
    from avrec.matching.device import DeviceTowers
    from avrec.matching.tflite import ITEM, USER, LiteTower

    whole = world.matcher("two_tower")
    assert isinstance(whole, TwoTower)
    matcher = whole.shrunk(CompressionParams.model_validate({"tflite": numbers}))
    matcher.save(tmp_path / "once")
    if numbers == "int8":
        matcher.save(tmp_path / "twice")
        for file in (USER, ITEM):
            assert (tmp_path / "once" / file).read_bytes() == (tmp_path / "twice" / file).read_bytes()
    liked, length = np.array([3, 9, 4]), matcher.params.history
    likes, known = np.zeros((1, length, matcher.dim), np.float32), np.zeros((1, length), np.float32)
    likes[0, :3], known[0, :3] = matcher.vectors[liked], 1
    user = LiteTower(tmp_path / "once" / USER)
    for row, known_row in (([3, 9, 4], known), ([], known * 0)):
        person = matcher.people(Histories.of([row]))
        np.testing.assert_allclose(user(likes, known_row), person, atol=close)
    inputs, present = matcher.inputs(world.catalog)
    cold = int(np.flatnonzero(~np.isin(np.arange(len(present)), world.split.train.positives().item))[0])
    item = LiteTower(tmp_path / "once" / ITEM)
    found = item(*(x[cold : cold + 1] for x in inputs), present[cold : cold + 1])
    np.testing.assert_allclose(found[0], matcher.vectors[cold], atol=close)
    (tmp_path / "device").mkdir()
    device = DeviceTowers(whole, tmp_path / "device", numbers)
    people = Histories.of([[3, 9, 4], [], [1, 2]])
    np.testing.assert_allclose(device.score(people), whole.score(people), atol=4 * close / whole.params.temperature)
    assert not np.array_equal(device.score(people), whole.score(people))  # it is the files that answer
    assert size(device._state()) > sum((tmp_path / "device" / file).stat().st_size for file in (USER, ITEM))


def test_what_is_not_smaller_is_refused() -> None:
    with pytest.raises(ParamsError, match=r"compression.dim 64 must be below dim 64"):
        parse_params({"matching": {"two_tower": {"compression": {"dim": 64}}}})
