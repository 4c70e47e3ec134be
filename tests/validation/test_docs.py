from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from avrec.validation.docs import render
from avrec.validation.gx import Validator
from pipelines.stage import write_json
from tests.validation.small import build, interaction, item
from tests.validation.test_validate import validate

if TYPE_CHECKING:
    from playwright.sync_api import Browser


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


def test_pages_open_with_the_network_off(tmp_path: Path, validator: Validator, browser: Browser) -> None:
    raw = build(tmp_path / "raw", [item(n) for n in range(20)], [interaction(n) for n in range(100)])
    valid, result = validate(raw, tmp_path, validator)
    write_json(tmp_path / "results.json", result.document(valid.meta))
    index = render(tmp_path / "results.json", tmp_path / "docs")
    context = browser.new_context(offline=True)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(index.as_uri())
    page.click("text=interactions as a whole")
    page.wait_for_selector("text=is_positive")
    context.close()
    assert [url for url in asked if not url.startswith("file:")] == []


def test_a_page_shows_each_check_and_its_numbers(tmp_path: Path, validator: Validator) -> None:
    valid, result = validate(
        build(tmp_path / "raw", [item(n) for n in range(20)], [interaction(n) for n in range(100)]), tmp_path, validator
    )
    write_json(tmp_path / "results.json", result.document(valid.meta))
    render(tmp_path / "results.json", tmp_path / "docs")
    text = (tmp_path / "docs" / "interactions.html").read_text()
    assert "watch_ratio" in text
    assert "is_first_of_its_key" in text
