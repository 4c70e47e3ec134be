"""How long networks take to learn, against the same kind of model in other libraries, in one run.

    make peers
    python benchmarks/training.py --data DIR [--budget SECONDS] [--json FILE]

DIR is the tiktok data of docs/real-data.md. Our graph matcher stands against RecBole's LightGCN (same length of
vectors, same layers), our two towers against Cornac's BPR and VBPR. All learn from train; NDCG@20 over all validation
people is computed by one function for all, outside the clock. Two ratios: seconds an epoch, and seconds to the
best NDCG the other library reached within its budget. Goal: 3. A library that was still getting better when its budget
ended is marked `+`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))  # where started by its path

from benchmarks.ranking import Task  # noqa: E402

PEERS = PROJECT / "var" / "peers" / "bin" / "python"
K = 20
EPOCHS = 12
"""Of ours: both are at their best before."""

PAIRS = (("graph", "lightgcn", "RecBole LightGCN"), ("two_tower", "bpr", "Cornac BPR"),
         ("two_tower", "vbpr", "Cornac VBPR"))  # fmt: skip

Points = list[dict[str, float]]


def ours(name: str, task: Task, public: Any) -> Iterator[dict[str, float]]:
    """One of our networks, read after every epoch; the first one holds the compiling of the step."""
    from avrec.matching.data import Histories
    from avrec.matching.registry import build
    from avrec.params import MatchingParams

    matcher: Any = build(name, MatchingParams())
    seconds, started = 0.0, time.perf_counter()
    learner = made(matcher, public)
    for epoch in range(1, EPOCHS + 1):
        learner.epoch(epoch)
        seconds += time.perf_counter() - started
        learner.write_into(matcher)
        matcher.catalog = public.catalog
        ndcg = task.ndcg(lambda users: matcher.score(Histories.from_interactions(public.train, users)), K)
        yield {"epoch": epoch, "seconds": seconds, "ndcg": ndcg}
        started = time.perf_counter()


def made(matcher: Any, public: Any) -> Any:
    """The learner of a matcher, with everything that comes before the first epoch."""
    from avrec.matching.examples import Examples
    from avrec.matching.graph_training import GraphLearner
    from avrec.matching.two_tower_training import TowerLearner

    examples = Examples.of(public.train, len(public.catalog))
    matcher.look(public.catalog, public.train)
    if matcher.name == "graph":
        return GraphLearner(matcher, public.catalog, examples)
    return TowerLearner(matcher.params, matcher.seed, examples, *matcher.inputs(public.catalog))


def theirs(model: str, task: Task, budget: float) -> Points:
    """Points of a peer, which runs alone in its own environment."""
    with tempfile.TemporaryDirectory() as folder:
        task.save(Path(folder) / "task.npz")
        command = [str(PEERS), "-m", "benchmarks.peer_training", model, f"{folder}/task.npz", folder, str(budget)]
        env = {**os.environ, "PYTHONPATH": str(PROJECT)}  # RecBole leaves logs where it runs
        done = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, check=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"epoch"')]


def per_epoch(points: Points) -> float:
    """Median seconds between two points, an epoch; the first is left out, which holds what is done once, unless there
    is no other."""
    if len(points) == 1:
        return points[0]["seconds"] / points[0]["epoch"]
    pairs = itertools.pairwise(points)
    return statistics.median((b["seconds"] - a["seconds"]) / (b["epoch"] - a["epoch"]) for a, b in pairs)


def seconds_to(points: Points, ndcg: float) -> float | None:
    """Seconds until a figure is reached; None where it never is."""
    return next((point["seconds"] for point in points if point["ndcg"] >= ndcg), None)


def compared(mine: Points, peer: Points) -> dict[str, Any]:
    """Ours beside a peer's; ratios are theirs over ours, None where ours never gets as good."""
    best = max(point["ndcg"] for point in peer)
    needed, reached = seconds_to(mine, best), seconds_to(peer, best)
    row = {
        "our_ndcg": max(point["ndcg"] for point in mine), "peer_ndcg": best,
        "our_epoch_s": per_epoch(mine), "peer_epoch_s": per_epoch(peer),
        "our_s_to_peer_ndcg": needed, "peer_s_to_peer_ndcg": reached,
    }  # fmt: skip
    row["peer_unfinished"] = peer[-1]["ndcg"] == best
    row["epoch_ratio"] = row["peer_epoch_s"] / row["our_epoch_s"]
    row["to_equal_ratio"] = reached / needed if needed and reached else None
    return row


def as_text(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'ours':<11}{'peer':<18}{'NDCG@20':>9}{'peer':>8} {'s/epoch':>9}{'peer':>8}{'ratio':>7}"
             f"{'s to equal':>12}{'peer':>8}{'ratio':>7}"]  # fmt: skip
    for row in rows:
        to_equal = [row["our_s_to_peer_ndcg"], row["peer_s_to_peer_ndcg"], row["to_equal_ratio"]]
        cells = ["n/a" if value is None else f"{value:.1f}" for value in to_equal]
        more = "+" if row["peer_unfinished"] else " "
        lines.append(
            f"{row['ours']:<11}{row['peer']:<18}{row['our_ndcg']:>9.4f}{row['peer_ndcg']:>8.4f}{more}"
            f"{row['our_epoch_s']:>9.2f}{row['peer_epoch_s']:>8.2f}{row['epoch_ratio']:>7.1f}"
            f"{cells[0]:>12}{cells[1]:>8}{cells[2]:>7}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--budget", type=float, default=900.0, help="seconds of training a peer has")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not PEERS.is_file():
        raise SystemExit(f"{PEERS} is missing: `make peers` makes the environment of the other libraries.")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from avrec.evaluation.public import load_public

    public = load_public("tiktok", arguments.data)
    pairs = [np.column_stack([part.user, part.item]).astype(np.int64) for part in (public.train, public.val)]
    features = [f.normalised() for f in public.catalog.features.values()]
    task = Task(pairs[0], pairs[1], public.train.n_users, len(public.catalog), np.hstack(features))
    mine: dict[str, Points] = {}
    rows, peers = [], {}
    for name, model, peer in PAIRS:
        if name not in mine:
            mine[name] = list(ours(name, task, public))
            print(f"{name}: {mine[name]}", file=sys.stderr, flush=True)
        points = peers[model] = theirs(model, task, arguments.budget)
        print(f"{peer}: {points}", file=sys.stderr, flush=True)
        rows.append({"ours": name, "peer": peer, **compared(mine[name], points)})
    print(as_text(rows))
    if arguments.json is not None:
        arguments.json.write_text(
            json.dumps({"rows": rows, "ours": mine, "theirs": peers}, indent=2) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
