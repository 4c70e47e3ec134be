from __future__ import annotations

import re
from pathlib import Path

from avrec.validation.docs import render
from avrec.validation.gx import Validator
from pipelines.stage import write_json
from tests.validation.small import build, interaction, item
from tests.validation.test_validate import validate


def test_pages_load_nothing_from_anywhere(tmp_path: Path, validator: Validator) -> None:
    rows = [interaction(n, item_id="nowhere" if n == 5 else "i1") for n in range(100)]
    valid, result = validate(build(tmp_path / "raw", [item(n) for n in range(20)], rows), tmp_path, validator)
    write_json(tmp_path / "results.json", result.document(valid.meta))
    index = render(tmp_path / "results.json", tmp_path / "docs")
    pages = list((tmp_path / "docs").glob("*.html"))
    assert len(pages) == len(result.suites) + 1
    for page in pages:
        text = page.read_text()
        assert not re.findall(r"""(?:src|href)\s*=\s*["'](?:https?:)?//""", text), page
        assert "@import" not in text
        assert "<script" not in text
    assert "interactions" in index.read_text()
    assert "synthetic" in index.read_text()


def test_a_page_shows_each_check_and_its_numbers(tmp_path: Path, validator: Validator) -> None:
    valid, result = validate(
        build(tmp_path / "raw", [item(n) for n in range(20)], [interaction(n) for n in range(100)]), tmp_path, validator
    )
    write_json(tmp_path / "results.json", result.document(valid.meta))
    render(tmp_path / "results.json", tmp_path / "docs")
    text = (tmp_path / "docs" / "interactions.html").read_text()
    assert "watch_ratio" in text
    assert "is_first_of_its_key" in text
