from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from avrec.features import store as module
from avrec.features.base import Extraction
from avrec.features.store import FeatureStore
from avrec.features.text import TextExtractor
from avrec.params import TextParams
from tests.features.suite import equal
from tests.small_disk import full_disk

EXTRACTOR = TextExtractor(TextParams())
OTHER = TextExtractor(TextParams(fields=("title",)))


def some(seed: int, dim: int = 512) -> Extraction:
    rng = np.random.default_rng(seed)
    segments = rng.normal(size=(3, dim)).astype(np.float32)
    starts = np.arange(3, dtype=np.float32)
    return Extraction(
        segments.mean(axis=0), segments, starts, starts + 1, signals={"visual_tags": ["狗"], "safety": 0.5}
    )


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(str(tmp_path / "store"))


def shards(store: FeatureStore) -> list[Path]:
    return sorted(Path(store.folder(EXTRACTOR)).glob("*.parquet"))


def test_what_was_written_comes_back(store: FeatureStore) -> None:
    rows = [(f"k{i}", some(i)) for i in range(200)]
    store.write(EXTRACTOR, rows)
    found = store.read(EXTRACTOR, [f"k{i}" for i in range(0, 200, 7)])
    assert set(found) == {f"k{i}" for i in range(0, 200, 7)}
    assert all(equal(found[key], dict(rows)[key]) for key in found)
    assert store.read(EXTRACTOR, ["unknown"]) == {}


def test_a_full_disk_leaves_no_shard_and_no_rest(store: FeatureStore) -> None:
    store.write(EXTRACTOR, [("before", some(1))])
    with full_disk(1000), pytest.raises(OSError):
        store.write(EXTRACTOR, [("k", some(2))])
    assert [path.name for path in Path(store.folder(EXTRACTOR)).iterdir()] == [path.name for path in shards(store)]
    assert store.missing(EXTRACTOR, ["before", "k"]) == ["k"]
    store.write(EXTRACTOR, [("k", some(2))])
    assert store.missing(EXTRACTOR, ["before", "k"]) == []


def test_what_is_forgotten_is_extracted_again(store: FeatureStore) -> None:
    rows = [(f"k{i}", some(i)) for i in range(5)]
    store.write(EXTRACTOR, rows[:3])
    store.write(EXTRACTOR, rows[3:])
    assert store.forget({"k1", "k3", "k4", "unknown"}) == 3
    assert store.missing(EXTRACTOR, [f"k{i}" for i in range(5)]) == ["k1", "k3", "k4"]
    assert equal(store.read(EXTRACTOR, ["k2"])["k2"], rows[2][1])
    assert len(shards(store)) == 1
    assert store.forget(set()) == 0


def test_another_setting_is_another_place(store: FeatureStore) -> None:
    store.write(EXTRACTOR, [("k", some(1))])
    assert store.missing(OTHER, ["k"]) == ["k"]
    assert store.missing(EXTRACTOR, ["k", "m", "m"]) == ["m"]


def test_failures_are_remembered_and_can_be_tried_again(store: FeatureStore) -> None:
    store.write(EXTRACTOR, [("bad", Extraction.missing("took longer than 5 s", 512)), ("good", some(1))])
    assert store.missing(EXTRACTOR, ["bad", "good"]) == []
    assert store.missing(EXTRACTOR, ["bad", "good"], retry=True) == ["bad"]
    found = store.read(EXTRACTOR, ["bad"])["bad"]
    assert (found.vector, found.reason) == (None, "took longer than 5 s")


@pytest.mark.parametrize("place", ["cut", "flipped", "empty", "foreign"])
def test_a_damaged_shard_is_set_aside_and_extracted_again(
    store: FeatureStore, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store.write(EXTRACTOR, [("a", some(1))])
    store.write(EXTRACTOR, [("b", some(2))])
    victim = shards(store)[0]
    data = bytearray(victim.read_bytes())
    data[len(data) // 3] ^= 0xFF
    victim.write_bytes({"cut": data[:-100], "flipped": data, "empty": b"", "foreign": b"PK" * 500}[place])
    lost = [key for key in ("a", "b") if key not in store.read(EXTRACTOR, ["a", "b"])]
    assert len(lost) == 1
    assert store.missing(EXTRACTOR, ["a", "b"]) == lost
    assert "damaged" in capsys.readouterr().err
    store.write(EXTRACTOR, [(lost[0], some(1))])
    assert store.missing(EXTRACTOR, ["a", "b"]) == []


def test_many_small_shards_become_one(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMPACT_ABOVE", 4)
    store.write(EXTRACTOR, [("k0", Extraction.missing("no picture", 512))])
    for i in range(6):
        store.write(EXTRACTOR, [(f"k{i}", some(i))])
    store.compact(EXTRACTOR)
    assert len(shards(store)) == 1
    found = store.read(EXTRACTOR, [f"k{i}" for i in range(6)])
    assert all(equal(found[f"k{i}"], some(i)) for i in range(6))


def test_many_writers_and_compaction_at_once(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMPACT_ABOVE", 3)

    def write(worker: int) -> None:
        for i in range(8):
            store.write(EXTRACTOR, [(f"w{worker}-{i}", some(i))])
            store.compact(EXTRACTOR)

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.missing(EXTRACTOR, [f"w{w}-{i}" for w in range(4) for i in range(8)]) == []


WRITER = """
import sys
from avrec.features.store import FeatureStore
from tests.features.test_store import EXTRACTOR, some
store, n = FeatureStore(sys.argv[1]), 0
while True:
    store.write(EXTRACTOR, [(f"{n}-{i}", some(n + i)) for i in range(40)])
    n += 1
    print(n, flush=True)
"""


def test_a_killed_writer_leaves_whole_shards_only(store: FeatureStore, tmp_path: Path, root: Path) -> None:
    for delay in (0.0, 0.013, 0.031):
        command = [sys.executable, "-c", WRITER, str(tmp_path / "store")]
        environment = os.environ | {"PYTHONPATH": str(root)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=root) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(delay)
            writer.send_signal(signal.SIGKILL)
    keys = list(store.index(EXTRACTOR))
    assert len(keys) >= 40
    found = store.read(EXTRACTOR, keys)
    assert all(equal(found[key], some(sum(map(int, key.split("-"))))) for key in keys[:40])
    assert not list(Path(store.folder(EXTRACTOR)).glob("*.damaged"))
