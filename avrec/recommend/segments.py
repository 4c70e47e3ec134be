"""Default lists by segment: what the people of a country, a language or a segment like more than others do.

For somebody unknown the model gives a log odds of each item (`Hybrid`: a softmax over items). Knowing the segment
changes it, by Bayes' rule, to log P(item) + log P(segment | item) - log P(segment); the latter two are what is kept
here, estimated with a prior of `PRIOR` likes an item that follow the crowd (a gamma-Poisson model, as in DuMouchel,
"Bayesian data mining in large frequency tables", The American Statistician 1999), so that items few have met, and new
ones, stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from avrec.evaluation.slices import FEWEST, PEOPLE
from avrec.matching.base import REASON_KINDS, Reasons
from avrec.matching.data import Arrays, Floats, Interactions, Longs, Mask

PRIOR = 10.0
MOST = 100
"""Segments that are kept, those with most people."""


@dataclass(frozen=True)
class Segments:
    """Attributes:
    names: `COLUMN=VALUE`, a column of the table of users.
    lift: Added to the scores of somebody unknown, `[segments, n_items]` float32.
    """

    names: tuple[str, ...]
    lift: Floats

    def of(self, name: str) -> Floats | None:
        """Lift of one segment `[n_items]`; None where it is not known."""
        return self.lift[self.names.index(name)] if name in self.names else None

    def state(self) -> Arrays:
        return {"names": np.array(self.names, dtype=np.str_), "lift": self.lift}

    def widened(self, n_items: int) -> Segments:
        """Over a catalogue with new items at its end, which every segment likes alike as far as one knows."""
        lift = np.zeros((len(self.names), n_items), np.float32)
        lift[:, : self.lift.shape[1]] = self.lift
        return Segments(self.names, lift)


def nobody(n_items: int) -> Segments:
    """No segment at all."""
    return Segments((), np.zeros((0, n_items), np.float32))


def segments_of(users: pa.Table, interactions: Interactions, n_items: int) -> Segments:
    """Segments with at least `FEWEST` people who like something; of fewer one could guess who likes what.

    Args:
        users: Table `USERS`.
        interactions: All of them.
        n_items: Of the catalogue.
    """
    liked = interactions.positives()
    pairs = np.unique(np.stack([liked.user, liked.item]).astype(np.int64), axis=1)
    expected = np.bincount(pairs[1], minlength=n_items) / max(pairs.shape[1], 1)
    found = []
    for name, members in _groups(users, interactions.user_ids):
        own = pairs[:, members[pairs[0]]]
        people = len(np.unique(own[0]))
        if people >= FEWEST:
            counts = np.bincount(own[1], minlength=n_items)
            found.append((people, name, np.log((counts + PRIOR) / (own.shape[1] * expected + PRIOR))))
    kept = sorted(sorted(found, key=lambda each: (-each[0], each[1]))[:MOST], key=lambda each: each[1])
    if not kept:
        return nobody(n_items)
    return Segments(tuple(name for _, name, _ in kept), np.stack([lift for *_, lift in kept]).astype(np.float32))


def _groups(users: pa.Table, user_ids: Sequence[str]) -> Iterator[tuple[str, Mask]]:
    """Who belongs to each value of each column, `[n_users]` bool."""
    row = {user: i for i, user in enumerate(users["user_id"].to_pylist())}
    rows = [row.get(user, -1) for user in user_ids]
    for column in PEOPLE:
        said = users[column].to_pylist()
        values = [said[i] if i >= 0 else None for i in rows]
        for value in sorted({value for value in values if value}):
            yield f"{column}={value}", np.array([each == value for each in values], bool)


def explained(reasons: Reasons, items: Longs, scores: Floats, lift: Floats) -> Reasons:
    """`segment` where the segment raised an item above the others by more than all else did.

    Args:
        reasons: Of the model, for one list `[1, k]`.
        items: The list `[1, k]`; -1 at its end.
        scores: Of the model alone, of all items `[n_items]`.
        lift: Of the segment `[n_items]`.
    """
    safe = np.maximum(items, 0)
    raised = (items >= 0) & (lift[safe] > np.maximum(scores[safe] - scores.mean(), 0.0))
    kind = np.where(raised, REASON_KINDS.index("segment"), reasons.kind).astype(np.int8)
    return Reasons(kind, np.where(raised, -1, reasons.item).astype(np.int32))
