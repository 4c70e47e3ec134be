"""What every matcher must do. A test of a new matcher inherits this and says its name."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from avrec.errors import DataError, NotFittedError
from avrec.features.base import Features
from avrec.matching.base import BLOCK, REASON_KINDS, Matcher
from avrec.matching.data import Catalog, Histories, Interactions
from avrec.matching.loading import val_histories
from avrec.matching.registry import MATCHERS, load_matcher
from avrec.params import NetworkParams

from .conftest import World


def saved(matcher: Matcher, folder: Path) -> Path:
    """Saves a matcher with its members beside it, as the stages do."""
    for name, member in getattr(matcher, "members", {}).items():
        member.save(folder / name)
    matcher.save(folder / matcher.name)
    return folder / matcher.name


def larger(catalog: Catalog, extra: int = 5) -> Catalog:
    """The catalogue with new items in front of it, which have the content of its first ones."""
    rows = np.r_[np.arange(extra), np.arange(len(catalog))]
    features = {n: Features(n, f.vectors[rows], f.present[rows]) for n, f in catalog.features.items()}
    ids = tuple(f"new{i}" for i in range(extra)) + catalog.item_ids
    return Catalog(ids, catalog.published_at[rows], catalog.category[rows], catalog.creator[rows],
                   tuple(catalog.media_type[i] for i in rows), features,
                   {kind: [names[i] for i in rows] for kind, names in catalog.entities.items()})  # fmt: skip


class MatcherSuite:
    """Subclasses set `name`."""

    name: ClassVar[str]

    @pytest.fixture
    def matcher(self, world: World) -> Matcher:
        return world.matcher(self.name)

    @pytest.fixture
    def people(self, world: World) -> Histories:
        return val_histories(world.split).histories

    def fresh(self, world: World, catalog: Catalog, train: Interactions) -> Matcher:
        """Fitted anew on something else than the planted world."""
        from avrec.matching.hybrid import Hybrid
        from avrec.matching.registry import SINGLE, build

        from .conftest import PARAMS

        networks = {n: p for n, p in PARAMS if isinstance(p, NetworkParams)}
        quick = PARAMS.model_copy(update={n: p.model_copy(update={"epochs": 1}) for n, p in networks.items()})
        names = SINGLE if self.name == Hybrid.name else (self.name,)
        members = {name: build(name, quick) for name in names}
        for member in members.values():
            member.fit(catalog, train)
        if self.name != Hybrid.name:
            return members[self.name]
        hybrid = Hybrid(quick.rank, members)
        hybrid.fit(catalog, train)
        return hybrid

    def test_scores_have_a_column_an_item_and_are_finite(self, matcher: Matcher, people: Histories) -> None:
        scores = matcher.score(people.slice(0, 20))
        assert scores.shape == (20, len(matcher._require_fitted()))
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()

    def test_lists_hold_each_item_once_best_first_and_nothing_seen(self, matcher: Matcher, people: Histories) -> None:
        items, scores = matcher.recommend(people, 15)
        assert items.shape == scores.shape == (len(people), 15)
        assert (np.diff(scores, axis=1) <= 0).all()
        for row in range(len(people)):
            assert len(set(items[row])) == 15
            assert not set(items[row]) & set(people.seen(row).tolist())

    def test_only_what_is_allowed_is_listed_and_short_lists_end_in_minus_one(self, matcher: Matcher) -> None:
        allowed = np.zeros(len(matcher._require_fitted()), bool)
        allowed[[1, 5, 9]] = True
        items, scores = matcher.recommend(Histories.of([[1, 2]]), 4, allowed)
        assert sorted(items[0, :2].tolist()) == [5, 9]
        assert items[0, 2:].tolist() == [-1, -1]
        assert (scores[0, 2:] == -np.inf).all()

    def test_a_row_has_the_same_bits_alone_and_in_any_company(self, matcher: Matcher, people: Histories) -> None:
        rows = [people.liked(i % len(people)).tolist() for i in range(BLOCK)]
        block = matcher.score(Histories.of(rows))
        turned = matcher.score(Histories.of(rows[37:] + rows[:37]))
        np.testing.assert_array_equal(turned, np.roll(block, -37, axis=0))
        for row in (0, 1, 7, 100, BLOCK - 1):
            np.testing.assert_array_equal(matcher.score(Histories.of([rows[row]]))[0], block[row])

    def test_the_fast_path_agrees_to_the_last_few_bits(self, matcher: Matcher, people: Histories) -> None:
        few = people.slice(0, 3)
        np.testing.assert_allclose(matcher.score(few, exact_block=False), matcher.score(few), rtol=1e-4, atol=1e-4)

    def test_people_without_history_get_a_full_list(self, matcher: Matcher) -> None:
        items, scores = matcher.recommend(Histories.of([[], []]), 10)
        assert (items >= 0).all()
        assert np.isfinite(scores).all()
        np.testing.assert_array_equal(items[0], items[1])

    def test_only_the_history_decides_not_who_it_is(self, matcher: Matcher) -> None:
        known, unknown = Histories.of([[3, 4]], user=[0]), Histories.of([[3, 4]], user=[-1])
        np.testing.assert_array_equal(matcher.score(known), matcher.score(unknown))

    def test_nobody_asked_nothing_answered(self, matcher: Matcher) -> None:
        items, scores = matcher.recommend(Histories.of([]), 5)
        assert items.shape == scores.shape == (0, 5)

    def test_saved_and_loaded_it_scores_the_same(self, matcher: Matcher, people: Histories, tmp_path: Path) -> None:
        loaded = load_matcher(saved(matcher, tmp_path), matcher._require_fitted())
        few = people.slice(0, 9)
        np.testing.assert_array_equal(loaded.score(few), matcher.score(few))
        assert loaded.settings() == matcher.settings()

    def test_saving_twice_gives_the_same_bytes(self, matcher: Matcher, tmp_path: Path) -> None:
        first = saved(matcher, tmp_path / "a")
        second = saved(load_matcher(first, matcher._require_fitted()), tmp_path / "b")
        for name in ("settings.json", "state.npz"):
            assert (first / name).read_bytes() == (second / name).read_bytes()

    def test_a_larger_catalogue_scores_old_items_alike(
        self, matcher: Matcher, people: Histories, tmp_path: Path
    ) -> None:
        loaded = load_matcher(saved(matcher, tmp_path), larger(matcher._require_fitted()))
        rows = [people.liked(i).tolist() for i in range(4)]
        scores = loaded.score(Histories.of([[i + 5 for i in row] for row in rows]))
        assert np.isfinite(scores).all()
        old, new = matcher.score(Histories.of(rows)), scores[:, 5:]
        for a, b in zip(old, new, strict=True):
            if a.std() > 0:
                assert np.corrcoef(a, b)[0, 1] > 0.99
        items, _ = loaded.recommend(Histories.of([[6]]), len(scores[0]))
        assert set(range(5)) <= set(items[0].tolist())

    def test_a_catalogue_without_its_items_is_refused(self, matcher: Matcher, tmp_path: Path) -> None:
        folder = saved(matcher, tmp_path)
        catalog = matcher._require_fitted()
        renamed = Catalog(("other", *catalog.item_ids[1:]), catalog.published_at, catalog.category, catalog.creator,
                          catalog.media_type, catalog.features)  # fmt: skip
        if "item_ids" not in matcher._state():  # remembers no items: any with the same kind of features will do
            assert load_matcher(folder, renamed).catalog is renamed
            return
        with pytest.raises(DataError, match=r"lacks 1 items of the training, e.g. 'item000'"):
            load_matcher(folder, renamed)

    def test_works_without_features_time_or_likes(self, world: World) -> None:
        bare = world.catalog.with_features({})
        train = world.split.train
        timeless = Interactions(train.user, train.item, np.zeros_like(train.timestamp), train.label, train.weight,
                                train.user_ids)  # fmt: skip
        disliked = Interactions(train.user, train.item, train.timestamp, -np.abs(train.label), train.weight,
                                train.user_ids)  # fmt: skip
        for interactions in (timeless, disliked, train.where(np.zeros(len(train), bool))):
            matcher = self.fresh(world, bare, interactions)
            items, scores = matcher.recommend(Histories.of([[], [1, 2]]), 6)
            assert (items >= 0).all()
            assert np.isfinite(scores).all()

    def test_reasons_name_what_was_liked(self, matcher: Matcher, people: Histories) -> None:
        items, _ = matcher.recommend(people, 6)
        reasons = matcher.explain(people, items)
        assert reasons.kind.shape == reasons.item.shape == items.shape
        for row, names in enumerate(reasons.names()):
            for name, cause in zip(names, reasons.item[row].tolist(), strict=True):
                assert name in REASON_KINDS
                assert (cause in people.liked(row)) == (name not in ("popular", "fresh", "none"))

    def test_reasons_do_not_depend_on_the_company(self, matcher: Matcher, people: Histories) -> None:
        items, _ = matcher.recommend(people, 6)
        whole, alone = matcher.explain(people, items), matcher.explain(people.slice(2, 3), items[2:3])
        assert whole.names()[2] == alone.names()[0]
        np.testing.assert_array_equal(whole.item[2], alone.item[0])

    def test_empty_places_of_a_list_have_no_reason(self, matcher: Matcher) -> None:
        reasons = matcher.explain(Histories.of([[1]]), np.array([[-1, -1]]))
        assert reasons.names() == [["none", "none"]]

    def test_bad_input_names_the_argument_and_the_shapes(self, matcher: Matcher) -> None:
        n = len(matcher._require_fitted())
        with pytest.raises(ValueError, match=r"k: expected at least 1, got 0"):
            matcher.recommend(Histories.of([[1]]), 0)
        with pytest.raises(ValueError, match=rf"allowed: expected shape \({n},\), one entry an item, got \(3,\)"):
            matcher.recommend(Histories.of([[1]]), 2, np.ones(3, bool))
        with pytest.raises(ValueError, match=rf"histories.items: expected indices from 0 to {n - 1}, got {n}"):
            matcher.score(Histories.of([[n]]))
        with pytest.raises(ValueError, match=r"histories.seen_items: expected indices"):
            matcher.recommend(Histories.of([[1]], seen=[[-1]]), 2)
        with pytest.raises(ValueError, match=r"items: expected shape \(1, k\), a row a history, got \(2, 2\)"):
            matcher.explain(Histories.of([[1]]), np.zeros((2, 2), np.int64))
        with pytest.raises(ValueError, match=rf"at most {BLOCK} rows in a block, got {BLOCK + 1}"):
            matcher.score(Histories.of([[1]] * (BLOCK + 1)))

    def test_not_fitted_is_said(self) -> None:
        cls = MATCHERS[self.name]
        with pytest.raises(NotFittedError, match=f"{self.name}: call fit or load first"):
            cls.__new__(cls).score(Histories.of([[1]]))
