"""An older model is measured as such: it learned less, and is worse where new things are liked."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from avrec.errors import DataError
from avrec.evaluation.protocol import TestSet
from avrec.evaluation.staleness import markdown, staleness
from avrec.matching.hybrid import Hybrid
from avrec.matching.loading import Split, concat, validation_halves
from avrec.matching.registry import build
from avrec.matching.training import TwinReport, refit
from avrec.params import EvaluationParams, MatchingParams
from tests.matching.planted import planted_catalog, planted_split

PARAMS, EVALUATION = MatchingParams(), EvaluationParams(ks=(5,), primary_k=5)


@pytest.fixture(scope="module")
def on() -> TestSet:
    """From day 40 on new items are liked; the test begins on day 45."""
    catalog = planted_catalog()
    return TestSet.of(catalog, planted_split(catalog), (None,) * len(catalog))


@pytest.fixture(scope="module")
def reports(on: TestSet) -> dict[str, TwinReport]:
    choose, learn = validation_halves(on.split.val, 7)
    members = {name: build(name, PARAMS) for name in ("popularity", "ease")}
    found = {name: asdict(member.fit(on.catalog, on.split.train, choose)) for name, member in members.items()}
    return {**found, "hybrid": asdict(Hybrid(PARAMS.rank, members, 7).fit(on.catalog, on.split.train, learn))}


def test_age_costs_where_new_things_are_liked(on: TestSet, reports: dict[str, TwinReport]) -> None:
    found = {(one.matcher, one.days): one for one in staleness(on, PARAMS, reports, EVALUATION, (0, 14))}
    assert {name for name, _ in found} == {"popularity", "ease", "hybrid"}
    young, old = found["ease", 0], found["ease", 14]
    known = concat(on.split.train, on.split.val)
    limit = on.split.test.timestamp.min() - 14 * 86400
    assert (young.interactions, old.interactions) == (len(known), int(np.sum(known.timestamp < limit)))
    assert young.people == old.people == len(on.histories)
    assert young.values["all"] > old.values["all"] > 0
    assert refit(PARAMS, on.catalog, known, reports).keys() == {"popularity", "ease", "hybrid"}
    assert "| ease |" in markdown(list(found.values()), "ndcg@5")


def test_what_cannot_be_old_is_told(on: TestSet, reports: dict[str, TwinReport]) -> None:
    with pytest.raises(DataError, match="400 days"):
        staleness(on, PARAMS, reports, EVALUATION, (400,))
    parts = [part.where(np.ones(len(part), bool)) for part in (on.split.train, on.split.val, on.split.test)]
    timeless = Split(*(replace(part, timestamp=np.zeros_like(part.timestamp)) for part in parts))
    with pytest.raises(DataError, match="no time"):
        staleness(replace(on, split=timeless), PARAMS, reports, EVALUATION)
