"""The decision "will they like it": over labelled held-out interactions with true negatives, never sampled ones.

Scores of a matcher become probabilities by a logistic fit on validation (Platt, 1999), and the threshold that decides
is chosen there too; both are then frozen and read once on test, beside the baseline that always gives the answer
most frequent on validation.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from avrec.evaluation.metrics import Reals
from avrec.matching.base import BLOCK, Matcher
from avrec.matching.data import Histories, Interactions, Mask

MIN_LABELS = 10
"""Fewer positives or negatives than this on validation or test and there is nothing to learn or to say."""


@dataclass(frozen=True)
class Labelled:
    """Held-out interactions with a true label, of things not seen before.

    Attributes:
        row, item: Row of `histories` and item index, `[m]` each.
        liked: `[m]` bool.
        histories: What was known of the people before, `[n]`.
    """

    row: npt.NDArray[np.int64]
    item: npt.NDArray[np.int64]
    liked: Mask
    histories: Histories

    @classmethod
    def of(cls, held_out: Interactions, before: Interactions) -> Labelled:
        """Labelled interactions of `held_out`, with what the same people did `before`."""
        known = held_out.where(held_out.label != 0)
        users, row = np.unique(known.user, return_inverse=True)
        histories = Histories.from_interactions(before, users)
        seen_row = np.repeat(np.arange(len(users)), np.diff(histories.seen_indptr))
        seen = np.isin(_pair(row, known.item), _pair(seen_row, histories.seen_items))
        fresh = ~seen
        return cls(row[fresh].astype(np.int64), known.item[fresh].astype(np.int64), known.label[fresh] > 0, histories)

    @property
    def decidable(self) -> bool:
        """There are likes and true negatives enough."""
        return int(self.liked.sum()) >= MIN_LABELS and int((~self.liked).sum()) >= MIN_LABELS


@dataclass(frozen=True)
class Quality:
    """Accuracy, precision, recall and F1 of yes-or-no answers. F1 is the harmonic mean of precision and recall."""

    accuracy: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Decision:
    """One matcher's answers on test.

    Attributes:
        quality, majority: Of the matcher, and of always answering what was most frequent on validation.
        threshold: Probability from which the answer is yes; the most accurate on validation.
        auc: Area under the ROC curve: chance that a like is above a dislike.
        positives, negatives: How many there were.
        probability, liked: What was predicted and what happened, `[m]` each.
    """

    quality: Quality
    majority: Quality
    threshold: float
    auc: float
    positives: int
    negatives: int
    probability: Reals
    liked: Mask

    def summary(self) -> dict[str, float | int | dict[str, float]]:
        """Figures for the report, without the arrays."""
        return {
            **asdict(self.quality),
            "majority": asdict(self.majority),
            "threshold": self.threshold,
            "auc": self.auc,
            "positives": self.positives,
            "negatives": self.negatives,
        }


def decide(matcher: Matcher, validation: Labelled, test: Labelled) -> Decision | None:
    """Fits probability and threshold on `validation`, answers on `test`; None where there are no true negatives."""
    if not (validation.decidable and test.decidable):
        return None
    scores = scores_of(matcher, validation)
    slope, offset = fit_logistic(scores, validation.liked)
    threshold = best_threshold(_sigmoid(slope * scores + offset), validation.liked)
    probability = _sigmoid(slope * scores_of(matcher, test) + offset)
    always = np.full(len(test.liked), validation.liked.mean() >= 0.5)
    return Decision(
        quality_of(probability >= threshold, test.liked),
        quality_of(always, test.liked),
        threshold,
        auc(probability, test.liked),
        int(test.liked.sum()),
        int((~test.liked).sum()),
        probability,
        test.liked,
    )


def scores_of(matcher: Matcher, labelled: Labelled) -> Reals:
    """Scores of the labelled pairs, `[m]`, in standard deviations from the mean of that person's scores.

    Raw scores grow with the length of a history; standardised ones can share a threshold between people.
    """
    result = np.zeros(len(labelled.row))
    for start in range(0, len(labelled.histories), BLOCK):
        stop = min(start + BLOCK, len(labelled.histories))
        scores = matcher.score(labelled.histories.slice(start, stop)).astype(np.float64)
        mine = np.flatnonzero((labelled.row >= start) & (labelled.row < stop))
        rows = labelled.row[mine] - start
        spread = np.maximum(scores.std(axis=1), 1e-12)
        result[mine] = (scores[rows, labelled.item[mine]] - scores.mean(axis=1)[rows]) / spread[rows]
    return result


def fit_logistic(scores: Reals, liked: Mask, steps: int = 50) -> tuple[float, float]:
    """Slope and offset of `P(like) = sigmoid(slope * score + offset)` by Newton's method.

    Targets are smoothed as Platt's are, so that separable scores stay finite. The slope is never negative: a matcher
    whose scores point the wrong way knows nothing, and may not be turned around.
    """
    n_yes, n_no = int(liked.sum()), int((~liked).sum())
    target = np.where(liked, (n_yes + 1) / (n_yes + 2), 1 / (n_no + 2))
    design = np.column_stack([scores, np.ones(len(scores))])
    weights = np.array([0.0, np.log((n_yes + 1) / (n_no + 1))])
    for _ in range(steps):
        p = _sigmoid(design @ weights)
        hessian = design.T @ (design * (p * (1 - p))[:, None]) + 1e-6 * np.eye(2)
        step = np.linalg.solve(hessian, design.T @ (p - target))
        weights -= step
        if np.abs(step).max() < 1e-9:
            break
    if weights[0] < 0:
        return 0.0, float(np.log((n_yes + 1) / (n_no + 1)))
    return float(weights[0]), float(weights[1])


def best_threshold(probability: Reals, liked: Mask) -> float:
    """The threshold with the highest accuracy; of equal ones the one nearest to one half."""
    order = np.argsort(-probability, kind="stable")
    ordered, yes = probability[order], liked[order]
    # Yes to the first i, no to the rest: right are the likes among the first and the dislikes among the rest.
    correct = np.concatenate([[0], np.cumsum(np.where(yes, 1, -1))]) + int((~yes).sum())
    cuts = np.concatenate([[np.nextafter(ordered[0], np.inf)], (ordered[:-1] + ordered[1:]) / 2, [ordered[-1]]])
    possible = np.concatenate([[True], ordered[:-1] > ordered[1:], [True]])  # equal scores get equal answers
    best = np.flatnonzero(possible & (correct == correct[possible].max()))
    return float(cuts[best[np.abs(cuts[best] - 0.5).argmin()]])


def quality_of(answers: Mask, liked: Mask) -> Quality:
    """Accuracy, precision, recall and F1; what has no denominator is 0."""
    hits = int((answers & liked).sum())
    return Quality(
        float((answers == liked).mean()),
        hits / max(1, int(answers.sum())),
        hits / max(1, int(liked.sum())),
        2 * hits / max(1, int(answers.sum()) + int(liked.sum())),
    )


def auc(scores: Reals, liked: Mask) -> float:
    """Area under the ROC curve, ties counted half (Mann and Whitney, 1947)."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    rank = (ends - (counts - 1) / 2)[inverse]
    yes = int(liked.sum())
    return float((rank[liked].sum() - yes * (yes + 1) / 2) / (yes * (len(liked) - yes)))


@dataclass(frozen=True)
class CalibrationBin:
    """People whose predicted probability was alike: what was predicted, what came of it, how many."""

    predicted: float
    observed: float
    count: int


def calibration(probability: Reals, liked: Mask, bins: int = 10) -> list[CalibrationBin]:
    """Predicted probability of liking against how often it was liked, in `bins` groups of equal size."""
    order = np.argsort(probability, kind="stable")
    groups = [g for g in np.array_split(order, min(bins, len(order))) if len(g)]
    return [CalibrationBin(float(probability[g].mean()), float(liked[g].mean()), len(g)) for g in groups]


def _sigmoid(x: Reals) -> Reals:
    return 1 / (1 + np.exp(-np.clip(x, -500, 500)))


def _pair(row: npt.NDArray[np.generic], item: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    return (row.astype(np.int64) << 32) | item.astype(np.int64)
