"""Users a second for the best 100 of 100,000 items, against what the machine can do and against libraries, in one run.

    python benchmarks/topk.py [--users 2048] [--items 100000] [--dim 128] [-k 100] [--json FILE]

`bare` is `tf.matmul` and `tf.math.top_k` on the same blocks and nothing else: what TensorFlow can do here. `product`
is that of numpy into memory it has already, and no lists: what computes all scores cannot be faster. `avrec` is
`avrec.matching.retrieval`: seen items left out, scores exact to the last bit whatever the block. `implicit` and `faiss`
run where they are installed (implicit filters what was seen, faiss does not). Rounds alternate; the median counts.
Vectors are clustered, as learned ones are: 1,000 centres and noise, seed 0. Recall is against the exact lists.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from avrec.matching.base import BLOCK
from avrec.matching.data import Histories
from avrec.matching.exact import Exact
from avrec.matching.retrieval import Retrieval

SEEN = 20
ROUNDS = 5


def clustered(rng: np.random.Generator, n: int, dim: int, centres: Any) -> Any:
    rows = centres[rng.integers(0, len(centres), n)] + 0.6 * rng.normal(size=(n, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def blocks(n: int) -> list[slice]:
    return [slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]


def bare(users: Any, items: Any, k: int) -> Callable[[], Any]:
    import tensorflow as tf

    held = tf.constant(items)
    run = tf.function(lambda rows: tf.math.top_k(tf.matmul(rows, held, transpose_b=True), k))
    return lambda: np.concatenate([run(users[part]).indices.numpy() for part in blocks(len(users))])


def product(users: Any, items: Any) -> Callable[[], Any]:
    scores = np.empty((BLOCK, len(items)), np.float32)

    def run() -> None:
        for part in blocks(len(users)):
            np.matmul(users[part], items.T, out=scores[: part.stop - part.start])

    return run


def ours(users: Any, items: Any, k: int, seen: Histories) -> Callable[[], Any]:
    retrieval = Retrieval(items, np.zeros(len(items), np.float32), 1.0, Exact(items))

    def run() -> Any:
        parts = blocks(len(users))
        return np.concatenate([retrieval.best(users[p], seen.slice(p.start, p.stop), k, None)[0] for p in parts])

    return run


def implicit(users: Any, items: Any, k: int, seen: Any) -> Callable[[], Any]:
    from implicit.cpu.topk import topk

    def run() -> Any:
        found = [topk(items, users[p], k, filter_query_items=seen[p.start : p.stop])[0] for p in blocks(len(users))]
        return np.concatenate(found)

    return run


def faiss(users: Any, items: Any, k: int, factory: str) -> Callable[[], Any]:
    import faiss as library

    index = library.index_factory(items.shape[1], factory, library.METRIC_INNER_PRODUCT)
    index.train(items)
    index.add(items)
    if "IVF" in factory:
        index.nprobe = 32
    if "HNSW" in factory:
        index.hnsw.efSearch = 4 * k
    return lambda: index.search(users, k)[1]


def competitors(options: argparse.Namespace) -> tuple[dict[str, Callable[[], Any]], dict[str, str]]:
    """What runs here by name, and why the others do not."""
    import scipy.sparse as sp

    rng = np.random.default_rng(0)
    centres = rng.normal(size=(1000, options.dim))
    items, users = (clustered(rng, n, options.dim, centres) for n in (options.items, options.users))
    seen_items = rng.integers(0, options.items, (options.users, SEEN))
    seen = Histories.of([[] for _ in users], seen_items.tolist())
    matrix = sp.csr_matrix((np.ones(seen_items.size, np.float32), seen_items.ravel(),
                            np.arange(0, seen_items.size + 1, SEEN)), shape=(options.users, options.items))  # fmt: skip
    makers: dict[str, Callable[[], Callable[[], Any]]] = {
        "bare": lambda: bare(users, items, options.k),
        "product": lambda: product(users, items),
        "avrec": lambda: ours(users, items, options.k, seen),
        "implicit": lambda: implicit(users, items, options.k, matrix),
        "faiss flat": lambda: faiss(users, items, options.k, "Flat"),
        "faiss IVF": lambda: faiss(users, items, options.k, f"IVF{4 * int(options.items**0.5)},Flat"),
        "faiss HNSW": lambda: faiss(users, items, options.k, "HNSW32"),
    }
    made, absent = {}, {}
    for name, make in makers.items():
        try:
            made[name] = make()
        except ImportError as error:
            absent[name] = f"not installed ({error.name})"
    return made, absent


def measure(runs: dict[str, Callable[[], Any]], users: int) -> list[dict[str, Any]]:
    exact = {name: run() for name, run in runs.items()}  # also warms up
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    rows = []
    for name, values in seconds.items():
        rows.append({"name": name, "users_per_s": users / statistics.median(values), "recall": None})
        if exact[name] is not None:
            pairs = zip(exact[name], exact["bare"], strict=True)
            rows[-1]["recall"] = float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in pairs]))
    for row in rows:
        for other in ("bare", "implicit"):
            if other in runs:
                by_round = [b / a for a, b in zip(seconds[row["name"]], seconds[other], strict=True)]
                row[f"over_{other}"] = statistics.median(by_round)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=2048)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("-k", type=int, default=100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    runs, absent = competitors(options)
    rows = measure(runs, options.users)
    print(f"best {options.k} of {options.items} items x {options.dim}, {options.users} users, {SEEN} seen each")
    print("what          users/s  x bare  x implicit  recall")
    for row in rows:
        over = row.get("over_implicit", float("nan"))
        recall = "n/a" if row["recall"] is None else f"{row['recall']:.3f}"
        print(f"{row['name']:12} {row['users_per_s']:8.0f}  {row['over_bare']:6.2f}  {over:10.2f}  {recall:>6}")
    for name, why in absent.items():
        print(f"{name:12} {why}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of all of it: {peak:.0f} MiB")
    if options.json:
        found = {"rows": rows, "absent": absent, "peak_mib": peak}
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
