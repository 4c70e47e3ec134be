"""The shadow table: challenger's lists beside the champion's, same people, day and data, before anybody decides.

Figures on test say how good a model is; this says what would change for people. Nothing of it is published.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avrec.datasets.dataset import Dataset
from avrec.errors import DataError
from avrec.evaluation.metrics import coverage, gini
from avrec.matching.data import Longs, Mask
from avrec.recommend.bundle import Bundle
from avrec.recommend.filters import available_at, end_of
from avrec.recommend.recipe import Recipe, is_default
from avrec.recommend.tables import shard_rows, users_of
from avrec.registry import client as server
from avrec.registry import versions

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

ARTIFACT, TAG = "shadow.json", "avrec.shadow"
PEOPLE = 2048
"""People whose lists are made; whole blocks of the table, from its start."""
LIGHT = 5
"""A short history has at most so many likes."""
NEW_DAYS = 7
"""An item is new for so long after it was published."""


@dataclass(frozen=True)
class Spread:
    """One model's lists: share of the available items in any list, concentration, share of rows that are new items."""

    coverage: float
    gini: float
    new_items: float


@dataclass(frozen=True)
class Overlap:
    """How alike two models' lists are for some people: mean share in common, and share with the same first item."""

    people: int
    common: float
    same_first: float


@dataclass(frozen=True)
class Shadow:
    """Two tables beside each other.

    Attributes:
        version, champion: Registered versions; the champion None where there is none, or it cannot be compared.
        run_date, k: Day and length of the lists.
        people: How many people got lists.
        spread: By `challenger` and `champion`.
        overlap: By slice of people.
        categories: Share of the rows by category, challenger and champion, the largest changes first.
        note: Why there is no comparison; empty where there is one.
    """

    version: str
    champion: str | None
    run_date: str
    k: int
    people: int
    spread: Mapping[str, Spread]
    overlap: Mapping[str, Overlap] = field(default_factory=dict)
    categories: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    note: str = ""

    def markdown(self) -> list[str]:
        """Lines for the person who decides."""
        lines = [f"### What would change: lists of {self.people} people for {self.run_date}, {self.k} items each", ""]
        if self.note:
            lines += [self.note, ""]
        lines += ["| | " + " | ".join(self.spread) + " |", "| --- |" + " ---: |" * len(self.spread)]
        for name, title in (("coverage", "available items in any list"), ("gini", "concentration (Gini)"),
                            ("new_items", f"rows that are items of the last {NEW_DAYS} days")):  # fmt: skip
            lines.append(f"| {title} | " + " | ".join(f"{getattr(s, name):.3f}" for s in self.spread.values()) + " |")
        if self.overlap:
            lines += ["", "| people | number | of a list in common | same first item |", "| --- | ---: | ---: | ---: |"]
            for name, one in self.overlap.items():
                lines.append(f"| {name} | {one.people} | {one.common:.1%} | {one.same_first:.1%} |")
        if self.categories:
            moves = ", ".join(f"{name} {before:.1%} → {now:.1%}" for name, (now, before) in self.categories.items())
            lines += ["", f"Categories that change most, champion → challenger: {moves}."]
        return [*lines, ""]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Shadow:
        made = {
            "spread": {name: Spread(**one) for name, one in values["spread"].items()},
            "overlap": {name: Overlap(**one) for name, one in values["overlap"].items()},
            "categories": {name: tuple(pair) for name, pair in values["categories"].items()},
        }
        return cls(**{**values, **made})


def shadow(name: str, root: Path) -> Shadow:
    """Makes both tables, compares them, and writes the result to MLflow (`shadow.json` in the version's run).

    Args:
        name: Version number or alias.
        root: The checkout the version came from, with `data/valid` and `artifacts/bundle`.

    Raises:
        RegistryError: no such version, or files of the champion that are not the registered ones.
    """
    client = server.connect()
    version, champion = versions.resolve(client, name), versions.champion(client)
    dataset, bundle = Dataset(root / "data" / "valid"), Bundle.load(root / "artifacts" / "bundle")
    day = _day(dataset)
    other, note = _champion_bundle(version, champion, bundle)
    made = compare(version.version, bundle, champion.version if champion and other else None, other, dataset, day, note)
    client.log_dict(version.run_id, made.to_json(), ARTIFACT)
    versions.tag(client, version, {TAG: made.champion or "none"})
    return made


def read_shadow(client: MlflowClient, version: ModelVersion) -> Shadow | None:
    """What `shadow` wrote; None where it was not made."""
    import mlflow

    if TAG not in version.tags:
        return None
    return Shadow.from_json(mlflow.artifacts.load_dict(f"runs:/{version.run_id}/{ARTIFACT}"))


