"""Sentiment in several languages, alone and as evidence beside what people watched."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from avrec.features.opinions import apply_opinions, judge_comments
from avrec.features.sentiment import CLEAR, MOST_SENTENCES, Sentiment, sentences, summary
from avrec.params import OpinionParams
from avrec.schema import COMMENTS, INTERACTIONS

GOOD = {
    "en": ["What a wonderful concert, I loved it.", "Great video, thank you so much!", "This made my day, brilliant.",
           "Beautiful photography and lovely music.", "Best episode so far, really funny."],
    "zh": ["这个视频太好看了,我很喜欢。", "非常感动,谢谢分享!",
           "音乐很美,画面也漂亮。", "讲得很清楚,很有帮助,推荐。",
           "太精彩了,笑死我了,好开心!"],
    "other": ["C'est magnifique, j'adore cette chanson.", "Das ist ein wunderbares Video, vielen Dank!",
              "Me encanta, es precioso."],
}  # fmt: skip
BAD = {
    "en": ["I hated every minute of it.", "What a terrible song, horrible voice.",
           "Disappointing and dull, do not watch.",
           "The sound is awful and the story is stupid.", "Really bad quality, very annoying."],
    "zh": ["这个视频太差了,浪费时间。", "很失望,内容很无聊。",
           "声音难听,画面也很差。", "质量太差了,不推荐。",
           "看不下去,太烂了。"],
    "other": ["C'est horrible, je déteste cette chanson.", "Das ist ein furchtbar schlechtes Video.",
              "Es malísimo, una pérdida de tiempo."],
}  # fmt: skip
PLAIN = ["The train leaves at nine.", "Which model is this?", "他昨天去了北京。", "这是第几集?"]


@pytest.fixture(scope="module")
def sentiment() -> Sentiment:
    return Sentiment()


@pytest.mark.parametrize("language", GOOD)
def test_good_and_bad_in(language: str, sentiment: Sentiment) -> None:
    right = sum(s > 0 for s in sentiment.scores(GOOD[language])) + sum(s < 0 for s in sentiment.scores(BAD[language]))
    assert right >= 0.8 * (len(GOOD[language]) + len(BAD[language]))
    assert min(sentiment.scores(GOOD[language])) > max(sentiment.scores(BAD[language])) - CLEAR


def test_plain_sentences_are_nearer_to_nothing_than_opinions(sentiment: Sentiment) -> None:
    plain = np.abs(sentiment.scores(PLAIN))
    opinions = np.abs(sentiment.scores(GOOD["en"] + GOOD["zh"] + BAD["en"] + BAD["zh"]))
    assert plain.mean() < 0.5 * opinions.mean()


def test_a_score_does_not_depend_on_its_company(sentiment: Sentiment) -> None:
    texts = GOOD["en"] + BAD["zh"]
    assert [Sentiment().scores([text])[0] for text in texts] == sentiment.scores(texts)
    assert sentiment.scores([]) == []
    assert sentiment.scores(["", "  "]) == [0.0, 0.0]
    assert all(-1 <= score <= 1 for score in sentiment.scores(["a" * 100_000, "\0", "😀" * 500]))


def test_sentences_and_summary() -> None:
    assert sentences("One. Two!  三。四?五\nsix") == ["One.", "Two!", "三。", "四?", "五", "six"]
    assert len(sentences("so. " * 10_000)) == MOST_SENTENCES
    assert summary([]) == {"sentiment": None, "sentiment_spread": None, "sentiment_negative": None}
    assert summary([1.0, -1.0, 0.0, 0.0]) == {
        "sentiment": 0.0,
        "sentiment_spread": pytest.approx(0.5**0.5),
        "sentiment_negative": 0.25,
    }


START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def opinions(sentiment: Sentiment) -> pa.Table:
    rows = [
        {"user_id": "a", "item_id": "x", "timestamp": START, "text": BAD["en"][0]},
        {"user_id": "a", "item_id": "y", "timestamp": START, "text": GOOD["zh"][0]},
        {"user_id": "b", "item_id": "x", "timestamp": START + timedelta(days=9), "text": BAD["zh"][0]},
        {"user_id": "b", "item_id": "y", "timestamp": START, "text": PLAIN[0]},
    ]
    return judge_comments(pa.Table.from_pylist(rows, schema=COMMENTS.schema), sentiment)


@pytest.fixture(scope="module")
def watched() -> pa.Table:
    labels = {("a", "x"): "positive", ("a", "y"): "unknown", ("b", "x"): "positive", ("b", "y"): "positive"}
    rows = [
        {"user_id": user, "item_id": item, "timestamp": START, "event": "view", "label": label, "weight": 0.8}
        for (user, item), label in labels.items()
    ]
    return pa.Table.from_pylist(rows, schema=INTERACTIONS.schema)


def test_who_watched_and_complained_counts_less(watched: pa.Table, opinions: pa.Table) -> None:
    read = apply_opinions(watched, opinions, OpinionParams(use="weight"))
    a_x, a_y, b_x, b_y = read["weight"].to_pylist()
    assert a_x < 0.65 and b_x < 0.65
    assert a_y == b_y == pytest.approx(0.8)
    assert read["label"].to_pylist() == watched["label"].to_pylist()


def test_or_becomes_a_negative(watched: pa.Table, opinions: pa.Table) -> None:
    read = apply_opinions(watched, opinions, OpinionParams(use="label"))
    assert read["label"].to_pylist() == ["negative", "positive", "negative", "positive"]
    assert read.schema == INTERACTIONS.schema


def test_what_is_written_later_is_not_known_yet(watched: pa.Table, opinions: pa.Table) -> None:
    read = apply_opinions(watched, opinions, OpinionParams(use="label"), before=START + timedelta(days=1))
    assert read["label"].to_pylist() == ["negative", "positive", "positive", "positive"]


def test_switched_off_or_without_comments_nothing_changes(watched: pa.Table, opinions: pa.Table) -> None:
    assert apply_opinions(watched, opinions, OpinionParams(use="off")) is watched
    none = judge_comments(COMMENTS.empty())
    assert apply_opinions(watched, none, OpinionParams(use="label")) is watched
