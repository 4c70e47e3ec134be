"""What training changes at random changes only what its settings say, and the same for the same seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from avrec.features.augment import augment_frames, augment_patches
from avrec.params import AugmentParams

OFF = {"crop": 1.0, "flip": False, "jitter": 0.0, "freq_mask": 0, "time_mask": 0, "shift": 0, "noise": 0.0}
RNG = np.random.default_rng(2)
FRAMES = RNG.integers(0, 256, (6, 20, 24, 3), dtype=np.uint8)
PATCHES = RNG.normal(-3.0, 2.0, (40, 96, 64)).astype(np.float32)


def only(**on: Any) -> AugmentParams:
    return AugmentParams(**{**OFF, **on})


def frames_of(seed: int = 1, **on: Any) -> Any:
    return augment_frames(FRAMES, only(**on), (7, seed)).numpy()


def patches_of(seed: int = 1, **on: Any) -> Any:
    return augment_patches(PATCHES, only(**on), (7, seed)).numpy()


@pytest.mark.parametrize("name", ["crop", "flip", "jitter"])
def test_shape_dtype_and_range_of_frames_are_kept_and_the_seed_decides(name: str) -> None:
    on = {name: {"crop": 0.5, "flip": True, "jitter": 0.5}[name]}
    changed = frames_of(**on)
    assert changed.shape == FRAMES.shape and changed.dtype == np.uint8
    assert not np.array_equal(changed, FRAMES)
    assert np.array_equal(changed, frames_of(**on)) and not np.array_equal(changed, frames_of(seed=90, **on))
    real = augment_frames(FRAMES.astype(np.float32), only(**on), (7, 1)).numpy()
    assert real.dtype == np.float32 and real.min() >= 0.0 and real.max() <= 255.0
    assert np.abs(real - changed).max() <= 0.5


@pytest.mark.parametrize("name", ["freq_mask", "time_mask", "shift", "noise"])
def test_shape_and_dtype_of_patches_are_kept_and_the_seed_decides(name: str) -> None:
    changed = patches_of(**{name: 9})
    assert changed.shape == PATCHES.shape and changed.dtype == np.float32
    assert not np.allclose(changed, PATCHES, atol=1e-3)
    assert np.array_equal(changed, patches_of(**{name: 9})) and not np.array_equal(
        changed, patches_of(seed=90, **{name: 9})
    )


def test_off_is_off() -> None:
    assert np.array_equal(frames_of(), FRAMES)
    assert np.allclose(patches_of(), PATCHES, atol=1e-5)
    assert augment_frames(FRAMES[:0], AugmentParams(), (1, 2)).shape == (0, 20, 24, 3)
    assert augment_patches(PATCHES[:0], AugmentParams(), (1, 2)).shape == (0, 96, 64)


def test_a_flip_is_a_mirror_and_some_frames_are_left() -> None:
    mirrored = (frames_of(flip=True) == FRAMES[:, :, ::-1]).all(axis=(1, 2, 3))
    left = (frames_of(flip=True) == FRAMES).all(axis=(1, 2, 3))
    assert (mirrored ^ left).all() and mirrored.any() and left.any()


def test_a_crop_shows_a_part_of_the_frame_at_its_size() -> None:
    ramp = np.broadcast_to(np.linspace(0, 200, 24, dtype=np.float32)[None, None, :, None], (50, 20, 24, 3))
    x = augment_frames(np.ascontiguousarray(ramp), only(crop=0.6), (7, 1)).numpy()
    shown = (x[:, 0, -1, 0] - x[:, 0, 0, 0]) / 200.0  # of the width
    assert (shown > 0.6 - 1e-4).all() and (shown < 1.0 + 1e-4).all() and shown.max() - shown.min() > 0.2
    assert (x[:, 0, 0, 0] >= -1e-3).all() and (x[:, 0, -1, 0] <= 200.0 + 1e-3).all()


@pytest.mark.parametrize(("name", "axis", "widest"), [("freq_mask", 1, 9), ("time_mask", 2, 30)])
def test_a_mask_is_one_band_within_its_bound_that_becomes_the_mean(name: str, axis: int, widest: int) -> None:
    changed = patches_of(**{name: widest})
    touched = np.abs(changed - PATCHES) > 1e-3
    widths = []
    for patch, before, where in zip(changed, PATCHES, touched, strict=True):
        band = np.flatnonzero(where.any(axis=axis - 1))
        widths.append(len(band))
        if len(band):
            assert band[-1] - band[0] == len(band) - 1
            assert np.allclose(patch[where], before.mean(), atol=1e-3)
    assert max(widths) <= widest and max(widths) > widest // 2 and len(set(widths)) > 3


def test_a_shift_turns_the_patch_by_no_more_than_it_may() -> None:
    found = []
    for before, after in zip(PATCHES, patches_of(shift=5), strict=True):
        steps = [s for s in range(-48, 48) if np.allclose(np.roll(before, s, axis=0), after, atol=1e-4)]
        found += steps
        assert len(steps) == 1
    assert min(found) == -5 and max(found) == 5


def test_noise_has_the_deviation_it_was_given() -> None:
    difference = patches_of(noise=0.3) - PATCHES
    assert abs(difference.std() - 0.3) < 0.01 and abs(difference.mean()) < 0.01


@pytest.mark.parametrize("wrong", [{"crop": 0.0}, {"freq_mask": 64}, {"time_mask": -1}, {"noise": -0.1}, {"jitter": 1}])
def test_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        AugmentParams(**wrong)
