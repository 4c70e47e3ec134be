"""How long one request takes once the model is loaded, for 100,000 items and the default members.

    python benchmarks/latency.py [--items 100000] [--requests 200] [--bundle FOLDER] [--json FILE]

The model is made here of synthetic data, seed 0: items of 1,000 kinds with vectors as long as the extractors make them
(picture 1,024, sound 1,104, text 512) and with variances that fall along their axes as those of real ones do, people
who like some kinds. `popularity`, `content` and `ease` are fitted on all
items; `two_tower` and `graph`, one epoch, on the first `--trained` and loaded with all, as they are with a newer
catalogue. What is timed does not depend on how well they were trained. `--bundle` keeps the model for the next time.

Each request is a new history of 20 items. `answerer` is what `avrec recommend --history` calls after loading, `pyfunc`
the same through MLflow's checks of types and schema. Median and 99th percentile, in milliseconds. `recall` is the share
of the list for which every score is computed in full that the quick answer holds, and `reasons` how many of its reasons
are the same, over the first `--compared` requests.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from avrec.features.base import Features
from avrec.matching.base import Matcher
from avrec.matching.data import Catalog, Histories, Interactions
from avrec.matching.hybrid import Hybrid
from avrec.matching.loading import catalog_of
from avrec.matching.registry import build, load_matcher
from avrec.params import MatchingParams, RankParams
from avrec.recommend.bundle import Bundle, write_bundle
from avrec.registry.model import ARTIFACT, CODE, signature
from avrec.schema import ITEMS

KINDS, PEOPLE, LIKES = 1000, 20_000, 30
DIMS = {"visual": 1024, "audio": 1104, "text": 512}
MEMBERS = ("content", "ease", "graph", "popularity", "two_tower")
HISTORY, WARM_UP = 20, 5
AXES, FALL = 16, 2.5
"""Variance along axis `i` falls as `(1 + i / AXES) ** -FALL`, between what MobileNet and USE give for the demo set."""


@dataclass(frozen=True)
class Row:
    """One way to ask."""

    way: str
    items: int
    requests: int
    median_ms: float
    p99_ms: float
    recall: float
    reasons: float


def items_table(n: int) -> pa.Table:
    return ITEMS.conform(pa.table({
        "item_id": [f"i{i:06d}" for i in range(n)],
        "media_type": ["video"] * n,
        "title": [f"Item {i}" for i in range(n)],
        "category": [f"c{i % 40}" for i in range(n)],
    }))  # fmt: skip


def features_of(n: int, kind: Any, rng: np.random.Generator) -> dict[str, Features]:
    found = {}
    for modality, dim in DIMS.items():
        scale = ((1 + np.arange(dim) / AXES) ** -(FALL / 2)).astype(np.float32)
        centres = rng.normal(size=(KINDS, dim)).astype(np.float32)
        vectors = centres[kind]
        vectors += rng.normal(size=(n, dim)).astype(np.float32)
        vectors *= scale
        found[modality] = Features(modality, vectors, np.ones(n, bool))
    return found


def likes(n_items: int, people: int, kind: Any, rng: np.random.Generator) -> Interactions:
    """People like three kinds each, some items of a kind more than others."""
    order = np.argsort(kind, kind="stable")
    starts = np.searchsorted(kind[order], np.arange(KINDS + 1))
    user = np.repeat(np.arange(people), LIKES)
    liked_kind = rng.integers(0, KINDS, (people, 3))[user, rng.integers(0, 3, len(user))]
    size = starts[liked_kind + 1] - starts[liked_kind]
    place = np.minimum((size * rng.random(len(user)) ** 1.5).astype(np.int64), np.maximum(size - 1, 0))
    known = size > 0
    item = order[np.minimum(starts[liked_kind] + place, n_items - 1)][known]
    user, count = user[known], int(known.sum())
    return Interactions(user.astype(np.int32), item.astype(np.int32), 1_700_000_000 + np.arange(count) * 10,
                        np.ones(count, np.int8), np.ones(count, np.float32),
                        tuple(f"u{i}" for i in range(people)))  # fmt: skip


def members_of(catalog: Catalog, train: Interactions, trained: int, items: pa.Table) -> dict[str, Matcher]:
    """Those of `MEMBERS`, by name."""
    params = MatchingParams()
    networks = {n: getattr(params, n).model_copy(update={"epochs": 1}) for n in ("two_tower", "graph")}
    params = params.model_copy(update={"ease": params.ease.model_copy(update={"dense_items": 5000}), **networks})
    part = {n: Features(n, f.vectors[:trained], f.present[:trained]) for n, f in catalog.features.items()}
    small = catalog_of(items.slice(0, trained), part)
    found = {}
    for name in MEMBERS:
        started = time.perf_counter()
        matcher = build(name, params)
        if name in networks:
            matcher.fit(small, train.where(train.item < trained))
            with tempfile.TemporaryDirectory() as folder:
                matcher.save(Path(folder) / name)
                matcher = load_matcher(Path(folder) / name, catalog)
        else:
            matcher.fit(catalog, train)
        print(f"  {name}: {time.perf_counter() - started:.0f} s", flush=True)
        found[name] = matcher
    return found


def make(folder: Path, n: int, trained: int) -> None:
    """Writes the bundle."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, KINDS, n)
    items = items_table(n)
    catalog = catalog_of(items, features_of(n, kind, rng))
    train = likes(n, PEOPLE, kind, rng)
    members = members_of(catalog, train, trained, items)
    hybrid = Hybrid(RankParams(), members)
    hybrid.fit(catalog, train)
    few = np.arange(100, dtype=np.int32)
    write_bundle(
        folder, items=items, features=catalog.features, matchers={**members, "hybrid": hybrid}, serve="hybrid",
        histories=Histories.from_interactions(train, few), user_ids=train.user_ids[:100],
        info={"settings": {}, "trained_from": None, "trained_through": None, "k": 10,
              "dataset": {"source": "demo", "synthetic": True, "as_of": None}},
    )  # fmt: skip


