"""Descriptions by a language model: what it invents is dropped, and where nothing is left the rules describe."""

from __future__ import annotations

import pytest

from avrec.errors import WeightsError
from avrec.features.caption import Evidence, describe
from avrec.features.language import Writer, faithful

FACTS = "A 12-second vivid video. Seen: dog. Heard: bark; at times rain. Title: “Rex outdoors”."


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("A vivid 12-second video titled Rex outdoors, with a dog.",
         "A vivid 12-second video titled Rex outdoors, with a dog."),
        ("A 12 second video of dogs, with a man in a red coat, and rain at times.",
         "A 12 second video of dogs, and rain at times."),
        ("A video of a dog. It is happy.", "A video of a dog."),  # one sentence is asked for
        ("A video, with rain, with", "A video, with rain."),  # cut short
        ("A video, with rain, at times, with rain, at times", "A video, with rain."),  # caught in a loop
    ],
)  # fmt: skip
def test_parts_that_hold_another_word_are_dropped(text: str, kept: str) -> None:
    assert faithful(text, FACTS) == kept


@pytest.mark.parametrize(
    "text",
    [
        "A video of a cat, with rain.",  # the part it begins with is invented
        "A 13-second video of a dog.",
        "A video without rain.",  # nothing says so
        "A video in which somebody says rain.",  # nothing is said in it
        "",
        "这是一只狗。",
    ],
)
def test_a_sentence_that_begins_with_an_invention_is_none(text: str) -> None:
    assert faithful(text, FACTS) is None


def test_the_model_tells_what_it_was_told() -> None:
    evidence = Evidence(duration_s=180.0, sounds=(("Guitar", 0.9),), kind="recording", title="Sunday blues")
    try:
        written = Writer()(evidence)
    except WeightsError as error:
        pytest.skip(str(error))
    assert written is not None
    assert "recording" in written
    assert faithful(written, describe(evidence)) == written
