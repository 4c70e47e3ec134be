"""The table of signals: tags, description and sentiment together; and the names behind stored vectors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from avrec.datasets.dataset import Dataset
from avrec.features.collect import collect
from avrec.features.labels import GROUPS, labels_of, picture_labels, sound_labels
from avrec.features.mobilenet import build_mobilenet, imagenet_names, read_mobilenet
from avrec.features.opinions import OPINIONS
from avrec.features.signals import item_signals, segments_of, write_signals
from avrec.features.tables import folders_of
from avrec.features.yamnet import BATCH, build_yamnet
from avrec.media.sample import Sample
from avrec.params import AudioParams, FeaturesParams, VisualParams
from avrec.schema import SIGNALS

PARAMS = FeaturesParams(visual=VisualParams(frames=3))


def test_the_stored_last_layer_is_the_networks(samples: list[Sample]) -> None:
    frames = np.zeros((16, 224, 224, 3), np.uint8)
    frames[: len(samples[0].frames)] = samples[0].frames
    pooled, probabilities, _ = (np.asarray(out) for out in build_mobilenet(VisualParams())(frames))
    labels = picture_labels()
    assert np.allclose(labels.scores(pooled)[:, :1000], probabilities, atol=1e-5)
    assert np.array_equal(read_mobilenet()["classifier"][:, 1:].shape, (1024, 1000))
    patches = np.random.default_rng(1).normal(0, 0.1, (BATCH, 15600)).astype(np.float32)
    embedding, scores, _ = (np.asarray(out) for out in build_yamnet(AudioParams())(patches))
    assert np.allclose(sound_labels().scores(embedding), scores, atol=1e-5)


def test_groups_are_made_of_what_they_say() -> None:
    names = imagenet_names()
    assert names[GROUPS["cat"][0]] == "tabby cat"
    assert {names[i] for i in GROUPS["aircraft"]} == {"airliner", "airship", "military aircraft"}
    assert len(GROUPS["dog"]) == 118
    assert picture_labels().names[1000:] == tuple(GROUPS)
    assert labels_of("text", PARAMS) is None


@pytest.fixture
def found(make_valid: Callable[..., Path], tmp_path: Path) -> tuple[Dataset, Path]:
    valid = Dataset(make_valid(("a.mp4", "mute.mp4", "blind.mp4", "broken.mp4")))
    for modality in ("visual", "audio"):
        out = tmp_path / "features" / modality
        collect(valid.table("items"), valid.meta.media_root, PARAMS, modality, out, progress=False)
    return valid, tmp_path / "features"


def test_every_item_is_described(found: tuple[Dataset, Path], tmp_path: Path) -> None:
    valid, folder = found
    rows = [{"user_id": "u", "item_id": "item-a.mp4", "timestamp": datetime(2026, 1, 1, tzinfo=UTC), "sentiment": -0.9}]
    opinions = pa.Table.from_pylist(rows, schema=OPINIONS)
    table = item_signals(valid.table("items"), folders_of(folder), PARAMS, opinions)
    by_id = {row["item_id"]: row for row in table.to_pylist()}
    assert list(by_id) == valid.table("items")["item_id"].to_pylist()
    assert by_id["item-a.mp4"]["description"].startswith("A 1-second")
    assert "video" in by_id["item-mute.mp4"]["description"]
    assert "recording" in by_id["item-blind.mp4"]["description"]
    assert "Title: “Clip b”" in by_id["item-broken.mp4"]["description"]
    assert by_id["item-none"]["description"] == "A text."
    assert {row["description_by"] for row in by_id.values()} == {"template"}
    assert by_id["item-a.mp4"]["sentiment"] < by_id["item-mute.mp4"]["sentiment"]
    assert by_id["item-a.mp4"]["sentiment_negative"] == 0.5
    assert by_id["item-none"]["sentiment"] is None
    again = item_signals(valid.table("items"), folders_of(folder), PARAMS, opinions)
    assert write_signals(tmp_path / "1", table).read_bytes() == write_signals(tmp_path / "2", again).read_bytes()
    SIGNALS.conform(table)


def test_segments_come_item_by_item(found: tuple[Dataset, Path]) -> None:
    _, folder = found
    segments = {item_id: (vectors, starts, ends) for item_id, vectors, starts, ends in segments_of(folder / "visual")}
    assert sorted(segments) == ["item-a.mp4", "item-mute.mp4"]
    assert all(len(v) == len(s) == len(e) == 3 and (e > s).all() for v, s, e in segments.values())
