"""What the stages train, rank and refit do: fit matchers, their twins, and the blend, and save them.

The validation users are halved by chance: matchers choose their settings and stop early on one half, the hybrid learns
its blend on the other. The figures in the reports are over the second half, which no single matcher has seen; those of
the hybrid are cross-fitted within it.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from avrec.matching.base import Matcher, twin_catalog
from avrec.matching.data import Catalog
from avrec.matching.loading import Split, validation_halves
from avrec.matching.registry import build
from avrec.matching.selection import validation_quality
from avrec.params import MatchingParams

TwinReport = dict[str, Any]

TWIN = "twin"


def train_matcher(name: str, params: MatchingParams, catalog: Catalog, split: Split, folder: Path) -> TwinReport:
    """Fits a matcher, and its twin where features matter, and saves them in `folder` and `folder/twin`.

    Returns:
        `{"settings", "epochs", "val"}`, and for a twin the same under `"twin"`; JSON values.
    """
    matcher, report = _fit(name, params, catalog, split, None)
    matcher.save(folder)
    if matcher.uses_features and catalog.features:
        twin, report[TWIN] = _fit(name, params, catalog, split, params.seed)
        twin.save(folder / TWIN)
    return report


def _fit(
    name: str, params: MatchingParams, catalog: Catalog, split: Split, twin_seed: int | None
) -> tuple[Matcher, TwinReport]:
    choose, judge = validation_halves(split.val, params.seed)
    matcher = build(name, params)
    matcher.twin_seed = twin_seed
    report = matcher.fit(twin_catalog(catalog, twin_seed), split.train, choose)
    return matcher, {**asdict(report), "val": validation_quality(matcher, split.train, judge)}
