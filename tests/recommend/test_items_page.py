"""The page of what was understood: complete, escaped, and self-contained."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from avrec.errors import DataError
from avrec.features.folder import extract_folder
from avrec.params import FeaturesParams, VisualParams
from avrec.recommend.items_page import render, write_items_page
from tests.media.make import make_clip

EVIL = "<script>alert(1)</script>\"'&"


def row(**values: Any) -> dict[str, Any]:
    return {"item_id": "a.mp4", "description": "A 1-second video.", **values}


def test_whatever_comes_from_outside_is_escaped() -> None:
    evil = row(
        item_id=EVIL, description=EVIL, visual_tags=[EVIL], sound_tags=[EVIL], sure_sound_tags=[EVIL],
        transcript=EVIL, transcript_language='"><img src=x onerror=alert(1)>',
    )  # fmt: skip
    page = render([evil], {}, 1)
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;") == 5
    assert "default-src 'none'" in page


def test_guesses_are_told_from_what_is_certain() -> None:
    page = render([row(visual_tags=["dog", "mop"], sure_visual_tags=["dog"], sound_tags=[])], {}, 1)
    assert '<span class="chip">dog</span>' in page
    assert "mop?</span>" in page
    assert "dog?" not in page
    assert "generated" in page


def test_a_long_folder_says_what_is_left_out() -> None:
    assert "the first 1 of 900 items" in render([row()], {}, 900)


def test_sentiment_and_safety_are_told_in_words() -> None:
    page = render([row(sentiment=-0.4, sentiment_spread=0.1, sentiment_negative=1.0, safety=0.95)], {}, 1)
    assert "bad, -0.40 (spread 0.10, 100% negative)" in page
    assert "to be reviewed" in page


def test_a_folder_is_described_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "media", tmp_path / "out"
    folder.mkdir()
    make_clip(folder / "a.mp4", seconds=1.0)
    shutil.copy(folder / "a.mp4", folder / "b'<b>.mp4")
    (folder / "broken.mp4").write_text("no film")
    extract_folder(str(folder), out, params=FeaturesParams(visual=VisualParams(frames=2)))
    page = write_items_page(out).read_text(encoding="utf-8")
    assert page.count("<section>") == 3
    assert page.count("data:image/jpeg") >= 2
    assert "b&#x27;&lt;b&gt;.mp4" in page
    assert "see" in capsys.readouterr().out
    with pytest.raises(DataError, match="avrec features extract"):
        write_items_page(tmp_path)