def load(bundle: Path, folder: Path) -> Any:
    """The bundle as MLflow loads it."""
    import mlflow.pyfunc

    mlflow.pyfunc.save_model(str(folder / "model"), python_model=str(CODE), artifacts={ARTIFACT: str(bundle)},
                             signature=signature(), pip_requirements=[])  # fmt: skip
    return mlflow.pyfunc.load_model(str(folder / "model"))


def timed(ask: Callable[[list[str]], Any], histories: list[list[str]]) -> Any:
    """Milliseconds a request `[n]`."""
    for history in histories[:WARM_UP]:
        ask(history)
    found = []
    for history in histories[WARM_UP:]:
        started = time.perf_counter()
        ask(history)
        found.append(1000 * (time.perf_counter() - started))
    return np.array(found)


def agreement(bundle: Bundle, histories: list[list[str]]) -> tuple[float, float]:
    """Recall of the quick lists of ten against the lists of a table, and the share of equal reasons."""
    hits, same = [], []
    for history in histories:
        person = bundle.history(history)
        quick, table = (bundle.recommend(person, 10, fast=fast) for fast in (True, False))
        hits.append(np.isin(table.items, quick.items).mean())
        why, wanted = quick.reasons, bundle.model.explain(person, quick.items)
        assert why is not None
        same.append(((why.kind == wanted.kind) & (why.item == wanted.item)).mean())
    return float(np.mean(hits)), float(np.mean(same))


def measure(bundle: Path, n: int, requests: int, compared: int) -> list[Row]:
    """A row a way to ask."""
    rng, rows = np.random.default_rng(1), []
    histories = [[f"i{i:06d}" for i in rng.integers(0, n, HISTORY)] for _ in range(requests + WARM_UP)]
    with tempfile.TemporaryDirectory() as folder:
        model = load(bundle, Path(folder))
        answerer = model.unwrap_python_model().answerer
        ways: dict[str, Callable[[list[str]], Any]] = {
            "answerer": lambda history: answerer.answer([{"history": history, "k": 10}]),
            "pyfunc": lambda history: model.predict(pd.DataFrame([{"history": history, "k": 10}])),
        }
        for way, ask in ways.items():
            found = timed(ask, histories)
            median, p99 = (round(float(np.quantile(found, q)), 2) for q in (0.5, 0.99))
            rows.append(Row(way, n, len(found), median, p99, float("nan"), float("nan")))
            print(f"{way}: median {median:.1f} ms, 99 of 100 within {p99:.1f} ms, {n:,} items", flush=True)
        recall, reasons = agreement(answerer.bundle, histories[:compared])
    print(f"recall@10 {recall:.4f}, equal reasons {reasons:.4f}, {compared} requests", flush=True)
    return [replace(row, recall=round(recall, 4), reasons=round(reasons, 4)) for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--trained", type=int, default=5000, help="items that the networks are trained on")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--compared", type=int, default=50, help="requests whose lists are also made in full")
    parser.add_argument("--bundle", type=Path, help="folder of the model; made where it is missing, and kept")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = given.bundle or Path(folder) / "bundle"
        if not (bundle / "bundle.json").is_file():
            make(bundle, given.items, min(given.trained, given.items))
        rows = measure(bundle, given.items, given.requests, given.compared)
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
