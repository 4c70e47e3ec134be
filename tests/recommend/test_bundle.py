from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from avrec.datasets.dataset import Dataset
from avrec.errors import DataError
from avrec.features.base import Features
from avrec.matching.data import Histories
from avrec.matching.spreading import ListRules
from avrec.recommend.bundle import Bundle, write_bundle
from avrec.recommend.filters import ItemFilter

from .conftest import N_ITEMS, features_of, items_table, make_bundle


def test_what_is_written_is_read(bundle: Bundle) -> None:
    assert set(bundle.matchers) == {"popularity", "content", "ease"}
    assert bundle.model.name == "ease"
    assert bundle.synthetic
    assert len(bundle.catalog) == N_ITEMS
    assert bundle.catalog.features["visual"].dim == 8


def test_equal_bundles_have_equal_bytes(dataset: Dataset, bundle_folder: Path, tmp_path: Path) -> None:
    make_bundle(dataset, tmp_path / "again", "ease")
    for path in sorted(bundle_folder.rglob("*")):
        if path.is_file():
            again = tmp_path / "again" / path.relative_to(bundle_folder)
            assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(again.read_bytes()).digest(), path.name


def test_histories_of_known_and_unknown_people(bundle: Bundle) -> None:
    known = bundle.user_ids[3]
    histories = bundle.histories_of([known, "nobody", bundle.user_ids[0]])
    assert histories.liked(0).tolist() == bundle.histories.liked(3).tolist()
    assert histories.seen(2).tolist() == bundle.histories.seen(0).tolist()
    assert histories.user.tolist() == [3, -1, 0]
    assert len(histories.seen(1)) == 0


def test_lists_hold_nothing_seen_and_say_why(bundle: Bundle) -> None:
    histories = bundle.histories_of(bundle.user_ids[:300])
    lists = bundle.recommend(histories, 5)
    for row in range(300):
        assert not set(lists.items[row].tolist()) & set(histories.seen(row).tolist())
    assert lists.reasons is not None
    assert lists.reasons.kind.shape == lists.items.shape
    watched = lists.reasons.item[0][lists.reasons.item[0] >= 0]
    assert set(watched.tolist()) <= set(histories.liked(0).tolist())


def test_fast_gives_the_same_lists(bundle: Bundle) -> None:
    histories = bundle.histories_of(bundle.user_ids[5:6])
    exact, fast = bundle.recommend(histories, 5), bundle.recommend(histories, 5, fast=True)
    np.testing.assert_array_equal(exact.items, fast.items)
    np.testing.assert_allclose(exact.scores, fast.scores, rtol=1e-5)


def test_filters(bundle: Bundle) -> None:
    at = datetime(2026, 3, 2, tzinfo=UTC)
    available = bundle.allowed(ItemFilter(at=at))
    assert not available[-2]  # published later
    assert not available[-1]  # withdrawn
    assert available[:-2].all()
    music = bundle.allowed(ItemFilter(media_types=["music"], exclude=["i000"]))
    assert np.flatnonzero(music).tolist() == list(range(5, N_ITEMS, 5))
    lists = bundle.recommend(Histories.of([[]]), 20, music)
    assert set(lists.items[0][lists.items[0] >= 0].tolist()) <= set(range(5, N_ITEMS, 5))


def test_diversity_spreads_over_groups(bundle: Bundle) -> None:
    histories = bundle.histories_of(bundle.user_ids[:40])
    plain, spread = bundle.recommend(histories, 5), bundle.recommend(histories, 5, rules=ListRules(0.7))

    def groups(items: np.ndarray) -> float:
        return float(np.mean([len(set((row % 4).tolist())) for row in items]))

    assert groups(spread.items) > groups(plain.items)
    np.testing.assert_array_equal(bundle.recommend(histories, 5, rules=ListRules(0.0, "dpp")).items, plain.items)


def test_an_unknown_item_in_a_history_is_named(bundle: Bundle) -> None:
    with pytest.raises(DataError, match="no-such-item"):
        bundle.history(["i001", "no-such-item"])


def test_newer_items_can_be_listed(bundle: Bundle) -> None:
    newer = items_table().slice(1, 3).to_pylist()
    newer[0]["title"] = "Renamed"
    newer.append({**newer[0], "item_id": "new", "title": "Just published"})
    features = features_of(np.random.default_rng(2))
    rows = np.array([1, 2, 3, 1])
    mine = {name: Features(name, f.vectors[rows], f.present[rows]) for name, f in features.items()}
    grown = bundle.with_catalog(pa.Table.from_pylist(newer, schema=items_table().schema), mine)
    assert len(grown.catalog) == N_ITEMS + 1
    assert grown.catalog.item_ids[:N_ITEMS] == bundle.catalog.item_ids
    assert grown.items["title"].to_pylist()[1] == "Renamed"
    old = bundle.matchers["content"].score(bundle.histories_of(bundle.user_ids[:3]))
    new = grown.matchers["content"].score(grown.histories_of(bundle.user_ids[:3]))
    np.testing.assert_allclose(new[:, :N_ITEMS], old, atol=1e-5)
    np.testing.assert_allclose(new[:, N_ITEMS], old[:, 1], atol=1e-5)  # the same content scores the same


def test_newer_items_need_vectors_of_the_same_length(bundle: Bundle) -> None:
    wrong = {"visual": Features("visual", np.zeros((N_ITEMS, 3), np.float32), np.ones(N_ITEMS, bool))}
    with pytest.raises(DataError, match="vectors of 8, got 3"):
        bundle.with_catalog(items_table(), wrong)


def test_a_folder_without_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"bundle\.json is missing"):
        Bundle.load(tmp_path)
    (tmp_path / "bundle.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(DataError, match="expected format 1, got 99"):
        Bundle.load(tmp_path)


def test_the_serving_matcher_must_be_there(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="serve"):
        write_bundle(tmp_path, items=bundle.items, features={}, matchers=bundle.matchers, serve="hybrid",
                     histories=bundle.histories, user_ids=bundle.user_ids, info={})  # fmt: skip
