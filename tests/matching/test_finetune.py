"""The networks learn with the towers from films, go on after a kill, and extraction sees what they learned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from avrec.datasets.dataset import Dataset, DatasetMeta, write_meta, write_table
from avrec.errors import DataError, ParamsError
from avrec.features.given import collect_given
from avrec.features.views import Views
from avrec.features.visual import VisualExtractor
from avrec.features.yamnet import trainable_yamnet
from avrec.matching.finetune import finetune
from avrec.matching.finetune_training import NetworkLearner
from avrec.matching.inputs import Projection
from avrec.matching.item_networks import ItemNetwork
from avrec.media.decode import decode
from avrec.media.sample import Request
from avrec.params import (
    AudioParams,
    AugmentParams,
    FinetuneParams,
    LimitsParams,
    MatchingParams,
    Params,
    TwoTowerParams,
    VisualParams,
)
from avrec.schema import INTERACTIONS, ITEMS
from tests.media.make import make_clip

CLIPS = 8
TUNING = FinetuneParams(
    layers=1, frames=1, patches=1, items=4, batch_size=32, warm_epochs=1, epochs=3, cache_mb=5, id_dropout=0.0
)
PARAMS = Params(
    finetune=TUNING,
    matching=MatchingParams(two_tower=TwoTowerParams(dim=8, feature_dim=4, learning_rate=0.02, modality_dropout=0.0)),
)


def write_project(root: Path) -> Path:
    """Two kinds of people, who like the even or the odd of the films."""
    media, data = root / "media", root / "data"
    for i in range(CLIPS):
        make_clip(media / f"{i}.mp4", seconds=1.0, seed=i, sound=False)
    rows = [{"item_id": f"i{i}", "media_type": "video", "media_uri": f"{i}.mp4"} for i in range(CLIPS)]
    items = pa.Table.from_pylist(rows, schema=ITEMS.schema)
    write_table(data / "valid", "items", items)
    write_meta(data / "valid", DatasetMeta("folder", False, None, True, str(media), "0" * 16))
    np.save(root / "visual.npy", np.eye(CLIPS, 1024, dtype=np.float32))  # made anew from the media
    collect_given(items["item_id"].to_pylist(), root / "visual.npy", "visual", data / "features" / "visual")
    began = datetime(2026, 1, 1, tzinfo=UTC)
    parts: dict[str, list[dict[str, Any]]] = {"train": [], "val": [], "test": []}
    for u in range(16):
        liked = range(u % 2, CLIPS, 2)
        for i in liked:
            row = {"user_id": f"u{u}", "item_id": f"i{i}", "timestamp": began + timedelta(hours=i), "event": "finish",
                   "label": "positive", "weight": 1.0}  # fmt: skip
            parts["val" if i == liked[u // 2 % len(liked)] else "train"].append(row)
    (data / "split").mkdir()
    for part, rows in parts.items():
        pq.write_table(pa.Table.from_pylist(rows, schema=INTERACTIONS.schema), data / "split" / f"{part}.parquet")
    return root


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVREC_HOME", str(tmp_path_factory.mktemp("home")))
        return write_project(tmp_path_factory.mktemp("project"))


def test_killed_it_goes_on_the_loss_falls_and_extraction_sees_what_was_learned(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVREC_CHECKPOINT_SECONDS", "0.000001")
    learn, third = NetworkLearner.epoch, []

    def killed_after_the_third(self: Any, number: int) -> float:
        loss = learn(self, number)
        if number == 3:
            third.append((loss, self.networks[0].arrays()))
            raise KeyboardInterrupt
        return loss

    monkeypatch.setattr(NetworkLearner, "epoch", killed_after_the_third)
    with pytest.raises(KeyboardInterrupt):
        finetune(PARAMS, project)

    def heard_of(self: Any, number: int) -> float:
        loss = learn(self, number)
        third.append((loss, self.networks[0].arrays()))
        return loss

    monkeypatch.setattr(NetworkLearner, "epoch", heard_of)
    found = finetune(PARAMS, project)
    (loss, arrays), (again, same), _ = third  # the first two epochs were not learned again
    assert loss == again and all(np.array_equal(arrays[name], same[name]) for name in arrays)
    assert found.epochs[3]["loss"] < found.epochs[2]["loss"] < found.epochs[1]["loss"]
    path, digest = found.files["visual"]
    assert digest in found.told() and str(path) in found.told()

    tuned = VisualParams(weights=str(path), weights_sha256=digest)
    extractors = [VisualExtractor(params, LimitsParams()) for params in (VisualParams(), tuned)]
    sample = decode(Request("0.mp4", str(project / "media"), extractors[0].plan), LimitsParams())
    given, other = (next(iter(extractor.extract([sample]))) for extractor in extractors)
    assert not np.allclose(given.vector, other.vector, rtol=1e-3)
    assert given.signals == other.signals and given.signals["visual_tags"]


def test_what_cannot_be_learned_from_is_refused(project: Path, tmp_path: Path) -> None:
    small = PARAMS.model_copy(update={"finetune": TUNING.model_copy(update={"cache_mb": 1})})
    with pytest.raises(ParamsError, match=r"cache_mb 1 holds 5 items; two steps of finetune.items 4 need 2"):
        finetune(small, project)
    (tmp_path / "data").mkdir()
    for name in ("features", "split"):
        (tmp_path / "data" / name).symlink_to(project / "data" / name)
    write_table(tmp_path / "data" / "valid", "items", Dataset(project / "data" / "valid").table("items"))
    write_meta(tmp_path / "data" / "valid", DatasetMeta("folder", False, None, True, str(tmp_path), "0" * 16))
    with pytest.raises(DataError, match="none of 8 files below"):
        finetune(PARAMS, tmp_path)


def test_what_is_learned_from_is_what_is_extracted_unless_it_is_changed_at_random() -> None:
    rng = np.random.default_rng(3)
    patches = rng.normal(-3.0, 2.0, (5, 2, 96, 64)).astype(np.float32)
    heard = np.array([True, True, False, True, True])
    views = Views(np.zeros((5, 0, 224, 224, 3), np.uint8), patches, ~heard, heard)
    beside = rng.normal(size=(5, 80)).astype(np.float32)
    top = trainable_yamnet(AudioParams(), layers=1, step=1.0)
    network, changed = (ItemNetwork("audio", top, views, beside, how) for how in (None, AugmentParams()))
    features = network.features()
    assert features.present.tolist() == heard.tolist() and not features.vectors[2].any()
    network.projection = changed.projection = Projection.of(features, heard, 3)
    items = np.array([4, 0, 3], np.int32)
    expected = network.projection.apply(features)[items]
    learned = network.inputs(items, network.drawn(items, (7, 1))).numpy()
    other = changed.inputs(items, changed.drawn(items, (7, 1))).numpy()
    assert np.allclose(learned, expected, atol=1e-4) and not np.allclose(other, expected, atol=1e-2)
