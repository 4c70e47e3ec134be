from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avrec.errors import DataError
from avrec.matching.base import twin_catalog
from avrec.matching.blending import Choices, equal_say, fit_blend
from avrec.matching.content import Content
from avrec.matching.data import Histories, Interactions
from avrec.matching.exposure import DEPTH
from avrec.matching.hybrid import Hybrid
from avrec.matching.hybrid_learning import bears
from avrec.matching.loading import concat, evaluation_set, test_histories, validation_halves
from avrec.matching.registry import SINGLE, build
from avrec.matching.selection import quality, restricted
from avrec.matching.training import train_hybrid, train_matcher
from avrec.matching.two_tower import TwoTower
from avrec.params import ContentParams, RankParams

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


def test_weights_of_new_items_are_learned_though_validation_has_none(world: World) -> None:
    _, learn = validation_halves(world.split.val, PARAMS.seed)
    met = np.isin(learn.item, world.split.train.item)
    assert not met.all()
    hybrid = Hybrid(RankParams(), {name: world.matcher(name) for name in SINGLE})
    hybrid.fit(world.catalog, world.split.train, learn.where(met))
    assert hybrid.weights["new"]["content"] > 0.3
    assert hybrid.weights["new"]["ease"] == hybrid.weights["new"]["popularity"] == 0.0


def test_what_a_matcher_learned_from_those_who_met_an_item_says_nothing_of_new_ones(world: World) -> None:
    """A matcher that knows the likes of validation by heart is trusted for known items, not for new ones."""
    _, learn = validation_halves(world.split.val, PARAMS.seed)
    both = concat(world.split.train, learn)
    knowing = TwoTower(PARAMS.two_tower)
    knowing.fit(world.catalog, both)
    hybrid = Hybrid(RankParams(), {"content": world.matcher("content"), "two_tower": knowing})
    met = np.isin(learn.item, world.split.train.item)
    hybrid.fit(world.catalog, world.split.train, learn.where(met))
    assert hybrid.weights["known"]["two_tower"] > 0.3
    assert hybrid.weights["new"]["two_tower"] == 0.0
    assert hybrid.weights["new"]["content"] > 0.3


def share_of_new(hybrid: Hybrid) -> float:
    items, _ = hybrid.recommend(hybrid.people, DEPTH)
    return float((~hybrid.warm)[items].mean())


def test_new_items_get_the_share_that_is_reported_and_keep_it_in_refit(world: World) -> None:
    _, learn = validation_halves(world.split.val, PARAMS.seed)
    fewer = world.split.train.where(world.split.train.item % 3 > 0)  # other items are new then

    def fitted(train: Interactions, validation: Interactions | None, frozen: dict[str, Any] | None) -> Hybrid:
        members = {name: build(name, PARAMS) for name in ("content", "ease")}
        for member in members.values():
            member.fit(world.catalog, train)
        hybrid = Hybrid(RankParams(), members, frozen=frozen)
        hybrid.fit(world.catalog, train, validation)
        return hybrid

    first = fitted(world.split.train, learn, None)
    assert first.share >= 0.09  # people like what is new here, so that it costs nothing
    assert share_of_new(first) == pytest.approx(first.share, abs=0.01)
    again = fitted(fewer, None, first.settings())
    assert (~again.warm).sum() > 2 * (~first.warm).sum()
    assert again.weights["new"]["offset"] != first.weights["new"]["offset"]
    assert share_of_new(again) == pytest.approx(first.share, abs=0.01)


def test_new_items_stay_out_where_they_cost_too_much(world: World) -> None:
    _, learn = validation_halves(world.split.val, PARAMS.seed)
    shuffled = {name: Content(ContentParams()) for name in ("content",)}
    shuffled["content"].fit(twin_catalog(world.catalog, 7), world.split.train)
    met = np.isin(learn.item, world.split.train.item)
    members = {"ease": world.matcher("ease"), **shuffled}
    shares = []
    for kept in (learn.where(met), learn):
        hybrid = Hybrid(RankParams(new_share=0.3), members)
        hybrid.fit(world.catalog, world.split.train, kept)
        shares.append(hybrid.share)
    assert shares[0] < 0.25  # nobody liked what is new, and places are dear
    assert shares[1] > 0.29


def test_a_loss_is_borne_if_it_is_small_or_may_be_chance_and_people_have_said_so() -> None:
    hits = np.repeat([1.0, 0.0], [100, 900])
    assert bears(hits, hits, 0.1, 10.0)
    assert bears(np.roll(hits, 1), hits, 0.1, 10.0)
    assert not bears(np.where(np.arange(1000) < 10, 0.0, hits), hits, 0.1, 10.0)  # a tenth of the hits is lost
    assert not bears(hits[::100], hits[::100], 0.1, 10.0)  # ten people are not enough to say that nothing is lost
    assert bears(hits[::100], hits[::100], 0.1, 1.0)
    assert bears(hits[::100], hits[::100], 0.0, 10.0)


def test_few_people_lead_to_equal_say(world: World) -> None:
    _, learn = validation_halves(world.split.val, PARAMS.seed)
    members = {name: world.matcher(name) for name in SINGLE}
    spread = []
    for l2 in (1e4, 0.1):
        hybrid = Hybrid(RankParams(l2=l2), members)
        hybrid.fit(world.catalog, world.split.train, learn)
        say = [hybrid.weights["known"][name] for name in SINGLE]
        spread.append(np.std(say) / np.mean(say))
    assert spread[0] < 0.05 < 0.3 < spread[1]


def test_new_items_are_found_as_well_as_by_content_alone(world: World) -> None:
    judged = test_histories(world.split)
    hybrid = world.matcher("hybrid")
    assert isinstance(hybrid, Hybrid)
    fresh = restricted(judged, ~hybrid.warm)
    assert len(fresh.truth) > 20
    figures = {name: quality(world.matcher(name).score, fresh)["ndcg@20"] for name in (*SINGLE, "hybrid")}
    assert figures["hybrid"] > max(figures[name] for name in SINGLE), figures


def test_frozen_weights_are_kept_and_must_fit_the_members(world: World) -> None:
    settings = world.matcher("hybrid").settings()
    members = {name: world.matcher(name) for name in SINGLE}
    again = Hybrid(RankParams(), members, frozen=settings)
    again.fit(world.catalog, world.split.train)
    assert again.weights["known"] == settings["weights"]["known"]
    assert share_of_new(again) == pytest.approx(settings["share"], abs=0.01)
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
    np.testing.assert_allclose(fit_blend(choices, 1e6, free, np.array([2.0, 3.0])), [2.0, 3.0], atol=0.01)
    both, first = equal_say(choices), equal_say(choices, 1)
    assert 0.1 < both[0] == both[1] < 1.0
    assert first[0] == pytest.approx(1.5, abs=0.3)
    assert first[1] == 0.0


def test_reasons_are_those_of_the_part_that_said_most(world: World) -> None:
    hybrid = world.matcher("hybrid")
    assert isinstance(hybrid, Hybrid)
    history = Histories.of([[1, 6, 11]])
    items, _ = hybrid.recommend(history, 10)
    reasons = hybrid.explain(history, items)
    parts = {
        name: weights[0] * each[0, items[0]]
        for name, weights, each in zip(hybrid._columns, hybrid._weights_at(items), hybrid.values(history), strict=True)
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
