"""Spoken requests, understood and answered in two languages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avrec.errors import DataError
from avrec.search.find import Hit, find
from avrec.search.index import SearchIndex
from avrec.search.spoken import VOCALS, spoken_answer, spoken_name, understand


def test_the_whole_of_a_request() -> None:
    request = understand("Hey, play something calm like the last one, no vocals", last="song")
    assert request.question.like == "song"
    assert request.question.without == (VOCALS,)
    assert request.question.calm == 1
    assert request.question.text == "calm"
    assert not request.chinese


@pytest.mark.parametrize(
    ("said", "text"),
    [("放点安静的，像上一首一样的，不要人声", "安静"), ("放点安静的音乐，像上一首一样，不要唱歌", "安静的音乐"),
     ("来点像上一首一样的安静的东西，没有人声", "安静")],
)  # fmt: skip
def test_the_whole_of_a_request_in_chinese(said: str, text: str) -> None:
    request = understand(said, last="song")
    assert request.question.like == "song"
    assert request.question.without == (VOCALS,)
    assert (request.question.calm, request.question.text, request.chinese) == (1, text, True)


@pytest.mark.parametrize(
    ("said", "text", "k", "without"),
    [
        ("play three songs about the sea", "songs about the sea", 3, ()),
        ("find me a dog barking in the rain", "dog barking in the rain", 5, ()),
        ("please show me videos of trains without people", "videos of trains", 5, ("people",)),
        ("instrumental piano music", "piano music", 5, (VOCALS,)),
        ("播放两首钢琴曲,不要人声", "钢琴曲", 2, (VOCALS,)),
        ("请帮我找下雨的声音", "下雨的声音", 5, ()),
        ("找三个狗叫的视频,不要音乐", "狗叫的视频", 3, ("音乐",)),
        ("請幫我找三個狗叫的視頻 不要人聲", "狗叫的视频", 3, (VOCALS,)),
    ],
)
def test_what_is_looked_for(said: str, text: str, k: int, without: tuple[str, ...]) -> None:
    request = understand(said)
    assert request.question.text == text
    assert request.k == k
    assert request.question.without == without


def test_more_of_the_same_needs_something_that_was_played() -> None:
    assert understand("来点像上一个的", last="x").question.like == "x"
    assert understand("播放一些安靜的音樂,向上一手一樣", last="x").question.like == "x"
    assert understand("more of the same", last="x").question.like == "x"
    with pytest.raises(DataError, match="--last"):
        understand("something like the last one")


@pytest.mark.parametrize("said", ["", "   ", "a" * 501])
def test_too_little_and_too_much(said: str) -> None:
    with pytest.raises(DataError, match="1 to 500 characters"):
        understand(said)


@given(st.text(min_size=1, max_size=200))
def test_whatever_is_said_there_is_something_to_look_for(said: str) -> None:
    try:
        request = understand(said, last="x")
    except DataError:
        assert not said.split()
        return
    assert request.question.text or request.question.like
    assert 1 <= request.k <= 50


def test_answers_are_fit_to_be_spoken(index: SearchIndex) -> None:
    request = understand("play music, no vocals")
    hits = find(index, request.question, request.k)
    assert hits[0].item_id == "piano"
    assert spoken_answer(request, hits).startswith(f"I found {len(hits)} items. First piano")
    chinese = understand("放点雨声")
    hits = find(index, chinese.question, 2)
    assert spoken_answer(chinese, hits).startswith("找到2个结果。第一个是雨夜")
    assert spoken_answer(request, []) == "I found nothing like that."
    assert spoken_answer(chinese, []) == "没有找到合适的内容。"


def test_a_name_is_never_spelled_out() -> None:
    hit = Hit("music/my_old__song.mp3", "", "", 1.0, 0.0, 1.0, "words", "")
    assert spoken_name(hit) == "my old song"
    assert spoken_name(Hit("x", '<b>"Loud"</b>', "", 1.0, 0.0, 1.0, "words", "")) == "b Loud /b"
