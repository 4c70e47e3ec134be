"""Descriptions: short, of what is certain, and of nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avrec.features.caption import SURE, Evidence, describe, length, sure_pictures, sure_sounds

NAMES = ("airliner", "warplane", "goblet", "aircraft")
GROUPS = {"aircraft": (0, 1)}


def test_it_says_what_was_found() -> None:
    evidence = Evidence(
        duration_s=12.3, pictures=("golden retriever",), sounds=(("Bark", 0.8), ("Rain, drizzle", 0.2)),
        look={"colourfulness": 0.35, "brightness": 0.5, "motion": 0.05}, title="Rex  outdoors", tags=("dog", "rain"),
        transcript="Come here, Rex!",
    )  # fmt: skip
    assert describe(evidence) == (
        "A 12-second vivid video. Seen: golden retriever. Heard: bark; at times rain. Said: “Come here, Rex!” "
        "Title: “Rex outdoors”. Tags: dog, rain."
    )


def test_of_what_is_not_certain_it_is_silent() -> None:
    scores = np.array([[0.30, 0.30, 0.3, 0.6], [0.45, 0.0, 0.54, 0.45]], np.float32)
    assert sure_pictures(scores, NAMES, GROUPS) == ("aircraft",)
    assert sure_pictures(scores * 0.9, NAMES, GROUPS) == ()
    assert describe(Evidence(duration_s=8.0)) == "An 8-second video."


def test_of_a_kind_and_its_group_the_kind_is_said() -> None:
    assert sure_pictures(np.array([[0.7, 0.1, 0.0, 0.8]], np.float32), NAMES, GROUPS) == ("airliner",)


def test_a_kind_is_said_where_its_members_are_in_doubt_and_gives_way_to_a_part_that_is_certain() -> None:
    groups = {"aircraft": (0, 1), "vehicle": (0, 1, 2)}
    names = ("airliner", "warplane", "tank", "aircraft", "vehicle")
    assert sure_pictures(np.array([[0.2, 0.2, 0.2, 0.4, 0.6]], np.float32), names, groups) == ("vehicle",)
    assert sure_pictures(np.array([[0.3, 0.3, 0.1, 0.6, 0.7]], np.float32), names, groups) == ("aircraft",)
    doubtful = np.array([[0.2, 0.1, 0.1, 0.24, 0.3]], np.float32)
    assert sure_pictures(doubtful, names, groups) == ()
    assert sure_pictures(doubtful, names, groups, heard=["Speech"]) == ()
    assert sure_pictures(doubtful, names, groups, heard=["Vehicle"]) == ("vehicle",)


def test_a_kind_may_be_out_of_view_half_of_the_time_and_a_narrower_name_may_not() -> None:
    groups = {"dog": (0,), "animal": (0, 1)}
    names = ("poodle", "tick", "dog", "animal")
    frames = np.array(
        [[0.6, 0.1, 0.6, 0.7], [0.0, 0.0, 0.0, 0.1], [0.1, 0.4, 0.1, 0.5], [0.0, 0.1, 0.0, 0.1]], np.float32
    )
    assert sure_pictures(frames, names, groups) == ("animal",)
    assert sure_pictures(frames, names, groups, heard=["Animal"]) == ("dog",)
    assert sure_pictures(frames[1:], names, groups) == ()


def test_one_click_is_no_sound_of_the_item() -> None:
    scores = np.zeros((40, 2), np.float32)
    scores[3, 0] = 1.0
    scores[5:30, 1] = 0.9
    assert sure_sounds(scores, ("Click", "Music")) == (("Music", 25 / 40),)
    assert sure_sounds(scores[3:4], ("Click", "Music")) == (("Click", 1.0),)


def test_a_wide_name_gives_way_to_a_narrow_one() -> None:
    scores = np.full((4, 3), 0.9, np.float32)
    assert [name for name, _ in sure_sounds(scores, ("Animal", "Bark", "Vehicle"))] == ["Bark", "Vehicle"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "1-second"), (59.0, "59-second"), (89.0, "89-second"), (181.0, "3-minute"), (7300.0, "2-hour"),
     (None, ""), (float("nan"), ""), (float("inf"), ""), (-1.0, "")],
)  # fmt: skip
def test_lengths(seconds: float | None, text: str) -> None:
    assert length(seconds) == text


@given(st.text(max_size=3000), st.text(max_size=3000), st.lists(st.text(max_size=300), max_size=9))
def test_it_stays_short_whatever_comes(title: str, transcript: str, tags: list[str]) -> None:
    text = describe(Evidence(title=title, transcript=transcript, tags=tuple(tags)))
    assert len(text) < 800
    assert "\n" not in text


@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_nothing_below_the_threshold_is_ever_said(segments: int, seed: int) -> None:
    scores = np.random.default_rng(seed).random((segments, len(NAMES))).astype(np.float32) * np.float32(SURE - 1e-3)
    assert sure_sounds(scores, NAMES) == sure_pictures(scores, NAMES, GROUPS) == ()
