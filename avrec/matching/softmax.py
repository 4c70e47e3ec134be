"""The retrieval task: which of the candidates did the person like, with what is not a wrong answer taken out."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from avrec.matching.fusion import LOWEST


def retrieval_logits(
    users: Any, items: Any, bias: Any, candidates: Any, target: Any, liked: Any, n_items: int,
    temperature: float, log_q: Any = None,
) -> Any:  # fmt: skip
    """Logits `[b, c]` of a softmax over candidates.

    Args:
        users: Unit vectors `[b, dim]`.
        items: Unit vectors of the candidates `[c, dim]`.
        bias: Of the candidates `[c]`.
        candidates: Item index of each candidate `[c]` int32; an item may be there more than once.
        target: Position of the right answer among the candidates `[b]` int32.
        liked: Other liked items of each person `[b, l]` int32, filled up with `n_items`.
        n_items: Size of the catalogue.
        temperature: Divides the cosines.
        log_q: Log of the probability with which each candidate was sampled `[c]` (Yi et al., "Sampling-bias-corrected
            neural modeling for large corpus item recommendations", RecSys 2019); None where all items are candidates.
    """
    logits = tf.matmul(users, items, transpose_b=True) / temperature + bias[None, :]
    if log_q is not None:
        logits -= log_q[None, :]
    return tf.where(accidental_hits(candidates, target, liked, n_items), LOWEST, logits)


def accidental_hits(candidates: Any, target: Any, liked: Any, n_items: int) -> Any:
    """Where a candidate that is not the target is no wrong answer either, `[b, c]` bool.

    Either it is the target's item once more, or another item the person liked.
    """
    rows = tf.repeat(tf.range(tf.shape(liked)[0])[:, None], tf.shape(liked)[1], axis=1)
    places = tf.stack([tf.reshape(rows, [-1]), tf.reshape(liked, [-1])], axis=1)
    shape = [tf.shape(liked)[0], n_items + 1]
    known = tf.scatter_nd(places, tf.ones(tf.shape(places)[0], tf.int32), shape)
    hit = tf.gather(known, candidates, axis=1) > 0
    same = candidates[None, :] == tf.gather(candidates, target)[:, None]
    is_target = tf.one_hot(target, tf.shape(candidates)[0], on_value=True, off_value=False, dtype=tf.bool)
    return (hit | same) & ~is_target


def retrieval_loss(logits: Any, target: Any, weight: Any) -> Any:
    """Weighted mean cross entropy, a scalar."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(target, logits)
    return tf.reduce_sum(losses * weight) / tf.reduce_sum(weight)
