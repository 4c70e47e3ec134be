"""The page: complete in one file, safe against titles, readable by people who do not see the pictures."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from avrec.datasets.dataset import Dataset
from avrec.matching.base import REASON_KINDS
from avrec.params import LimitsParams
from avrec.recommend.page import Entry, ItemCard, Person, reason_text, render_page, watched_entry
from avrec.recommend.thumbnails import card, collage, outline, thumbnails
from avrec.schema import ITEMS

from .conftest import make_plan

CARDS = {
    "a": ItemCard("A <b>bold</b> title & more", "nature", "video", card("video")),
    "b": ItemCard("Second", "city", "music", card("music")),
}
GETS = [
    Entry("b", score=1.25, reason_kind="picture", reason_item_id="a"),
    Entry("a", score=0.5, reason_kind="popular"),
]
PEOPLE = [
    Person("0123456789abcdef", [watched_entry("a", "positive"), watched_entry("b", "negative")], 9, GETS),
    Person("*", [], 0, [Entry("b", score=1.0, reason_kind="popular")]),
]


@pytest.fixture(scope="module")
def page(dataset: Dataset) -> str:
    return render_page(make_plan(dataset), 3505, PEOPLE, CARDS)


def test_it_needs_nothing_from_anywhere(page: str) -> None:
    loaded = re.findall(r"""(?:src|href)\s*=\s*["']?([^"'\s>]+)|url\(([^)]+)\)|@import\s+(\S+)""", page)
    for address in (part for found in loaded for part in found if part):
        assert address.startswith(("data:", "#")), address[:60]
    assert "<script" not in page


def test_titles_cannot_become_markup(page: str) -> None:
    assert "<b>bold" not in page
    assert "A &lt;b&gt;bold" in page


def test_it_says_why_and_what_is_known(page: str) -> None:
    assert "Looks like “A &lt;b&gt;bold" in page
    assert "Popular right now" in page
    assert "did not like" in page
    assert "and 7 before" in page
    assert "People the table does not know" in page
    assert "version 1" in page
    assert "1 March 2026" in page


def test_synthetic_data_is_marked_and_real_data_is_not(page: str, dataset: Dataset) -> None:
    from dataclasses import replace

    assert "synthetic data" in page
    assert "synthetic data" not in render_page(replace(make_plan(dataset), synthetic=False), 1, PEOPLE, CARDS)


def test_pictures_have_words(page: str) -> None:
    pictures = re.findall(r'<div class="picture[^>]*>', page)
    assert len(pictures) == 5
    assert all('role="img"' in p and "aria-label=" in p for p in pictures)
    assert '<html lang="en">' in page


@pytest.mark.parametrize("kind", REASON_KINDS)
def test_every_reason_has_words(kind: str) -> None:
    assert "{" not in reason_text(Entry("a", reason_kind=kind), CARDS)
    assert "{" not in reason_text(Entry("a", reason_kind=kind, reason_item_id="b"), CARDS)


def test_pictures_are_data(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3)).astype(np.uint8)
    assert collage(frames, 16 / 9).startswith("data:image/jpeg;base64,")
    assert collage(frames[:1], 9 / 16).startswith("data:image/jpeg;base64,")
    assert outline(np.zeros(1000, np.float32)).startswith("data:image/svg+xml;base64,")


def test_real_media_become_pictures(shared_data: Path) -> None:
    """A video, a sound, a file that is no media, and an item without any."""
    folder = shared_data
    video = next(iter(sorted((folder / "clips").glob("*.mp4")))).relative_to(folder).as_posix()
    sound = next(iter(sorted((folder / "esc10").rglob("*.ogg")))).relative_to(folder).as_posix()
    uris = {"video": video, "sound": sound, "broken": "README.md", "none": None}
    items = ITEMS.conform(
        pa.Table.from_pylist([{"item_id": name, "media_type": "video", "media_uri": uri} for name, uri in uris.items()])
    )
    found = thumbnails(items, str(folder), LimitsParams())
    assert found["video"].startswith("data:image/jpeg")
    assert found["sound"].startswith("data:image/svg")
    assert found["broken"] == found["none"] == card("video")


def test_a_path_names_what_it_leads_over() -> None:
    cards = {
        name: ItemCard(title, "nature", "video", "", {"tag": tags, "creator": ("me",)})
        for name, title, tags in (
            ("a", "One", ("sea", "calm", "blue")),
            ("b", "Two", ("blue", "sea")),
            ("c", "Three", ()),
        )
    }
    tag = Entry("a", reason_kind="tag", reason_item_id="b")
    assert reason_text(tag, cards) == "Has a tag in common with “Two”: sea, blue"
    assert reason_text(Entry("a", reason_kind="creator", reason_item_id="b"), cards).endswith("“Two”: me")
    assert reason_text(Entry("c", reason_kind="tag", reason_item_id="b"), cards) == "Has a tag in common with “Two”"


def test_kinds_of_reasons_keep_their_places() -> None:
    """They are stored by number in arrays of bundles that exist."""
    assert REASON_KINDS[:8] == ("watched", "taste", "picture", "sound", "text", "popular", "fresh", "none")
