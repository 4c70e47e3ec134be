"""What comes next: attention over the order in which a person liked things."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from avrec.matching.base import REASON_KINDS, FitReport, Reasons
from avrec.matching.data import Arrays, Catalog, Floats, Histories, Interactions, Longs
from avrec.matching.encoder import Encoder
from avrec.matching.fused import FusedItems
from avrec.params import SequenceParams

CAUSES = 10
"""Newest likes among which the reason for a score is looked for."""

MAX_ROWS = 256
"""Histories encoded together; bounds the memory of the attention."""


class Sequence(FusedItems):
    """Causal self-attention over fused item vectors (SASRec: Kang and McAuley, "Self-attentive sequential
    recommendation", ICDM 2018), trained by a softmax over all items, or over those of the batch with logQ correction:
    few sampled negatives are what makes such models overconfident (Petrov and Macdonald, "gSASRec", RecSys 2023).

    Positions count by recency: each head has a learned weight for how long ago a like was (as in Shaw et al., "Self-
    attention with relative position representations", NAACL 2018), so that a history of any length is read alike. A
    person is their history and nothing else. Where the data have no time, the order is drawn anew in each epoch.

    Example:
        ```python
        matcher = Sequence(SequenceParams(blocks=1))
        report = matcher.fit(catalog, train, validation)
        ```
    """

    name: ClassVar[str] = "sequence"
    params_class = SequenceParams
    params: SequenceParams
    encoder: Encoder
    encoder_weights: Arrays
    nobody: Floats

    def __init__(self, params: SequenceParams, seed: int = 7, frozen: dict[str, Any] | None = None) -> None:
        self._configure(params, seed, frozen)

    def fit(self, catalog: Catalog, train: Interactions, validation: Interactions | None = None) -> FitReport:
        from avrec.matching.sequence_training import train_sequence

        self.look(catalog, train)
        epochs = train_sequence(self, catalog, train, validation)
        self.catalog = catalog
        return FitReport(self.settings(), epochs, importance=self.importance)

    def prepare(self) -> None:
        super().prepare()
        self.encoder = Encoder(self.encoder_weights)

    def people(self, histories: Histories) -> Floats:
        """Unit vectors `[n, dim]` of the people with these histories."""
        return self._encode([histories.liked(row) for row in range(len(histories))])

    def _encode(self, rows: list[Any]) -> Floats:
        length = self.params.history
        items, known = np.zeros((len(rows), length), np.int64), np.zeros((len(rows), length), bool)
        for row, liked in enumerate(rows):
            newest = liked[-length:]
            items[row, length - len(newest) :], known[row, length - len(newest) :] = newest, True
        people = np.repeat(self.nobody[None, :], len(rows), axis=0)
        some = np.flatnonzero(known[:, -1])
        for start in range(0, len(some), MAX_ROWS):
            part = some[start : start + MAX_ROWS]
            people[part] = self.encoder.last(self.vectors[items[part]], known[part])
        return people

    def _explain(self, histories: Histories, items: Longs) -> Reasons:
        """The like without which the score would be lowest, each of the newest taken out in turn."""
        reasons = Reasons.empty(items.shape)
        with_all = self.people(histories)
        for row in range(len(items)):
            liked = histories.liked(row)
            causes = np.unique(liked[-min(CAUSES, self.params.history) :])
            if not len(causes):
                continue
            without = self._encode([liked[liked != cause] for cause in causes])
            losses = (with_all[row][None, :] - without) @ self.vectors[items[row]].T
            cause = losses.argmax(axis=0)
            speaks = losses[cause, np.arange(items.shape[1])] > 0
            reasons.kind[row, speaks] = REASON_KINDS.index("taste")
            reasons.item[row, speaks] = causes[cause][speaks]
        return reasons

    def _learned(self) -> Arrays:
        return {"nobody": self.nobody, **{f"encoder_{name}": value for name, value in self.encoder_weights.items()}}

    def _adopt(self, state: Arrays) -> None:
        self.nobody = state["nobody"]
        names = [name for name in state if name.startswith("encoder_")]
        self.encoder_weights = {name.removeprefix("encoder_"): state[name] for name in names}
