from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avrec.errors import DataError
from avrec.matching.blending import Choices, fit_blend
from avrec.matching.data import Histories
from avrec.matching.hybrid import Hybrid
from avrec.matching.loading import evaluation_set, test_histories, validation_halves
from avrec.matching.registry import SINGLE
from avrec.matching.selection import quality
from avrec.matching.training import train_hybrid, train_matcher
from avrec.params import RankParams

from .conftest import PARAMS, World
from .suite import MatcherSuite


class TestHybrid(MatcherSuite):
    name = "hybrid"


def test_beats_each_of_its_parts_on_test(world: World) -> None:
    judged = test_histories(world.split)
    figures = {name: quality(world.matcher(name).score, judged)["ndcg@20"] for name in (*SINGLE, "hybrid")}
    assert figures["hybrid"] >= 0.97 * max(figures.values()), figures


def test_new_items_have_weights_of_their_own(world: World) -> None:
    weights = world.matcher("hybrid").settings()["weights"]
    assert weights["new"]["ease"] == pytest.approx(0.0, abs=1e-3)  # it knows nothing of them
    assert weights["known"]["ease"] > 0.1
    assert weights["new"]["content"] + weights["new"]["two_tower"] > 0.1
    assert all(w >= 0 for part in weights.values() for name, w in part.items() if name in SINGLE)


def test_frozen_weights_are_kept_and_must_fit_the_members(world: World) -> None:
    settings = world.matcher("hybrid").settings()
    members = {name: world.matcher(name) for name in SINGLE}
    again = Hybrid(RankParams(), members, frozen=settings)
    again.fit(world.catalog, world.split.train)
    assert again.weights == settings["weights"]
    with pytest.raises(DataError, match="the members are \\['ease'\\]"):
        Hybrid(RankParams(), {"ease": members["ease"]}, frozen=settings)
    with pytest.raises(DataError, match="no matcher is enabled"):
        Hybrid(RankParams(), {})


def test_sampled_candidates_lead_to_nearly_the_same_weights(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, learn = validation_halves(world.split.val, PARAMS.seed)
    members = {name: world.matcher(name) for name in SINGLE}
    weights = []
    for sampled in (1000, 30):
        monkeypatch.setattr("avrec.matching.blending.SAMPLED", sampled)
        hybrid = Hybrid(RankParams(candidates=8), members)
        hybrid.fit(world.catalog, world.split.train, learn)
        weights.append(hybrid.weights["known"])
    for name in SINGLE:
        assert weights[0][name] == pytest.approx(weights[1][name], abs=0.25)


def test_blend_finds_the_weights_that_made_the_choices() -> None:
    rng, n, c = np.random.default_rng(0), 3000, 12
    columns, weights = rng.normal(size=(n, c, 2)), np.array([1.5, -0.5])
    odds = np.exp(columns @ weights)
    chosen = (odds.cumsum(1) / odds.sum(1, keepdims=True) > rng.random((n, 1))).argmax(1)
    share = np.zeros((n, c))
    share[np.arange(n), chosen] = 1.0
    choices = Choices(columns.reshape(-1, 2).astype(np.float32), np.zeros(n * c), share.ravel(), np.arange(n) * c)
    free, none = np.full(2, -np.inf), np.array([-np.inf, 0.0])
    np.testing.assert_allclose(fit_blend(choices, 1.0, free), weights, atol=0.1)
    assert fit_blend(choices, 1.0, none)[1] == 0.0
    assert np.abs(fit_blend(choices, 1e6, free)).max() < 0.01


def test_reasons_are_those_of_the_part_that_said_most(world: World) -> None:
    hybrid = world.matcher("hybrid")
    assert isinstance(hybrid, Hybrid)
    history = Histories.of([[1, 6, 11]])
    items, _ = hybrid.recommend(history, 10)
    reasons = hybrid.explain(history, items)
    parts = {
        name: (hybrid._column_weights(name) * values)[0, items[0]]
        for name, values in zip(hybrid._columns, hybrid._values(history), strict=True)
    }
    parts["popular"] = parts["popular"] + parts.pop("popularity")
    for place, kind in enumerate(reasons.names()[0]):
        best = max(parts, key=lambda name: parts[name][place])
        if best in SINGLE:
            assert kind == hybrid.members[best].explain(history, items).names()[0][place]
        elif parts[best][place] > 0 and kind != best:
            assert best == "popular"
            assert hybrid.own[0][items[0, place]] <= 0  # nothing that few like is called popular


def test_stages_save_what_loads_and_leave_out_what_is_switched_off(world: World, tmp_path: Path) -> None:
    from avrec.matching.registry import is_disabled, load_matcher
    from pipelines.stage import write_json

    for name in ("content", "ease"):
        report = train_matcher(name, PARAMS, world.catalog, world.split, tmp_path / name)
        assert set(report["val"]) >= {"ndcg@10", "recall@20"}
    for name in set(SINGLE) - {"content", "ease"}:
        write_json(tmp_path / name / "settings.json", {"name": name, "disabled": True})
    assert is_disabled(tmp_path / "popularity")
    report = train_hybrid(PARAMS, world.catalog, world.split, tmp_path, tmp_path / "hybrid")
    assert report["settings"]["members"] == ["content", "ease"]
    real, twin = (load_matcher(tmp_path / "hybrid" / name, world.catalog) for name in ("", "twin"))
    judged = evaluation_set(world.split.train, world.split.val)
    assert quality(real.score, judged)["recall@20"] > quality(twin.score, judged)["recall@20"]
    with pytest.raises(DataError, match="'popularity', found switched off"):
        load_matcher(tmp_path / "popularity", world.catalog)
