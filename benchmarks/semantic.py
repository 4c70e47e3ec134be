"""One vector an item: read from the sequence of its segments, or the plain mean. Retrieval, and items nobody watched.

    python -m benchmarks.semantic [--demo DIR] [--esc10 DIR] [--encoders NAME ...] [--seeds N] [--hybrid] [--json FILE]

`--demo` is a checkout after `dvc repro features` (its folder `data`). Encoders learn from the items that have a
training interaction. Half of the validation users choose the weights of the matchers, the other half is reported, then
the halves change places; the test part is not read. `--esc10` is the folder of sounds, extracted on the way: encoders
learn, without labels, from all folds but the last there is, whose sounds then ask for others of their class among
those that were learned from.

Rows: `mean` is the mean of the tokens by modality, side by side; an encoder's row is its vector alone, in its place;
`platform` is what there is without an encoder (the pooled vectors of the extractors), and `platform + NAME` has the
encoder's vector as one more modality. Of the demo's retrieval an item asks for others of its category, and is not
among the answers.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avrec.datasets.dataset import Dataset
from avrec.evaluation.evaluate import Yardstick, evaluate_matcher
from avrec.evaluation.slices import Traits, build_slices, cold_items, incomplete_items
from avrec.evaluation.truth import Truth
from avrec.features.base import Features, Mask, Vectors, read_features
from avrec.features.semantic import Encoded, SemanticEncoder
from avrec.features.tokens import Basis, Item, mean_pooled, read_items, unit
from avrec.matching.base import Matcher
from avrec.matching.data import Catalog, Interactions
from avrec.matching.hybrid import Hybrid
from avrec.matching.loading import Split, evaluation_set, load_catalog, load_split, validation_halves
from avrec.matching.registry import SINGLE, build
from avrec.params import MatchingParams, SemanticParams, load_params
from avrec.schema import EXTRACTED

ENCODERS = ("transformer", "gru", "lstm")
SLICES = ("all", "cold_all", "cold_only")
K = 10
SEED = 7

Row = dict[str, Any]
Figures = dict[str, float]


@dataclass(frozen=True)
class Shown:
    """One way to see the items: its name, and its vectors by modality."""

    name: str
    features: dict[str, Features]


def shown(items: Sequence[Item], learn: Mask, platform: Mapping[str, Features], encoders: Sequence[str],
          seeds: Sequence[int], judge: Callable[[Shown], Figures]) -> list[Row]:  # fmt: skip
    """A row for the platform's vectors, for the mean, and for each encoder alone and beside the platform's."""
    rows: list[Row] = []
    basis = Basis.fit(items, learn)
    tokens = basis.tokens(items)
    mean = mean_pooled(tokens, len(basis.modalities))
    for view in (Shown("platform", dict(platform)), Shown("mean", _one(mean, tokens.present))):
        rows.append(tell({"vector": view.name, **judge(view)}))
    for name in encoders:
        alone, beside = [], []
        for seed in seeds:
            encoded, seconds = encoded_by(items, learn, name, seed)
            semantic = _one(encoded.vectors, encoded.present)
            alone.append({"seconds": seconds, **judge(Shown(name, semantic))})
            beside.append({"seconds": seconds, **judge(Shown(f"platform + {name}", {**platform, **semantic}))})
        rows += [tell(_averaged(name, alone)), tell(_averaged(f"platform + {name}", beside))]
    return rows


def tell(row: Row) -> Row:
    """Prints a row as soon as it is known; the whole table takes minutes."""
    figures = "  ".join(
        f"{name} {value:.4f}" + (f" (±{row[name + ' spread'] / 2:.4f})" if f"{name} spread" in row else "")
        for name, value in row.items()
        if isinstance(value, float) and not name.endswith("spread")
    )
    print(f"{row['vector']:22s} {figures}", flush=True)
    return row


def encoded_by(items: Sequence[Item], learn: Mask, name: str, seed: int) -> tuple[Encoded, float]:
    began = time.perf_counter()
    params = SemanticParams.model_validate({"encoder": name, "seed": seed})
    encoder = SemanticEncoder.fit(items, learn, params)
    seconds = time.perf_counter() - began
    print(f"{name}, seed {seed}: learned in {seconds:.0f} s", file=sys.stderr, flush=True)
    return encoder.encode(items), seconds


def _one(vectors: Vectors, present: Mask) -> dict[str, Features]:
    return {"semantic": Features("semantic", vectors, present)}


def _averaged(name: str, found: Sequence[Figures]) -> Row:
    """Means over the seeds, and the spread of each figure."""
    row: Row = {"vector": name}
    for metric in found[0]:
        values = [each[metric] for each in found]
        row[metric] = float(np.mean(values))
        row[f"{metric} spread"] = float(np.max(values) - np.min(values))
    return row


def measure_demo(root: Path, options: argparse.Namespace) -> list[Row]:
    data = root / "data"
    dataset = Dataset(data / "valid")
    catalog = load_catalog(dataset, data / "features")
    split = load_split(data / "split", catalog)
    categories = tuple(dataset.table("items")["category"].to_pylist())
    platform = {name: features for name, features in catalog.features.items() if name in EXTRACTED}
    items = read_items({name: data / "features" / name for name in platform}, catalog.item_ids)
    learn = ~cold_items(split.train, len(catalog))
    judged = ("content", "hybrid") if options.hybrid else ("content",)

    def judge(view: Shown) -> Figures:
        seen = catalog.with_features(view.features)
        figures = {f"retrieval precision@{K}": own_class(view.features, np.array([c or "" for c in categories]))}
        for name in judged:
            figures |= recommended(name, seen, split, categories)
        return figures

    return [{"set": "demo", **row} for row in shown(items, learn, platform, options.encoders, options.range, judge)]


def recommended(name: str, catalog: Catalog, split: Split, categories: Sequence[str | None]) -> Figures:
    """NDCG of one matcher by slice, over both halves of the validation users."""
    first, second = validation_halves(split.val, SEED)
    found = [people(name, catalog, split, categories, *halves) for halves in ((first, second), (second, first))]
    return averages(name, {part: [value for each in found for value in each.get(part, [])] for part in SLICES})


def people(name: str, catalog: Catalog, split: Split, categories: Sequence[str | None], chosen: Interactions,
           reported: Interactions) -> dict[str, list[float]]:  # fmt: skip
    """NDCG of each person of `reported` by slice, of a matcher that chose on others."""
    cold, incomplete = cold_items(split.train, len(catalog)), incomplete_items(catalog)
    histories, liked = evaluation_set(split.train, reported)
    traits = Traits(cold, np.zeros(len(histories), np.bool_), incomplete, categories)
    parts = [p for p in build_slices(Truth.of([row.tolist() for row in liked]), traits) if p.name in SLICES]
    matcher = fitted(name, catalog, split, chosen)
    found = evaluate_matcher(matcher, histories, parts, [K], Yardstick.of(catalog, split.train), K)
    return {part: found[part].people[f"ndcg@{K}"].tolist() for part in found}


def averages(name: str, values: Mapping[str, list[float]]) -> Figures:
    """Means over people, by slice."""
    return {f"{name} {part} ndcg@{K}": float(np.mean(each)) for part, each in values.items() if each}


def fitted(name: str, catalog: Catalog, split: Split, chosen: Any) -> Matcher:
    """A matcher fitted on train that chose on half of validation; the hybrid of those that params enable."""
    params = load_params().matching if Path("params.yaml").is_file() else MatchingParams()
    if name != "hybrid":
        matcher = build(name, params)
        matcher.fit(catalog, split.train, chosen)
        return matcher
    members = {n: fitted(n, catalog, split, chosen) for n in SINGLE if getattr(params, n).enabled}
    hybrid = Hybrid(params.rank, members, seed=params.seed)
    hybrid.fit(catalog, split.train, chosen)
    return hybrid


def measure_esc10(folder: Path, options: argparse.Namespace) -> list[Row]:
    from avrec.features.folder import extract_folder
    from avrec.features.tables import items_of

    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        extract_folder(str(folder), out)
        ids = [item_id for item_id in items_of(out)["item_id"].to_pylist() if "/" in item_id]  # texts lie beside
        items = read_items({"audio": out / "audio"}, ids)
        pooled = read_features(out / "audio", "audio", ids)
    classes = np.array([item_id.partition("/")[0] for item_id in ids])
    folds = np.array([int(item_id.rpartition("/")[2][0]) for item_id in ids])
    learn = folds != folds.max()
    centred = np.where(pooled.present[:, None], pooled.vectors - pooled.vectors[learn].mean(axis=0), 0)
    platform = {"audio": Features("audio", centred.astype(np.float32), pooled.present)}

    def judge(view: Shown) -> Figures:
        vectors = _together(view.features)
        return retrieval(vectors[~learn], classes[~learn], vectors[learn], classes[learn])

    return [{"set": "esc10", **row} for row in shown(items, learn, platform, options.encoders, options.range, judge)]


def _together(features: Mapping[str, Features]) -> Vectors:
    """All modalities of an item side by side, each of unit length."""
    return unit(np.concatenate([unit(f.vectors) for _, f in sorted(features.items())], axis=1))


def own_class(features: Mapping[str, Features], classes: Any) -> float:
    """Share of the nearest `K` other items that are of an item's class."""
    centred = {
        name: Features(name, np.where(f.present[:, None], f.vectors - f.vectors[f.present].mean(axis=0), 0), f.present)
        for name, f in features.items()
    }
    vectors = _together(centred)
    likeness = vectors @ vectors.T - 2 * np.eye(len(vectors), dtype=np.float32)
    order = np.argsort(-likeness, axis=1, kind="stable")[:, :K]
    return float((classes[order] == classes[:, None]).mean())


def retrieval(asked: Vectors, theirs: Any, answers: Vectors, classes: Any) -> Figures:
    """Precision at 10 and R-precision of nearest neighbours by cosine, and what chance gives."""
    order = np.argsort(-(asked @ answers.T), axis=1, kind="stable")
    right = classes[order] == theirs[:, None]
    counts = right.sum(axis=1)
    at_r = [float(row[:count].mean()) for row, count in zip(right, counts, strict=True) if count]
    return {
        f"retrieval precision@{K}": float(right[:, :K].mean()),
        "retrieval r_precision": float(np.mean(at_r)),
        "chance": float((counts / len(classes)).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path)
    parser.add_argument("--esc10", type=Path)
    parser.add_argument("--encoders", nargs="+", choices=ENCODERS, default=list(ENCODERS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--hybrid", action="store_true", help="also the hybrid of the demo, which takes minutes a row")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.range = range(SEED, SEED + options.seeds)
    jobs = [(options.esc10, measure_esc10), (options.demo, measure_demo)]
    rows = [row for folder, measure in jobs if folder for row in measure(folder, options)]
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "seeds": list(options.range)}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
