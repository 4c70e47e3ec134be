"""The public layouts: MMRec, MovieLens, MicroLens, each in small, and the real ones where they are."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from avrec.datasets.dataset import Dataset
from avrec.datasets.importing import import_source
from avrec.datasets.registry import source_named
from avrec.datasets.split import split_interactions
from avrec.errors import DataError
from avrec.params import SplitParams, load_params


def load(tmp_path: Path) -> Dataset:
    params = load_params().dataset
    (tmp_path / "loaded").mkdir()
    return source_named(params.source).load(params, tmp_path / "loaded", tmp_path)


@pytest.fixture
def mmrec(tmp_path: Path) -> Path:
    folder = tmp_path / "mmrec"
    folder.mkdir()
    (folder / "train.csv").write_text("user_id,item_id\n3,1\n0,0\n3,2\n", encoding="utf-8")
    (folder / "val.csv").write_text("user_id,item_id\n3,3\n1,0\n0,9\n", encoding="utf-8")
    vectors = np.arange(20, dtype=np.float16).reshape(5, 4) * 4000
    vectors[2], vectors[3, 1] = 0, np.inf
    np.save(folder / "image_feat.npy", vectors)
    np.save(folder / "audio_feat.npy", np.ones((5, 2), np.float32))
    return folder


def test_mmrec(project: Path, mmrec: Path, tmp_path: Path) -> None:
    import_source("mmrec", mmrec)
    dataset = load(tmp_path)
    assert dataset.table("items")["item_id"].to_pylist() == ["0", "1", "2", "3", "4"]
    rows = dataset.table("interactions")
    assert rows["given_split"].to_pylist() == ["train", "train", "train", "val", "val"]
    assert rows["item_id"].to_pylist() == ["1", "0", "2", "3", "0"]
    assert rows["timestamp"].null_count == 5
    assert set(rows["label"].to_pylist()) == {"positive"}
    assert dataset.meta.given_features == ("visual", "audio")
    assert (dataset.meta.has_time, dataset.meta.as_of, load_params().dataset.as_of) == (False, None, None)
    visual = np.load(dataset.folder / "given" / "visual.npy")
    assert (visual.dtype, visual.shape) == (np.float32, (5, 4))
    assert np.isnan(visual).all(axis=1).tolist() == [False, False, True, True, False]
    assert pq.read_table(dataset.path("rejected"))["reason"].to_pylist() == ["item '9' is not among the items"]


def test_mmrec_errors(project: Path, mmrec: Path) -> None:
    np.save(mmrec / "text_feat.npy", np.ones((4, 2), np.float32))
    with pytest.raises(DataError, match="different numbers of items"):
        import_source("mmrec", mmrec)
    np.save(mmrec / "text_feat.npy", np.array([{"an": "object"}], dtype=object))
    with pytest.raises(DataError, match="not a plain"):
        import_source("mmrec", mmrec)
    np.save(mmrec / "text_feat.npy", np.ones(4, np.float32))
    with pytest.raises(DataError, match=r"expected an array of numbers \[items, dim\]"):
        import_source("mmrec", mmrec)
    (mmrec / "text_feat.npy").unlink()
    (mmrec / "val.csv").write_text("user,item_id\n1,1\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"val\.csv: columns \['user_id'\] are missing"):
        import_source("mmrec", mmrec)
    (mmrec / "val.csv").unlink()
    with pytest.raises(DataError, match="at least one of val"):
        import_source("mmrec", mmrec)


@pytest.fixture
def movielens(tmp_path: Path) -> Path:
    folder = tmp_path / "ml"
    folder.mkdir()
    (folder / "movies.csv").write_text(
        "movieId,title,genres\n1,Toy Story (1995),Animation|Comedy\n"
        '2,"Matrix, The (1999)",(no genres listed)\n3,Nameless,\n',
        encoding="utf-8",
    )
    (folder / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n7,1,4.0,964982703\n7,2,3.0,964982703\n5,2,2.0,964981000\n5,99,5.0,964981000\n",
        encoding="utf-8",
    )
    (folder / "tags.csv").write_text(
        "userId,movieId,tag,timestamp\n5,1,very funny,1445714994\n5,1,toys,1445714994\n", encoding="utf-8"
    )
    return folder


def test_movielens(project: Path, movielens: Path, tmp_path: Path) -> None:
    import_source("movielens", movielens)
    dataset = load(tmp_path)
    first, second, third = dataset.table("items").to_pylist()
    assert (first["tags"], first["category"], first["media_type"]) == (["Animation", "Comedy"], "Animation", "movie")
    assert first["published_at"] == datetime(1995, 1, 1, tzinfo=UTC)
    assert (second["title"], second["tags"], second["category"]) == ("Matrix, The (1999)", None, None)
    assert third["published_at"] is None
    rows = [(row["item_id"], row["event"], row["label"]) for row in dataset.table("interactions").to_pylist()]
    assert rows == [("2", "dislike", "negative"), ("1", "like", "positive"), ("2", "view", "unknown")]
    assert dataset.table("comments")["text"].to_pylist() == ["very funny, toys"]
    assert dataset.meta.as_of == "2015-10-24T19:29:55+00:00"
    assert pq.read_table(dataset.path("rejected"))["reason"].to_pylist() == ["item '99' is not among the items"]


def test_movielens_errors(project: Path, movielens: Path) -> None:
    (movielens / "ratings.csv").write_text("userId,movieId,rating\n7,1,4.0\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"ratings\.csv: columns \['timestamp'\] are missing"):
        import_source("movielens", movielens)
    (movielens / "movies.csv").unlink()
    with pytest.raises(DataError, match=r"no file movies\.csv"):
        import_source("movielens", movielens)


@pytest.fixture
def microlens(tmp_path: Path) -> Path:
    folder = tmp_path / "MicroLens-tiny"
    for name in ("videos", "audios", "MicroLens-tiny_covers"):
        (folder / name).mkdir(parents=True)
    (folder / "MicroLens-tiny_pairs.csv").write_text(
        "user,item,timestamp\n12,1,1583378629552\n12,2,1583378639552\n15,2,1583378639552\n15,3,1583378619000\n15,5,never\n",
        encoding="utf-8",
    )
    (folder / "MicroLens-tiny_titles.csv").write_text(
        'item,title\n1,"Title, one"\n2,第二个标题\n3,Third\n4,Unwatched\n', encoding="utf-8"
    )
    (folder / "MicroLens-tiny_likes_and_views.txt").write_text("1\t20\t300\n2\t1\t2\n6\t9\t9\n", encoding="utf-8")
    (folder / "MicroLens-tiny_comment_en.txt").write_text(
        '12\t1\tso "good", really\n99\t1\tno pair\n', encoding="utf-8"
    )
    for name in ("videos/1.mp4", "audios/1.mp3", "audios/2.wav", "MicroLens-tiny_covers/3.jpg", "videos/ignored.txt"):
        (folder / name).write_bytes(name.encode())
    return folder


def test_microlens(project: Path, microlens: Path, tmp_path: Path) -> None:
    import_source("microlens", microlens)
    dataset = load(tmp_path)
    items = {row["item_id"]: row for row in dataset.table("items").to_pylist()}
    assert list(items) == ["1", "2", "3", "4", "6", "5"]
    assert (items["1"]["title"], items["1"]["media_uri"], items["1"]["media_type"]) == (
        "Title, one",
        "videos/1.mp4",
        "video",
    )
    assert (items["2"]["title"], items["2"]["media_uri"], items["2"]["media_type"]) == (
        "第二个标题",
        "audios/2.wav",
        "audio",
    )
    assert items["3"]["media_uri"] == "MicroLens-tiny_covers/3.jpg"
    assert items["4"]["media_uri"] is None
    rows = dataset.table("interactions").to_pylist()
    assert [row["item_id"] for row in rows] == ["3", "1", "2", "2"]
    assert rows[1]["timestamp"] == datetime.fromtimestamp(1583378629.552, UTC)
    comments = dataset.table("comments").to_pylist()
    assert [(row["text"], row["timestamp"]) for row in comments] == [('so "good", really', rows[1]["timestamp"])]
    found = pq.read_table(dataset.path("rejected"))["reason"].to_pylist()
    assert found == ["timestamp is empty", "timestamp 'never' is not an instant"]


def test_microlens_errors(project: Path, microlens: Path) -> None:
    (microlens / "MicroLens-tiny_pairs.csv").write_text("user,item\n1,1\n", encoding="utf-8")
    with pytest.raises(DataError, match="expected columns user, item and timestamp"):
        import_source("microlens", microlens)
    (microlens / "more_pairs.csv").write_text("user,item,timestamp\n", encoding="utf-8")
    with pytest.raises(DataError, match="all match"):
        import_source("microlens", microlens)


def test_real_tiktok(project: Path, shared_data: Path, tmp_path: Path) -> None:
    import_source("mmrec", shared_data / "tiktok")
    dataset = load(tmp_path)
    assert dataset.table("items").num_rows == 6710
    result = split_interactions(dataset.table("interactions"), SplitParams(), dataset.meta.has_time)
    assert result.parts["train"].num_rows == 59_541
    if not (shared_data / "tiktok" / "test.csv").exists():
        assert result.parts["val"].num_rows + result.parts["test"].num_rows == 3_051


def test_real_movielens(project: Path, shared_data: Path, tmp_path: Path) -> None:
    import_source("movielens", shared_data / "ml-latest-small")
    dataset = load(tmp_path)
    assert dataset.table("items").num_rows == 9742
    assert dataset.table("interactions").num_rows == 100_836
    result = split_interactions(dataset.table("interactions"), SplitParams(), dataset.meta.has_time)
    assert result.parts["test"].num_rows == pytest.approx(10_083, abs=200)


def test_real_sounds(project: Path, shared_data: Path, tmp_path: Path) -> None:
    import_source("folder", shared_data / "esc10")
    items = load(tmp_path).table("items")
    assert items.num_rows == 318
    assert len(set(items["category"].to_pylist())) == 10
    assert items["media_sha256"].null_count == 0
