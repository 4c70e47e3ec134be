"""How far new items are raised, so that they get the share of the lists that they are meant to have.

Nobody's clicks can say how good an item is that nobody was shown, so a blend that learns from clicks alone hides what
is new for ever. The share of the lists that new items get is a decision (`matching.rank.new_share`), as it is in
calibrated recommendation (Steck, "Calibrated recommendations", RecSys 2018) and fair exposure (Singh and Joachims,
"Fairness of exposure in rankings", KDD 2018); whose lists they enter, and which of them, is left to the scores. One
constant is added to all new items: people whose taste they meet get more of them, others none.

The share says that new items are listed, not that they come first. A list is read from its top, where a miss costs
most (the discount of NDCG, Jarvelin and Kekalainen 2002). So the first `FIRST` places are given by what clicks say of
new items: what is added to these beyond that, the best known items of a person get as well. A score stays a sum.
"""

from __future__ import annotations

import numpy as np

from avrec.matching.data import Floats, Histories, Interactions, Mask

DEPTH = 20
"""The share is that of so many first places."""

FIRST = 3
"""Places at the top of a list in which new items are not favoured."""

MOST = 5.0
"""New items get at most so many times the places that their number alone would give them: where only a few are new,
not everybody is shown the same few."""

PEOPLE = 512
"""People whose lists the constant is measured on."""


def sample_people(train: Interactions, seed: int) -> Histories:
    """Histories of up to `PEOPLE` people with training interactions, drawn by chance."""
    users = np.unique(train.user)
    drawn = np.random.default_rng(seed).permutation(users)[:PEOPLE]
    return Histories.from_interactions(train, np.sort(drawn).astype(np.int32))


def entry_levels(known: Floats, new: Floats) -> Floats:
    """By how much new items must be raised for the first, second, ... of them to enter a list.

    Args:
        known: Scores of known items `[n, a]`; `-inf` for those that may not be listed.
        new: Scores of new items `[n, b]`.

    Returns:
        `[n, DEPTH]` float32, ascending in each row; `inf` where there are no more new items.
    """
    best_new = _best(new)
    # The first new item pushes out the last known one, the second the one before it, and so on.
    last_known = _best(known)[:, ::-1]
    return np.where(np.isfinite(best_new), last_known - best_new, np.inf).astype(np.float32)


def offset_for(levels: Floats, share: float, new_part: float) -> float:
    """The constant that gives new items `share` of the first places, on average over people.

    Args:
        levels: Of `entry_levels`.
        share: Of the first `DEPTH` places.
        new_part: Which part of the catalogue is new.
    """
    entries = np.sort(levels[np.isfinite(levels)])
    places = round(min(share, MOST * new_part) * levels.size)
    if not len(entries):
        return 0.0
    # Without any place: just below what would let the first one in.
    return float(entries[min(places, len(entries)) - 1]) if places else float(entries[0]) - 1.0


def share_at(levels: Floats, offset: float) -> float:
    """Share of the first `DEPTH` places that new items have once they are raised by `offset`."""
    return float((levels <= np.float32(offset)).mean()) if levels.size else 0.0


def lift_first(scores: Floats, histories: Histories, known: Mask, favour: float) -> Floats:
    """Scores in which the best `FIRST` known items of each row that were not seen have `favour` more.

    Args:
        scores: `[n, n_items]` float32.
        histories: `n` rows.
        known: `[n_items]` bool.
        favour: By how much new items are raised beyond what clicks say of them, at least 0.
    """
    if favour <= 0 or known.all():
        return scores
    lifted, left = scores.copy(), np.where(known, scores, -np.inf)
    left[np.repeat(np.arange(len(scores)), np.diff(histories.seen_indptr)), histories.seen_items] = -np.inf
    rows = np.arange(len(scores))
    for _ in range(FIRST):
        best = left.argmax(axis=1)
        lifted[rows, best] += np.where(left[rows, best] > -np.inf, np.float32(favour), np.float32(0))
        left[rows, best] = -np.inf
    return lifted


def _best(scores: Floats) -> Floats:
    """The best `DEPTH` of each row, best first, filled up with `-inf`."""
    width = min(DEPTH, scores.shape[1])
    best = np.full((len(scores), DEPTH), -np.inf, np.float32)
    if width:
        part = np.partition(scores, scores.shape[1] - width, axis=1)[:, scores.shape[1] - width :]
        best[:, :width] = np.sort(part, axis=1)[:, ::-1]
    return best
