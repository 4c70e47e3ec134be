"""How good the lists of other libraries are, on the same split, ranked and measured by the same code, in one run.

    make peers
    python benchmarks/peers.py tiktok    --data DIR [--json FILE]
    python benchmarks/peers.py movielens --data DIR [--json FILE]

Cornac (most popular, EASE, BPR, VBPR), implicit (alternating least squares, BPR, item neighbours) and RecBole
(LightGCN) are fitted on train with a small grid each; as in `avrec benchmark --split val`, one half of the validation
users chooses among the settings, the other is reported, and the halves change places. `--models` takes some of them.
With `--keep FOLDER` what was fitted stays there, and a run that was ended goes on from it; a peer is fitted anew when
its `FOLDER/MODEL.jsonl` is deleted. No further setting of a peer is begun once it has taken `--budget` seconds.
Ours are the hybrid and what it is made of; `avrec benchmark` measures the others.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))  # where started by its path

from avrec.evaluation.benchmark import Entry, Fold, chosen_matchers, fitted_matchers, folds, judged_slices  # noqa: E402
from avrec.evaluation.evaluate import Yardstick, evaluate_matcher  # noqa: E402
from avrec.evaluation.public import PublicData, load_public  # noqa: E402
from avrec.evaluation.report import rounded  # noqa: E402
from avrec.evaluation.significance import paired_bootstrap  # noqa: E402
from avrec.matching.base import FitReport, Matcher, Reasons  # noqa: E402
from avrec.matching.data import Arrays, Catalog, Floats, Histories, Interactions, Longs  # noqa: E402
from avrec.params import MatchingParams, load_params  # noqa: E402
from benchmarks.ranking import Task  # noqa: E402

PEERS = PROJECT / "var" / "peers" / "bin" / "python"
KS = (10, 20)
CHOOSE = "ndcg@20"


class Listed(Matcher):
    """Scores that another library computed, behind the contract that everything here is measured by."""

    name = "listed"
    exact_rows = True

    def __init__(self, scores: Floats, place: Longs, catalog: Catalog) -> None:
        self.scores, self.place, self.catalog = scores, place, catalog

    def fit(self, catalog: Catalog, train: Interactions, validation: Interactions | None = None) -> FitReport:
        return FitReport({})  # the other library did

    def _score(self, histories: Histories) -> Floats:
        return np.asarray(self.scores[self.place[histories.user]], np.float32)

    def _explain(self, histories: Histories, items: Longs) -> Reasons:
        return Reasons.empty(items.shape)

    def _state(self) -> Arrays:
        return {"scores": np.asarray(self.scores), "place": self.place}

    def _restore(self, state: Arrays, settings: dict[str, Any], catalog: Catalog) -> None:
        self.scores, self.place = state["scores"], state["place"]

    def settings(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class Candidate:
    """A peer with one setting, fitted."""

    model: str
    settings: dict[str, Any]
    seconds: float
    over_budget: bool
    matcher: Listed


def fitted_peers(public: PublicData, folder: Path, python: Path, models: list[str], budget: float) -> list[Candidate]:
    """All peers with all settings; progress is told on standard error."""
    pairs = [
        np.column_stack([p.user, p.item]).astype(np.int64) for p in (public.train.positives(), public.val.positives())
    ]
    vectors = [features.normalised() for features in public.catalog.features.values()]
    features = np.hstack(vectors) if vectors else np.zeros((len(public.catalog), 0), np.float32)
    task = Task(np.unique(pairs[0], axis=0), pairs[1], public.train.n_users, len(public.catalog), features)
    _save_task(task, folder / "task.npz")
    place = np.full(task.n_users, -1, np.int64)
    place[task.judged] = np.arange(len(task.judged))
    asked = [str(folder / "task.npz"), str(folder), str(budget), *models]
    command = [str(python.absolute()), "-m", "benchmarks.peer_models", *asked]
    found = []
    env = os.environ | {"PYTHONPATH": str(PROJECT)}  # RecBole leaves logs where it runs
    with subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith('{"model"'):
                told = json.loads(line)
                scores = np.load(folder / told["file"], mmap_mode="r")
                found.append(Candidate(told["model"], told["settings"], told["seconds"], told["over_budget"],
                                       Listed(scores, place, public.catalog)))  # fmt: skip
                print(f"  {told['model']} {told['settings']}: {told['seconds']:.0f} s", file=sys.stderr, flush=True)
    if process.returncode:
        raise SystemExit(f"the peers ended with {process.returncode}; what they said stands above.")
    return found


def _save_task(task: Task, path: Path) -> None:
    """Keeps what the peers are asked; scores that answer another question must not be taken for theirs."""
    if path.is_file():
        kept = Task.load(path)
        if not all(np.array_equal(getattr(kept, part), getattr(task, part)) for part in ("train", "truth", "features")):
            raise SystemExit(f"{path.parent} holds peers fitted on other data. Name another folder, or delete it.")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    task.save(path)


def measure(public: PublicData, candidates: list[Candidate], params: MatchingParams) -> dict[str, Entry]:
    """Peers and ours over both folds, by name."""
    entries: dict[str, Entry] = {}
    yardstick = Yardstick.of(public.catalog, public.train)

    def add(name: str, settings: dict[str, Any], tried: int, seconds: float, result: Any) -> None:
        entry = entries.setdefault(name, Entry())
        entry.settings.append(settings)
        entry.tried += tried
        entry.seconds += seconds
        for part, found in result.items():
            for metric, values in found.people.items():
                entry.people.setdefault(part, {}).setdefault(metric, []).append(values)

    for fold in folds(public, "val", params.seed):
        judged, slices = judged_slices(public, fold)
        for best, tried, seconds in chosen_peers(public, candidates, fold, yardstick):
            result = evaluate_matcher(best.matcher, judged, slices, list(KS), yardstick)
            once = 0.0 if best.model in entries else seconds  # the same fits serve both passes
            add(best.model, best.settings, tried, once, result)
        _, blended = chosen_matchers(params, None)
        for fitted in fitted_matchers(public, fold.choose, params, blended, blended):
            result = evaluate_matcher(fitted.matcher, judged, slices, list(KS), yardstick)
            tried = max(len(fitted.report.trials), len(fitted.report.epochs), 1)
            seconds = fitted.seconds + fitted.members_seconds
            add(f"avrec {fitted.row}", fitted.report.settings, tried, seconds, result)
            print(f"  avrec {fitted.row}: {fitted.seconds:.0f} s", file=sys.stderr, flush=True)
    return entries


def chosen_peers(
    public: PublicData, candidates: list[Candidate], fold: Fold, yardstick: Yardstick
) -> Iterator[tuple[Candidate, int, float]]:
    """Of every peer the setting that is best for the people who choose, how many it had, and the seconds of all."""
    histories, slices = judged_slices(public, Fold(fold.judged, fold.known, fold.choose))
    everybody = [part for part in slices if part.name == "all"]

    def worth(candidate: Candidate) -> float:
        result = evaluate_matcher(candidate.matcher, histories, everybody, [20], yardstick)
        return float(result["all"].values[CHOOSE])

    for name in dict.fromkeys(candidate.model for candidate in candidates):
        mine = [candidate for candidate in candidates if candidate.model == name]
        yield max(mine, key=worth), len(mine), sum(candidate.seconds for candidate in mine)


def report(public: PublicData, entries: dict[str, Entry], candidates: list[Candidate]) -> dict[str, Any]:
    """Rows by matcher and slice, and the hybrid over the best peer by NDCG@10 with its paired 95 % bounds."""
    rows = [
        {"matcher": name, "slice": part, "seconds": round(entry.seconds, 1), "tried": entry.tried,
         **{metric: round(float(entry.values(part, metric).mean()), 5) for metric in sorted(entry.people[part])}}
        for name, entry in entries.items() for part in entry.people
    ]  # fmt: skip
    peers = dict.fromkeys(candidate.model for candidate in candidates)
    best = max(peers, key=lambda name: entries[name].values("all", "ndcg@10").mean())
    ratio = paired_bootstrap(
        entries["avrec hybrid"].values("all", "ndcg@10"), entries[best].values("all", "ndcg@10")
    ).ratio
    return {
        "benchmark": public.name, "protocol": public.protocol, "rows": rows,
        "settings": {name: entry.settings for name, entry in entries.items()},
        "over_budget": {candidate.model: candidate.settings for candidate in candidates if candidate.over_budget},
        "best_peer": best,
        "hybrid_over_best_peer": rounded({"ratio": ratio.mean, "lower": ratio.lower, "upper": ratio.upper}),
    }  # fmt: skip


def as_text(found: dict[str, Any]) -> str:
    lines = [f"{found['benchmark']}, val: {found['protocol']}",
             f"{'matcher':<22}{'NDCG@10':>9}{'Recall@20':>11}{'NDCG@20':>9}{'cold_all':>10}"
             f"{'tried':>7}{'seconds':>9}"]  # fmt: skip
    cold = {row["matcher"]: row for row in found["rows"] if row["slice"] == "cold_all"}
    everybody = [row for row in found["rows"] if row["slice"] == "all"]
    for row in sorted(everybody, key=lambda row: -row["ndcg@10"]):
        new = f"{cold[row['matcher']]['recall@20']:.4f}" if row["matcher"] in cold else "n/a"
        lines.append(f"{row['matcher']:<22}{row['ndcg@10']:>9.4f}{row['recall@20']:>11.4f}{row['ndcg@20']:>9.4f}"
                     f"{new:>10}{row['tried']:>7}{row['seconds']:>9.0f}")  # fmt: skip
    lines.extend(f"{name}: ended by its budget after {last}" for name, last in found["over_budget"].items())
    over = found["hybrid_over_best_peer"]  # empty where so few were found that a resample has none
    told = f"{over['ratio']:.2f} ({over['lower']:.2f} to {over['upper']:.2f})" if over else "n/a"
    lines.append(f"hybrid over {found['best_peer']}, NDCG@10: {told}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=("tiktok", "movielens"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", nargs="*", default=[])
    parser.add_argument("--peers", type=Path, default=PEERS, help="Python of the environment of `make peers`")
    parser.add_argument("--keep", type=Path, help="folder for what the peers computed; taken from there if it is there")
    parser.add_argument("--budget", type=float, default=1800.0, help="seconds after which a peer begins no new setting")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not arguments.peers.is_file():
        raise SystemExit(f"{arguments.peers} is missing: `make peers` makes the environment of the other libraries.")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    public = load_public(arguments.name, arguments.data)
    params = load_params().matching if Path("params.yaml").is_file() else MatchingParams()
    with tempfile.TemporaryDirectory() as folder:
        kept = (arguments.keep or Path(folder)).absolute()
        candidates = fitted_peers(public, kept, arguments.peers, arguments.models, arguments.budget)
        entries = measure(public, candidates, params)
    found = report(public, entries, candidates)
    print(as_text(found))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
