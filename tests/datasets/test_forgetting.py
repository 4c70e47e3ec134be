"""Erased people and items leave snapshots, and an old file does not bring them back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from avrec.datasets.dataset import Dataset
from avrec.datasets.forgetting import find, forget
from avrec.datasets.hashing import sha256_of
from avrec.datasets.importing import import_source
from avrec.datasets.snapshots import content_hash, remove_snapshot, rewrite, snapshots
from avrec.privacy.pseudonyms import Pseudonyms
from avrec.privacy.receipts import Receipts
from avrec.privacy.scan import Scanner
from avrec.settings import settings


@pytest.fixture
def folder(project: Path, shop: Path) -> Path:
    """The shop, where user1 also commented, made film c and left a row nobody can read."""
    (shop / "comments.csv").write_text("user_id,item_id,timestamp,text\nuser1,a,1704300000,signed mark-in-comment\n")
    items = (shop / "items.csv").read_text().splitlines()
    makers = ["creator_id", "", "user2", "user1"]
    (shop / "items.csv").write_text("".join(f"{line},{who}\n" for line, who in zip(items, makers, strict=True)))
    with (shop / "interactions.csv").open("a") as file:
        file.write("user1,a,not a time,view\n")
    return shop


def erase_user1() -> None:
    Receipts.of_settings().add([Pseudonyms.of_home().of("user1")], [], "2026-03-01")


def test_a_snapshot_is_written_anew_without_the_person(folder: Path) -> None:
    old, gone = import_source("folder", folder), Pseudonyms.of_home().of("user1")
    where = Path(settings().imports)
    marks = [gone, "mark-in-comment", "films/c.mp4"]
    assert {hit.mark for hit in Scanner(marks).folders([where])} == set(marks)
    erase_user1()
    new, found = rewrite(old, Receipts.of_settings().subjects())
    assert (found.people, found.items) == ([gone], ["c"])
    remove_snapshot(old)
    assert snapshots() == [new]
    assert content_hash(where / new) == new
    assert Scanner(marks).folders([where]) == []
    left = Dataset(where / new)
    assert left.table("items")["item_id"].to_pylist() == ["a", "b"]
    assert set(left.table("interactions")["item_id"].to_pylist()) == {"a", "b"}
    assert left.table("interactions").num_rows == sum(n % 4 != 1 and n % 3 != 2 for n in range(24))


def test_an_old_file_brings_nobody_back(folder: Path) -> None:
    old = import_source("folder", folder)
    erase_user1()
    again = import_source("folder", folder)
    assert again == rewrite(old, Receipts.of_settings().subjects())[0]
    assert Scanner([Pseudonyms.of_home().of("user1")]).folders([Path(settings().imports) / again]) == []
    assert yaml.safe_load(Path("params.yaml").read_text())["dataset"]["snapshot"] == again


def test_nothing_found_changes_no_byte(folder: Path) -> None:
    name = import_source("folder", folder)
    Receipts.of_settings().add([Pseudonyms.of_home().of("a stranger")], [], "2026-03-01")
    assert rewrite(name, Receipts.of_settings().subjects())[0] == name


def test_ready_made_vectors_follow_their_items(folder: Path, tmp_path: Path) -> None:
    where = Path(settings().imports) / import_source("folder", folder)
    (where / "given").mkdir()
    np.save(where / "given" / "visual.npy", np.arange(6, dtype=np.float32).reshape(3, 2))
    erase_user1()
    forget(where, Receipts.of_settings().subjects())
    assert np.load(where / "given" / "visual.npy").tolist() == [[0, 1], [2, 3]]


def test_old_events_go_when_asked(folder: Path) -> None:
    name = import_source("folder", folder)
    (folder / "interactions.csv").open("a").write("user0,a,1714300000,view\n")
    later = import_source("folder", folder)
    kept = rewrite(later, Receipts.of_settings().subjects(), events_from=30)[0]
    assert kept not in (name, later)
    assert Dataset(Path(settings().imports) / kept).table("interactions").num_rows == 1


def test_the_demo_is_made_without_the_erased(small_demo: Dataset, tmp_path: Path) -> None:
    import shutil

    for name in ("dataset", "media"):
        shutil.copytree(small_demo.folder.parent / name, tmp_path / name)
    items = small_demo.table("items").to_pylist()
    item = next(i for i in items if i["media_sha256"])
    user = small_demo.table("interactions")["user_id"][0].as_py()
    Receipts.of_settings().add([user], [item["item_id"]], "2026-03-01")
    subjects = Receipts.of_settings().subjects()
    untouched = {name: sha256_of(tmp_path / "dataset" / name) for name in ("dataset.json",)}
    found = forget(tmp_path / "dataset", subjects, tmp_path / "media")
    assert (found.people, found.items) == ([user], [item["item_id"]])
    assert not (tmp_path / "media" / item["media_uri"]).exists()
    assert not find(tmp_path / "dataset", subjects)
    assert Scanner([user, item["item_id"]]).folders([tmp_path / "dataset"]) == []
    assert {name: sha256_of(tmp_path / "dataset" / name) for name in untouched} == untouched
