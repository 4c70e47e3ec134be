"""What demo people like. Written before any matcher and frozen; no matcher may know its form.

A person has a liking for every topic, sub-topic, look, sound and creator, a share of it held in common with a
community. How much each of the four counts differs from person to person. Likings drift from one state at the start of
the period to another at its end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avrec.datasets.demo.catalogue import LOOKS, SOUNDS, Catalogue, Reals
from avrec.datasets.demo.words import CATEGORIES, SUBTOPICS

COMMUNITIES = 8
COMMON = 0.7
"""Share of the variance of a liking that a community holds in common."""

DRIFT = 0.25
"""Share of the variance of a liking that changes between start and end of the period."""

ASPECTS = ("topic", "look", "sound", "creator")
IMPORTANCE = (2.4, 2.4, 2.4, 0.9)
"""Dirichlet weights of the aspects."""

QUALITY = 0.45


@dataclass(frozen=True)
class Taste:
    """Affinity of everyone to everything, in parts.

    Attributes:
        early, late: `[n_users, n_items]` at the start and at the end of the period, about standard normal.
        community: `[n_users]` codes.
    """

    early: Reals
    late: Reals
    community: npt.NDArray[np.int64]

    def at(self, user: int, moment: float) -> Reals:
        """Affinity of one person to all items `[n_items]` at `moment` (0 start, 1 end of the period)."""
        return np.asarray((1.0 - moment) * self.early[user] + moment * self.late[user])


def make_taste(catalogue: Catalogue, users: int, seed: int) -> Taste:
    """Draws `users` people; equal arguments give equal people."""
    rng = np.random.default_rng([seed, 3])
    community = rng.integers(COMMUNITIES, size=users)
    weights = np.sqrt(rng.dirichlet(IMPORTANCE, users))
    early = np.zeros((users, len(catalogue)))
    late = np.zeros_like(early)
    kinds = {"look": len(LOOKS), "sound": len(SOUNDS), "creator": catalogue.n_creators}
    for column, aspect in enumerate(ASPECTS):
        if aspect == "topic":
            wide, fine = (_likings(n, community, rng) for n in (len(CATEGORIES), len(SUBTOPICS)))
            states = [
                np.sqrt(0.65) * w[:, catalogue.topic] + np.sqrt(0.35) * f[:, catalogue.subtopic]
                for w, f in zip(wide, fine, strict=True)
            ]
        else:
            codes = getattr(catalogue, aspect)
            states = [state[:, codes] for state in _likings(kinds[aspect], community, rng)]
        early += weights[:, [column]] * states[0]
        late += weights[:, [column]] * states[1]
    quality = QUALITY * catalogue.quality[None, :]
    return Taste(early + quality, late + quality, community)


def _likings(kinds: int, community: npt.NDArray[np.int64], rng: np.random.Generator) -> tuple[Reals, Reals]:
    """Likings `[n_users, kinds]`, standard normal, at the start and at the end."""
    own = rng.normal(size=(len(community), kinds))
    shared = rng.normal(size=(COMMUNITIES, kinds))[community]
    early = np.sqrt(COMMON) * shared + np.sqrt(1 - COMMON) * own
    late = np.sqrt(1 - DRIFT) * early + np.sqrt(DRIFT) * rng.normal(size=early.shape)
    return early, late
