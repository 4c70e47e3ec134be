from __future__ import annotations

import hashlib
import os
import shutil
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from avrec.datasets.dataset import Dataset
from avrec.datasets.importing import import_source
from avrec.datasets.registry import source_named
from avrec.datasets.split import split_interactions
from avrec.errors import DataError, ParamsError
from avrec.params import SplitParams, load_params, parse_params
from avrec.privacy.pseudonyms import Pseudonyms
from avrec.schema import DATASET_TABLES
from avrec.settings import settings


def load(tmp_path: Path, name: str = "loaded") -> Dataset:
    """The data set as the stage `dataset` makes it from the current params.yaml."""
    params = load_params().dataset
    folder = tmp_path / name
    folder.mkdir()
    return source_named(params.source).load(params, folder, tmp_path / "media")


def reasons(dataset: Dataset) -> list[str]:
    return list(pq.read_table(dataset.path("rejected"))["reason"].to_pylist())


def import_folder(folder: Path, columns: dict[str, dict[str, str]] | None = None) -> str:
    return import_source("folder", folder, parse_params({"dataset": {"columns": columns or {}}}))


TITLES = {"items": {"title": "name"}}


def test_a_folder_with_tables(project: Path, shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot = import_folder(shop, TITLES)
    dataset = load(tmp_path)
    items = dataset.table("items").to_pylist()
    assert [item["title"] for item in items] == ["First film", "Second film", "Third, film"]
    assert items[0]["tags"] == ["one", "two"]
    assert items[1]["published_at"] == datetime(2024, 1, 2, 8, tzinfo=UTC)
    assert items[2]["published_at"] == datetime.fromtimestamp(1704200000, UTC)
    assert items[0]["media_type"] == "video"
    assert items[0]["media_sha256"] == hashlib.sha256(b"a" * 100).hexdigest()
    rows = dataset.table("interactions").to_pylist()
    assert [row["timestamp"] for row in rows] == sorted(row["timestamp"] for row in rows)
    assert {row["event"]: row["label"] for row in rows} == {"view": "unknown", "skip": "negative", "like": "positive"}
    assert {row["user_id"] for row in rows} == {Pseudonyms.of_home().of(f"user{n}") for n in range(4)}
    assert dataset.meta.media_root == str(shop.resolve())
    assert dataset.meta.as_of == "2024-01-03T19:43:21+00:00"
    assert not dataset.meta.synthetic
    assert snapshot in capsys.readouterr().out


def test_params_name_the_snapshot_and_keep_their_comments(project: Path, shop: Path) -> None:
    before = (project / "params.yaml").read_text(encoding="utf-8")
    snapshot = import_folder(shop, TITLES)
    after = (project / "params.yaml").read_text(encoding="utf-8")
    assert after.count("#") == before.count("#")
    gone = [line.strip() for line in before.splitlines() if line not in after.splitlines()]
    assert gone[0].startswith("source: demo")
    assert len([line for line in after.splitlines() if line not in before.splitlines()]) == 3
    section = yaml.safe_load(after)["dataset"]
    assert (section["source"], section["snapshot"], section["as_of"]) == (
        "folder",
        snapshot,
        "2024-01-03T19:43:21+00:00",
    )


def test_columns_are_read_from_params(project: Path, shop: Path, tmp_path: Path) -> None:
    text = (project / "params.yaml").read_text(encoding="utf-8")
    text = text.replace("source: demo ", "source: folder ").replace("columns: {}", "columns: {items: {title: name}}")
    (project / "params.yaml").write_text(text, encoding="utf-8")
    import_source("folder", str(shop))
    assert load(tmp_path).table("items")["title"][0].as_py() == "First film"


def test_the_same_data_give_the_same_snapshot(project: Path, shop: Path) -> None:
    assert import_folder(shop, TITLES) == import_folder(shop, TITLES)
    assert len(list(Path(settings().imports).iterdir())) == 1


def test_what_a_killed_import_left_is_swept(project: Path, shop: Path) -> None:
    imports = Path(settings().imports)
    old, busy = imports / ".import-old", imports / ".import-busy"
    for left in (old, busy):
        (left / "snapshot").mkdir(parents=True)
    day_before_yesterday = time.time() - 2 * 24 * 3600
    for path in (old / "snapshot", old):
        os.utime(path, (day_before_yesterday, day_before_yesterday))
    import_folder(shop, TITLES)
    assert not old.exists()
    assert busy.exists()


def test_two_homes_differ_in_nothing_but_pseudonyms(
    project: Path, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shop / "users.csv").write_text("user_id,country\nuser2,DE\nuser0,CN\n", encoding="utf-8")
    (shop / "comments.csv").write_text(
        "user_id,item_id,timestamp,text\nuser1,a,1704303000,good\nuser3,b,1704302000,bad\nuser0,a,1704303000,hm\n",
        encoding="utf-8",
    )
    loaded = []
    for name in ("one", "two"):
        monkeypatch.setenv("AVREC_HOME", str(tmp_path / name))
        import_folder(shop, TITLES)
        loaded.append(load(tmp_path, f"loaded-{name}"))
    one, two = loaded
    assert asdict(one.meta) | {"key_fingerprint": ""} == asdict(two.meta) | {"key_fingerprint": ""}
    assert one.meta.key_fingerprint != two.meta.key_fingerprint
    names: dict[str, str] = {}
    for spec in DATASET_TABLES:
        assert one.has(spec.name) == two.has(spec.name)
        a, b = one.table(spec.name), two.table(spec.name)
        if "user_id" not in a.column_names:
            assert a.equals(b)
            continue
        assert a.drop(["user_id"]).equals(b.drop(["user_id"]))
        for left, right in zip(a["user_id"].to_pylist(), b["user_id"].to_pylist(), strict=True):
            assert left != right
            assert names.setdefault(left, right) == right
    assert len(set(names.values())) == len(names) == 4
    splits = [split_interactions(d.table("interactions"), SplitParams(), True).metrics() for d in loaded]
    assert splits[0] == splits[1]


def test_rows_that_cannot_be_used_are_kept_with_their_reason(project: Path, shop: Path, tmp_path: Path) -> None:
    with (shop / "interactions.csv").open("a", encoding="utf-8") as file:
        file.write(
            "user1,a,yesterday,view\nuser1,nowhere,1704300000,view\n,a,1704300000,view\nuser1,,1704300000,view\n"
            "user1,a,,view\nuser1,a,1704300000,view,too,many\nuser1,a,1e300,view\n"
        )
    import_folder(shop, TITLES)
    dataset = load(tmp_path)
    assert dataset.table("interactions").num_rows == 24
    found = reasons(dataset)
    for reason in (
        "timestamp 'yesterday' is not an instant",
        "item 'nowhere' is not among the items",
        "user_id is empty",
        "item_id is empty",
        "timestamp is empty",
        "line 31: Expected Number of Columns: 4",
        "timestamp '1e300' is not an instant",
    ):
        assert sum(text.startswith(reason) for text in found) == 1, (reason, found)
    assert len(found) == 7
    rejected = pq.read_table(dataset.path("rejected")).to_pylist()
    assert all("user1" not in (row["content"] or "") for row in rejected)
    assert {row["row"] for row in rejected if row["reason"].startswith("timestamp 'yesterday")} == {24}


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("../secret.mp4", "leaves the media folder"),
        ("films/../../secret.mp4", "leaves the media folder"),
        ("/etc/passwd", "leaves the media folder"),
        ("films/link.mp4", "is a link that leaves"),
        ("file:///etc/passwd", "expected a path, or a URL"),
        ("simplecache::file:///etc/passwd", "expected a path, or a URL"),
        ("https://x.org/a.zip::file:///etc/passwd", "expected a path, or a URL"),
        ("http://169.254.169.254/latest/meta-data", "an address of the machine's own"),
        ("films\\a.mp4", "no path here may hold"),
    ],
)
def test_paths_stay_in_the_folder(project: Path, shop: Path, tmp_path: Path, uri: str, reason: str) -> None:
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (shop / "films" / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    with (shop / "items.csv").open("a", encoding="utf-8") as file:
        file.write(f"d,Fourth,,{uri},2024-01-01\n")
    with (shop / "interactions.csv").open("a", encoding="utf-8") as file:
        file.write("user1,d,1704300000,view\n")
    import_folder(shop, TITLES)
    dataset = load(tmp_path)
    assert dataset.table("items")["item_id"].to_pylist() == ["a", "b", "c"]
    assert dataset.table("interactions").num_rows == 24
    found = reasons(dataset)
    assert len(found) == 2
    assert any(reason in text for text in found)
    assert "item 'd' was not taken" in found


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_thousands_of_columns_are_refused_before_they_cost(project: Path, shop: Path, kind: str) -> None:
    names = ["item_id", *(f"c{n}" for n in range(5000))]
    (shop / "items.csv").unlink()
    if kind == "csv":
        (shop / "items.csv").write_text(",".join(names) + "\na" + "," * 5000 + "\n", encoding="utf-8")
    else:
        pq.write_table(pa.table({name: ["a"] for name in names}), shop / "items.parquet")
    with pytest.raises(DataError, match="has 5001 columns; at most 1000") as caught:
        import_folder(shop)
    assert len(str(caught.value)) < 500


def test_a_first_line_that_is_no_header_is_told(project: Path, shop: Path) -> None:
    (shop / "items.csv").write_text(f"item_id,{'x' * 600}\na,b\n", encoding="utf-8")
    with pytest.raises(DataError, match="name has 600 characters"):
        import_folder(shop)
    (shop / "items.csv").write_text(f"item_id,title\na,{'x' * 3_000_000}\n", encoding="utf-8")
    with pytest.raises(DataError, match="Maximum line size of 2000000 bytes"):
        import_folder(shop)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"interactions\.csv is empty; expected a first line"),
        ("user_id,item_id,timestamp\nu,a,2024-01-01\n".encode("utf-16"), r"interactions\.csv is not text in UTF-8"),
        (b"user_id,item_id,timestamp\nu\xe4,a,2024-01-01\n", r"none of the 1 rows can be used.*line 2.*not utf-8"),
        (b"user_id,item_id,timestamp\nu,A,2024-01-01\nu,B,2024\n", r"none of the 2 rows.*'A' is not among the items"),
    ],
)
def test_a_table_of_which_nothing_can_be_used(project: Path, shop: Path, content: bytes, message: str) -> None:
    (shop / "interactions.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        import_folder(shop)
    assert not list(Path(settings().imports).iterdir())


def test_what_was_meant_and_is_not_read_is_told(project: Path, shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shop / "interactions.csv").rename(shop / "Events.CSV")
    import_folder(shop)
    said = capsys.readouterr().out
    assert "['Events.CSV'] are not read; a table is one of comments.csv" in said
    assert "nothing can be trained" in said


def test_a_missing_media_file_keeps_its_item(
    project: Path, shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shop / "films" / "b.mp4").unlink()
    import_folder(shop, TITLES)
    assert "missing or unreadable, such as ['films/b.mp4']" in capsys.readouterr().out
    assert load(tmp_path).table("items")["media_sha256"].null_count == 1


def test_a_folder_without_tables(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    (folder / "dog" / "inner").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for name in ("dog/big_dog-1.mp4", "dog/inner/bark.ogg", "alone.webm", ".hidden/x.mp4", "notes.txt"):
        (folder / name).write_bytes(name.encode())
    import_source("folder", folder)
    dataset = load(tmp_path)
    items = {item["item_id"]: item for item in dataset.table("items").to_pylist()}
    assert list(items) == ["alone.webm", "dog/big_dog-1.mp4", "dog/inner/bark.ogg"]
    assert items["dog/big_dog-1.mp4"]["title"] == "big dog 1"
    assert items["dog/big_dog-1.mp4"]["category"] == "dog"
    assert items["dog/inner/bark.ogg"]["category"] == "inner"
    assert items["dog/inner/bark.ogg"]["media_type"] == "audio"
    assert items["alone.webm"]["category"] is None
    assert dataset.table("interactions").num_rows == 0


def test_parquet_tables_and_files_named_by_id(project: Path, shop: Path, tmp_path: Path) -> None:
    import pyarrow as pa

    (shop / "items.csv").unlink()
    items = pa.table(
        {"item_id": ["a", "b", "z"], "tags": [["x", "y"], [], None], "published_at": [datetime(2024, 1, 1)] * 3}
    )
    pq.write_table(items, shop / "items.parquet")
    import_folder(shop)
    dataset = load(tmp_path)
    rows = dataset.table("items").to_pylist()
    assert [row["media_uri"] for row in rows] == ["films/a.mp4", "films/b.mp4", None]
    assert [row["media_type"] for row in rows] == ["video", "video", "text"]
    assert rows[0]["tags"] == ["x", "y"]
    assert rows[0]["published_at"] == datetime(2024, 1, 1, tzinfo=UTC)
    assert dataset.table("interactions").num_rows == 16  # those with item c are not taken


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"items": {"title": "headline"}},
            r"items\.csv: column 'headline' is missing; it has .*'name'.*dataset\.columns\.items",
        ),
        ({"items": {"headline": "name"}}, r"dataset\.columns\.items: \['headline'\] are no columns"),
        ({"movies": {"title": "name"}}, r"\['movies'\] are no tables"),
        ({"interactions": {"user_id": "person"}}, r"column 'person' is missing"),
        ({"comments": {"text": "body"}}, r"holds neither comments\.csv nor comments\.parquet"),
    ],
)
def test_columns_that_are_missing(project: Path, shop: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        import_folder(shop, columns)
    assert not list(Path(settings().imports).iterdir()), "a failed import leaves nothing"
    assert load_params().dataset.source == "demo"


def test_interactions_need_a_time_or_a_split(project: Path, shop: Path) -> None:
    (shop / "interactions.csv").write_text("user_id,item_id\nu,a\n", encoding="utf-8")
    with pytest.raises(DataError, match="neither a column timestamp nor given_split"):
        import_folder(shop)


def test_folders_that_are_none(project: Path, tmp_path: Path, shop: Path) -> None:
    with pytest.raises(DataError, match="needs a folder"):
        import_source("folder", None)
    with pytest.raises(DataError, match="is not a folder"):
        import_source("folder", tmp_path / "nothing")
    with pytest.raises(DataError, match="unknown; expected one of"):
        import_source("netflix", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="neither media nor items"):
        import_source("folder", tmp_path / "empty")
    shutil.copy(shop / "items.csv", shop / "items.parquet")
    with pytest.raises(DataError, match="holds both"):
        import_folder(shop)
    (shop / "items.csv").unlink()
    with pytest.raises(DataError, match=r"items\.parquet cannot be read"):
        import_folder(shop)


@pytest.mark.parametrize(
    ("header", "rows", "labels"),
    [
        ("event,watch_ratio", ["view,0.9", "view,0.4", "view,0.1", "skip,", "view,"],
         ["positive", "unknown", "negative", "negative", "positive"]),
        ("event", ["view", "view", "like", "dislike"], ["unknown", "unknown", "positive", "negative"]),
        ("event", ["view", "view", "skip"], ["positive", "positive", "negative"]),
        ("label", ["negative", "positive", ""], ["negative", "positive", "positive"]),
        ("weight", ["0.5", "1"], ["positive", "positive"]),
    ],
)  # fmt: skip
def test_what_counts_as_liking(
    project: Path, shop: Path, tmp_path: Path, header: str, rows: list[str], labels: list[str]
) -> None:
    lines = [f"u{n},a,{1704300000 + n},{row}\n" for n, row in enumerate(rows)]
    (shop / "interactions.csv").write_text(f"user_id,item_id,timestamp,{header}\n" + "".join(lines), encoding="utf-8")
    import_folder(shop, TITLES)
    assert load(tmp_path).table("interactions")["label"].to_pylist() == labels


def test_a_folder_whose_name_looks_like_a_pattern(project: Path, shop: Path, tmp_path: Path) -> None:
    odd = tmp_path / "it's [my] *films*?"
    shop.rename(odd)
    import_folder(odd, TITLES)
    assert load(tmp_path).table("interactions").num_rows == 24


def test_a_project_is_needed(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParamsError, match=r"params\.yaml does not exist"):
        import_folder(shop, TITLES)


def test_demo_needs_no_import(project: Path, shop: Path) -> None:
    import_folder(shop, TITLES)
    assert import_source("demo", None) == ""
    assert load_params().dataset.source == "demo"
    assert load_params().dataset.snapshot is None


def test_as_of_cuts_the_snapshot(project: Path, shop: Path, tmp_path: Path) -> None:
    import_folder(shop, TITLES)
    params = load_params().dataset.model_copy(update={"as_of": datetime.fromtimestamp(1704305000, UTC)})
    (tmp_path / "cut").mkdir()
    dataset = source_named("folder").load(params, tmp_path / "cut", tmp_path)
    assert dataset.table("interactions").num_rows == 10
    assert dataset.meta.as_of == "2024-01-03T18:03:20+00:00"
    assert len(reasons(dataset)) == 14
    assert not list(dataset.folder.glob("*.cut"))


def test_as_of_is_the_newest_instant_that_has_been(project: Path, shop: Path, tmp_path: Path) -> None:
    with (shop / "items.csv").open("a", encoding="utf-8") as file:
        file.write("new,Fourth,,,2024-01-05T12:00:00.5Z\nplanned,Fifth,,,2999-01-01\n")
    with (shop / "interactions.csv").open("a", encoding="utf-8") as file:
        file.write("user1,a,2998-01-01,view\n")
    import_folder(shop, TITLES)
    dataset = load(tmp_path)
    assert dataset.meta.as_of == "2024-01-05T12:00:01+00:00"
    assert dataset.table("items").num_rows == 5
    assert dataset.table("interactions").num_rows == 24
    assert reasons(dataset) == ["timestamp 2998-01-01 00:00:00+00 is not before dataset.as_of"]


def test_loading_twice_gives_the_same_bytes(project: Path, shop: Path, tmp_path: Path) -> None:
    import_folder(shop, TITLES)
    one, two = load(tmp_path, "one"), load(tmp_path, "two")
    for path in one.folder.iterdir():
        assert path.read_bytes() == (two.folder / path.name).read_bytes()


def test_a_snapshot_that_is_damaged_or_gone_or_another(project: Path, shop: Path, tmp_path: Path) -> None:
    snapshot = import_folder(shop, TITLES)
    folder = Path(settings().imports) / snapshot
    params = load_params().dataset
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match="came from source 'folder'"):
        source_named("mmrec").load(params.model_copy(update={"source": "mmrec"}), tmp_path / "other", tmp_path)
    with (folder / "items.parquet").open("ab") as file:
        file.write(b"x")
    with pytest.raises(DataError, match="is damaged"):
        load(tmp_path, "damaged")
    shutil.rmtree(folder)
    with pytest.raises(DataError, match="AVREC_IMPORTS"):
        load(tmp_path, "gone")


def test_a_store_behind_a_url(project: Path, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVREC_IMPORTS", f"file://{tmp_path / 'bucket'}")
    snapshot = import_folder(shop, TITLES)
    assert (tmp_path / "bucket" / snapshot / "dataset.json").is_file()
    assert load(tmp_path).table("items").num_rows == 3


def test_a_folder_nobody_may_write_to_can_be_imported(project: Path, shop: Path) -> None:
    shop.chmod(0o500)
    try:
        import_folder(shop, TITLES)
    finally:
        shop.chmod(0o700)
    assert sorted(path.name for path in shop.iterdir()) == ["films", "interactions.csv", "items.csv"]
