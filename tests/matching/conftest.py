"""One planted world and its fitted matchers for all tests of the room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from avrec.matching.base import Matcher
from avrec.matching.data import Catalog
from avrec.matching.hybrid import Hybrid
from avrec.matching.loading import Split, validation_halves
from avrec.matching.registry import SINGLE, build
from avrec.params import GraphParams, MatchingParams, SequenceParams, TwoTowerParams

from .planted import planted_catalog, planted_split

NETWORK = {"dim": 16, "epochs": 6, "patience": 2, "learning_rate": 0.01}
PARAMS = MatchingParams(
    two_tower=TwoTowerParams(**NETWORK, batch_size=128), graph=GraphParams(**NETWORK, neighbours=5),
    sequence=SequenceParams(**NETWORK, blocks=2, history=12, batch_size=32),
)  # fmt: skip


@dataclass
class World:
    """Catalogue, split, and matchers fitted once, by name."""

    catalog: Catalog
    split: Split
    fitted: dict[str, Matcher] = field(default_factory=dict)

    def matcher(self, name: str) -> Matcher:
        if name not in self.fitted:
            choose, learn = validation_halves(self.split.val, PARAMS.seed)
            if name == Hybrid.name:
                members = {single: self.matcher(single) for single in SINGLE}
                matcher: Matcher = Hybrid(PARAMS.rank, members)
                matcher.fit(self.catalog, self.split.train, learn)
            else:
                matcher = build(name, PARAMS)
                matcher.fit(self.catalog, self.split.train, choose)
            self.fitted[name] = matcher
        return self.fitted[name]


@pytest.fixture(scope="session")
def world() -> World:
    catalog = planted_catalog()
    return World(catalog, planted_split(catalog))


@pytest.fixture
def fitted(world: World) -> Callable[[str], Matcher]:
    return world.matcher
