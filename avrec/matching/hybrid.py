"""The hybrid: every matcher has a say, and validation decides how much, for known items and for new ones apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from avrec.errors import DataError
from avrec.matching.base import REASON_KINDS, FitReport, Matcher, Reasons, id_array, positions
from avrec.matching.blending import Doubles
from avrec.matching.data import Arrays, Catalog, Floats, Histories, Interactions, Longs, Mask
from avrec.matching.exposure import lift_first, sample_people
from avrec.matching.hybrid_learning import keep_share, learn
from avrec.matching.quick import Explain, answer
from avrec.matching.reranking import TRAITS, Ranker
from avrec.matching.selection import quality, selection_set
from avrec.params import RankParams

TWIN = "twin"
FRESH_DAYS = 7.0
"""Age at which freshness has fallen to 1/e."""

OWN = ("popular", "fresh")
"""Columns that are not a matcher's score."""

Weights = dict[str, dict[str, float]]

DIGITS = 6
"""Weights are rounded, so that the last bits of a sum do not make another model."""


class Hybrid(Matcher):
    """Scores are a weighted sum of the members' scores, popularity and freshness.

    Each member's scores are standardised over the catalogue, person by person. The weights are those of a softmax over
    items, fitted on validation people by convex optimisation (`avrec.matching.blending`); a member's weight is never
    negative, and where few people speak the members have equal say. Fit the members first.

    Items without training interactions have weights of their own, since members that know only ids are silent about
    them. An offset gives new items their share of the lists, though not of the very first places
    (`avrec.matching.exposure`). How all this is learned is in `avrec.matching.hybrid_learning`.

    With `method: boosting` trees look at the best known items of the sum again (`avrec.matching.reranking`).

    Args:
        params: Section `matching.rank`.
        members: Fitted matchers by name.
        seed: Of the sampled candidates.
        frozen: Settings an earlier fit reported; its weights are used as they are.
        ranker: The trees of that fit, where it had some.
    """

    name: ClassVar[str] = "hybrid"
    uses_features: ClassVar[bool] = True

    def __init__(self, params: RankParams, members: Mapping[str, Matcher], seed: int = 7,
                 frozen: dict[str, Any] | None = None, ranker: Ranker | None = None) -> None:  # fmt: skip
        if not members:
            raise DataError("hybrid: no matcher is enabled; switch one on in params.yaml under matching.")
        self.members = dict(sorted(members.items()))
        self.params, self.seed = params, seed
        self.weights: Weights = deepcopy(frozen["weights"]) if frozen else {}
        self.share: float = frozen["share"] if frozen else params.new_share
        if frozen and sorted(self.members) != frozen["members"]:
            raise DataError(f"hybrid: its weights are for {frozen['members']}, the members are {list(self.members)}.")
        if frozen and frozen.get("ranker") and ranker is None:
            raise DataError(
                "hybrid: it was evaluated with boosted trees, and they are not given; run `dvc repro rank`."
            )
        self.ranker = ranker

    def fit(self, catalog: Catalog, train: Interactions, validation: Interactions | None = None) -> FitReport:
        self.catalog = catalog
        liked = train.positives()
        self.popular = np.log1p(np.bincount(liked.item, minlength=len(catalog))).astype(np.float32)
        self.warm = np.zeros(len(catalog), bool)
        self.warm[train.item] = True
        self.now = int(train.timestamp.max(initial=0))
        self._prepare(catalog)
        self.people = sample_people(train, self.seed)
        judged = selection_set(train, validation)
        trials = []
        if judged:
            trials = learn(self, judged)
        else:
            self.weights = self.weights or self.named(self.equal_weights, self.equal_weights)
            keep_share(self)
        return FitReport(self.settings(), trials=trials)

    def cross_fitted(self, train: Interactions, validation: Interactions) -> dict[str, float]:
        """Figures on validation where nobody is judged by weights that saw them: fit on one half, judge the other."""
        from avrec.matching.loading import validation_halves

        final, halves = (self.weights, self.share, self.ranker), validation_halves(validation, self.seed + 1)
        figures, counts = [], []
        for half, other in (halves, halves[::-1]):
            learnt, judged = selection_set(train, half), selection_set(train, other)
            if learnt and judged:
                learn(self, learnt)
                figures.append(quality(self.score, judged))
                counts.append(len(judged.truth))
        self.weights, self.share, self.ranker = final
        return {name: float(np.average([f[name] for f in figures], weights=counts)) for name in (figures or [{}])[0]}

    @property
    def exact_rows(self) -> bool:  # type: ignore[override]
        return all(member.exact_rows for member in self.members.values())

    # Columns: what is known of every item for each person ---------------------------------------------------------

    @property
    def _columns(self) -> list[str]:
        return [*self.members, *OWN]

    def _prepare(self, catalog: Catalog) -> None:
        spread = self.popular.std() or 1.0
        age = np.maximum(self.now - catalog.published_at, 0) / 86_400.0
        fresh = np.where(catalog.published_at > 0, np.exp(-age / FRESH_DAYS), 0.0)
        self.own = [
            ((self.popular - self.popular.mean()) / spread).astype(np.float32),
            (fresh if self.now > 0 else np.zeros(len(catalog))).astype(np.float32),
        ]

    def values(self, histories: Histories, told: Mapping[int, Floats] | None = None) -> list[Floats]:
        """Columns `[n, n_items]`, in order; those that are `told`, by their place, are taken as they are."""
        told = told or {}
        scores = [told[place] if place in told else _standardised(member._score(histories), name)
                  for place, (name, member) in enumerate(self.members.items())]  # fmt: skip
        return scores + [np.broadcast_to(own, scores[0].shape) for own in self.own]

    # Weights ----------------------------------------------------------------------------------------------------------

    @property
    def equal_weights(self) -> list[float]:
        """Without validation every member has the same say."""
        return [1.0] * len(self.members) + [0.0] * len(OWN)

    def named(self, known: Sequence[float] | Doubles, new: Sequence[float] | Doubles) -> Weights:
        """Weights of known and of new items by column; new ones are not raised yet."""
        parts = [
            {name: round(float(w), DIGITS) for name, w in zip(self._columns, each, strict=True)}
            for each in (known, new)
        ]
        return {"known": parts[0], "new": {**parts[1], "offset": 0.0, "by_clicks": 0.0}}

    def raise_new(self, offset: float, by_clicks: float | None = None) -> None:
        """Sets what is added to the scores of new items, and which part of it clicks alone give (as it is: None)."""
        self.weights["new"]["offset"] = round(offset, DIGITS)
        if by_clicks is not None:
            self.weights["new"]["by_clicks"] = round(by_clicks, DIGITS)

    # Using ------------------------------------------------------------------------------------------------------------

    def score_as_new(self, histories: Histories) -> Floats:
        """Scores `[n, n_items]` with the weights of new items for all, before they are raised."""
        total = np.zeros((len(histories), len(self.warm)), np.float32)
        for column, values in zip(self._columns, self.values(histories), strict=True):
            total += np.float32(self.weights["new"][column]) * values
        return total

    @property
    def width(self) -> int:
        """Columns that a ranker looks at."""
        return len(self._columns) + 1 + len(TRAITS)

    def weighted(self, values: list[Floats]) -> Floats:
        """Weighted sum `[n, n_items]` of the columns."""
        total = np.zeros(values[0].shape, np.float32)
        for column, each in zip(self._columns, values, strict=True):
            total += np.float32(self.weights["known"][column]) * each
        new = np.flatnonzero(~self.warm)
        if len(new):
            items = np.broadcast_to(new, (len(total), len(new)))
            total[:, new] = self.weighted_at([each[:, new] for each in values], items)
        return total

    def weighted_at(self, values: list[Floats], items: Longs) -> Floats:
        """As `weighted`, of columns at `items` alone, `[n, c]` each."""
        total = np.where(self.warm[items], 0.0, self.weights["new"]["offset"]).astype(np.float32)
        for weights, each in zip(self._weights_at(items), values, strict=True):
            total += weights * each
        return total

    def lifted(self, histories: Histories, total: Floats) -> Floats:
        """`total` `[n, n_items]` with the first places kept for what is known."""
        new = self.weights["new"]
        # A model that was saved without the latter keeps the lists it was approved with.
        return lift_first(total, histories, self.warm, new["offset"] - new.get("by_clicks", new["offset"]))

    def total(self, histories: Histories, values: list[Floats]) -> Floats:
        """Scores `[n, n_items]` from the columns, before the first places are looked at."""
        total = self.weighted(values)
        return total if self.ranker is None else self.ranker.apply(self, histories, values, total)

    def _score(self, histories: Histories) -> Floats:
        return self.lifted(histories, self.total(histories, self.values(histories)))

    def answer(self, histories: Histories, allowed: Mask | None = None) -> tuple[Floats, Explain]:
        self._require_fitted()
        self._check_items("histories.items", histories.items)
        return answer(self, histories, allowed)

    def _weights_at(self, items: Longs) -> list[Floats]:
        known, new = self.weights["known"], self.weights["new"]
        warm = self.warm[items]
        return [np.where(warm, known[column], new[column]).astype(np.float32) for column in self._columns]

    def _explain(self, histories: Histories, items: Longs) -> Reasons:
        values = self.values(histories)
        return self.explain_from(histories, items, [np.take_along_axis(v, items, axis=1) for v in values], values)

    def explain_from(
        self, histories: Histories, items: Longs, at: list[Floats] | None, values: list[Floats]
    ) -> Reasons:
        """Reasons, from columns that are known already.

        Args:
            histories: `n` rows.
            items: `[n, k]`; -1 is explained as the first item.
            at: The columns at `items`, `[n, k]` each; not needed where trees rank.
            values: The columns, `[n, n_items]` each; not looked at but by trees.
        """
        items = np.maximum(items, 0)
        weights = dict(zip(self._columns, self._weights_at(items), strict=True))
        if self.ranker is None:
            assert at is not None
            parts = {name: weight * each for (name, weight), each in zip(weights.items(), at, strict=True)}
        else:
            parts = self.ranker.parts(self, histories, values, items, weights)
        return self._speaking(histories, items, parts)

    def _speaking(self, histories: Histories, items: Longs, parts: dict[str, Floats]) -> Reasons:
        """The reason of each item, from what each column adds to its score."""
        # What is popular lately and what has always been are one reason; to be less liked than most is none.
        parts["popular"] = parts["popular"] + parts.pop("popularity", np.float32(0.0))
        causes = {name: self.members[name]._explain(histories, items) for name in self.members if name in parts}
        causes["popular"] = _where(self.own[0][items] > 0, "popular")
        causes["fresh"] = _where(self.own[1][items] > 0, "fresh")
        reasons, none = Reasons.empty(items.shape), REASON_KINDS.index("none")
        best = np.zeros(items.shape, np.float32)
        for name, cause in causes.items():
            better = (parts[name] > best) & (cause.kind != none)
            best[better] = parts[name][better]
            reasons.kind[better], reasons.item[better] = cause.kind[better], cause.item[better]
        return reasons

    # Saving -----------------------------------------------------------------------------------------------------------

    def _state(self) -> Arrays:
        trees = self.ranker.state() if self.ranker else {}
        return {"item_ids": id_array(self._require_fitted()), "popular": self.popular, "warm": self.warm, **trees}

    def _load_from(self, folder: Path, settings: dict[str, Any], catalog: Catalog) -> None:
        """Members are saved beside the hybrid; those of its twin are their twins where they have one."""
        self.members = {name: _member(folder, name, catalog) for name in settings["members"]}
        super()._load_from(folder, settings, catalog)

    def _restore(self, state: Arrays, settings: dict[str, Any], catalog: Catalog) -> None:
        self.params, self.seed = RankParams(**settings["params"]), settings["seed"]
        self.weights, self.share, self.now = settings["weights"], settings["share"], settings["now"]
        said = settings.get("ranker")
        self.ranker = Ranker.restored(state, said) if said else None
        known = positions(state["item_ids"], catalog, self.name)
        self.popular, self.warm = np.zeros(len(catalog), np.float32), np.zeros(len(catalog), bool)
        self.popular[known], self.warm[known] = state["popular"], state["warm"]
        self._prepare(catalog)

    def settings(self) -> dict[str, Any]:
        return {
            "members": list(self.members), "weights": deepcopy(self.weights), "share": self.share, "now": self.now,
            "seed": self.seed,
            "params": self.params.model_dump(mode="json"),
            **({"ranker": self.ranker.settings()} if self.ranker else {}),
        }  # fmt: skip


def _member(folder: Path, name: str, catalog: Catalog) -> Matcher:
    from avrec.matching.registry import load_matcher

    if folder.name != TWIN:
        return load_matcher(folder.parent / name, catalog)
    beside = folder.parent.parent / name
    return load_matcher(beside / TWIN if (beside / TWIN).is_dir() else beside, catalog)


def _standardised(scores: Floats, name: str) -> Floats:
    """Mean 0 and deviation 1 over the catalogue, a row; counts on a log scale. Constant rows become 0."""
    scores = np.log1p(scores) if name == "popularity" else scores
    centred = scores - scores.mean(axis=1, keepdims=True)
    spread = np.sqrt((centred * centred).mean(axis=1, keepdims=True))
    result: Floats = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-9)
    return result


def _where(holds: Mask, kind: str) -> Reasons:
    reasons = Reasons.empty(holds.shape)
    reasons.kind[holds] = REASON_KINDS.index(kind)
    return reasons
