"""How the measured table counts: word errors, and requests that nobody understood."""

from __future__ import annotations

import pytest

from avrec.search.find import Question
from avrec.search.index import SearchIndex
from benchmarks.retrieval import Asked, recall
from benchmarks.spoken_requests import Heard, distance, error_rate, tokens


def test_word_errors_by_hand() -> None:
    assert tokens("Play, don't STOP! 放点雨声。") == ["play", "don't", "stop", "放", "点", "雨", "声"]
    assert distance(["play", "the", "rain"], ["play", "train"]) == 2  # one left out, one another
    assert distance([], ["a", "b"]) == 2
    heard = [Heard("play rain", "Play, rain."), Heard("play rain", "pray for rain"), Heard("play rain", None)]
    assert [each.errors for each in heard] == [0, 2, 2]
    assert error_rate(heard) == pytest.approx(4 / 6)


def test_a_request_nobody_understood_finds_nothing(index: SearchIndex) -> None:
    relevant = [item_id in ("rain", "dog-in-rain") for item_id in index.row_of]
    assert recall(index, [Asked(Question(text="rain"), relevant)])[0] == 1.0
    assert recall(index, [Asked(Question(text="rain"), relevant), Asked(None, relevant)])[0] == 0.5
