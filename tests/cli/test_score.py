"""The ML Test Score: its answers name what is there, and points follow from what ran."""

from __future__ import annotations

from pathlib import Path

import pytest

from avrec.errors import ParamsError
from avrec.scorecard import SECTIONS, Answer, Card, judged, page, print_score, read_answers, run, unresolved

PASSES = "def test_good():\n    assert True\n\n\ndef test_bad():\n    assert False\n"


def answer(*nodes: str, lacks: str | None = None) -> Answer:
    return Answer("Data", 1, "A title", "A sentence.", always=nodes, lacks=lacks)


def test_every_answer_names_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert unresolved(read_answers()) == set()
    assert print_score(execute=False, write=False) == 0
    said = capsys.readouterr().out
    assert all(f"{section}: " in said for section in SECTIONS)
    assert "Nothing was run" in said


def test_points_follow_from_what_passes(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(PASSES)
    good, bad = "test_it.py::test_good", "test_it.py::test_bad"
    answers = [answer(good), answer(good, bad), answer(good, lacks="much"), answer("test_it.py::test_gone"),
               Answer("Data", 5, "By hand", "", by_hand=("python it.py",), documented="it.md"),
               Answer("Data", 6, "Nothing", "")]  # fmt: skip
    card = run(answers, tmp_path)
    assert card.seconds is not None and card.seconds > 0
    assert [card.points(a) for a in answers] == [1.0, 0.0, 0.5, 0.0, 0.0, 0.0]
    assert card.failed == {bad, "test_it.py::test_gone", "python it.py"}
    assert "did not pass" in page(card, "abc")


def test_the_score_is_the_lowest_section() -> None:
    answers = [Answer(section, 1, "", "", always=("x::y",)) for section in SECTIONS[:3]]
    assert Card([*answers, Answer(SECTIONS[3], 1, "", "", always=("x::y",), lacks="half")]).score == 0.5


def test_a_report_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="junit-xml"):
        judged([], tmp_path / "none.xml")
    with pytest.raises(ParamsError, match="--write needs"):
        print_score(execute=False, write=True)


def test_without_a_checkout_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="source checkout"):
        read_answers(tmp_path)
