"""What `avrec tune` may try, by matcher: settings of params.yaml, and from where to where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from avrec.errors import ParamsError
from avrec.params import MatchingParams, parse_params


@dataclass(frozen=True)
class Numbers:
    """Numbers from `low` to `high`; `log`: as many between 1 and 10 as between 10 and 100."""

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int)


Space = dict[str, "Numbers | tuple[Any, ...]"]
"""By setting a range, or the values there are."""

_NETWORK: Space = {"learning_rate": Numbers(5e-4, 1e-2, log=True), "temperature": Numbers(0.05, 0.5, log=True)}
_FUSED: Space = {
    **_NETWORK, "feature_dim": (16, 32, 64), "fusion": ("gated", "weighted", "attention", "concat"),
    "modality_dropout": Numbers(0.0, 0.6), "id_dropout": Numbers(0.0, 0.6),
}  # fmt: skip

SPACES: dict[str, Space] = {
    "popularity": {"half_life_days": Numbers(1.0, 365.0, log=True)},
    "content": {"profile_size": Numbers(3, 200, log=True)},
    "ease": {"l2": Numbers(1.0, 5000.0, log=True)},
    "ease_side": {"l2": Numbers(1.0, 5000.0, log=True), "side_weight": Numbers(1.0, 1000.0, log=True)},
    "item_knn": {"alpha": Numbers(0.3, 2.0), "beta": Numbers(0.0, 1.0), "neighbours": Numbers(10, 1000, log=True)},
    "factors": {
        "dim": (16, 32, 64, 128), "iterations": Numbers(5, 30), "regularization": Numbers(0.01, 100.0, log=True),
        "confidence": Numbers(1.0, 100.0, log=True),
    },
    "knowledge_graph": {"steps": Numbers(1, 4), "restart": Numbers(0.1, 0.9), "popularity": Numbers(0.0, 1.0)},
    "two_tower": {**_FUSED, "dim": (32, 64, 128)},
    "graph": {
        **_NETWORK, "dim": (32, 64, 128), "layers": (1, 3, 5), "neighbours": Numbers(5, 40),
        "given": Numbers(0.2, 0.8), "id_dropout": Numbers(0.0, 0.6),
    },
    "sequence": {**_FUSED, "dim": (32, 64, 128), "blocks": Numbers(1, 3), "dropout": Numbers(0.0, 0.5)},
}  # fmt: skip


def space_of(matcher: str) -> Space:
    """The settings of a matcher.

    Raises:
        ParamsError: there is nothing to be tried.
    """
    if matcher not in SPACES:
        raise ParamsError(f"tune: '{matcher}' is no matcher with settings to be tried; expected one of {list(SPACES)}.")
    return SPACES[matcher]


def with_settings(params: MatchingParams, matcher: str, settings: dict[str, Any]) -> MatchingParams:
    """The section with other settings of one matcher.

    Raises:
        ParamsError: they do not go together with what params.yaml says of the others.
    """
    values = params.model_dump()
    values[matcher] = {**values[matcher], **settings}
    return parse_params({"matching": values}, f"params.yaml with {settings}").matching


def settings_now(params: MatchingParams, matcher: str) -> dict[str, Any] | None:
    """What params.yaml says of the settings that are tried; None where one of them lies outside the space."""
    space, now = space_of(matcher), getattr(params, matcher)
    found = {name: getattr(now, name) for name in space}
    return found if all(_holds(space[name], value) for name, value in found.items()) else None


def _holds(among: Numbers | tuple[Any, ...], value: Any) -> bool:
    if isinstance(among, Numbers):
        return value is not None and among.low <= value <= among.high
    return value in among
