"""The page of faults names tests that are there, and is written from what was seen."""

from __future__ import annotations

from pathlib import Path

from avrec.scorecard import Answer, unresolved
from tests.drills.faults import BY_TESTS, Drill, page


def test_every_test_the_page_names_is_there() -> None:
    nodes = tuple(node for _, _, node in BY_TESTS)
    assert unresolved([Answer("", 1, "", "", always=nodes)]) == set()


def test_the_page_says_what_was_seen(tmp_path: Path) -> None:
    drill = Drill(tmp_path)
    drill.note("a fault", "left | half a table", False)
    drill.note("another", "needs root", None)
    text = page(drill, "abc123", 61.0)
    assert "| a fault | left / half a table | **not as it must** |" in text
    assert "| another | needs root | not tried |" in text
    assert "commit abc123, in 61 s" in text
