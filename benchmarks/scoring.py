"""Lists for everybody: seconds and memory at three sizes, their slope, and what a million people would take.

    python benchmarks/scoring.py [--users 2000 8000 32000] [--items 100000] [--dim 64] [-k 100] [--json FILE]

Each size is a process of its own: people are streamed, `BLOCK` at a time, from likes to a Parquet file of lists, as the
shards of the recommendation DAG are. The slope is that of seconds over people between the smallest and the largest
size, so that the start does not count; memory is the peak of the process, which must not grow with the people.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

PROJECT = Path(__file__).resolve().parent.parent
LIKES, SEEN = 20, 40
MILLION = 1_000_000


def one_size(users: int, items: int, dim: int, k: int) -> dict[str, float]:
    """Makes and writes the lists of `users` people; called in a fresh process."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from avrec.matching.base import BLOCK
    from avrec.matching.data import Histories
    from avrec.matching.exact import Exact
    from avrec.matching.retrieval import Retrieval

    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(items, dim))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    retrieval = Retrieval(vectors, np.zeros(items, np.float32), 1.0, Exact(vectors))
    schema = pa.schema([("items", pa.list_(pa.int64(), k)), ("scores", pa.list_(pa.float32(), k))])
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, pq.ParquetWriter(f"{folder}/lists.parquet", schema) as writer:
        for start in range(0, users, BLOCK):
            n = min(BLOCK, users - start)
            likes = rng.integers(0, items, (n, LIKES))
            people = vectors[likes].mean(axis=1)
            people /= np.linalg.norm(people, axis=1, keepdims=True)
            seen = Histories.of([[] for _ in range(n)], rng.integers(0, items, (n, SEEN)).tolist())
            found, scores = retrieval.best(people, seen, k, None)
            columns = (pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), k) for part in (found, scores))
            writer.write_table(pa.table(list(columns), schema=schema))
    seconds = time.perf_counter() - started
    return {"users": users, "seconds": seconds, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def in_a_process(users: int, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", str(users), "--items", str(options.items), "--dim", str(options.dim),
               "-k", str(options.k)]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=PROJECT)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, nargs="+", default=[2000, 8000, 32000])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("-k", type=int, default=100)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one_size(options.one, options.items, options.dim, options.k)))
        return
    rows = [in_a_process(users, options) for users in sorted(options.users)]
    print(f"best {options.k} of {options.items} items x {options.dim}, {SEEN} seen each, written as Parquet")
    print("  users  seconds  users/s  peak MiB")
    for row in rows:
        print("{users:7d}  {seconds:7.1f}  {0:7.0f}  {peak_mib:8.0f}".format(row["users"] / row["seconds"], **row))
    first, last = rows[0], rows[-1]
    slope = (last["seconds"] - first["seconds"]) / max(last["users"] - first["users"], 1)
    hours = slope * MILLION / 3600
    print(f"slope {1000 * slope:.2f} ms a person: {hours:.2f} h for {MILLION} people (extrapolated)")
    if options.json:
        found = {"rows": rows, "slope_s": slope, "million_h": hours}
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
