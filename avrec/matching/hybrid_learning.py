"""How the hybrid learns on validation people: weights for known items, for new ones, and how far those are raised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from avrec.matching.base import BLOCK, mask_scores
from avrec.matching.blending import Doubles, collect, equal_say, fit_blend
from avrec.matching.data import Floats, Histories, Ints, Mask
from avrec.matching.exposure import DEPTH, entry_levels, lift_first, offset_for, share_at
from avrec.matching.loading import EvaluationSet
from avrec.matching.reranking import learn_ranker
from avrec.matching.selection import SELECT_K, ranks, recall, restricted

if TYPE_CHECKING:
    from avrec.matching.hybrid import Hybrid

STEPS = 3
"""Shares that are tried: none, a third, two thirds and all of `new_share`."""

MAX_LOSS = 0.02
"""Part of the recall that new items may cost on validation."""

TINY = 1e-6


def learn(hybrid: Hybrid, judged: EvaluationSet) -> list[dict[str, float]]:
    """Sets the weights of a hybrid, and the share of the lists that new items get. Returns the shares tried."""
    members, hybrid.ranker = list(hybrid.members.values()), None
    known = weigh(hybrid, restricted(judged, hybrid.warm), hybrid.warm, [True] * len(members))
    hybrid.weights = hybrid.named(known, weights_of_new(hybrid, judged))
    if hybrid.params.method == "boosting":
        hybrid.ranker = learn_ranker(hybrid, restricted(judged, hybrid.warm))
    levels = entries(hybrid)
    liked = 0.0 if hybrid.warm.all() else liked_offset(hybrid, judged)
    offset, trials = bearable_offset(hybrid, judged, levels, liked)
    if not hybrid.warm.all():
        offset = max(offset, liked)
    hybrid.raise_new(offset, by_clicks=liked)
    hybrid.share = round(share_at(levels, offset), 6)
    return trials


def weights_of_new(hybrid: Hybrid, judged: EvaluationSet) -> Doubles:
    """Weights `[columns]` of new items, in two steps, since validation has few of them.

    Members whose scores do not depend on who met an item learn from all that was liked, as if all of it were new. From
    there, those who liked really new items say how far to go, and what the other members are good for.
    """
    honest = [member.knows_new for member in hybrid.members.values()]
    start = weigh(hybrid, judged, None, honest)
    return weigh(hybrid, restricted(judged, ~hybrid.warm), ~hybrid.warm, [True] * len(honest), start)


def keep_share(hybrid: Hybrid) -> None:
    """Raises new items so far that they have the share of an earlier fit, whatever items are new by now."""
    hybrid.raise_new(offset_for(entries(hybrid), hybrid.share, new_items(hybrid.warm, hybrid.seed).mean()))


def weigh(hybrid: Hybrid, judged: EvaluationSet, among: Mask | None, heard: list[bool],
          centre: Doubles | None = None) -> Doubles:  # fmt: skip
    """Weights `[columns]` that make likeliest what was liked among some items.

    Args:
        hybrid: Whose members are weighed.
        judged: People, and what they liked among those items.
        among: The items `[n_items]`; None for all.
        heard: Which members may have a say.
        centre: Where few people lead to; equal say of those heard by default.
    """
    members = len(heard)
    silent = ~np.array([*heard, *[all(heard)] * (len(hybrid.equal_weights) - members)])
    if not judged.truth:
        return np.where(silent, 0.0, hybrid.equal_weights) if centre is None else centre

    def columns(histories: Histories) -> Floats:
        return np.stack(hybrid.values(histories), axis=2) * ~silent

    proposing = [column for column in range(members) if heard[column]] or [0]
    choices = collect(columns, proposing, judged, hybrid.params.candidates, hybrid.seed, among)
    silent |= ~choices.columns.any(axis=0)
    if centre is None:
        centre = np.where(silent, 0.0, equal_say(choices, members))
    lower = np.where(np.array(hybrid.equal_weights) > 0, 0.0, -np.inf)
    return fit_blend(choices, hybrid.params.l2, lower, centre)


def new_items(warm: Mask, seed: int) -> Mask:
    """The new items; where there are none, a tenth of all, drawn by chance, stands for those that will come."""
    if not warm.all():
        return ~warm
    drawn = np.random.default_rng(seed).permutation(len(warm))[: max(len(warm) // 10, 1)]
    return np.isin(np.arange(len(warm)), drawn)


def entries(hybrid: Hybrid) -> Floats:
    """By how much new items must be raised to enter the lists of a sample of people, `[n, DEPTH]`."""
    new, people = new_items(hybrid.warm, hybrid.seed), hybrid.people
    blocks = []
    for start in range(0, len(people), BLOCK):
        part = people.slice(start, min(start + BLOCK, len(people)))
        known = mask_scores(hybrid.total(part, hybrid.values(part)), part, None)[:, ~new]
        blocks.append(entry_levels(known, mask_scores(hybrid.score_as_new(part), part, None)[:, new]))
    return np.concatenate(blocks) if blocks else np.zeros((0, DEPTH), np.float32)


def bearable_offset(hybrid: Hybrid, judged: EvaluationSet, levels: Floats, liked: float
                    ) -> tuple[float, list[dict[str, float]]]:  # fmt: skip
    """The offset of the largest share up to `new_share` that validation bears, and what each share tried came to."""
    part_new = new_items(hybrid.warm, hybrid.seed).mean()
    shares = [hybrid.params.new_share * step / STEPS for step in range(STEPS, -1, -1)]
    offsets = [offset_for(levels, share, part_new) for share in shares]
    if hybrid.warm.all():
        return offsets[0], []
    found: list[list[Ints]] = [[] for _ in offsets]
    for start in range(0, len(judged.truth), BLOCK):
        part = judged.histories.slice(start, min(start + BLOCK, len(judged.truth)))
        scores, truth = hybrid._score(part), judged.truth[start : start + BLOCK]
        for places, offset in zip(found, offsets, strict=True):
            raised = scores + np.where(hybrid.warm, 0.0, offset).astype(np.float32)
            places += ranks(lift_first(raised, part, hybrid.warm, offset - liked), part, truth)
    figures = [recall(places, SELECT_K) for places in found]
    trials = [
        {"new_share": s, f"recall@{SELECT_K}": float(each.mean())} for s, each in zip(shares, figures, strict=True)
    ]
    tried = zip(shares, offsets, figures, strict=True)
    return next(o for s, o, each in tried if bears(each, figures[-1], s, hybrid.params.l2)), trials


def bears(recalls: Doubles, without: Doubles, share: float, l2: float) -> bool:
    """Whether a loss is within `MAX_LOSS`, or no larger than the standard error of the difference lets it seem.

    Few people cannot tell. Before anybody has spoken a place given to a new item is taken to be lost, which weighs as
    much as `l2` people.

    Args:
        recalls: Of each person where new items have that share of the first places `[n]`.
        without: The same where they have none.
        share: Tried.
        l2: That of the weights.
    """
    change, n, whole = recalls - without, len(recalls), float(without.mean())
    expected = (change.sum() - l2 * share * whole) / (n + l2)
    noise = change.std(ddof=1) / np.sqrt(n) if n > 1 else 0.0
    return share == 0 or bool(expected + noise >= -MAX_LOSS * whole)


def liked_offset(hybrid: Hybrid, judged: EvaluationSet) -> float:
    """The offset that makes likeliest what validation people liked of known and of new items."""
    new = (~hybrid.warm).astype(np.float32)

    def columns(histories: Histories) -> Floats:
        scores = hybrid._score(histories)
        return np.stack([scores, np.broadcast_to(new, scores.shape)], axis=2)

    choices = collect(columns, [0], judged, hybrid.params.candidates, hybrid.seed)
    scale, offset = fit_blend(choices, 1.0, np.array([0.0, -np.inf]), np.array([1.0, 0.0]))
    return float(offset / max(scale, TINY))
