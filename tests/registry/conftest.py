"""A finished checkout in small: real matchers, fitted and evaluated on generated interactions, in the real layout."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from avrec.datasets.dataset import Dataset, DatasetMeta, write_meta, write_table
from avrec.evaluation import report
from avrec.evaluation.ablation import ablation
from avrec.evaluation.plots import calibration_rows, loss, per_category, projection, recall_by_k, write_csv
from avrec.evaluation.protocol import TestSet, evaluate_all
from avrec.features.base import partition_of
from avrec.matching.base import Matcher, twin_catalog
from avrec.matching.content import Content
from avrec.matching.data import Catalog, Histories, Interactions
from avrec.matching.ease import Ease
from avrec.matching.loading import Split, concat, load_catalog, load_split
from avrec.matching.popularity import Popularity
from avrec.matching.selection import validation_quality
from avrec.params import ContentParams, EaseParams, EvaluationParams, PopularityParams
from avrec.recommend.bundle import write_bundle
from avrec.registry.hashing import dvc_md5
from avrec.registry.runs import CodeVersion
from pipelines.stage import write_json

START = datetime(2026, 1, 1, tzinfo=UTC)
CATEGORIES = ("cooking", "music", "football", "cats")
CODE = CodeVersion("0" * 40, "main")
KS = (5, 10)


@dataclass
class World:
    """Generated people and items: what they like follows what the items contain, and new items arrive all the time."""

    items: pa.Table
    interactions: pa.Table
    vectors: dict[str, np.ndarray]


def make_world(seed: int = 3, items: int = 120, users: int = 160, each: int = 20) -> World:
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 12, items)
    centres = {m: rng.normal(size=(12, 8)) for m in ("visual", "audio", "text")}
    vectors = {m: (c[group] + 0.4 * rng.normal(size=(items, 8))).astype(np.float32) for m, c in centres.items()}
    published = np.sort(np.maximum(0, rng.uniform(-15, 58, items)))
    rows = []
    for user in range(users):
        loved = rng.choice(12, 2, replace=False)
        for day in np.sort(rng.uniform(1, 60, each)):
            there = np.flatnonzero(published <= day)
            taste = 1 + 30 * np.isin(group[there], loved) * np.exp(-(day - published[there]) / 12)
            item = int(rng.choice(there, p=taste / taste.sum()))
            liked = bool(np.isin(group[item], loved))
            rows.append((day, f"u{user:03d}", f"i{item:03d}", "positive" if liked else "negative"))
    rows.sort()
    table = pa.table({
        "user_id": [r[1] for r in rows],
        "item_id": [r[2] for r in rows],
        "timestamp": pa.array([START + timedelta(days=r[0]) for r in rows], pa.timestamp("us", tz="UTC")),
        "event": ["finish" if r[3] == "positive" else "skip" for r in rows],
        "label": [r[3] for r in rows],
        "weight": pa.array(np.ones(len(rows)), pa.float32()),
    })  # fmt: skip
    catalogue = pa.table({
        "item_id": [f"i{i:03d}" for i in range(items)],
        "media_type": ["video"] * items,
        "title": [f"Clip {i}" for i in range(items)],
        "category": [CATEGORIES[g % 4] for g in group],
        "creator_id": [f"c{g}" for g in group],
        "published_at": pa.array([START + timedelta(days=float(d)) for d in published], pa.timestamp("us", tz="UTC")),
    })  # fmt: skip
    return World(catalogue, table, vectors)


def write_data(root: Path, world: World) -> None:
    """data/valid, data/split and data/features of a checkout."""
    valid = root / "data" / "valid"
    write_table(valid, "items", world.items)
    write_table(valid, "interactions", world.interactions)
    meta = DatasetMeta("folder", True, "2026-03-02T00:00:00+00:00", True, None, "0" * 16)
    write_meta(valid, meta)
    n = world.interactions.num_rows
    cuts = {"train": (0, int(n * 0.8)), "val": (int(n * 0.8), int(n * 0.9)), "test": (int(n * 0.9), n)}
    for name, (a, b) in cuts.items():
        part = write_table(root / "data" / "split", "interactions", world.interactions.slice(a, b - a))
        part.rename(part.with_name(f"{name}.parquet"))
    write_json(root / "data" / "split" / "slices.json", {})
    ids = world.items["item_id"].to_pylist()
    for modality, vectors in world.vectors.items():
        folder = root / "data" / "features" / modality / "features"
        parts: dict[int, list[int]] = {}
        for row, item in enumerate(ids):
            parts.setdefault(partition_of(item), []).append(row)
        for part, rows in parts.items():
            columns = {
                "item_id": [ids[r] for r in rows],
                "vector": [vectors[r].tolist() for r in rows],
                "present": [True] * len(rows),
            }
            written = write_table(folder, "features", pa.table(columns))
            written.rename(folder / f"part-{part:02d}.parquet")


@dataclass
class Fitted:
    """The matchers of a pass, by the name they have in the report."""

    catalog: Catalog
    split: Split
    matchers: dict[str, Matcher]


def fit_all(
    root: Path, train: Callable[[Split], Interactions] = lambda split: split.train, twin: bool = False
) -> Fitted:
    """Fits popularity, EASE and content (which is what is deployed), and content's shuffled twin.

    Args:
        root: Checkout with data.
        train: What the deployed model is fitted on; the whole of it in a leak.
        twin: The deployed model itself sees shuffled features.
    """
    catalog = load_catalog(Dataset(root / "data" / "valid"), root / "data" / "features")
    split = load_split(root / "data" / "split", catalog)
    learned = train(split)
    popularity, ease = Popularity(PopularityParams()), Ease(EaseParams(l2=20.0))
    popularity.fit(catalog, split.train)
    ease.fit(catalog, split.train)
    shuffled = content(catalog, learned, 7)
    deployed = content(catalog, learned, 8 if twin else None)
    return Fitted(catalog, split, {
        "popularity": popularity, "ease": ease, "content": deployed, "hybrid": deployed, "hybrid+shuffled": shuffled,
    })  # fmt: skip


def content(catalog: Catalog, train: Interactions, twin_seed: int | None) -> Matcher:
    matcher = Content(ContentParams())
    matcher.twin_seed = twin_seed
    matcher.fit(twin_catalog(catalog, twin_seed), train)
    return matcher


def evaluate(root: Path, fitted: Fitted) -> None:
    """Measures every matcher on test and writes what the stage `evaluate` writes."""
    params = EvaluationParams(ks=KS)
    on = TestSet.read(root / "data" / "valid", root / "data" / "split", root / "data" / "features")
    evaluated = evaluate_all(fitted.matchers.items(), on, params)
    folder, plots = root / "artifacts" / "evaluation", root / "artifacts" / "plots"
    write_json(root / "artifacts" / "evaluation.json", report.evaluation(evaluated, synthetic=True))
    report.write_per_user(folder / "per_user.parquet", evaluated)
    write_json(folder / "comparison.json", report.comparison(evaluated))
    write_json(folder / "test_period.json", on.period)
    models = {name: root / "models" / name for name in fitted.matchers if name == "content"}
    for name, path in models.items():
        fitted.matchers[name].save(path)
    write_json(folder / "ablation.json", ablation(evaluated, models))
    write_csv(folder / "projection.csv", projection(on.catalog, on.categories))
    write_csv(plots / "recall_by_k.csv", recall_by_k(evaluated))
    write_csv(plots / "per_category.csv", per_category(evaluated))
    write_csv(plots / "calibration.csv", calibration_rows(evaluated))
    write_csv(plots / "loss.csv", loss({"two_tower": {"epochs": [{"loss": 1 / e} for e in range(1, 6)]}}))


def write_refit(root: Path, fitted: Fitted, served: Matcher) -> None:
    """artifacts/bundle: the served matcher fitted again on everything, and what training said of itself."""
    everything = concat(fitted.split.train, fitted.split.val, fitted.split.test)
    evaluated, served = served, copy.copy(served)
    served.fit(twin_catalog(fitted.catalog, served.twin_seed), everything)
    times = pd.to_datetime(everything.timestamp, unit="s", utc=True)
    write_bundle(
        root / "artifacts" / "bundle",
        items=Dataset(root / "data" / "valid").table("items"),
        features=fitted.catalog.features,
        matchers={served.name: served},
        serve=served.name,
        histories=Histories.from_interactions(everything, np.arange(everything.n_users, dtype=np.int32)),
        user_ids=everything.user_ids,
        info={
            "settings": {}, "k": 20,
            "trained_from": times.min().isoformat(), "trained_through": times.max().isoformat(),
            "dataset": {"source": "folder", "synthetic": True, "as_of": "2026-03-02T00:00:00+00:00"},
        },
    )  # fmt: skip
    quality = validation_quality(evaluated, fitted.split.train, fitted.split.val)
    write_json(root / "artifacts" / "training" / "hybrid.json", {"settings": {}, "epochs": [], "val": quality})
    epochs = [{"loss": 1 / e, "ndcg@10": 0.1 + 0.02 * e} for e in range(1, 6)]
    write_json(root / "artifacts" / "training" / "content.json", {"settings": {"profile_size": 50}, "epochs": epochs})


def write_lock(root: Path, params: dict[str, Any]) -> None:
    """params.yaml, and the dvc.lock that DVC would have written for these files."""
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    outputs = {
        "validate": ["data/valid"],
        "split": ["data/split"],
        "features@visual": ["data/features/visual"],
        "features@audio": ["data/features/audio"],
        "features@text": ["data/features/text"],
        "train@content": ["artifacts/training/content.json"],
        "rank": ["artifacts/training/hybrid.json"],
        "evaluate": ["artifacts/evaluation", "artifacts/evaluation.json"],
        "refit": ["artifacts/bundle"],
    }
    entry = lambda path: {"path": path, "hash": "md5", "md5": dvc_md5(root / path)}  # noqa: E731
    stages: dict[str, Any] = {name: {"cmd": name, "outs": [entry(p) for p in paths]} for name, paths in outputs.items()}
    stages["train@content"] |= {"deps": [entry("data/split")], "params": {"params.yaml": params}}
    stages["evaluate"]["deps"] = [entry("data/split")]
    lock = yaml.safe_dump({"schema": "2.0", "stages": stages})
    (root / "dvc.lock").write_text(lock, encoding="utf-8")


def default_params(**changes: Any) -> dict[str, Any]:
    return {
        "dataset": {"source": "folder", "as_of": "2026-03-02T00:00:00Z", "snapshot": "ab" * 8},
        "matching": {"seed": 7, "content": {"profile_size": 50}},
        "evaluation": {"ks": list(KS), "primary_k": 10},
    } | changes


@dataclass
class Checkout:
    root: Path
    fitted: Fitted


def make_checkout(root: Path, world: World | None = None, params: dict[str, Any] | None = None, **fit: Any) -> Checkout:
    """A whole checkout; `fit` goes to `fit_all`."""
    write_data(root, world or make_world())
    fitted = fit_all(root, **fit)
    evaluate(root, fitted)
    write_refit(root, fitted, fitted.matchers["hybrid"])
    write_lock(root, params or default_params())
    return Checkout(root, fitted)


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """An honest model that beats the baselines because of what the items contain. Read only."""
    return make_checkout(tmp_path_factory.mktemp("honest"))


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One home, and so one MLflow database, for the tests of a module: making one takes seconds."""
    yield tmp_path_factory.mktemp("home")


@pytest.fixture
def home(module_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AVREC_HOME", str(module_home))
    monkeypatch.delenv("AVREC_MLFLOW_URI", raising=False)
    return module_home


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
