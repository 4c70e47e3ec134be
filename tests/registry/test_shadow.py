"""Two tables beside each other: figures worked out by hand, and a real challenger against a real champion."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from avrec.matching.popularity import Popularity
from avrec.params import PopularityParams
from avrec.registry import approval, promotion, versions
from avrec.registry import client as server
from avrec.registry.gate import gate
from avrec.registry.runs import track
from avrec.registry.shadow import Shadow, _categories, _overlap, _spread, read_shadow, shadow

from .conftest import CODE, Checkout, Fitted, default_params, evaluate, write_lock, write_refit


def test_overlap_by_hand() -> None:
    mine = np.array([[0, 1, 2, 3], [4, 5, 6, -1], [-1, -1, -1, -1]])
    theirs = np.array([[0, 3, 8, 9], [5, 4, 6, -1], [1, 2, 3, 4]])
    found = _overlap(mine, theirs)
    assert found.people == 3
    assert found.common == pytest.approx((2 / 4 + 3 / 3 + 0) / 3)
    assert found.same_first == pytest.approx(1 / 3)


def test_spread_counts_what_is_available() -> None:
    available = np.array([True, True, True, True, False])
    new = np.array([False, False, False, True, False])
    found = _spread(np.array([[0, 3], [0, -1]]), available, new)
    assert found.coverage == 2 / 4
    assert found.new_items == pytest.approx(1 / 3)
    assert _spread(np.array([[0, 1], [2, 3]]), available, new).gini == 0


def test_categories_that_change_most_come_first() -> None:
    found = _categories(["a", "a", "b", None], np.array([[0, 1]]), np.array([[2, 0]]))
    assert list(found) == ["a", "b", "no category"] or list(found) == ["b", "a", "no category"]
    assert found["a"] == (1.0, 0.5)
    assert found["no category"] == (0.0, 0.0)


def test_a_challenger_beside_the_champion(home: Path, checkout: Checkout, tmp_path: Path) -> None:
    client = server.connect()
    first = versions.register(track(checkout.root, CODE))
    alone = shadow(first, checkout.root)
    assert alone.champion is None
    assert "no champion yet" in "\n".join(alone.markdown())
    gate(first, checkout.root)
    approval.record(first, approved=True, who="approver", why="The first of them all")
    promotion.promote(first)
    assert shadow(first, checkout.root).note == "It is the champion."

    root = tmp_path / "popular"
    shutil.copytree(checkout.root / "data", root / "data")
    deployed = Popularity(PopularityParams())
    deployed.fit(checkout.fitted.catalog, checkout.fitted.split.train)
    fitted = Fitted(checkout.fitted.catalog, checkout.fitted.split, {**checkout.fitted.matchers, "hybrid": deployed})
    evaluate(root, fitted)
    write_refit(root, fitted, deployed)
    write_lock(root, default_params(matching={"seed": 8}))
    second = versions.register(track(root, CODE))
    found = shadow(second, root)
    assert found.champion == first
    assert found.people == 160
    assert 0 < found.overlap["all"].common < 0.9
    assert found.overlap["all"].people == sum(o.people for n, o in found.overlap.items() if n.endswith("histories"))
    assert found.spread["challenger"].coverage < found.spread["champion"].coverage  # the popular to everybody
    gate(second, root)
    assert "of a list in common" in approval.request_body(second)
    kept = read_shadow(client, versions.resolve(client, second))
    assert kept == found
    assert Shadow.from_json(found.to_json()) == found
