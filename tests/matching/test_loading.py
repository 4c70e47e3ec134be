from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from avrec.datasets.dataset import Dataset, DatasetMeta, write_meta, write_table
from avrec.errors import DataError
from avrec.matching.loading import (
    catalog_of,
    evaluation_set,
    load_catalog,
    load_interactions,
    load_split,
    test_histories,
    val_histories,
    validation_halves,
)
from avrec.schema import FEATURES

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def items() -> pa.Table:
    return pa.table({
        "item_id": ["a", "b", "c"], "media_type": ["video", "music", "video"], "category": ["x", None, "x"],
        "creator_id": ["p", "q", "p"], "published_at": [NOON, None, NOON],
    })  # fmt: skip


def rows(*values: tuple[str, str, int | None, str]) -> pa.Table:
    users, names, hours, labels = zip(*values, strict=True) if values else ((), (), (), ())
    return pa.table({
        "user_id": pa.array(users, pa.string()), "item_id": pa.array(names, pa.string()),
        "timestamp": pa.array([None if h is None else NOON + timedelta(hours=h) for h in hours],
                              pa.timestamp("us", tz="UTC")),
        "event": pa.array(["view"] * len(users), pa.string()), "label": pa.array(labels, pa.string()),
        "weight": pa.array([1.0] * len(users), pa.float32()),
    })  # fmt: skip


def write_split(folder: Path, **parts: pa.Table) -> Path:
    for name in ("train", "val", "test"):
        write_table(folder, "interactions", parts.get(name, rows()))
        (folder / "interactions.parquet").rename(folder / f"{name}.parquet")
    (folder / "slices.json").write_text('{"light_users": ["u"]}')
    return folder


def test_catalog_has_codes_times_and_the_features_that_exist(tmp_path: Path) -> None:
    write_table(tmp_path / "valid", "items", items())
    write_meta(tmp_path / "valid", DatasetMeta("folder", False, None, True, None, "k"))
    folder = tmp_path / "features" / "audio" / "features"
    folder.mkdir(parents=True)
    found = pa.table({"item_id": ["b", "a"], "vector": [[1.0, 2.0], []], "present": [True, False],
                      "reason": [None, "silent"]}, schema=FEATURES.schema)  # fmt: skip
    pa.parquet.write_table(found, folder / "part-00.parquet")
    catalog = load_catalog(Dataset(tmp_path / "valid"), tmp_path / "features")
    assert catalog.item_ids == ("a", "b", "c")
    assert catalog.category.tolist() == [0, -1, 0]
    assert catalog.creator.tolist() == [0, 1, 0]
    assert catalog.published_at.tolist() == [int(NOON.timestamp()), 0, int(NOON.timestamp())]
    assert list(catalog.features) == ["audio"]
    assert catalog.features["audio"].present.tolist() == [False, True, False]
    assert catalog.features["audio"].vectors[1].tolist() == [1.0, 2.0]


def test_a_catalog_knows_what_its_items_are_linked_to(tmp_path: Path) -> None:
    known = items().append_column("tags", pa.array([["sea", "blue", "sea"], None, []], pa.list_(pa.string())))
    write_table(tmp_path / "valid", "items", known)
    write_meta(tmp_path / "valid", DatasetMeta("folder", False, None, True, None, "k"))
    for modality, column, tags in (("visual", "visual_tags", [["dog"], None]), ("audio", "sound_tags", [None, None])):
        (tmp_path / "features" / modality / "features").mkdir(parents=True)
        signals = pa.table({"item_id": ["c", "a"], column: pa.array(tags, pa.list_(pa.string()))})
        write_table(tmp_path / "features" / modality, "signals", signals)
        pa.parquet.write_table(FEATURES.empty(), tmp_path / "features" / modality / "features" / "part-00.parquet")
    entities = load_catalog(Dataset(tmp_path / "valid"), tmp_path / "features").entities
    assert entities["tag"] == [("sea", "blue"), (), ()]
    assert entities["seen"] == [(), (), ("dog",)]
    assert "heard" not in entities  # nothing was
    assert [len(names) for names in entities["creator"]] == [1, 1, 1]
    assert catalog_of(items(), {}).entities.keys() == {"creator", "category"}


def test_interactions_come_in_time_order_and_users_by_first_appearance() -> None:
    table = rows(("z", "b", 5, "positive"), ("y", "a", 1, "negative"), ("z", "c", 1, "unknown"))
    got = load_interactions(table, catalog_of(items(), {}))
    assert got.user_ids == ("z", "y")
    assert got.item.tolist() == [0, 2, 1]
    assert got.user.tolist() == [1, 0, 0]
    assert got.label.tolist() == [-1, 0, 1]


def test_without_time_the_order_of_the_file_stays() -> None:
    got = load_interactions(rows(("z", "b", None, "positive"), ("y", "a", None, "positive")), catalog_of(items(), {}))
    assert got.item.tolist() == [1, 0]
    assert got.timestamp.tolist() == [0, 0]


def test_an_unknown_item_or_user_is_named() -> None:
    catalog = catalog_of(items(), {})
    with pytest.raises(DataError, match=r"interactions: item_id: 'nope' in row 1 is unknown; 1 such rows"):
        load_interactions(rows(("u", "a", 1, "positive"), ("u", "nope", 1, "positive")), catalog)
    with pytest.raises(DataError, match=r"user_id: 'u' in row 0"):
        load_interactions(rows(("u", "a", 1, "positive")), catalog, ["v"])


def test_histories_and_truth_of_both_parts(tmp_path: Path) -> None:
    split = load_split(
        write_split(
            tmp_path / "split",
            train=rows(("u", "a", 0, "positive"), ("v", "b", 1, "negative")),
            val=rows(("u", "a", 2, "positive"), ("u", "c", 2, "positive"), ("v", "a", 3, "negative")),
            test=rows(("w", "a", 4, "positive"), ("v", "c", 5, "positive"), ("v", "b", 6, "positive")),
        ),
        catalog_of(items(), {}),
    )
    assert split.user_ids == ("u", "v", "w")
    assert split.slices == {"light_users": ["u"]}
    val, test = val_histories(split), test_histories(split)
    assert val.histories.user.tolist() == [0]  # v liked nothing
    assert [t.tolist() for t in val.truth] == [[2]]  # a was seen before
    assert test.histories.user.tolist() == [1, 2]
    assert test.histories.seen(0).tolist() == [1, 0]  # validation counts as history
    assert test.histories.liked(0).tolist() == []
    assert [t.tolist() for t in test.truth] == [[2], [0]]


def test_no_truth_no_people() -> None:
    train = load_interactions(rows(("u", "a", 0, "positive")), catalog_of(items(), {}))
    assert len(evaluation_set(train, train).truth) == 0


def test_halves_share_no_user_and_lose_no_row() -> None:
    table = rows(*[(f"u{i % 9}", "abc"[i % 3], i, "positive") for i in range(40)])
    val = load_interactions(table, catalog_of(items(), {}))
    first, second = validation_halves(val, seed=1)
    assert not set(first.user.tolist()) & set(second.user.tolist())
    assert len(first) + len(second) == len(val)
    assert np.array_equal(first.user, validation_halves(val, seed=1)[0].user)


def test_a_missing_part_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train.parquet is missing; run `dvc repro split`"):
        load_split(tmp_path, catalog_of(items(), {}))


def test_scoring_needs_no_tensorflow() -> None:
    code = "import sys, avrec.matching.registry, avrec.recommend.bundle; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
