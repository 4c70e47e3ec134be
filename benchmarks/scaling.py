"""What grows how: processor time, memory and bytes at several sizes of one thing each; docs/scale.md reckons with it.

    python -m benchmarks.scaling [--only NAME ...] [--write] [--json FILE]

Each size is a process of its own. Processor seconds, of all threads, are counted and not time on a clock: they are what
a bigger machine or more of them divide, and they hardly depend on what else the machine does. `--write` puts the
tables into docs/scale.md. Random data, seed 0. What media cost: benchmarks/extraction.py.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

PROJECT = Path(__file__).resolve().parent.parent
PAGE = PROJECT / "docs" / "scale.md"
PEOPLE, DIM, K, CENTRES = 1024, 64, 100, 1000


@dataclass(frozen=True)
class Measure:
    """One thing that grows.

    Attributes:
        what: Heading of its table.
        unit: What the sizes count.
        sizes: From small to large.
        prepare: From a size and a folder, what is measured: a function that may return further figures.
    """

    what: str
    unit: str
    sizes: tuple[int, ...]
    prepare: Callable[[int, Path], Callable[[], dict[str, float]]]


def clustered(n: int, rng: np.random.Generator) -> Any:
    """Unit vectors around centres, as learned ones are."""
    vectors = rng.normal(size=(CENTRES, DIM))[rng.integers(0, CENTRES, n)] + 0.5 * rng.normal(size=(n, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def lists(items: int, folder: Path) -> Callable[[], dict[str, float]]:
    """Lists for `PEOPLE` people, exact, as the scoring tasks make them."""
    from avrec.matching.base import BLOCK
    from avrec.matching.data import Histories
    from avrec.matching.exact import Exact
    from avrec.matching.retrieval import Retrieval

    rng = np.random.default_rng(0)
    vectors, people = clustered(items, rng), clustered(PEOPLE, rng)
    retrieval = Retrieval(vectors, np.zeros(items, np.float32), 1.0, Exact(vectors))
    nothing = Histories.of([[] for _ in range(BLOCK)], [[] for _ in range(BLOCK)])
    retrieval.best(people[:BLOCK], nothing, K, None)  # TensorFlow's start

    def run() -> dict[str, float]:
        for start in range(0, PEOPLE, BLOCK):
            retrieval.best(people[start : start + BLOCK], nothing, K, None)
        return {}

    return run


def lists_ivf(items: int, folder: Path) -> Callable[[], dict[str, float]]:
    """The same through an inverted file of faiss, which looks into the nearest cells only."""
    import faiss

    rng = np.random.default_rng(0)
    vectors, people = clustered(items, rng), clustered(PEOPLE, rng)
    exact = faiss.IndexFlatIP(DIM)
    exact.add(vectors)
    _, truth = exact.search(people, K)
    cells = int(4 * math.sqrt(items))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(DIM), DIM, cells, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors[: 64 * cells])
    index.add(vectors)
    index.nprobe = 32

    def run() -> dict[str, float]:
        _, found = index.search(people, K)
        hits = [len(set(a) & set(b)) for a, b in zip(found.tolist(), truth.tolist(), strict=True)]
        return {"recall": float(np.mean(hits)) / K}

    return run


def ease(items: int, folder: Path) -> Callable[[], dict[str, float]]:
    """One solution of EASE over so many liked items."""
    from avrec.matching.ease import ease_weights

    rng = np.random.default_rng(0)
    half = rng.random((items, 64), np.float32)
    gram = half @ half.T

    def run() -> dict[str, float]:
        ease_weights(gram, 100.0)
        return {}

    return run


def split(rows: int, folder: Path) -> Callable[[], dict[str, float]]:
    """The split by time of so many interactions."""
    import pyarrow as pa

    from avrec.datasets.split import split_interactions
    from avrec.params import SplitParams
    from avrec.schema import INTERACTIONS

    rng = np.random.default_rng(0)
    start = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1e6)
    columns = {
        "user_id": pa.array(np.char.add("u", rng.integers(0, rows // 40 + 1, rows).astype(str))),
        "item_id": pa.array(np.char.add("i", rng.integers(0, 100_000, rows).astype(str))),
        "timestamp": pa.array(start + rng.integers(0, 60 * 86_400, rows) * 1_000_000, pa.timestamp("us", tz="UTC")),
        "event": pa.array(["view"] * rows),
        "watch_ratio": pa.array(rng.random(rows, np.float32)),
        "label": pa.array(np.where(rng.random(rows) < 0.3, "positive", "unknown")),
        "weight": pa.array(np.ones(rows, np.float32)),
    }
    table = INTERACTIONS.conform(pa.table(columns))

    def run() -> dict[str, float]:
        split_interactions(table, SplitParams(), has_time=True)
        return {"bytes": table.nbytes}

    return run


def table(rows: int, folder: Path) -> Callable[[], dict[str, float]]:
    """Rows of a published table, written as Parquet."""
    import pyarrow as pa

    from avrec.recommend.store import Store
    from avrec.schema import RECOMMENDATIONS

    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(rows // 20), 20)
    made: dict[str, Any] = {
        "user_id": pa.array([f"u{n:032x}" for n in people]),
        "rank": pa.array(np.tile(np.arange(1, 21), rows // 20), pa.int32()),
        "item_id": pa.array(np.char.add("item-", rng.integers(0, 100_000, len(people)).astype(str))),
        "score": pa.array(rng.random(len(people), np.float32)),
    }
    fixed = {pa.string(): "0" * 32, pa.date32(): datetime(2026, 1, 1, tzinfo=UTC).date(),
             pa.timestamp("us", tz="UTC"): datetime(2026, 1, 1, tzinfo=UTC)}  # fmt: skip
    for column in RECOMMENDATIONS.columns:
        if column.name not in made:
            made[column.name] = pa.array([fixed[column.type]] * len(people), column.type)
    whole = pa.table([made[c.name] for c in RECOMMENDATIONS.columns], schema=RECOMMENDATIONS.schema)

    def run() -> dict[str, float]:
        Store(str(folder)).write_table("part.parquet", whole)
        return {"bytes": (folder / "part.parquet").stat().st_size}

    return run


MEASURES = {
    "lists": Measure(f"Exact lists of {K} for {PEOPLE} people", "items", (25_000, 50_000, 100_000, 200_000), lists),
    "lists_ivf": Measure(
        "The same by faiss IVF, 32 of 4√n cells", "items", (25_000, 50_000, 100_000, 200_000), lists_ivf
    ),
    "ease": Measure("EASE, one solution", "liked items", (1_500, 3_000, 6_000), ease),
    "split": Measure("Split by time", "interactions", (250_000, 1_000_000, 4_000_000), split),
    "table": Measure("Table as Parquet", "rows", (200_000, 800_000, 3_200_000), table),
}


def processor() -> float:
    """Processor seconds of this process and of the children that have ended, all threads."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


