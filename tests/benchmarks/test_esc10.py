from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.esc10 import Sounds, accuracy, extract
from tests.media.make import make_clip


def sounds_of(seed: int, shown: bool) -> Sounds:
    """Three folds; the classes lie apart in column 0 only where `shown`, the rest is noise."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(60, 8)).astype(np.float32)
    classes = np.arange(60) % 2
    vectors[:, 0] += 20.0 * classes * shown
    return Sounds(vectors, classes.astype(str), np.repeat(["1", "2", "3"], 20))


def test_what_a_vector_shows_is_found_and_what_it_does_not_is_not() -> None:
    assert accuracy(sounds_of(0, True), slice(None), "2")[0] == 1.0
    assert accuracy(sounds_of(0, True), slice(1, None), "2")[0] < 0.9
    assert accuracy(sounds_of(0, False), slice(None), "2")[0] < 0.9


def test_the_tested_fold_chooses_nothing() -> None:
    sounds = sounds_of(1, False)
    chosen = accuracy(sounds, slice(None), "3")[1]
    turned = np.where(sounds.folds == "3", np.where(sounds.classes == "0", "1", "0"), sounds.classes)
    assert accuracy(Sounds(sounds.vectors, turned, sounds.folds), slice(None), "3")[1] == chosen


def test_a_file_without_sound_is_not_left_out_in_silence(tmp_path: Path) -> None:
    make_clip(tmp_path / "tone" / "1-a.mp4", seconds=1.0)
    make_clip(tmp_path / "tone" / "1-b.mp4", seconds=1.0, sound=False)
    with pytest.raises(SystemExit, match=r"1-b\.mp4"):
        extract(tmp_path)
