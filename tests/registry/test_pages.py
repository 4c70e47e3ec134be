"""The leaderboard and the model card of a run."""

from __future__ import annotations

import re

import pytest

from avrec.registry.card import model_card
from avrec.registry.leaderboard import Earlier, leaderboard
from avrec.registry.report import Report

from .conftest import Checkout


@pytest.fixture
def report(checkout: Checkout) -> Report:
    return Report.read(checkout.root)


def test_the_leaderboard_ranks_every_matcher_in_every_slice_and_says_what_may_be_chance(report: Report) -> None:
    page = leaderboard(report)
    sections = {part.split(":")[0]: part for part in page.split("<h2>")[1:]}
    matchers = report.evaluation["matchers"]
    assert set(sections) >= {"all", "cold_all", "cold_only"}
    everyone = sections["all"]
    order = sorted(matchers, key=lambda name: -matchers[name]["all"]["ndcg@10"])
    named = re.findall(r"<tr[^>]*><td>\d+</td><td>([^<]+)</td>", everyone)
    assert named == [name.replace("+shuffled", ", shuffled") for name in order]
    gain = report.json("artifacts/evaluation/comparison.json")["ease"]["all"]
    word = "better" if gain["lower"] > 0 else "worse" if gain["upper"] < 0 else "may be chance"
    assert f"{gain['difference']:+.4f} ({gain['lower']:+.4f} to {gain['upper']:+.4f}): {word}" in everyone
    assert "Synthetic data" in page
    assert "category=cats" in page


def test_earlier_runs_are_told_apart_by_their_test_and_names_are_text(report: Report) -> None:
    page = leaderboard(report, [Earlier("<b>old</b>", False, {"all": 0.9}), Earlier("same", True, {"all": 0.99})])
    runs = page.split("<h2>Runs")[1]
    assert runs.index("same") < runs.index("this run") < runs.index("&lt;b&gt;old")
    assert "<b>old" not in page
    assert "no: not comparable" in runs


def test_the_card_states_use_data_figures_and_limits(report: Report) -> None:
    card = model_card(report, {"train@ease": 3.0, "refit": 4.5, "validate": 9.0}, "abc123")
    for heading in ("Intended use", "Data", "Training", "Metrics by slice", "Limits"):
        assert f"## {heading}" in card
    assert report.dataset_version in card and report.bundle_md5 in card and "abc123" in card
    assert "training time: 8 s (refit 4 s, train@ease 3 s)" in card
    figure = report.evaluation["matchers"]["hybrid"]["all"]["ndcg@10"]
    assert re.search(rf"\| all \| \d+ \| {figure:.4f} \|", card)
    assert "not measured in this pass" in model_card(report, {}, "abc123")
