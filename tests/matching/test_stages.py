"""The stages semantic, train, rank and refit on a small data set on disk, run twice in processes of their own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from avrec.datasets.dataset import DatasetMeta, write_meta, write_table
from avrec.features.base import partition_of
from avrec.features.opinions import OPINIONS
from avrec.features.semantic_folder import INFO
from avrec.matching.data import Catalog, Interactions
from avrec.matching.loading import Split, concat
from avrec.matching.registry import MATCHERS
from avrec.recommend.bundle import Bundle
from avrec.schema import EXTRACTED, FEATURES, INTERACTIONS, ITEMS, SEMANTIC

from .conftest import World

RUN = """
import sys
from avrec.params import load_params
from pipelines import rank, refit, semantic, train
semantic.work(load_params())
more = ["ease_side", "item_knn", "factors", "knowledge_graph", "graph", "sequence"]
for names in (["popularity"], ["content"], ["ease"], ["two_tower"], more):
    sys.argv = ["train", *names]
    train.work(load_params())
rank.work(load_params())
refit.work(load_params())
"""

MORE = ("ease_side", "item_knn", "knowledge_graph")  # switched on; the others of that stage are off, as in params.yaml

PARAMS = """features:
  semantic: {encoder: gru, dim: 16, blocks: 1, epochs: 2}
matching:
  two_tower: {dim: 16, epochs: 3, patience: 1, batch_size: 128}
  ease: {l2: 30}
  ease_side: {enabled: true}
  item_knn: {enabled: true}
  knowledge_graph: {enabled: true}
