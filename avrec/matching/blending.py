"""The blend of the hybrid: a softmax over items with few weights, fitted on validation people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import optimize

from avrec.matching.base import BLOCK, top_k
from avrec.matching.data import Floats, Histories, Ints, Mask
from avrec.matching.loading import EvaluationSet

Doubles = npt.NDArray[np.float64]
Columns = Callable[[Histories], Floats]
"""Gives what is known of every item for each person, `[n, n_items, columns]` float32."""

SAMPLED = 800
"""Items drawn by chance beside the candidates where the catalogue is larger than that."""


@dataclass(frozen=True)
class Choices:
    """What validation people could choose from and what they chose; one row a person and candidate.

    Attributes:
        columns: `[rows, p]` float32.
        offset: Log of how many items the row stands for `[rows]`; 0 for those taken for sure.
        share: Which share of the person's likes the row is `[rows]`; 0 for what they did not choose.
        starts: First row of each person `[n]` int64.
    """

    columns: Floats
    offset: Doubles
    share: Doubles
    starts: npt.NDArray[np.int64]


def collect(columns: Columns, single: list[int], judged: EvaluationSet, candidates: int, seed: int,
            among: Mask | None = None) -> Choices:  # fmt: skip
    """Candidates of each person: the best of each matcher, the truth, and a sample that stands for the rest.

    Args:
        columns: See `Columns`.
        single: The columns that propose candidates.
        judged: People and what they liked.
        candidates: How many each of them proposes.
        seed: Of the sample.
        among: `[n_items]` bool, the items that compete, truth included; None for all.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, len(judged.truth), BLOCK):
        histories = judged.histories.slice(start, min(start + BLOCK, len(judged.truth)))
        values = columns(histories)
        for row, truth in enumerate(judged.truth[start : start + BLOCK]):
            items, offset = _candidates(values[row][:, single], histories.seen(row), truth, candidates, rng, among)
            parts.append((values[row, items], offset, np.isin(items, truth) / len(truth)))
    lengths = [len(part[1]) for part in parts]
    return Choices(
        np.concatenate([part[0] for part in parts]),
        np.concatenate([part[1] for part in parts]),
        np.concatenate([part[2] for part in parts]),
        np.cumsum([0, *lengths[:-1]]).astype(np.int64),
    )


def _candidates(
    scores: Floats, seen: Ints, truth: Ints, candidates: int, rng: np.random.Generator, among: Mask | None
) -> tuple[npt.NDArray[np.int64], Doubles]:
    n_items = len(scores)
    unseen = np.ones(n_items, bool) if among is None else among.copy()
    unseen[seen] = False
    if n_items <= candidates + SAMPLED:
        items = np.flatnonzero(unseen)
        return items, np.zeros(len(items))
    sure = np.zeros(n_items, bool)
    best, _ = top_k(np.where(unseen, scores.T, -np.inf).astype(np.float32), candidates)
    sure[best[best >= 0]] = True
    sure[truth] = True
    rest = np.flatnonzero(unseen & ~sure)
    drawn = np.sort(rng.choice(rest, min(SAMPLED, len(rest)), replace=False))
    sure_items = np.flatnonzero(sure)
    weight = np.log(len(rest) / max(len(drawn), 1)) if len(rest) else 0.0
    return np.concatenate([sure_items, drawn]), np.r_[np.zeros(len(sure_items)), np.full(len(drawn), weight)]


def fit_blend(choices: Choices, l2: float, lower: Doubles, centre: Doubles | None = None) -> Doubles:
    """Weights `[p]` of the softmax that makes the choices likeliest; convex, so it has one answer.

    Args:
        choices: At least one person.
        l2: Strength of the pull towards `centre`; as strong as so many people at one unit of distance.
        lower: Smallest weight allowed, by column; `-inf` for none.
        centre: Where few people lead to, `[p]`; 0 by default.
    """
    prior = np.zeros(choices.columns.shape[1]) if centre is None else centre
    n = len(choices.starts)
    lengths = np.diff(np.r_[choices.starts, len(choices.offset)])
    columns = choices.columns.astype(np.float64)
    wanted = choices.share @ columns / n

    def loss(weights: Doubles) -> tuple[float, Doubles]:
        logits = columns @ weights + choices.offset
        top = np.maximum.reduceat(logits, choices.starts)
        odds = np.exp(logits - np.repeat(top, lengths))
        total = np.add.reduceat(odds, choices.starts)
        chosen = wanted @ weights + choices.share @ choices.offset / n
        away = weights - prior
        value = np.mean(top + np.log(total)) - chosen + l2 / (2 * n) * away @ away
        gradient = (odds / np.repeat(total, lengths)) @ columns / n - wanted + l2 / n * away
        return float(value), gradient

    bounds = [(None if low == -np.inf else low, None) for low in lower]
    found = optimize.minimize(loss, np.maximum(prior, lower), jac=True, method="L-BFGS-B", bounds=bounds)
    weights: Doubles = found.x
    return weights


def equal_say(choices: Choices, members: int | None = None) -> Doubles:
    """Weights `[p]` where the first `members` columns (all by default) have the same, and the others none.

    One number can be learned from few people: it is what the blend falls back to where there are not enough for more.
    """
    p = choices.columns.shape[1]
    members = p if members is None else members
    summed = choices.columns[:, :members].sum(axis=1, keepdims=True)
    each = fit_blend(replace(choices, columns=summed), 1.0, np.zeros(1))[0]
    weights = np.zeros(p)
    weights[:members] = each
    return weights
