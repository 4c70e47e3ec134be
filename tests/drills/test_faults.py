"""The page of faults names tests that are there, and a drill writes what was seen between its marks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from avrec.scorecard import Answer, unresolved
from tests.drills.common import write_section
from tests.drills.faults import Drill, section


def test_every_test_the_page_names_is_there(root: Path) -> None:
    nodes = re.findall(r"`(tests/[\w/.]+::\w+)`", (root / "docs" / "faults.md").read_text(encoding="utf-8"))
    assert len(nodes) > 20
    assert unresolved([Answer("", 1, "", "", always=tuple(nodes))]) == set()


@pytest.mark.parametrize(("page", "name"), [("faults.md", "faults"), ("erase.md", "erasure")])
def test_the_pages_have_their_marks(root: Path, tmp_path: Path, page: str, name: str) -> None:
    copy = tmp_path / page
    copy.write_bytes((root / "docs" / page).read_bytes())
    drill = Drill(tmp_path)
    drill.note("a fault", "left | half a table", False)
    drill.note("another", "needs root", None)
    for _ in range(2):  # a second drill takes the place of the first
        write_section(copy, name, section(drill, "abc123", 61.0))
    text = copy.read_text(encoding="utf-8")
    assert text.count("| a fault | left / half a table | **not as it must** |") == 1
    assert "| another | needs root | not tried |" in text
    assert "commit abc123, in 61 s" in text
    with pytest.raises(ValueError, match="marks"):
        write_section(copy, "nobody", [])
