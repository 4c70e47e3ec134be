"""Content: what looks, sounds or reads like the things a person liked."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from avrec.features.base import Features
from avrec.matching.base import MODALITY_REASONS, REASON_KINDS, FitReport, Matcher, Reasons
from avrec.matching.blending import collect, equal_say, fit_blend
from avrec.matching.data import Arrays, Catalog, Floats, Histories, Interactions, Longs, Mask
from avrec.matching.exact import Exact
from avrec.matching.retrieval import LARGE
from avrec.matching.selection import SELECT_K, liked_matrix, quality, selection_set
from avrec.matching.shortlist import Rough, Shortlist
from avrec.params import ContentParams
from avrec.schema import MODALITIES

FUSED = "fused"
TINY = 1e-9
"""Vectors that are shorter point nowhere."""

CANDIDATES = 200
"""Items each block proposes when the weights of the blocks are learned."""

DIGITS = 4
"""Weights are rounded, so that the last bits of a sum do not make another model."""

WHITENING = 0.5
"""How far directions of a modality are brought to equal length: 0 leaves them, 1 makes noise as loud as the rest."""

FLOOR = 0.01
"""Share of the mean variance that is added to each direction, so that those without any are not blown up."""


class Content(Matcher):
    """Cosine similarity between items and the profile of what a person liked, block by block.

    Blocks are the modalities and `fused`, all present modalities of an item side by side. Vectors are centred on the
    mean of the training items, whitened half-way and have unit length; the profile is the mean over the newest
    `profile_size` likes. A modality that an item lacks contributes nothing: with centred vectors that is neither for
    nor against it. The weights of the blocks are those of a softmax over items (`avrec.matching.blending`), which
    learns from the rank of every validation like and not only from the few that reach a list; without validation all
    are 1. The scores of an item do not depend on whether anybody met it.
    """

    name: ClassVar[str] = "content"
    uses_features: ClassVar[bool] = True
    knows_new: ClassVar[bool] = True
    exact_rows = True

    def __init__(self, params: ContentParams, seed: int = 7, frozen: dict[str, Any] | None = None) -> None:
        self.profile_size: int = frozen["profile_size"] if frozen else params.profile_size
        self.weights: dict[str, float] = dict(frozen["weights"]) if frozen else {}

    def fit(self, catalog: Catalog, train: Interactions, validation: Interactions | None = None) -> FitReport:
        trained = np.zeros(len(catalog), bool)
        trained[train.item] = True
        self.centres = {name: centre_of(f, trained) for name, f in sorted(catalog.features.items())}
        self.bases = {name: _whitening(f, trained) for name, f in sorted(catalog.features.items())}
        self._prepare(catalog)
        self.catalog = catalog
        judged = selection_set(train, validation)
        trials: list[dict[str, float]] = []
        if judged and len(self.blocks) > 1:
            self.weights = self._choose(judged)
            value = quality(self._score, judged)[f"ndcg@{SELECT_K}"]
            trials.append({**self.weights, f"ndcg@{SELECT_K}": value})
        else:
            self.weights = {name: self.weights.get(name, 1.0) for name in self.blocks}
        return FitReport(self.settings(), trials=trials)

    def _prepare(self, catalog: Catalog) -> None:
        """Unit vectors of each modality; statistics come from training, so new items change nothing."""
        have = [name for name in MODALITIES if name in self.centres and name in catalog.features]
        self.units = {name: units_of(catalog.features[name], self.centres[name], self.bases[name]) for name in have}
        self._exact: dict[str, Exact] = {}
        self._shortlist: Shortlist | None = None
        present = sum((catalog.features[name].present.astype(np.float32) for name in have), np.float32(0.0))
        # An item's fused vector is its unit vectors side by side over the root of their number: of unit length too.
        self.share = (1.0 / np.sqrt(np.maximum(present, 1.0)) * np.ones(len(catalog))).astype(np.float32)

    def _whole(self, name: str) -> Exact:
        """Twice the memory of the vectors, so only where somebody asks for scores that are exact."""
        if name not in self._exact:
            self._exact[name] = Exact(self.units[name])
        return self._exact[name]

    def rough(self, histories: Histories) -> list[Rough] | None:
        if len(self.share) < LARGE or not self.blocks:
            return None
        if self._shortlist is None:
            self._shortlist = Shortlist(self.units, self.share)
        likes = liked_matrix(histories, len(self.share), self.profile_size)
        weighted = likes.multiply(self.share[None, :]).tocsr()
        own = {name: self.weights[name] * _unit_rows(likes @ units) for name, units in self.units.items()}
        fused = {name: weighted @ units for name, units in self.units.items()}
        length = np.sqrt(sum((_squares(each) for each in fused.values()), np.zeros((len(histories), 1))))
        scale = np.where(length > TINY, self.weights.get(FUSED, 0.0) / np.maximum(length, TINY), 0.0)
        fused = {name: (each * scale).astype(np.float32) for name, each in fused.items()}
        people = range(len(histories))
        return [self._shortlist.rough(*({n: v[row] for n, v in of.items()} for of in (own, fused))) for row in people]

    @property
    def blocks(self) -> list[str]:
        """Names of the blocks that the catalogue has vectors for."""
        return [*self.units, *([FUSED] if len(self.units) > 1 else [])]

    def _choose(self, judged: Any) -> dict[str, float]:
        def columns(histories: Histories) -> Floats:
            return np.stack(self._block_scores(histories, len(self.share)), axis=2)

        names = self.blocks
        choices = collect(columns, list(range(len(names))), judged, CANDIDATES, seed=0)
        found = fit_blend(choices, 1.0, np.zeros(len(names)), equal_say(choices))
        # Only the proportions matter; if nothing spoke for what was liked, all say the same.
        largest = found.max()
        shares = found / largest if largest > TINY else np.ones(len(names))
        return {name: round(float(share), DIGITS) for name, share in zip(names, shares, strict=True)}

    def _block_scores(self, histories: Histories, n_items: int) -> list[Floats]:
        likes = liked_matrix(histories, n_items, self.profile_size)
        scores = [self._whole(name).dot(_unit_rows(likes @ units)) for name, units in self.units.items()]
        if FUSED in self.blocks:
            scores.append(self._fused_scores(likes))
        return scores

    def _fused_scores(self, likes: Any) -> Floats:
        """Cosine of the fused vectors, without ever putting them side by side."""
        weighted = likes.multiply(self.share[None, :]).tocsr()
        profiles = {name: weighted @ units for name, units in self.units.items()}
        length = np.sqrt(sum((_squares(profile) for profile in profiles.values()), np.zeros((likes.shape[0], 1))))
        total = np.zeros(likes.shape, np.float32)
        for name, profile in profiles.items():
            unit = np.divide(profile, length, out=np.zeros_like(profile), where=length > TINY)
            total += self._whole(name).dot(unit)
        total *= self.share
        return total

    def _score(self, histories: Histories) -> Floats:
        n_items = len(self._require_fitted())
        if not self.blocks:
            return np.zeros((len(histories), n_items), np.float32)
        return _combine(self._block_scores(histories, n_items), [self.weights[name] for name in self.blocks])

    def _explain(self, histories: Histories, items: Longs) -> Reasons:
        reasons = Reasons.empty(items.shape)
        for row in range(len(items)):
            liked = np.unique(histories.liked(row)[-self.profile_size :])
            parts = self._contributions(liked, items[row])
            if not parts or not len(liked):
                continue
            names, values = list(parts), np.stack(list(parts.values()))  # [modality, liked, k]
            best = values.sum(axis=1).argmax(axis=0)
            columns = np.arange(items.shape[1])
            drops = self._drops(liked, items[row])
            cause = np.where(values[best, :, columns].T > 0, drops, -np.inf).argmax(axis=0)
            speaks = (values[best, cause, columns] > 0) & (drops[cause, columns] > 0)
            kinds = np.array([REASON_KINDS.index(MODALITY_REASONS[name]) for name in names], np.int8)
            reasons.kind[row, speaks] = kinds[best][speaks]
            reasons.item[row, speaks] = liked[cause][speaks]
        return reasons

    def _drops(self, liked: npt.NDArray[Any], items: npt.NDArray[Any]) -> Floats:
        """How far each score falls without each liked item `[liked, k]`: the profile turns when one leaves it."""
        parts = [(self.weights[name], self.units[name][liked], self.units[name][items].T) for name in self.units]
        total = np.zeros((len(liked), len(items)), np.float32)
        for weight, mine, theirs in parts:
            total += weight * _left_out(mine, mine @ theirs)
        if FUSED in self.blocks:
            mine = np.concatenate([self.share[liked, None] * units for _, units, _ in parts], axis=1)
            theirs = np.concatenate([self.share[items] * units for _, _, units in parts])
            total += self.weights[FUSED] * _left_out(mine, mine @ theirs)
        return total

    def _contributions(self, liked: npt.NDArray[Any], items: npt.NDArray[Any]) -> dict[str, Floats]:
        """By modality, how much each liked item adds to each score `[liked, k]`; `fused` is shared out exactly."""
        parts: dict[str, Floats] = {}
        fused = np.sqrt(sum(((self.share[liked] @ units[liked]) ** 2).sum() for units in self.units.values()))
        for name, units in self.units.items():
            products = units[liked] @ units[items].T
            length = np.linalg.norm(units[liked].sum(axis=0))
            parts[name] = self.weights[name] * products / max(length, TINY)
            if FUSED in self.blocks:
                shares = np.outer(self.share[liked], self.share[items])
                parts[name] = parts[name] + self.weights[FUSED] * products * shares / max(fused, TINY)
        return parts

    def _state(self) -> Arrays:
        return {
            **{f"centre_{name}": centre for name, centre in self.centres.items()},
            **{f"basis_{name}": basis for name, basis in self.bases.items()},
        }

    def _restore(self, state: Arrays, settings: dict[str, Any], catalog: Catalog) -> None:
        self.profile_size, self.weights = settings["profile_size"], settings["weights"]
        self.centres = {n.removeprefix("centre_"): v for n, v in state.items() if n.startswith("centre_")}
        self.bases = {name: state[f"basis_{name}"] for name in self.centres}
        self._prepare(catalog)

    def settings(self) -> dict[str, Any]:
        return {"profile_size": self.profile_size, "weights": self.weights}


def centre_of(features: Features, trained: Mask) -> Floats:
    """Mean vector `[dim]` of the training items that have this modality; of all that have it where none has."""
    centre: Floats = _known(features, trained).mean(axis=0).astype(np.float32)
    return centre


def units_of(features: Features, centre: Floats, basis: Floats | None = None) -> Floats:
    """Centred vectors of unit length `[n_items, dim]`, whitened where a `basis` is given; zero where not present."""
    centred = features.normalised() - centre
    vectors = centred if basis is None else Exact(basis).dot(centred)  # the basis is symmetric
    return _unit_rows(np.where(features.present[:, None], vectors, 0.0).astype(np.float32))


def _whitening(features: Features, trained: Mask) -> Floats:
    """Symmetric map `[dim, dim]` that brings the directions of the training items half-way to equal length."""
    known = _known(features, trained)
    centred = known - known.mean(axis=0)
    values, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    scale = (np.maximum(values, 0.0) / max(values.mean(), TINY) + FLOOR) ** (-WHITENING / 2)
    basis: Floats = ((axes * scale) @ axes.T).astype(np.float32)
    return basis


def _known(features: Features, trained: Mask) -> npt.NDArray[np.float64]:
    rows = features.present & trained
    return features.normalised()[rows if rows.any() else features.present].astype(np.float64)


def _left_out(liked: Floats, products: Floats) -> Floats:
    """Cosine with the sum of `liked` `[n, dim]` less that without each of them, `[n, k]`, from their `products`."""
    whole = liked.sum(axis=0)
    lengths = np.linalg.norm(whole - liked, axis=1, keepdims=True)
    without = (products.sum(axis=0) - products) / np.maximum(lengths, TINY)
    found: Floats = products.sum(axis=0) / max(float(np.linalg.norm(whole)), TINY) - without
    return found


def _unit_rows(vectors: Floats) -> Floats:
    norms = np.sqrt(_squares(vectors))
    units: Floats = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > TINY)
    return units


def _squares(vectors: Floats) -> Floats:
    total: Floats = (vectors * vectors).sum(axis=1, keepdims=True)
    return total


def _combine(blocks: list[Floats], weights: Any) -> Floats:
    total = np.zeros_like(blocks[0])
    for block, weight in zip(blocks, weights, strict=True):
        if weight:
            total += np.float32(weight) * block
    return total