def compare(version: str, bundle: Bundle, champion: str | None, other: Bundle | None, dataset: Dataset, day: date,
            note: str = "") -> Shadow:  # fmt: skip
    """Compares the lists of two bundles over the same data set on a day; `other` None tells of one alone."""
    recipe = Recipe(day, int(bundle.info.get("k") or 20))
    people = users_of(dataset, day, 0, PEOPLE)
    items = dataset.table("items")
    ids = items["item_id"].to_pylist()
    challenger = _matrix(bundle, dataset, recipe, people, ids)
    available = available_at(items, end_of(day))
    new = available & ~available_at(items, end_of(day) - timedelta(days=NEW_DAYS))
    made = Shadow(version, champion, day.isoformat(), recipe.k, len(people),
                  {"challenger": _spread(challenger, available, new)}, note=note)  # fmt: skip
    if other is None:
        return made
    theirs = _matrix(other, dataset, recipe, people, ids)
    light = np.diff(bundle.histories_of(people).indptr) <= LIGHT
    unknown = other.users(people) < 0
    slices = {"all": np.ones(len(people), bool), "short histories": light, "long histories": ~light,
              "unknown to the champion": unknown}  # fmt: skip
    return replace(
        made,
        spread={**made.spread, "champion": _spread(theirs, available, new)},
        overlap={name: _overlap(challenger[mask], theirs[mask]) for name, mask in slices.items() if mask.any()},
        categories=_categories(items["category"].to_pylist(), challenger, theirs),
    )


def _champion_bundle(version: ModelVersion, champion: ModelVersion | None, bundle: Bundle) -> tuple[Bundle | None, str]:
    """The champion over the challenger's catalogue, or why there is none."""
    if champion is None:
        return None, "There is no champion yet; nothing to compare with."
    if champion.version == version.version:
        return None, "It is the champion."
    with tempfile.TemporaryDirectory() as scratch:
        try:
            found = Bundle.load(versions.fetch(champion.version, Path(scratch) / "model"))
            return found.with_catalog(bundle.items, found.shared_features(bundle)), ""
        except DataError as error:
            return None, f"Version {champion.version}, the champion, cannot be compared: {error}"


def _day(dataset: Dataset) -> date:
    if dataset.meta.as_of is None:
        return datetime.now(UTC).date()
    return (datetime.fromisoformat(dataset.meta.as_of) - timedelta(microseconds=1)).date()


def _matrix(bundle: Bundle, dataset: Dataset, recipe: Recipe, people: Sequence[str], ids: Sequence[str]) -> Longs:
    """Lists as positions among the items, `[n_people, k]` int64, -1 where a list is shorter."""
    matrix = np.full((len(people), recipe.k), -1, np.int64)
    place, row = {item: n for n, item in enumerate(ids)}, {user: n for n, user in enumerate(people)}
    for part in shard_rows(bundle, dataset, recipe, 0, PEOPLE):
        columns = (part[name].to_pylist() for name in ("user_id", "rank", "item_id"))
        for user, rank, item in zip(*columns, strict=True):
            if not is_default(user):
                matrix[row[user], rank - 1] = place[item]
    return matrix


def _spread(matrix: Longs, available: Mask, new: Mask) -> Spread:
    n = max(int(available.sum()), 1)
    order = np.full(len(available), -1, np.int64)
    order[available] = np.arange(int(available.sum()))
    listed = np.where(matrix >= 0, order[matrix], -1)
    rows = matrix[matrix >= 0]
    fresh = float(new[rows].mean()) if len(rows) else 0.0
    return Spread(coverage(listed, matrix.shape[1], n), gini(listed, matrix.shape[1], n), fresh)


def _overlap(mine: Longs, theirs: Longs) -> Overlap:
    there = mine >= 0
    common = ((mine[:, :, None] == theirs[:, None, :]).any(axis=2) & there).sum(axis=1)
    length = np.maximum(np.maximum(there.sum(axis=1), (theirs >= 0).sum(axis=1)), 1)
    return Overlap(len(mine), float((common / length).mean()), float((mine[:, 0] == theirs[:, 0]).mean()))


def _categories(names: Sequence[str | None], mine: Longs, theirs: Longs) -> dict[str, tuple[float, float]]:
    """Shares of the rows by category, the five that differ most."""
    labels = np.array([name or "no category" for name in names])
    found = {}
    for name in np.unique(labels).tolist():
        members = labels == name
        found[name] = tuple(float(members[m[m >= 0]].mean()) if (m >= 0).any() else 0.0 for m in (mine, theirs))
    return dict(sorted(found.items(), key=lambda pair: -abs(pair[1][0] - pair[1][1]))[:5])
