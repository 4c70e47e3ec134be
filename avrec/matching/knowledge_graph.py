"""Knowledge graph: a random walk with restart over items, people, creators, categories and tags.

Personalised PageRank (Haveliwala, "Topic-sensitive PageRank", WWW 2002) on a heterogeneous graph, cut after a few
steps. Every path can be read: from a liked item over somebody or something it shares with another item.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from avrec.matching.base import BLOCK, REASON_KINDS, FitReport, Matcher, Reasons, id_array, positions
from avrec.matching.data import Arrays, Catalog, Floats, Histories, Interactions, Longs
from avrec.matching.neighbours import likes_of
from avrec.matching.search import Settings, by_coordinates
from avrec.matching.selection import SELECT_K, liked_matrix, quality, selection_set
from avrec.params import KnowledgeGraphParams

Doubles = npt.NDArray[np.float64]

PERSON = "people"

REASONS = {
    PERSON: "watched", "creator": "creator", "category": "category", "tag": "tag", "seen": "picture", "heard": "sound",
}  # fmt: skip
"""Kinds of links, and the reason that a path of one step over each of them is."""

GRID = {"popularity": (0.0, 0.2, 0.4), **{kind: (0.03, 0.1, 0.3, 1.0) for kind in REASONS if kind != PERSON}}
"""Values that are tried on validation, after the ones in params; of kinds that the catalogue knows. Never 0: few of the
people that judge liked something new, and what is new is reached over these links alone."""


@dataclass(frozen=True)
class Links:
    """Who or what each item is linked to, by one kind of link.

    Attributes:
        kind: A key of `REASONS`.
        matrix: CSR `[n_items, n_entities]` of 0 and 1, float64.
    """

    kind: str
    matrix: Any


class KnowledgeGraph(Matcher):
    """A person's score of an item is how often a walk that starts at what they liked comes by, over popularity.

    A step leads from an item over one of its links, chosen by the weights of their kinds, to one of the items that are
    linked to the same. Before each step the walk may begin again. Items that nobody liked are reached over what is
    known of them; a catalogue that knows nothing leaves the people. The likes add up, so that each has its own share.
    """

    name: ClassVar[str] = "knowledge_graph"
    exact_rows = True

    def __init__(self, params: KnowledgeGraphParams, seed: int = 7, frozen: dict[str, Any] | None = None) -> None:
        chosen = frozen or params.model_dump(exclude={"enabled"})
        self.chosen: Settings = {name: float(value) for name, value in chosen.items()}

    def fit(self, catalog: Catalog, train: Interactions, validation: Interactions | None = None) -> FitReport:
        self.catalog = catalog
        self.likes = likes_of(train.positives(), len(catalog))
        self.entities = {kind: list(catalog.entities[kind]) for kind in REASONS if kind in catalog.entities}
        self._connect()
        judged = selection_set(train, validation)

        def judge(settings: Settings) -> float:
            self._use(settings)
            return quality(self._score, judged)[f"ndcg@{SELECT_K}"] if judged else 0.0

        known = {"popularity", *(links.kind for links in self.links)}
        grid = {name: values for name, values in GRID.items() if name in known}
        chosen, trials = by_coordinates(self.chosen, grid, judge) if judged else (self.chosen, [])
        self._use(chosen)
        return FitReport(self.settings(), trials=trials)

    def _connect(self) -> None:
        self.links = [Links(PERSON, self.likes.T.tocsr())]
        self.links += [Links(kind, incidence(names)) for kind, names in self.entities.items()]

    def _use(self, settings: Settings) -> None:
        """Weights the links. `out` leads from items to entities, `back` from entities to items."""
        self.chosen = settings
        weights = {links.kind: settings[links.kind] for links in self.links}
        have = np.zeros(len(self._require_fitted()))
        for links in self.links:
            have += weights[links.kind] * (np.diff(links.matrix.indptr) > 0)
        share = np.divide(1.0, have, out=np.zeros(len(have)), where=have > 0)
        self._out = [sparse.diags(share * weights[links.kind]) @ _rows_to_one(links.matrix) for links in self.links]
        self._back = [_rows_to_one(links.matrix.T.tocsr()) for links in self.links]
        out, back = sparse.hstack(self._out, format="csr"), sparse.vstack(self._back, format="csr")
        self._forth, self._over = out.T.tocsr(), back.T.tocsr()
        self._from_entities, self._to_entities = out, back
        counts = np.asarray(self.likes.sum(axis=0)).ravel()
        self._scale = (1.0 + counts) ** -settings["popularity"]

    # The walk ---------------------------------------------------------------------------------------------------------

    def _walk(self, start: Doubles, first: Any, second: Any) -> Doubles:
        """Visits after at least one step, `[n_items, n]`, of `n` walks that start at the columns of `start`."""
        going = 1.0 - self.chosen["restart"]
        visits, at = np.zeros_like(start), start
        for _ in range(int(self.chosen["steps"])):
            at = going * (second @ (first @ at))
            visits += at
        return visits

    def _score(self, histories: Histories) -> Floats:
        start = liked_matrix(histories, len(self._require_fitted())).toarray().T.astype(np.float64)
        # Two walks at least: a single column would take another routine, and perhaps another order of its sums.
        padded = np.concatenate([start, np.zeros((len(start), max(0, 2 - start.shape[1])))], axis=1)
        visits = self._walk(np.ascontiguousarray(padded), self._forth, self._over)[:, : len(histories)]
        return np.ascontiguousarray((visits * self._scale[:, None]).T, np.float32)

    def _explain(self, histories: Histories, items: Longs) -> Reasons:
        """The same walk backwards, from the listed items: it says how much every like contributes at once."""
        reasons = Reasons.empty(items.shape)
        liked = [np.unique(histories.liked(row)).astype(np.int64) for row in range(len(items))]
        for listed, shares in self._backwards(np.unique(items)):
            place = {item: column for column, item in enumerate(listed.tolist())}
            for row, column in zip(*np.nonzero(np.isin(items, listed)), strict=True):
                if len(liked[row]):
                    parts = shares[liked[row], place[int(items[row, column])]]
                    if parts.max() > 0:
                        cause = int(liked[row][parts.argmax()])
                        reasons.item[row, column] = cause
                        reasons.kind[row, column] = self._kind(cause, int(items[row, column]))
        return reasons

    def _backwards(self, items: Longs) -> Iterator[tuple[Longs, Doubles]]:
        for begin in range(0, len(items), BLOCK):
            listed = items[begin : begin + BLOCK]
            start = np.zeros((len(self._scale), len(listed)))
            start[listed, np.arange(len(listed))] = 1.0
            yield listed, self._walk(start, self._to_entities, self._from_entities)

    def _kind(self, cause: int, item: int) -> int:
        """The kind of link that most of a single step between the two goes over; `path` where there is none."""
        steps = [float((out[cause] @ back[:, item]).sum()) for out, back in zip(self._out, self._back, strict=True)]
        best = int(np.argmax(steps))
        return REASON_KINDS.index(REASONS[self.links[best].kind] if steps[best] > 0 else "path")

    # Saving -----------------------------------------------------------------------------------------------------------

    def _state(self) -> Arrays:
        state: Arrays = {
            "item_ids": id_array(self._require_fitted()), "people": np.array(self.likes.shape[:1]),
            "likes": self.likes.indices.astype(np.int32), "likes_indptr": self.likes.indptr.astype(np.int64),
        }  # fmt: skip
        for kind, names in self.entities.items():
            state[f"names_{kind}"] = np.array([name for mine in names for name in mine], dtype=np.str_)
            state[f"count_{kind}"] = np.array([len(mine) for mine in names], np.int32)
        return state

    def _restore(self, state: Arrays, settings: dict[str, Any], catalog: Catalog) -> None:
        place = positions(state["item_ids"], catalog, self.name)
        shape = (int(state["people"][0]), len(catalog))
        ones = np.ones(len(state["likes"]))
        self.likes = sparse.csr_matrix((ones, place[state["likes"]], state["likes_indptr"]), shape=shape)
        self.likes.sort_indices()
        self.entities = {}
        for kind in (kind for kind in REASONS if f"count_{kind}" in state):
            # What was known in training stays, though the catalogue may know less: extractors' tags are not in it.
            names = list(catalog.entities.get(kind, [()] * len(catalog)))
            known = state[f"names_{kind}"].tolist()
            ends = np.cumsum(state[f"count_{kind}"]).tolist()
            for item, begin, end in zip(place.tolist(), [0, *ends[:-1]], ends, strict=True):
                names[item] = tuple(known[begin:end])
            self.entities[kind] = names
        self.catalog = catalog
        self._connect()
        self._use(settings)

    def settings(self) -> dict[str, Any]:
        return dict(self.chosen)


def incidence(names: list[tuple[str, ...]]) -> Any:
    """Which items have which names, CSR `[n_items, n_names]` of 0 and 1; names in order of appearance."""
    index: dict[str, int] = {}
    rows = [sorted({index.setdefault(name, len(index)) for name in mine}) for mine in names]
    indptr = np.cumsum([0, *(len(row) for row in rows)])
    columns = np.array([column for row in rows for column in row], np.int64)
    return sparse.csr_matrix((np.ones(len(columns)), columns, indptr), shape=(len(names), len(index)))


def _rows_to_one(matrix: Any) -> Any:
    """Rows scaled to a sum of 1; empty ones stay."""
    total = np.asarray(matrix.sum(axis=1)).ravel()
    return (sparse.diags(np.divide(1.0, total, out=np.zeros(len(total)), where=total > 0)) @ matrix).tocsr()