def one(name: str, size: int) -> dict[str, float]:
    """One size; called in a fresh process."""
    with tempfile.TemporaryDirectory(prefix="avrec-scaling-") as folder:
        run = MEASURES[name].prepare(size, Path(folder))
        before = processor()
        further = run()
        return {"size": size, "seconds": processor() - before, "peak_mib": _peak_mib(), **further}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def exponent(rows: list[dict[str, float]]) -> float:
    """`b` of seconds = a size^b, between the smallest and the largest size."""
    first, last = rows[0], rows[-1]
    return math.log(last["seconds"] / first["seconds"]) / math.log(last["size"] / first["size"])


def section(found: dict[str, list[dict[str, float]]], day: str) -> list[str]:
    """The tables of docs/scale.md."""
    lines = [
        f"`python -m benchmarks.scaling --write`, {day}, {os.cpu_count()} cores. Processor seconds of all threads."
    ]
    for name, rows in found.items():
        measure = MEASURES[name]
        more = [key for key in ("bytes", "recall") if key in rows[0]]
        lines += ["", f"| {measure.what}: {measure.unit} | processor s | peak MiB |" + "".join(f" {m} |" for m in more)]
        lines += ["| --: | --: | --: |" + " --: |" * len(more)]
        for row in rows:
            rest = "".join(f" {row[key]:,.0f} |" if key == "bytes" else f" {row[key]:.3f} |" for key in more)
            lines += [f"| {row['size']:,} | {row['seconds']:.2f} | {row['peak_mib']:,.0f} |{rest}"]
        lines += ["", f"Grows with the power {exponent(rows):.2f} of {measure.unit}."]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one[0], int(options.one[1]))))
        return
    found = {}
    for name in options.only:
        found[name] = []
        for size in MEASURES[name].sizes:
            command = [sys.executable, "-m", "benchmarks.scaling", "--one", name, str(size)]
            done = subprocess.run(command, check=True, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(name, json.dumps(found[name][-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if options.write:
        from tests.drills.common import write_section

        write_section(PAGE, "scaling", section(found, datetime.now(UTC).date().isoformat()))


if __name__ == "__main__":
    main()
