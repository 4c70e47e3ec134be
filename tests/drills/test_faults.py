"""The page of faults names tests that are there, and a drill writes what was seen between its marks."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest

from avrec.scorecard import Answer, unresolved
from tests.drills import faults
from tests.drills.common import end_all, left_of, write_section
from tests.drills.fault_base import Drill, Row
from tests.drills.faults import HEAD, table, written


def test_every_test_the_page_names_is_there(root: Path) -> None:
    nodes = re.findall(r"`(tests/[\w/.]+::\w+)`", (root / "docs" / "faults.md").read_text(encoding="utf-8"))
    assert len(nodes) > 20
    assert unresolved([Answer("", 1, "", "", always=tuple(nodes))]) == set()


@pytest.mark.parametrize(("page", "name"), [("faults.md", "faults"), ("erase.md", "erasure")])
def test_the_pages_have_their_marks(root: Path, tmp_path: Path, page: str, name: str) -> None:
    copy = tmp_path / page
    copy.write_bytes((root / "docs" / page).read_bytes())
    for _ in range(2):  # a second drill takes the place of the first
        write_section(copy, name, ["what was seen"])
    assert copy.read_text(encoding="utf-8").count("what was seen") == 1
    with pytest.raises(ValueError, match="marks"):
        write_section(copy, "nobody", [])


def test_a_step_drilled_again_replaces_its_own_row_only(tmp_path: Path) -> None:
    first = table([Row("a fault", "left | half\na table", False), Row("another", "needs root", None)], [], "day 1")
    assert first[-2:] == ["| a fault | left / half a table | **not as it must** | day 1 |",
                          "| another | needs root | not tried | day 1 |"]  # fmt: skip
    page = tmp_path / "page.md"
    page.write_text("<!-- faults: written by the drill -->\n<!-- faults: end -->\n", encoding="utf-8")
    write_section(page, "faults", first)
    again = table([Row("a fault", "whole", True)], written(page), "day 2")
    assert again == [*HEAD, "| a fault | whole | as it must | day 2 |", first[-1]]


def test_a_step_that_breaks_is_a_row_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(drill: Drill) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(faults, "STEPS", {"one": breaks, "two": lambda drill: drill.note("two", "seen", True)})
    rows = faults.run(tmp_path, ["one", "two"]).rows
    assert [(row.fault, row.good) for row in rows] == [("one", False), ("two", True)]
    assert "no such thing" in rows[0].seen


def test_what_a_stopped_drill_leaves_is_ended(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"], cwd=tmp_path, start_new_session=True) as left:
        assert left_of(tmp_path, seconds=0.0) == ["sleep 600"]
        end_all(tmp_path)
        assert left.wait(60) == -signal.SIGKILL
    assert left_of(tmp_path) == []
