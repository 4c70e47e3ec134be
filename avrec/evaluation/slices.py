"""The parts of the held-out interactions that are looked at on their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from avrec.evaluation.truth import Truth
from avrec.features.base import Features
from avrec.matching.data import Catalog, Interactions, Longs, Mask

CATEGORY = "category="
PEOPLE = ("language", "country", "segment")
"""Columns of the users whose groups are looked at on their own: nobody may be served worse unnoticed."""
FEWEST = 20
"""A group of fewer people with truth is none: its mean would say nothing, and its people could be guessed."""


@dataclass(frozen=True)
class Slice:
    """One part: whose lists, judged by which truth, made of which items.

    Attributes:
        name: As it stands in reports.
        rows: Rows of the histories that have truth here, `[m]` int64, ascending.
        truth: Truth of those rows, none empty.
        allowed: `[n_items]` bool where lists are made of some items only; None for all.
        detail: False where only the primary cut-off is worth reporting (a slice a category).
    """

    name: str
    rows: Longs
    truth: Truth
    allowed: Mask | None = None
    detail: bool = True

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Traits:
    """What the slices are cut by.

    Attributes:
        cold: `[n_items]` bool; items without a training interaction.
        light: `[n]` bool, one a history; people with few training interactions.
        incomplete: `[n_items]` bool; items that lack a modality.
        categories: Category name of every item; None where unknown.
        groups: By column of the users, the value of each history's person; None where unknown.
    """

    cold: Mask
    light: Mask
    incomplete: Mask
    categories: Sequence[str | None]
    groups: Mapping[str, Sequence[str | None]] = field(default_factory=dict)


def build_slices(truth: Truth, traits: Traits, max_categories: int = 30) -> list[Slice]:
    """Every slice that has truth; `cold_all` ranks its truth against all items, `cold_only` against cold ones.

    Categories are the `max_categories` with most truth, in order of name.
    """
    everyone = np.ones(len(truth), np.bool_)
    cold = truth.restricted(traits.cold)
    slices = [
        _slice("all", truth, everyone),
        _slice("cold_all", cold, everyone),
        _slice("cold_only", cold, everyone, allowed=traits.cold),
        _slice("light_users", truth, traits.light),
        _slice("missing_modality", truth.restricted(traits.incomplete), everyone),
        *_category_slices(truth, traits.categories, max_categories),
        *_group_slices(truth, traits.groups),
    ]
    return [part for part in slices if len(part)]


def _slice(name: str, truth: Truth, who: Mask, allowed: Mask | None = None, detail: bool = True) -> Slice:
    rows = np.flatnonzero(who & (truth.sizes > 0)).astype(np.int64)
    return Slice(name, rows, truth.take(rows), allowed, detail)


def _category_slices(truth: Truth, categories: Sequence[str | None], most: int) -> list[Slice]:
    names = sorted({name for name in categories if name})
    code = {name: i for i, name in enumerate(names)}
    codes = np.array([code.get(name or "", -1) for name in categories], np.int64)
    counts = np.bincount(codes[truth.items] + 1, minlength=len(names) + 1)[1:]
    kept = sorted(np.argsort(-counts, kind="stable")[:most].tolist())
    who = np.ones(len(truth), np.bool_)
    return [_slice(f"{CATEGORY}{names[i]}", truth.restricted(codes == i), who, detail=False) for i in kept]


def _group_slices(truth: Truth, groups: Mapping[str, Sequence[str | None]]) -> Iterator[Slice]:
    """A slice a value of each column, in order of name, where enough people with truth have it."""
    for column, values in groups.items():
        for value in sorted({value for value in values if value}):
            part = _slice(f"{column}={value}", truth, np.array([v == value for v in values], np.bool_), detail=False)
            if len(part) >= FEWEST:
                yield part


def cold_items(train: Interactions, n_items: int) -> Mask:
    """Items without any training interaction, `[n_items]` bool."""
    cold: Mask = np.bincount(train.item, minlength=n_items) == 0
    return cold


def incomplete_items(catalog: Catalog) -> Mask:
    """Items that lack at least one of the modalities the data set has, `[n_items]` bool."""
    features: list[Features] = [f for f in catalog.features.values() if f.present.any()]
    return ~np.logical_and.reduce([f.present for f in features]) if features else np.zeros(len(catalog), np.bool_)
