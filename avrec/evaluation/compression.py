"""What smaller towers cost: bytes, time and quality of each way to make them smaller, beside the trained ones."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avrec.evaluation.metrics import Reals, ndcg
from avrec.evaluation.significance import Comparison, paired_bootstrap
from avrec.evaluation.trial_data import TrialData
from avrec.evaluation.truth import Truth
from avrec.matching.base import Matcher
from avrec.matching.data import Histories, Longs
from avrec.matching.loading import evaluation_set
from avrec.matching.packing import size
from avrec.matching.two_tower import TwoTower
from avrec.params import CompressionParams, EvaluationParams, MatchingParams

ROUNDS = 30
"""Lists of one person that are timed; the median counts."""

STORED = {
    "float16": {"storage": "float16"},
    "int8": {"storage": "int8"},
    "half pruned": {"prune": 0.5},
    "four fifths pruned": {"prune": 0.8},
    "half pruned, int8": {"prune": 0.5, "storage": "int8"},
}
"""Ways to store towers that need no training, by name."""

LITE = ("float32", "float16", "int8")
"""Numbers of the TFLite files that are tried."""


@dataclass(frozen=True)
class Row:
    """One way.

    Attributes:
        name: For people.
        compression: As in params.yaml.
        bytes: Of the weights as stored.
        list_ms: Milliseconds for the list of one person, the median.
        people_s: Lists a second, many at once.
        quality: Mean NDCG over the people who judge.
        against: Their values compared with those of the trained towers; None for these.
    """

    name: str
    compression: CompressionParams
    bytes: int
    list_ms: float
    people_s: float
    quality: float
    against: Comparison | None


def compare(params: MatchingParams, evaluation: EvaluationParams, on: TrialData) -> Iterator[Row]:
    """Trains the two towers once, and gives a row for each way to make them smaller, the trained ones first.

    Args:
        params: Section `matching`; how the towers are trained.
        evaluation: Gives the cut-off and the bootstrap.
        on: Trained and stopped on `train` and `choose`, compared on `judge`.
    """
    judged, k = evaluation_set(on.train, on.judge), evaluation.primary_k
    truth = Truth.of([row.tolist() for row in judged.truth])
    before: Reals | None = None
    for name, matcher in candidates(params, on):
        list_ms, people_s, lists = timed(matcher, judged.histories, k)
        values = ndcg(lists, truth, k)
        against = None if before is None else paired_bootstrap(values, before, evaluation.bootstrap, evaluation.seed)
        before = values if before is None else before
        compression, quality = matcher.params.compression, float(values.mean())
        yield Row(name, compression, size(matcher._state()), list_ms, people_s, quality, against)


def candidates(params: MatchingParams, on: TrialData) -> Iterator[tuple[str, TwoTower]]:
    """Fitted towers by name: the trained ones, these stored in other ways, and students of theirs."""
    plain = params.two_tower.model_copy(update={"compression": CompressionParams()})
    trained = TwoTower(plain, params.seed)
    trained.fit(on.catalog, on.train, on.choose)
    yield "as trained", trained
    for name, values in STORED.items():
        yield name, trained.shrunk(CompressionParams.model_validate(values))
    for dim in sorted({max(plain.dim // 2, 1), max(plain.dim // 4, 1)} - {plain.dim}, reverse=True):
        compression = CompressionParams(dim=dim, teacher=params.two_tower.compression.teacher)
        student = TwoTower(plain.model_copy(update={"compression": compression}), params.seed)
        student.fit_from(trained, on.catalog, on.train, on.choose)
        yield f"distilled to {dim}", student
        yield f"distilled to {dim}, int8", student.shrunk(compression.model_copy(update={"storage": "int8"}))
    yield from on_device(trained)


def on_device(trained: TwoTower) -> Iterator[tuple[str, TwoTower]]:
    """The trained towers where their TFLite files place people and new items, by name."""
    from avrec.matching.device import DeviceTowers

    for numbers in LITE:
        with tempfile.TemporaryDirectory() as folder:
            yield f"TFLite {numbers}", DeviceTowers(trained, Path(folder), numbers)


def timed(matcher: Matcher, people: Histories, k: int) -> tuple[float, float, Longs]:
    """Milliseconds for one person's list, lists a second of all `people` at once, and these lists `[n, k]`."""
    matcher.recommend(people.slice(0, 1), k)  # whatever is done once
    alone = []
    for row in np.arange(ROUNDS) % len(people):
        started = time.perf_counter()
        matcher.recommend(people.slice(row, row + 1), k, exact_block=False)
        alone.append(time.perf_counter() - started)
    started = time.perf_counter()
    lists, _ = matcher.recommend(people, k)
    return 1000 * statistics.median(alone), len(people) / (time.perf_counter() - started), lists


def as_text(rows: Sequence[Row], k: int) -> str:
    """The table, differences with their 95 % bounds."""
    header = f"{'two towers':<24}{'KiB':>9}{'of it':>7}{'ms/list':>9}{'lists/s':>9}"
    lines = [f"{header}{f'NDCG@{k}':>9}{'change':>9}  95 % bounds"]
    for row in rows:
        told = f"{row.name:<24}{row.bytes / 1024:>9.1f}{row.bytes / rows[0].bytes:>7.2f}{row.list_ms:>9.2f}"
        told += f"{row.people_s:>9.0f}{row.quality:>9.4f}"
        if row.against is not None:
            change = row.against.difference
            told += f"{change.mean:>+9.4f}  {change.lower:+.4f} to {change.upper:+.4f}"
        lines.append(told)
    return "\n".join(lines)
