"""A batch over a snapshot: what is new, what is told anew, what was there, what is not taken."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from avrec.datasets.dataset import Dataset
from avrec.datasets.importing import import_source
from avrec.datasets.ingest import Appended, append
from avrec.datasets.ingest_inbox import READY, Inbox, batch_hash
from avrec.datasets.ingest_media import MediaStore
from avrec.datasets.snapshots import content_hash
from avrec.errors import DataError
from avrec.params import parse_params
from avrec.privacy.pseudonyms import Pseudonyms
from avrec.settings import settings

COLUMNS = {"items": {"title": "name"}}


@pytest.fixture
def base(project: Path, shop: Path) -> Dataset:
    snapshot = import_source("folder", shop, parse_params({"dataset": {"columns": COLUMNS}}))
    return Dataset(Path(settings().imports) / snapshot)


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    """A new film, a new title of a known one, events of both, one that is there already, two that cannot be used."""
    folder = tmp_path / "batch"
    (folder / "clips").mkdir(parents=True)
    (folder / "clips" / "d.mp4").write_bytes(b"d" * 100)
    (folder / "items.csv").write_text(
        "item_id,name,media_uri,published_at\nd,Fourth film,clips/d.mp4,2024-02-01\nb,Renamed,,\n", encoding="utf-8"
    )
    (folder / "interactions.csv").write_text(
        "user_id,item_id,timestamp,event\n"
        "user0,d,2024-02-01T10:00:00Z,like\n"
        "newcomer,b,2024-02-01T11:00:00Z,view\n"
        "user0,a,1704300000,view\n"  # the first row of the shop
        "user1,nowhere,2024-02-01T10:00:00Z,view\n"
        "user1,a,yesterday,view\n"
        "user2,a,2024-01-01T00:00:00Z,skip\n",  # earlier than all the rest
        encoding="utf-8",
    )
    return folder


def add(base: Dataset | None, batch: Path, limit: float = 0.5) -> tuple[Appended, Dataset]:
    made = append(base, batch, COLUMNS, Pseudonyms.of_home(), limit)
    return made, Dataset(Path(settings().imports) / made.snapshot)


def test_what_a_batch_adds(base: Dataset, batch: Path) -> None:
    made, after = add(base, batch)
    assert made.added == {"items": 1, "interactions": 3}
    assert made.updated == {"items": 1}
    assert made.repeated == {"interactions": 1}
    assert made.rejected == {"items": 0, "interactions": 2}
    items = {row["item_id"]: row for row in after.table("items").to_pylist()}
    assert list(items) == ["a", "b", "c", "d"]  # known items keep their places
    assert (items["b"]["title"], items["b"]["media_type"]) == ("Renamed", "video")
    assert items["b"]["media_sha256"] == hashlib.sha256(b"b" * 100).hexdigest()
    rows = after.table("interactions").to_pylist()
    assert len(rows) == 24 + 3
    assert [row["timestamp"] for row in rows] == sorted(row["timestamp"] for row in rows)
    labels = {(row["user_id"], row["item_id"]): row["label"] for row in rows}
    assert labels[Pseudonyms.of_home().of("newcomer"), "b"] == "unknown"  # a bare view, in a log that knows likes
    assert labels[Pseudonyms.of_home().of("user0"), "d"] == "positive"
    assert after.meta.as_of == "2024-02-01T11:00:01+00:00"
    assert any("nowhere" in reason for reason in made.reasons)


def test_media_lie_in_the_store_by_content(base: Dataset, batch: Path, shop: Path) -> None:
    _, after = add(base, batch)
    root = Path(str(after.meta.media_root))
    for row in after.table("items").to_pylist():
        content = (root / row["media_uri"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["media_sha256"]
    assert (shop / "films" / "a.mp4").exists()


def test_equal_batches_give_equal_snapshots_and_nothing_is_left(base: Dataset, batch: Path) -> None:
    before = content_hash(base.folder)
    first, after = add(base, batch)
    again, _ = add(base, batch)
    assert first == again
    assert content_hash(after.folder) == first.snapshot
    assert content_hash(base.folder) == before
    assert not list(Path(settings().imports).glob(".import-*"))


def test_the_same_rows_once_more_add_nothing(base: Dataset, batch: Path) -> None:
    _, after = add(base, batch)
    made, again = add(after, batch)
    assert made.added == {"items": 0, "interactions": 0}
    assert again.table("interactions").equals(after.table("interactions"))
    assert again.table("items").equals(after.table("items"))


def test_events_alone_and_media_alone(base: Dataset, tmp_path: Path) -> None:
    events, media = tmp_path / "events", tmp_path / "media"
    events.mkdir()
    (events / "interactions.csv").write_text("user_id,item_id,timestamp\nuser9,a,2024-03-01\n", encoding="utf-8")
    made, _ = add(base, events)
    assert made.added == {"interactions": 1}
    media.mkdir()
    (media / "new song.mp3").write_bytes(b"tune")
    made, after = add(base, media)
    assert made.added == {"items": 1}
    assert after.table("items")["item_id"].to_pylist()[-1] == "new song.mp3"


def test_a_data_set_may_begin_with_a_batch(batch: Path) -> None:
    made, after = add(None, batch, limit=1.0)
    assert made.source == after.meta.source == "folder"
    assert made.totals["items"] == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [("user_id,item_id,timestamp\n" + "u,nowhere,2024-03-01\n" * 3, "max_rejected"),
     ("user_id,item_id\nu,a\n", "neither a column timestamp"), ("user_id,timestamp\nu,2024-03-01\n", "item_id")],
)  # fmt: skip
def test_a_batch_that_is_not_what_it_should_be(base: Dataset, tmp_path: Path, content: str, said: str) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "interactions.csv").write_text(content, encoding="utf-8")
    before = sorted(Path(settings().imports).iterdir())
    with pytest.raises(DataError, match=said):
        add(base, folder)
    assert sorted(Path(settings().imports).iterdir()) == before


def test_people_under_another_key_are_not_mixed(base: Dataset, batch: Path) -> None:
    with pytest.raises(DataError, match=r"pseudonym\.key"):
        append(base, batch, COLUMNS, Pseudonyms(b"k" * 32), 0.5)


def test_a_file_that_changes_while_it_is_taken(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"new")
    with pytest.raises(DataError, match="changed while it was read"):
        MediaStore(str(tmp_path / "store")).put(str(clip), hashlib.sha256(b"old").hexdigest())
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


def waiting(tmp_path: Path, name: str, mark: str | None = "") -> tuple[Inbox, Path]:
    folder = tmp_path / "inbox" / name
    folder.mkdir(parents=True)
    (folder / "users.csv").write_text("user_id\nu\n", encoding="utf-8")
    if mark is not None:
        (folder / READY).write_text(mark, encoding="utf-8")
    return Inbox(str(tmp_path / "inbox")), folder


def test_only_what_says_it_is_ready_waits(tmp_path: Path) -> None:
    inbox, _ = waiting(tmp_path, "half", mark=None)
    waiting(tmp_path, "b")
    waiting(tmp_path, "a")
    assert inbox.ready() == ["a", "b"]
    inbox.refuse("a", "it smells")
    assert inbox.ready() == ["b"]
    assert inbox.refused() == {"a": "it smells\n"}


def test_a_taken_batch_is_removed_and_never_read_again(tmp_path: Path) -> None:
    inbox, folder = waiting(tmp_path, "a")
    inbox.take("a", "digest")
    assert (inbox.ready(), inbox.taken()) == ([], ["a"])
    inbox.remove("a")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("files", "said"),
    [({"users.csv": "0" * 64}, "is not what"), ({}, "is not listed"),
     ({"users.csv": hashlib.sha256(b"user_id\nu\n").hexdigest(), "items.csv": "0" * 64}, "is missing")],
)  # fmt: skip
def test_a_manifest_is_held_to(tmp_path: Path, files: dict[str, str], said: str) -> None:
    inbox, _ = waiting(tmp_path, "a", json.dumps({"files": files}))
    with pytest.raises(DataError, match=said), inbox.opened("a"):
        pass


def test_a_link_in_a_batch_is_refused(tmp_path: Path) -> None:
    inbox, folder = waiting(tmp_path, "a")
    (folder / "items.csv").symlink_to("/etc/hostname")
    with pytest.raises(DataError, match="is a link"), inbox.opened("a"):
        pass


def test_marks_are_no_part_of_what_a_batch_is_known_by(tmp_path: Path) -> None:
    _, folder = waiting(tmp_path, "a")
    before = batch_hash(folder)
    (folder / READY).unlink()
    assert batch_hash(folder) == before
    (folder / "users.csv").write_text("user_id\nv\n", encoding="utf-8")
    assert batch_hash(folder) != before
