"""How matchers choose settings on validation. Reported figures come from `avrec.evaluation`, never from here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from avrec.matching.base import BLOCK, Matcher, mask_scores
from avrec.matching.data import Floats, Histories, Interactions, Ints, Mask
from avrec.matching.loading import EvaluationSet, evaluation_set

SELECT_K = 20
"""Settings are chosen by NDCG at this cut: less noisy than the primary cut of the reports."""

MAX_USERS = 2000
"""People used for choosing; more would cost time and change nothing."""


def selection_set(train: Interactions, validation: Interactions | None) -> EvaluationSet | None:
    """Up to `MAX_USERS` validation users, or None where there is nothing to choose on."""
    if validation is None:
        return None
    judged = evaluation_set(train, validation)
    n = min(len(judged.truth), MAX_USERS)
    return EvaluationSet(judged.histories.slice(0, n), judged.truth[:n]) if n else None


def restricted(judged: EvaluationSet, items: Mask) -> EvaluationSet:
    """The same with only what was liked among some items `[n_items]` bool; people without any are left out."""
    truth = [row[items[row]] for row in judged.truth]
    kept = [row for row, left in enumerate(truth) if len(left)]
    people = judged.histories
    liked, seen = ([part(row).tolist() for row in kept] for part in (people.liked, people.seen))
    return EvaluationSet(Histories.of(liked, seen, people.user[kept].tolist()), [truth[row] for row in kept])


def ranks(scores: Floats, histories: Histories, truth: Sequence[Ints]) -> list[Ints]:
    """Rank from 0 of every true item among the unseen ones, ties to the lower index as in the lists."""
    masked = mask_scores(scores, histories, None)
    places = np.arange(masked.shape[1])
    result = []
    for row, items in zip(masked, truth, strict=True):
        value = row[items][:, None]
        ahead = (row > value) | ((row == value) & (places < items[:, None]))
        result.append(ahead.sum(axis=1).astype(np.int32))
    return result


def ndcg(found: Sequence[Ints], k: int) -> npt.NDArray[np.float64]:
    """NDCG at `k` a row, ideal list cut at `k` (Jarvelin and Kekalainen 2002, binary gain)."""
    gains = 1.0 / np.log2(np.arange(k) + 2.0)
    return np.array([gains[r[r < k]].sum() / gains[: len(r)].sum() for r in found])


def recall(found: Sequence[Ints], k: int) -> npt.NDArray[np.float64]:
    """Share of the true items among the first `k`, a row."""
    return np.array([np.mean(r < k) for r in found])


def quality(score: Callable[[Histories], Floats], judged: EvaluationSet) -> dict[str, float]:
    """Mean recall and NDCG at 5, 10 and 20 of a scoring function called block by block."""
    found: list[Ints] = []
    for start in range(0, len(judged.truth), BLOCK):
        part = judged.histories.slice(start, min(start + BLOCK, len(judged.truth)))
        found += ranks(score(part), part, judged.truth[start : start + BLOCK])
    metrics = {"recall": recall, "ndcg": ndcg}
    return {
        f"{name}@{k}": float(metric(found, k).mean()) if found else 0.0
        for name, metric in metrics.items()
        for k in (5, 10, 20)
    }


def validation_quality(matcher: Matcher, train: Interactions, validation: Interactions) -> dict[str, float]:
    """`quality` of a fitted matcher over all validation users given."""
    return quality(matcher.score, evaluation_set(train, validation))


def liked_matrix(histories: Histories, n_items: int, last: int | None = None) -> Any:
    """Liked items as a sparse 0/1 matrix `[n, n_items]` float32, each item once.

    Products of it with a dense matrix add the rows of that matrix in a fixed order, so a row's bits depend on nothing
    but its own history.

    `last` keeps only so many of the newest.
    """
    rows = [histories.liked(r) for r in range(len(histories))]
    kept = [np.unique(r[-last:] if last is not None else r) for r in rows]
    indptr = np.concatenate([[0], np.cumsum([len(r) for r in kept])]).astype(np.int64)
    items = np.concatenate([*kept, np.zeros(0, np.int32)]).astype(np.int32)
    return sparse.csr_matrix((np.ones(len(items), np.float32), items, indptr), shape=(len(histories), n_items))
