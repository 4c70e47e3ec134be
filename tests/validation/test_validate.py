from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from avrec.datasets.dataset import Dataset
from avrec.errors import DataError, ParamsError
from avrec.params import ValidationParams
from avrec.validation import clean
from avrec.validation.gx import Validator
from avrec.validation.profile import load_profile
from avrec.validation.validate import Validation, check_whole, clean_dataset, write_media
from tests.validation.small import AS_OF, build, interaction, item, media_rows

ITEMS = [item(n) for n in range(20)]
INTERACTIONS = [interaction(n) for n in range(200)]


def validate(raw: Dataset, folder: Path, validator: Validator, **params: float) -> tuple[Dataset, Validation]:
    result = Validation()
    settings = ValidationParams(**params)
    valid = clean_dataset(raw, settings, folder / "valid", folder / "quarantine", result, validator)
    media = media_rows(valid.table("items").to_pylist())
    write_media(media, valid.folder, folder / "quarantine")
    check_whole(valid, media, settings, result, validator)
    return valid, result


def quarantined(folder: Path, table: str) -> list[dict]:
    import pyarrow.parquet as pq

    return pq.read_table(folder / "quarantine" / f"{table}.parquet").to_pylist()


def test_a_clean_data_set_passes_whole(tmp_path: Path, validator: Validator) -> None:
    raw = build(tmp_path / "raw", ITEMS, INTERACTIONS)
    valid, result = validate(raw, tmp_path, validator)
    result.raise_if_critical()
    assert valid.table("interactions").equals(raw.table("interactions"))
    assert quarantined(tmp_path, "interactions") == []
    assert result.metrics()["warnings"] == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"item_id": "nowhere"}, "item_id is not in the items table"),
        ({"timestamp": AS_OF + timedelta(seconds=1)}, "timestamp is after the data set's as_of"),
        ({"timestamp": AS_OF - timedelta(days=31)}, "timestamp is before the item was published"),
        ({"watch_ratio": -0.5}, "watch_ratio is negative"),
        ({"event": "stare"}, "event is not one of"),
        ({"weight": 2.0}, "weight is not between 0 and 1"),
        ({"timestamp": None}, "timestamp is empty"),
    ],
)
def test_an_impossible_interaction_is_quarantined_with_its_reason(
    tmp_path: Path, validator: Validator, changes: dict, reason: str
) -> None:
    rows = [*INTERACTIONS[:50], interaction(50, **changes), *INTERACTIONS[51:]]
    valid, result = validate(build(tmp_path / "raw", ITEMS, rows), tmp_path, validator)
    (row,) = quarantined(tmp_path, "interactions")
    assert row["row"] == 50
    assert reason in row["reason"]
    assert json.loads(row["content"])["user_id"] == "u0"
    assert valid.table("interactions").num_rows == 199
    result.raise_if_critical()


@pytest.mark.parametrize(("bad", "stops"), [(11, False), (30, True)])
def test_a_bad_day_is_not_lost_in_a_long_log(tmp_path: Path, validator: Validator, bad: int, stops: bool) -> None:
    newest = [
        interaction(n, timestamp=AS_OF - timedelta(minutes=n), watch_ratio=5_000.0 if n < bad else 0.5)
        for n in range(150)
    ]
    old = [interaction(n) for n in range(1_000)]  # of the whole log, few are unusable
    _, result = validate(build(tmp_path / "raw", ITEMS, [*old, *newest]), tmp_path, validator)
    assert len(quarantined(tmp_path, "interactions")) == bad
    assert [name.partition(":")[0] for name in result.failures("critical")] == [
        "interactions of the newest day"
    ] * stops


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"title": "x" * 2_001}, "title is longer than 2000"),
        ({"description": "x" * 20_001}, "description is longer than 20000"),
        ({"item_id": "x" * 513}, "item_id is longer than 512"),
        ({"tags": ["t"] * 201}, "more than 200 tags"),
        ({"tags": ["fine", "t" * 201]}, "one above 200 characters"),
    ],
)
def test_texts_have_limits(tmp_path: Path, validator: Validator, changes: dict, reason: str) -> None:
    largest = {"title": "x" * 2_000, "description": "x" * 20_000, "tags": ["t" * 200] * 200}
    items = [*ITEMS, item(20, **largest), item(21) | changes]
    valid, _ = validate(build(tmp_path / "raw", items, INTERACTIONS), tmp_path, validator)
    assert valid.table("items")["item_id"].to_pylist() == [f"i{n}" for n in range(21)]
    (row,) = quarantined(tmp_path, "items")
    assert reason in row["reason"]


def test_of_duplicates_the_first_stays(tmp_path: Path, validator: Validator) -> None:
    rows = [*INTERACTIONS, {**INTERACTIONS[7], "watch_ratio": 0.0}]
    valid, _ = validate(build(tmp_path / "raw", [*ITEMS, item(3, title="Again")], rows), tmp_path, validator)
    assert valid.table("interactions").num_rows == 200
    assert [row["row"] for row in quarantined(tmp_path, "items")] == [20]
    assert valid.table("items")["title"].to_pylist()[3] == "Title 3"


