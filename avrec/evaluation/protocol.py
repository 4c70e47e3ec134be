"""The test protocol: models fitted on train, lists made from the history up to the test, all on the same people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from avrec.datasets.dataset import Dataset
from avrec.evaluation.decision import Decision, Labelled, decide
from avrec.evaluation.evaluate import Result, Yardstick, evaluate_matcher
from avrec.evaluation.slices import PEOPLE, Slice, Traits, build_slices, cold_items, incomplete_items
from avrec.evaluation.truth import Truth
from avrec.matching.base import Matcher
from avrec.matching.data import Catalog, Histories
from avrec.matching.loading import Split, concat, load_catalog, load_split, test_histories
from avrec.params import EvaluationParams

TWIN = "+shuffled"
HYBRID = "hybrid"


@dataclass(frozen=True)
class TestSet:
    """Whose lists are judged, by what, and what is known of them.

    Attributes:
        catalog: The items, with their real features.
        split: Train, val and test.
        categories: Category name of every item.
        histories: People with something new they liked in test, and what they did before it.
        slices: Parts of it; rows are rows of `histories`.
        yardstick: What novelty and diversity are measured with.
        validation, test: Labelled interactions for the decision "will they like it".
    """

    __test__ = False  # pytest would take it for a test where imported

    catalog: Catalog
    split: Split
    categories: tuple[str | None, ...]
    histories: Histories
    slices: list[Slice]
    yardstick: Yardstick
    validation: Labelled
    test: Labelled

    @classmethod
    def read(cls, valid: Path, split: Path, features: Path) -> TestSet:
        """Reads what the stages `validate`, `split` and `features` wrote."""
        dataset = Dataset(valid)
        catalog = load_catalog(dataset, features)
        categories = tuple(dataset.table("items")["category"].to_pylist())
        return cls.of(catalog, load_split(split, catalog), categories, dataset.table("users"))

    @classmethod
    def of(cls, catalog: Catalog, split: Split, categories: tuple[str | None, ...],
           users: pa.Table | None = None) -> TestSet:  # fmt: skip
        histories, liked = test_histories(split)
        light = set(split.slices.get("light_users", []))
        traits = Traits(
            cold_items(split.train, len(catalog)),
            np.array([split.user_ids[user] in light for user in histories.user], np.bool_),
            incomplete_items(catalog),
            categories,
            {} if users is None else groups_of(users, [split.user_ids[user] for user in histories.user]),
        )
        return cls(
            catalog,
            split,
            categories,
            histories,
            build_slices(Truth.of([row.tolist() for row in liked]), traits),
            Yardstick.of(catalog, split.train),
            Labelled.of(split.val, split.train),
            Labelled.of(split.test, concat(split.train, split.val)),
        )

    @property
    def period(self) -> dict[str, str | None]:
        """First and last instant of the test, ISO; None where the data set has no time."""
        times = self.split.test.timestamp
        if not len(times) or not times.any():
            return {"from": None, "to": None}
        return {"from": _iso(int(times.min())), "to": _iso(int(times.max()))}

    def user_ids(self, part: Slice) -> list[str]:
        """Pseudonyms of the people of a slice, in its order."""
        return [self.split.user_ids[user] for user in self.histories.user[part.rows]]


def groups_of(users: pa.Table, user_ids: Sequence[str]) -> dict[str, list[str | None]]:
    """What the table of users says of some people, by column of `PEOPLE`, in their order."""
    row = {user: i for i, user in enumerate(users["user_id"].to_pylist())}
    said = {column: users[column].to_pylist() for column in PEOPLE}
    return {c: [values[row[user]] if user in row else None for user in user_ids] for c, values in said.items()}


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


@dataclass(frozen=True)
class Evaluated:
    """Every matcher on the same test set, in the order given; twins are named `NAME+shuffled`."""

    on: TestSet
    params: EvaluationParams
    results: dict[str, Result]
    decisions: dict[str, Decision | None]

    @property
    def primary(self) -> str:
        """The metric that selection and gate look at."""
        return f"ndcg@{self.params.primary_k}"

    @property
    def best_single(self) -> str | None:
        """The single matcher with the highest primary metric over all; the hardest one for the hybrid to beat."""
        single = {
            name: r["all"].values[self.primary] for name, r in self.results.items() if is_single(name) and "all" in r
        }
        return max(single, key=lambda name: single[name]) if single else None


def is_single(name: str) -> bool:
    """Neither the hybrid nor a twin."""
    return name != HYBRID and not name.endswith(TWIN)


def evaluate_all(matchers: Iterable[tuple[str, Matcher]], on: TestSet, params: EvaluationParams) -> Evaluated:
    """Measures matchers one after the other; an iterator that loads them as it goes keeps one in memory at a time."""
    results: dict[str, Result] = {}
    decisions: dict[str, Decision | None] = {}
    for name, matcher in matchers:
        results[name] = evaluate_matcher(matcher, on.histories, on.slices, params.ks, on.yardstick, params.primary_k)
        decisions[name] = decide(matcher, on.validation, on.test)
    return Evaluated(on, params, results, decisions)
