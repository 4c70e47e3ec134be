"""What matchers learn from: a catalogue, people's histories, and interactions as dense indices.

Identifiers are strings outside and dense integers inside. Item index: row of the items table. User index: order of
first appearance in the interactions, so that it does not depend on the pseudonym key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from avrec.features.base import Features

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Catalog:
    """The items a matcher may recommend.

    Attributes:
        item_ids: Identifiers `[n_items]` in index order.
        published_at: Seconds since the epoch, `[n_items]` int64; 0 where unknown.
        category, creator: Dense codes `[n_items]` int32; -1 where unknown.
        media_type: Names `[n_items]`.
        features: By modality, in catalogue order; a modality may be absent from the mapping.
        entities: What each item is linked to, by kind (`creator`, `category`, `tag`, `seen`, `heard`): names, in
            catalogue order; a kind may be absent.
    """

    item_ids: tuple[str, ...]
    published_at: Longs
    category: Ints
    creator: Ints
    media_type: tuple[str, ...]
    features: dict[str, Features]
    entities: Mapping[str, Sequence[tuple[str, ...]]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.item_ids)

    @cached_property
    def index(self) -> dict[str, int]:
        return {item: i for i, item in enumerate(self.item_ids)}

    def with_features(self, features: dict[str, Features]) -> Catalog:
        """The same items seen through other features (the shuffled twin, an ablation)."""
        return replace(self, features=features)


@dataclass(frozen=True)
class Interactions:
    """Interactions in time order, oldest first; equal length arrays.

    Attributes:
        user, item: Dense indices int32.
        timestamp: Seconds since the epoch int64; 0 throughout where the data set has no time.
        label: 1 positive, -1 negative (a true negative), 0 unknown; int8.
        weight: Confidence float32.
        user_ids: Identifier of each user index.
    """

    user: Ints
    item: Ints
    timestamp: Longs
    label: npt.NDArray[np.int8]
    weight: Floats
    user_ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.user)

    @property
    def n_users(self) -> int:
        return len(self.user_ids)

    @cached_property
    def index(self) -> dict[str, int]:
        return {user: i for i, user in enumerate(self.user_ids)}

    def where(self, mask: Mask) -> Interactions:
        """The rows under `mask`; users keep their index."""
        return Interactions(
            self.user[mask], self.item[mask], self.timestamp[mask], self.label[mask], self.weight[mask], self.user_ids
        )

    def positives(self) -> Interactions:
        return self.where(self.label > 0)


@dataclass(frozen=True)
class Histories:
    """What some people liked (oldest first) and all they have seen; ragged rows as in CSR.

    Attributes:
        user: Dense index in the matcher's training data `[n]` int32; -1 for people it never saw.
        indptr, items: Liked items of row `r` are `items[indptr[r]:indptr[r + 1]]`.
        seen_indptr, seen_items: Everything seen, liked or not; masked from every list.
    """

    user: Ints
    indptr: Longs
    items: Ints
    seen_indptr: Longs
    seen_items: Ints

    def __len__(self) -> int:
        return len(self.user)

    def liked(self, row: int) -> Ints:
        return self.items[self.indptr[row] : self.indptr[row + 1]]

    def seen(self, row: int) -> Ints:
        return self.seen_items[self.seen_indptr[row] : self.seen_indptr[row + 1]]

    def slice(self, start: int, stop: int) -> Histories:
        """Rows `start` to `stop`."""
        a, b = self.indptr[start], self.indptr[stop]
        c, d = self.seen_indptr[start], self.seen_indptr[stop]
        return Histories(
            self.user[start:stop],
            self.indptr[start : stop + 1] - a,
            self.items[a:b],
            self.seen_indptr[start : stop + 1] - c,
            self.seen_items[c:d],
        )

    @classmethod
    def of(cls, liked: Sequence[Sequence[int]], seen: Sequence[Sequence[int]] | None = None,
           user: Sequence[int] | None = None) -> Histories:  # fmt: skip
        """Builds histories from lists of item indices; `seen` defaults to `liked`."""
        seen = liked if seen is None else seen
        pointer = [
            np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64) for rows in (liked, seen)
        ]
        flat = [np.array([i for row in rows for i in row], dtype=np.int32) for rows in (liked, seen)]
        index = np.full(len(liked), -1, np.int32) if user is None else np.asarray(user, np.int32)
        return cls(index, pointer[0], flat[0], pointer[1], flat[1])

    @classmethod
    def from_interactions(cls, interactions: Interactions, users: Ints) -> Histories:
        """Histories of the given users, in time order; every row of a user counts as seen."""
        return cls(
            users.astype(np.int32),
            *_group(interactions.positives(), users),
            *_group(interactions, users),
        )


def _group(interactions: Interactions, users: Ints) -> tuple[Longs, Ints]:
    order = np.argsort(interactions.user, kind="stable")  # stable: keeps time order within a user
    sorted_users, items = interactions.user[order], interactions.item[order]
    starts = np.searchsorted(sorted_users, users, side="left")
    lengths = np.searchsorted(sorted_users, users, side="right") - starts
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = np.repeat(starts - indptr[:-1], lengths) + np.arange(indptr[-1])
    return indptr, items[rows].astype(np.int32)
