from __future__ import annotations

from typing import cast

import numpy as np
import pytest

from avrec.matching import content, quick, shortlist, vectors
from avrec.matching.base import top_k
from avrec.matching.content import Content
from avrec.matching.data import Floats, Histories
from avrec.matching.hybrid import Hybrid
from avrec.matching.loading import test_histories
from avrec.matching.shortlist import Shortlist

from .conftest import World


def unit_rows(rng: np.random.Generator, present: np.ndarray, dim: int) -> Floats:
    found = rng.normal(size=(len(present), dim)) * 0.5 ** np.arange(dim) * present[:, None]
    return (found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)).astype(np.float32)


@pytest.mark.parametrize("axes", [2, 100])
def test_what_is_looked_at_closely_is_exact_and_so_are_mean_and_deviation(
    axes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortlist, "AXES", axes)
    monkeypatch.setattr(shortlist, "ROWS", 7)
    rng, n = np.random.default_rng(0), 50
    present = {"visual": rng.random(n) < 0.7, "audio": rng.random(n) < 0.5}
    units = {name: unit_rows(rng, rows, 6) for name, rows in present.items()}
    share = (1 / np.sqrt(np.maximum(sum(rows.astype(int) for rows in present.values()), 1))).astype(np.float32)
    own, fused = ({name: rng.normal(size=6).astype(np.float32) for name in units} for _ in range(2))
    wanted = np.sum([units[m] @ own[m] + share * (units[m] @ fused[m]) for m in units], axis=0)
    found = Shortlist(units, share).rough(own, fused)
    items = rng.permutation(n)
    np.testing.assert_allclose(found.at(items), wanted[items], rtol=1e-4, atol=1e-5)
    assert found.mean == pytest.approx(wanted.mean(), abs=1e-5)
    assert found.deviation == pytest.approx(wanted.std(), rel=1e-4)
    error = np.abs(found.scores - wanted).max()
    assert error < 1e-4 if axes == 100 else 1e-3 < error < 3 * wanted.std()


def test_a_request_gets_the_exact_list_and_its_reasons(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recall of the quick way against every score computed in full, with few axes and few items looked at closely."""
    hybrid = cast(Hybrid, world.matcher("hybrid"))
    judged = test_histories(world.split).histories
    allowed = np.arange(len(world.catalog)) % 7 > 0
    for room in (content, vectors):
        monkeypatch.setattr(room, "LARGE", 0)
    monkeypatch.setattr(shortlist, "AXES", 3)
    monkeypatch.setattr(quick, "CLOSER", 30)
    hits = []
    for row in range(20):
        person = judged.slice(row, row + 1)
        items, _ = hybrid.recommend(person, 10, allowed)
        quickly, explain = hybrid.answer(person, allowed)
        found, values = top_k(quickly, 10)
        hits.append(np.isin(items, found).mean())
        both = np.isin(found, items)
        np.testing.assert_allclose(values[both], hybrid.score(person)[:, found[both]][0], rtol=1e-3, atol=1e-3)
        why, wanted = explain(found), hybrid.explain(person, found)
        assert (why.kind == wanted.kind).mean() >= 0.9
        assert (why.item == wanted.item).mean() >= 0.9
        assert (found[values > -np.inf] % 7 > 0).all()
    assert np.mean(hits) >= 0.98
    member = cast(Content, world.matcher("content"))
    assert member._shortlist is not None and member._shortlist._short.shape[1] < sum(
        units.shape[1] for units in member.units.values()
    )
    member._shortlist = None


def test_a_history_without_likes_is_answered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in (content, vectors):
        monkeypatch.setattr(room, "LARGE", 0)
    hybrid, nobody = cast(Hybrid, world.matcher("hybrid")), Histories.of([[]])
    scores, _ = hybrid.answer(nobody)
    np.testing.assert_allclose(np.sort(scores), np.sort(hybrid.score(nobody)), rtol=1e-3, atol=1e-3)
    cast(Content, world.matcher("content"))._shortlist = None