def test_too_many_bad_rows_stop_the_pipeline(tmp_path: Path, validator: Validator) -> None:
    rows = [interaction(n, item_id="nowhere" if n < 40 else "i1") for n in range(200)]
    _, result = validate(build(tmp_path / "raw", ITEMS, rows), tmp_path, validator, max_quarantined=0.1)
    with pytest.raises(DataError, match="interactions: item_id is not in the items table"):
        result.raise_if_critical()


def test_labels_without_positives_stop_the_pipeline(tmp_path: Path, validator: Validator) -> None:
    rows = [interaction(n, label="negative") for n in range(200)]
    _, result = validate(build(tmp_path / "raw", ITEMS, rows), tmp_path, validator)
    with pytest.raises(DataError, match="too few interactions are positive"):
        result.raise_if_critical()


def test_an_empty_log_stops_the_pipeline(tmp_path: Path, validator: Validator) -> None:
    _, result = validate(build(tmp_path / "raw", ITEMS, []), tmp_path, validator)
    with pytest.raises(DataError, match="no interaction is left to learn from"):
        result.raise_if_critical()


def test_missing_pictures_count_only_where_there_should_be_some(tmp_path: Path, validator: Validator) -> None:
    items = [item(n, media_type="podcast" if n % 2 else "video") for n in range(20)]
    raw = build(tmp_path / "raw", items, INTERACTIONS)
    result, settings = Validation(), ValidationParams(max_missing_visual=0.1)
    valid = clean_dataset(raw, settings, tmp_path / "valid", tmp_path / "quarantine", result, validator)
    silent = media_rows([i for i in items if i["media_type"] == "podcast"], has_video=False)
    seen = media_rows([i for i in items if i["media_type"] == "video"])
    import pyarrow as pa

    check_whole(valid, pa.concat_tables([silent, seen]), settings, result, validator)
    result.raise_if_critical()
    check_whole(valid, media_rows(items, has_video=False), settings, result, validator)
    with pytest.raises(DataError, match="too many media files have no picture"):
        result.raise_if_critical()


def test_refused_media_are_quarantined_but_the_item_stays(tmp_path: Path, validator: Validator) -> None:
    write_media(media_rows(ITEMS[:2], status="refused", reason="not a media file"), tmp_path, tmp_path / "quarantine")
    rows = quarantined(tmp_path, "media")
    assert [row["reason"] for row in rows] == ["not a media file"] * 2


def test_chunks_find_what_the_whole_finds(
    tmp_path: Path, validator: Validator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [interaction(n, weight=9.0 if n in (3, 150) else 1.0) for n in range(200)]
    raw = build(tmp_path / "raw", ITEMS, rows)
    monkeypatch.setattr(clean, "CHUNK", 64)
    valid, result = validate(raw, tmp_path, validator)
    assert [row["row"] for row in quarantined(tmp_path, "interactions")] == [3, 150]
    assert valid.table("interactions").num_rows == 198
    assert len([s for s in result.suites if s.name.startswith("interactions from")]) >= 1


def test_equal_data_sets_give_equal_documents(tmp_path: Path) -> None:
    texts = []
    for name in ("a", "b"):
        raw = build(tmp_path / name / "raw", ITEMS, INTERACTIONS)
        valid, result = validate(raw, tmp_path / name, Validator())
        texts.append(json.dumps(result.document(valid.meta), sort_keys=True))
    assert texts[0] == texts[1]


def test_drift_from_the_reference_is_a_warning(
    tmp_path: Path, validator: Validator, monkeypatch: pytest.MonkeyPatch
) -> None:
    valid, result = validate(build(tmp_path / "raw", ITEMS, INTERACTIONS), tmp_path, validator)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "pipelines" / "profiles"
    folder.mkdir(parents=True)
    (folder / "before.json").write_text(json.dumps(result.profile))
    same = Validation()
    settings = ValidationParams(reference_profile="before")
    check_whole(valid, media_rows(ITEMS), settings, same, validator)
    assert same.metrics()["warnings"] == []
    far = build(tmp_path / "far", ITEMS, [interaction(n, watch_ratio=0.99, label="positive") for n in range(200)])
    other = Validation()
    check_whole(far, media_rows(ITEMS), settings, other, validator)
    other.raise_if_critical()
    assert any("label is distributed unlike" in w for w in other.metrics()["warnings"])


def test_an_unknown_profile_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"validation\.reference_profile: 'nowhere'"):
        load_profile("nowhere", "demo", tmp_path)


def test_given_vectors_follow_the_items_that_are_left(tmp_path: Path, validator: Validator) -> None:
    items = [item(0), item(1, media_type="hologram"), *[item(n) for n in range(2, 20)]]
    raw = build(tmp_path / "raw", items, INTERACTIONS, given_features=("visual",))
    (tmp_path / "raw" / "given").mkdir()
    np.save(tmp_path / "raw" / "given" / "visual.npy", np.arange(20, dtype=np.float32)[:, None])
    valid, _ = validate(raw, tmp_path, validator)
    vectors = np.load(valid.folder / "given" / "visual.npy")
    assert vectors[:, 0].tolist() == [0.0, *range(2, 20)]