"""


def instants(seconds: np.ndarray) -> pa.Array:
    return pa.array([datetime.fromtimestamp(s, UTC) for s in seconds.tolist()], pa.timestamp("us", tz="UTC"))


def interactions_table(rows: Interactions, catalog: Catalog) -> pa.Table:
    names = {1: "positive", 0: "unknown", -1: "negative"}
    return pa.table({
        "user_id": [rows.user_ids[u] for u in rows.user], "item_id": [catalog.item_ids[i] for i in rows.item],
        "timestamp": instants(rows.timestamp), "event": ["view"] * len(rows),
        "label": [names[label] for label in rows.label.tolist()], "weight": rows.weight,
    })  # fmt: skip


def write_world(folder: Path, catalog: Catalog, split: Split) -> None:
    """`data/valid`, `data/split` and `data/features` as the stages before leave them."""
    valid = folder / "data" / "valid"
    write_table(valid, "items", pa.table({
        "item_id": catalog.item_ids, "media_type": catalog.media_type,
        "category": [f"topic{c}" for c in catalog.category], "published_at": instants(catalog.published_at),
    }))  # fmt: skip
    everything = concat(split.train, split.val, split.test)
    write_table(valid, "interactions", interactions_table(everything, catalog))
    write_meta(valid, DatasetMeta("planted", True, None, True, None, "key"))
    parts = folder / "data" / "split"
    parts.mkdir()
    for name in ("train", "val", "test"):
        rows = INTERACTIONS.conform(interactions_table(getattr(split, name), catalog))
        pq.write_table(rows, parts / f"{name}.parquet")
    pq.write_table(OPINIONS.empty_table(), parts / "opinions.parquet")
    (parts / "slices.json").write_text("{}")
    signals = folder / "data" / "signals" / "search"
    signals.mkdir(parents=True)
    (signals / "index.json").write_text("{}")
    for name, features in catalog.features.items():
        out = folder / "data" / "features" / name / "features"
        out.mkdir(parents=True)
        for part in range(16):
            mine = [i for i, item in enumerate(catalog.item_ids) if partition_of(item) == part]
            table = pa.table({
                "item_id": [catalog.item_ids[i] for i in mine],
                "vector": [features.vectors[i].tolist() if features.present[i] else [] for i in mine],
                "present": [bool(features.present[i]) for i in mine], "reason": [None] * len(mine),
            }, schema=FEATURES.schema)  # fmt: skip
            pq.write_table(table, out / f"part-{part:02d}.parquet")
    (folder / "params.yaml").write_text(PARAMS)


def run(folder: Path, root: Path) -> dict[str, str]:
    """Runs the stages and returns the hash of every file they wrote."""
    env = {**os.environ, "PYTHONPATH": str(root), "TF_CPP_MIN_LOG_LEVEL": "3", "AVREC_HOME": str(folder / "home")}
    done = subprocess.run([sys.executable, "-c", RUN], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    artifacts = folder / "artifacts"
    return {
        str(path.relative_to(artifacts)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(artifacts.rglob("*")) if path.is_file()
    }  # fmt: skip


@pytest.fixture(scope="module")
def runs(world: World, root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, dict[str, str]]]:
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    for folder in folders:
        write_world(folder, world.catalog, world.split)
    return [(folder, run(folder, root)) for folder in folders]


def test_two_runs_from_scratch_write_equal_bytes(runs: list[tuple[Path, dict[str, str]]]) -> None:
    (_, first), (_, second) = runs
    assert len(first) > 30
    assert first == second


def test_what_is_deployed_serves_known_and_unknown_people(runs: list[tuple[Path, dict[str, str]]]) -> None:
    bundle = Bundle.load(runs[0][0] / "artifacts" / "bundle")
    assert set(bundle.matchers) == {"popularity", "content", "ease", "two_tower", *MORE, "hybrid"}
    assert bundle.info["trained_through"].startswith("20")
    lists = bundle.recommend(bundle.histories_of(["user3", "stranger"]), 7)
    assert (lists.items >= 0).all()
    assert lists.reasons is not None
    seen = set(bundle.histories.seen(bundle.user_index["user3"]).tolist())
    assert seen
    assert not seen & set(lists.items[0].tolist())


def test_new_items_are_read_by_the_encoder_that_went_along(
    runs: list[tuple[Path, dict[str, str]]], tmp_path: Path
) -> None:
    bundle = Bundle.load(runs[0][0] / "artifacts" / "bundle")
    known = bundle.catalog.features[SEMANTIC]
    assert known.present.any() and bundle.reads == EXTRACTED
    # The same content under another name, among other items than those of the training.
    like = int(np.flatnonzero(known.present)[3])
    for modality in bundle.reads:
        old = bundle.catalog.features[modality]
        vector = old.vectors[like].tolist() if old.present[like] else []
        rows = {"item_id": ["new"], "vector": [vector], "present": [bool(old.present[like])], "reason": [None]}
        (tmp_path / modality / "features").mkdir(parents=True)
        pq.write_table(pa.table(rows, schema=FEATURES.schema), tmp_path / modality / "features" / "part-00.parquet")
    items = ITEMS.conform(pa.table({"item_id": ["new"], "media_type": ["video"]}))
    newer = bundle.with_catalog(items, bundle.features_of(tmp_path, ["new"]))
    assert np.array_equal(newer.catalog.features[SEMANTIC].vectors[-1], known.vectors[like])
    assert np.array_equal(newer.catalog.features[SEMANTIC].vectors[:-1], known.vectors)
    assert (newer.recommend(bundle.histories_of(["user3"]), 7).items >= 0).all()


def test_vectors_of_another_encoder_are_not_taken(runs: list[tuple[Path, dict[str, str]]], tmp_path: Path) -> None:
    folder = runs[0][0] / "artifacts" / "bundle"
    shutil.copytree(folder, tmp_path / "other")
    ours, other = Bundle.load(folder), Bundle.load(tmp_path / "other")
    assert SEMANTIC in ours.shared_features(other)
    said = (tmp_path / "other" / SEMANTIC / INFO).read_text(encoding="utf-8")
    digest = json.loads(said)["sha256"]
    (tmp_path / "other" / SEMANTIC / INFO).write_text(said.replace(digest, "0" * 64), encoding="utf-8")
    assert set(ours.shared_features(other)) == set(EXTRACTED)


def test_reports_hold_settings_epochs_and_figures(runs: list[tuple[Path, dict[str, str]]]) -> None:
    training = runs[0][0] / "artifacts" / "training"
    reports = {path.stem: json.loads(path.read_text()) for path in training.iterdir()}
    assert set(reports) == set(MATCHERS)
    trained = {name: report for name, report in reports.items() if not report.get("disabled")}
    assert set(trained) == {"popularity", "content", "ease", "two_tower", *MORE, "hybrid"}
    for name, report in trained.items():
        assert 0 <= report["val"]["ndcg@10"] <= 1
        assert ("twin" in report) == (name in ("content", "two_tower", "ease_side", "hybrid"))
    assert reports["two_tower"]["settings"]["best_epoch"] <= len(reports["two_tower"]["epochs"])
