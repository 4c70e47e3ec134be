"""EASE with item side information: what items are made of counts as further people, who liked them in parts.

Jeunen, Van Balen and Goethals, "Closed-form models for collaborative filtering with side-information", RecSys 2020
(collective EASE). Items that nobody liked, or that came later, get their weights from the same closed form.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from avrec.matching.base import MODALITY_REASONS, REASON_KINDS, FitReport, Matcher, Reasons, id_array, positions
from avrec.matching.content import centre_of, units_of
from avrec.matching.data import Arrays, Catalog, Floats, Histories, Interactions, Longs
from avrec.matching.ease import regularised_inverse
from avrec.matching.exact import Exact
from avrec.matching.neighbours import likes_of
from avrec.matching.search import Settings, by_coordinates
from avrec.matching.selection import SELECT_K, liked_matrix, quality, selection_set
from avrec.params import EaseSideParams

GRID = {"side_weight": (10.0, 30.0, 300.0), "l2": (25.0, 100.0)}
"""Values that are tried on validation, after the ones in params."""

TINY = 1e-12


class EaseSide(Matcher):
    """EASE whose Gram matrix is `X'X + w F F'`, with the likes `X` and the unit item vectors `F [n_items, dim]`.

    Inputs are the liked items, the `max_items` most liked where there are more. With `P = (X'X + w F F' + l2 I)^-1`
    over the inputs, the weights of an input `j` are `-P_j / P_jj` as in EASE; those of any other item `j`, which is no
    input and cannot explain itself, are the plain regression `P (X'X_j + w F f_j)`. `w` (`side_weight`) and `l2` are
    looked for on validation, one after the other; without validation they are taken as they are. All modalities weigh
    the same; an item has zeros for those it lacks.
    """

    name: ClassVar[str] = "ease_side"
    uses_features: ClassVar[bool] = True
    exact_rows = True

    def __init__(self, params: EaseSideParams, seed: int = 7, frozen: dict[str, Any] | None = None) -> None:
        chosen = frozen or params.model_dump(exclude={"enabled"})
        self.max_items = int(chosen["max_items"])
        self.chosen: Settings = {name: float(chosen[name]) for name in GRID}

    def fit(self, catalog: Catalog, train: Interactions, validation: Interactions | None = None) -> FitReport:
        likes = likes_of(train.positives(), len(catalog)).astype(np.float32)
        liked = np.asarray(likes.sum(axis=0)).ravel()
        most = np.lexsort((np.arange(len(liked)), -liked))[: self.max_items]
        self.inputs = np.sort(most[liked[most] > 0]).astype(np.int64)
        self.centres = {name: centre_of(f, liked > 0) for name, f in sorted(catalog.features.items())}
        self.together = _together(likes, self.inputs)
        self.catalog = catalog
        self._prepare(catalog)
        own = likes[:, self.inputs]
        solver = _Solver(np.asarray((own.T @ own).toarray(), np.float32), self.side[self.inputs])
        judged = selection_set(train, validation)

        def judge(settings: Settings) -> float:
            self._use(settings, solver.inverse(**settings))
            return quality(self._score, judged)[f"ndcg@{SELECT_K}"] if judged else 0.0

        chosen, trials = by_coordinates(self.chosen, GRID, judge) if judged else (self.chosen, [])
        self._use(chosen, solver.inverse(**chosen))
        return FitReport(self.settings(), trials=trials)

    def _prepare(self, catalog: Catalog) -> None:
        """Item vectors `[n_items, dim]`, modalities side by side, zero for the inputs in `_others`."""
        parts, start = [np.zeros((len(catalog), 0), np.float32)], 0
        self.columns: dict[str, slice] = {}
        for name, centre in self.centres.items():
            known = catalog.features.get(name)
            parts.append(units_of(known, centre) if known else np.zeros((len(catalog), len(centre)), np.float32))
            self.columns[name] = slice(start, start + len(centre))
            start += len(centre)
        self.side = (np.concatenate(parts, axis=1) / np.sqrt(max(len(self.centres), 1))).astype(np.float32)
        others = self.side.copy()
        others[self.inputs] = 0.0
        self._others = Exact(others) if others.shape[1] else None
        self._place = np.full(len(catalog), -1, np.int64)
        self._place[self.inputs] = np.arange(len(self.inputs))

    def _use(self, settings: Settings, inverse: Floats, content: Floats | None = None) -> None:
        """`content [n_inputs, dim]` is what a like of each input says of the content of other items."""
        weight = np.float32(settings["side_weight"])
        self.chosen, self.inverse = settings, inverse
        self.content = weight * (inverse @ self.side[self.inputs]) if content is None else content
        self._diagonal = np.maximum(np.diag(inverse), TINY)

    def _score(self, histories: Histories) -> Floats:
        likes = liked_matrix(histories, len(self._require_fitted()))[:, self.inputs]
        through = np.asarray(likes @ self.inverse, np.float32)
        scores = np.zeros((len(histories), len(self.side)), np.float32)
        if self._others is not None:
            scores += self._others.dot(likes @ self.content)
        if self.together.nnz:
            scores += np.asarray((sparse.csr_matrix(through) @ self.together).toarray(), np.float32)
        scores[:, self.inputs] = likes.toarray() - through / self._diagonal
        return scores

    def _explain(self, histories: Histories, items: Longs) -> Reasons:
        reasons = Reasons.empty(items.shape)
        for row in range(len(items)):
            liked = np.unique(histories.liked(row)).astype(np.int64)
            liked = liked[self._place[liked] >= 0]
            if not len(liked):
                continue
            names, parts = self._parts(self._place[liked], items[row])
            total = parts.sum(axis=0)
            columns = np.arange(items.shape[1])
            cause = total.argmax(axis=0)
            speaks = total[cause, columns] > 0
            kinds = np.array([REASON_KINDS.index(name) for name in names], np.int8)
            reasons.kind[row, speaks] = kinds[parts[:, cause, columns].argmax(axis=0)][speaks]
            reasons.item[row, speaks] = liked[cause][speaks]
        return reasons

    def _parts(self, liked: Longs, items: Longs) -> tuple[list[str], Floats]:
        """What each liked input adds to each score, by what it is due to: kinds, and `[kinds, liked, k]`."""
        place = self._place[items]
        among = place >= 0
        ease = np.where(among, -self.inverse[np.ix_(liked, place)] / self._diagonal[place], 0.0)
        behaviour = ease + np.asarray(self.inverse[liked] @ self.together[:, items])
        names, parts = ["watched"], [behaviour]
        for name, columns in self.columns.items():
            vectors = np.where(among[:, None], 0.0, self.side[items][:, columns])
            names.append(MODALITY_REASONS[name])
            parts.append(self.content[liked][:, columns] @ vectors.T)
        return names, np.stack(parts)

    # Saving -----------------------------------------------------------------------------------------------------------

    def _state(self) -> Arrays:
        ids = id_array(self._require_fitted())
        beside = np.flatnonzero(np.diff(self.together.tocsc().indptr))
        return {
            "item_ids": ids[self.inputs], "beside_ids": ids[beside], "beside": self.together[:, beside].toarray(),
            "inverse": self.inverse, "content": self.content,
            **{f"centre_{name}": centre for name, centre in self.centres.items()},
        }  # fmt: skip

    def _restore(self, state: Arrays, settings: dict[str, Any], catalog: Catalog) -> None:
        self.max_items = settings["max_items"]
        place = positions(state["item_ids"], catalog, self.name)
        order = np.argsort(place)
        self.inputs = place[order]
        self.centres = {k.removeprefix("centre_"): v for k, v in state.items() if k.startswith("centre_")}
        together = np.zeros((len(place), len(catalog)), np.float32) if len(state["beside_ids"]) else None
        self.together = sparse.csr_matrix((len(place), len(catalog)), dtype=np.float32)
        if together is not None:
            together[:, positions(state["beside_ids"], catalog, self.name)] = state["beside"][order]
            self.together = sparse.csr_matrix(together)
        self._prepare(catalog)
        chosen = {name: settings[name] for name in GRID}
        self._use(chosen, np.ascontiguousarray(state["inverse"][np.ix_(order, order)]), state["content"][order])

    def settings(self) -> dict[str, Any]:
        return {"max_items": self.max_items, **self.chosen}


def _together(likes: Any, inputs: Longs) -> Any:
    """How many people like an input and an item that is none, CSR `[n_inputs, n_items]`."""
    counts = (likes[:, inputs].T @ likes).tocsc()
    counts.data[np.isin(np.repeat(np.arange(counts.shape[1]), np.diff(counts.indptr)), inputs)] = 0.0
    counts.eliminate_zeros()
    return counts.tocsr()


class _Solver:
    """`(gram + w F F' + l2 I)^-1` for many `w`: one inverse an `l2`, then the identity of Woodbury."""

    def __init__(self, gram: Floats, side: Floats) -> None:
        self._gram, self._side = gram, side
        self._l2, self._inverse = -1.0, gram

    def inverse(self, side_weight: float, l2: float) -> Floats:
        """`[n, n]` float32."""
        if not len(self._gram):
            return self._gram
        if l2 != self._l2:
            self._l2, self._inverse = l2, regularised_inverse(self._gram.copy(), l2).astype(np.float32)
        if not side_weight or not self._side.shape[1]:
            return self._inverse
        through = self._inverse @ self._side
        inner = np.linalg.inv(np.eye(self._side.shape[1]) / side_weight + self._side.T @ through).astype(np.float32)
        result: npt.NDArray[np.float32] = self._inverse - (through @ inner) @ through.T
        return result
