"""Finding items and moments by words, by example, and by what must not be there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avrec.errors import DataError
from avrec.features.encoder import multilingual
from avrec.features.signals import segments_of
from avrec.schema import SEMANTIC
from avrec.search.build import build_index
from avrec.search.find import MOST_TEXT, Question, find
from avrec.search.index import SearchIndex
from avrec.search.sources import Source

from .conftest import write_features


def best(index: SearchIndex, **asked: object) -> list[str]:
    return [hit.item_id for hit in find(index, Question(**asked), 6)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "item"),
    [("a dog barking in the rain", "dog-in-rain"), ("rain", "rain"), ("someone singing", "song"), ("piano", "piano"),
     ("钢琴", "piano"), ("狗在雨中叫", "dog-in-rain"), ("唱歌", "song"), ("railway history", "talk"), ("火车", "talk")],
)  # fmt: skip
def test_words_find_what_is_heard_seen_or_written(index: SearchIndex, text: str, item: str) -> None:
    assert best(index, text=text)[0] == item


def test_an_answer_points_to_the_moment(index: SearchIndex) -> None:
    hit = find(index, Question(text="barking"), 1)[0]
    assert hit.item_id == "dog"
    assert hit.start_s >= 2.0
    assert hit.end_s - hit.start_s == pytest.approx(2.0)
    assert hit.why.startswith("heard: ")
    later = next(hit for hit in find(index, Question(text="barking"), 6) if hit.item_id == "dog-in-rain")
    assert later.start_s >= 2.0


def test_an_example_finds_its_like(index: SearchIndex, source: Source) -> None:
    moments = {item_id: vectors for item_id, vectors, _, _ in segments_of(source.features["audio"])}
    assert best(index, audio=moments["rain"])[:2] == ["rain", "dog-in-rain"]
    pictures = {item_id: vectors for item_id, vectors, _, _ in segments_of(source.features["visual"])}
    assert best(index, visual=pictures["piano"])[0] == "piano"


def test_like_an_item_never_is_the_item(index: SearchIndex) -> None:
    answers = best(index, like="rain")
    assert answers[0] == "dog-in-rain"
    assert "rain" not in answers


def test_an_encoder_of_whole_items_points_to_moments(source: Source, tmp_path: Path) -> None:
    ids = source.items["item_id"].to_pylist()
    alike = np.eye(8, dtype=np.float32)
    moments = {item: alike[[number % 8, 6, number // 2]] for number, item in enumerate(ids)}
    write_features(tmp_path, SEMANTIC, moments, 2.0, ids)
    index = build_index(replace(source, features={**source.features, SEMANTIC: tmp_path / SEMANTIC}))
    channel = index.channels[SEMANTIC]
    assert len(channel) == (3 + 1) * len(ids)  # three moments, and each item as a whole
    only = replace(index, channels={SEMANTIC: channel})
    hits = find(only, Question(like="rain"), 5)
    assert hits and all(hit.channel == SEMANTIC and hit.item_id != "rain" for hit in hits)
    assert all(hit.end_s - hit.start_s == 2.0 for hit in hits)
    hit = find(only, Question(semantic=moments["song"].mean(axis=0, keepdims=True)), 1)[0]  # read from an example
    assert (hit.item_id, hit.why) == ("song", "goes alike")


def test_what_is_not_wanted_is_left_out(index: SearchIndex) -> None:
    assert set(best(index, text="music")) >= {"song", "piano"}
    assert best(index, text="music", without=("singing, speech, vocals",))[0] == "piano"
    assert "song" not in best(index, text="music", without=("singing, speech, vocals",))
    assert "dog" not in best(index, text="animals", without=("dogs barking",))
    assert set(best(index, text="rain music", media_types=("music",))) <= {"song", "piano"}


@pytest.mark.parametrize(
    ("asked", "k", "complaint"),
    [({}, 3, "nothing to look for"), ({"text": "x" * (MOST_TEXT + 1)}, 3, "at most 500"),
     ({"like": "nobody"}, 3, "nobody"), ({"text": "rain"}, 0, "k: expected"), ({"text": "rain"}, 1001, "k: expected")],
)  # fmt: skip
def test_bad_questions_say_what_is_wrong(index: SearchIndex, asked: dict[str, str], k: int, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        find(index, Question(**asked), k)  # type: ignore[arg-type]


def test_an_example_of_another_network_is_told(index: SearchIndex) -> None:
    with pytest.raises(DataError, match=r"audio vectors have 1[0-9]+ numbers, the question's have 7"):
        find(index, Question(audio=np.ones((2, 7), np.float32)), 3)


def test_equal_catalogues_give_equal_bytes_and_an_index_survives_its_file(
    index: SearchIndex, source: Source, tmp_path: Path
) -> None:
    index.save(tmp_path / "a")
    build_index(source).save(tmp_path / "b")
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    again = SearchIndex.load(tmp_path / "a")
    question = Question(text="a dog barking in the rain")
    assert find(again, question, 6) == find(index, question, 6)
    (tmp_path / "a" / "heard.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match="no search index"):
        SearchIndex.load(tmp_path / "a")


def test_the_learned_map_brings_sounds_to_their_words(index: SearchIndex) -> None:
    channel = index.channels["sound"]
    rows = {
        index.items["item_id"][int(item)].as_py(): row for row, item in enumerate(channel.item) if channel.whole[row]
    }
    words = multilingual().encode(["rain", "piano music"])
    near = channel.vectors.astype(np.float32) @ words.T
    assert near[rows["rain"], 0] > near[rows["piano"], 0]
    assert near[rows["piano"], 1] > near[rows["rain"], 1]
