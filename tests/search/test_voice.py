"""Requests that are really spoken, by eSpeak NG, through Whisper to a list and a sentence.

Whisper does not understand eSpeak's Mandarin; what requests in Chinese mean is tested on text (test_spoken.py).
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from avrec.errors import MediaError, WeightsError
from avrec.features.speech import believable
from avrec.features.weights import WHISPER, find_weights
from avrec.params import FeaturesParams
from avrec.search.commands import _answer_voice
from avrec.search.index import SearchIndex
from avrec.search.voice import transcribe_request
from benchmarks.spoken_requests import hear, why_not
from tests.media.make import make_clip


@pytest.fixture(scope="module")
def whisper() -> None:
    try:
        for weights in WHISPER:
            find_weights(weights)
    except WeightsError as error:
        pytest.skip(f"no speech to text here: {error}")


def test_a_spoken_request_is_answered_by_a_list_and_a_sentence(
    index: SearchIndex, capsys: pytest.CaptureFixture[str]
) -> None:
    if reason := why_not():
        pytest.skip(reason)
    (heard,) = hear(["Play something calm like the last one, no vocals."], [("en", 130)])
    words = heard.words or ""
    assert "calm like the last one" in words
    assert heard.errors <= 1
    hits = _answer_voice(index, words, "talk", None, False)
    assert "I found" in capsys.readouterr().out
    assert hits
    assert not {"song", "talk"} & {hit.item_id for hit in hits}  # somebody sings or speaks there; talk was the last


def test_where_nobody_speaks_that_is_said(tmp_path: Path, whisper: None) -> None:
    with pytest.raises(MediaError, match=r"tone\.mp4: no speech was understood"):
        transcribe_request(make_clip(tmp_path / "tone.mp4", seconds=2.0), FeaturesParams())


@pytest.mark.parametrize(
    ("changed", "believed"),
    [({}, True), ({"compression_ratio": 9.0}, False), ({"avg_logprob": -1.5}, False), ({"no_speech_prob": 0.9}, False),
     ({"text": " "}, False)],
)  # fmt: skip
def test_what_whisper_makes_up_is_not_believed(changed: dict[str, object], believed: bool) -> None:
    segment = {"avg_logprob": -0.2, "no_speech_prob": 0.1, "compression_ratio": 1.1, "text": "play"} | changed
    assert believable(SimpleNamespace(**segment)) is believed
