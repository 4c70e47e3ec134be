"""Matchers by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avrec.errors import DataError
from avrec.matching.base import Matcher, read_settings
from avrec.matching.content import Content
from avrec.matching.data import Catalog
from avrec.matching.ease import Ease
from avrec.matching.ease_side import EaseSide
from avrec.matching.factors import Factors
from avrec.matching.graph import Graph
from avrec.matching.hybrid import Hybrid
from avrec.matching.item_knn import ItemKnn
from avrec.matching.knowledge_graph import KnowledgeGraph
from avrec.matching.popularity import Popularity
from avrec.matching.sequence import Sequence
from avrec.matching.two_tower import TwoTower
from avrec.params import MatchingParams

MATCHERS: dict[str, type[Matcher]] = {
    cls.name: cls
    for cls in (
        Popularity,
        Content,
        Ease,
        EaseSide,
        ItemKnn,
        Factors,
        KnowledgeGraph,
        TwoTower,
        Graph,
        Sequence,
        Hybrid,
    )
}
"""Every matcher; `hybrid` is made of the others."""

SINGLE = tuple(name for name in MATCHERS if name != "hybrid")


def build(name: str, params: MatchingParams, frozen: dict[str, Any] | None = None) -> Matcher:
    """An unfitted matcher.

    Args:
        name: One of `SINGLE`.
        params: Section `matching` of params.yaml.
        frozen: Settings an earlier fit reported; they take the place of the ones in params and are not chosen again.
    """
    cls: Any = MATCHERS[_known(name)]
    matcher: Matcher = cls(getattr(params, name), seed=params.seed, frozen=frozen)
    return matcher


def is_disabled(folder: Path) -> bool:
    """Whether a folder is the marker of a matcher that params.yaml switches off."""
    return bool(read_settings(folder).get("disabled"))


def load_matcher(folder: Path, catalog: Catalog) -> Matcher:
    """Loads whatever matcher a folder holds; a twin shuffles the features of the catalogue itself.

    Raises:
        DataError: nothing, a disabled matcher, or an unknown one is saved there.
    """
    return MATCHERS[_known(read_settings(folder)["name"])].load(folder, catalog)


def _known(name: str) -> str:
    if name not in MATCHERS:
        raise DataError(f"matcher: '{name}' is unknown; expected one of {list(MATCHERS)}.")
    return name
