"""The retrieval task: which of the candidates did the person like, with what is not a wrong answer taken out."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from avrec.matching.fusion import LOWEST


def retrieval_logits(
    users: Any, items: Any, bias: Any, candidates: Any, target: Any, liked: Any, n_items: int,
    temperature: float, log_q: Any = None, precision: str = "float32",
) -> Any:  # fmt: skip
    """Logits `[b, c]` of a softmax over candidates.

    Args:
        users: Unit vectors `[b, dim]`.
        items: Unit vectors of the candidates `[c, dim]`.
        bias: Of the candidates `[c]`.
        candidates: Item index of each candidate `[c]` int32; an item may be there more than once. None: every item
            is one, in order, which costs a good part of the time less.
        target: Position of the right answer among the candidates `[b]` int32.
        liked: Other liked items of each person `[b, l]` int32, filled up with `n_items`.
        n_items: Size of the catalogue.
        temperature: Divides the cosines.
        log_q: Log of the probability with which each candidate was sampled `[c]` (Yi et al., "Sampling-bias-corrected
            neural modeling for large corpus item recommendations", RecSys 2019); None where all items are candidates.
        precision: Of the product, see `products`.
    """
    logits = item_logits(users, items, bias if log_q is None else bias - log_q, temperature, precision)
    if candidates is None:
        return known_from(logits, liked, tf.cast(liked < n_items, tf.float32))
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


def check_masked(logits: Any, hits: Any) -> None:
    """Makes sure that accidental hits have no part in the softmax over `logits`, both `[b, c]`.

    Raises:
        InvalidArgumentError: one of them has a share above 0, and would be pushed away as if it were a wrong answer.
    """
    shares = tf.where(hits, tf.nn.softmax(logits), 0.0)
    tf.debugging.assert_equal(tf.reduce_max(shares), 0.0, "accidental hits have a part in the softmax")


def item_logits(users: Any, items: Any, bias: Any, temperature: float, precision: str) -> Any:
    """Cosine / temperature + bias `[b, c]`, of unit vectors `users [b, dim]` and `items [c, dim]`; `bias [c]`.

    In float32 temperature and bias are within the product: the logits are the largest array of a step, and going
    through them once more, and back, takes as long as a fifth of it.
    """
    if precision != "float32":
        return products(users, items, precision) / temperature + bias[None, :]
    left = tf.concat([users / temperature, tf.ones_like(users[:, :1])], axis=1)
    return tf.matmul(left, tf.concat([items, bias[:, None]], axis=1), transpose_b=True)


def products(left: Any, right: Any, precision: str) -> Any:
    """`left [b, dim]` times the transposed `right [c, dim]`, float32; `mixed_bfloat16` has factors of 8 bits."""
    if precision == "float32":
        return tf.matmul(left, right, transpose_b=True)
    short = (tf.cast(x, tf.bfloat16) for x in (left, right))
    return tf.cast(tf.matmul(*short, transpose_b=True), tf.float32)


def retrieval_loss(logits: Any, target: Any, weight: Any) -> Any:
    """Weighted mean cross entropy, a scalar; one right answer `target [b]` a row, and its `weight [b]`."""
    return multinomial_loss(logits, target[:, None], weight[:, None])


def held_out(known: Any, given: float, seed: Any) -> tuple[Any, Any]:
    """Parts each person's likes by chance into what is given and what is to be found, `[b, l]` float32 (1 or 0) each.

    Whoever has two likes or more has at least one of both; a single like is to be found from nothing.

    Args:
        known: Where there is a like `[b, l]` bool.
        given: Share of the likes that are given.
        seed: Two integers.
    """
    chance = tf.random.stateless_uniform(tf.shape(known), seed)
    width = tf.shape(known)[1]
    first = tf.one_hot(tf.argmin(tf.where(known, chance, 2.0), axis=1), width)
    last = tf.one_hot(tf.argmax(tf.where(known, chance, -1.0), axis=1), width)
    mask = tf.cast(known, tf.float32)
    kept = tf.maximum(tf.cast(chance < given, tf.float32), first) * (1.0 - last) * mask
    return kept, mask - kept


def known_from(logits: Any, liked: Any, kept: Any) -> Any:
    """`logits [b, n_items]` with what was given taken out: likes `liked [b, l]` where `kept` (1 or 0) is 1."""
    rows = tf.repeat(tf.range(tf.shape(liked)[0])[:, None], tf.shape(liked)[1], axis=1)
    items = tf.minimum(liked, tf.shape(logits)[1] - 1)
    places = tf.stack([tf.reshape(rows, [-1]), tf.reshape(items, [-1])], axis=1)
    return tf.tensor_scatter_nd_add(logits, places, tf.reshape(kept * LOWEST, [-1]))


def multinomial_loss(logits: Any, wanted: Any, weight: Any) -> Any:
    """Mean cross entropy of a softmax over all items with several right answers a row, a scalar.

    Each answer is judged as if it were the only one (Liang et al., "Variational autoencoders for collaborative
    filtering", WWW 2018).

    Args:
        logits: `[b, n_items]`.
        wanted: Item indices `[b, l]`.
        weight: Of each answer `[b, l]`; 0 for what is none.
    """
    total = tf.reduce_sum(weight)
    return tf.math.divide_no_nan(tf.reduce_sum(_cross_entropy(logits, wanted, weight)), total)


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _cross_entropy(logits: Any, wanted: Any, weight: Any) -> tuple[Any, Any]:
    """Weighted cross entropies `[b, l]` of `multinomial_loss`; only `logits` get a gradient.

    TensorFlow's own, where it is to be deterministic, goes through the logits twice as often.
    """
    logs = tf.nn.log_softmax(logits)
    rows = tf.repeat(tf.range(tf.shape(wanted)[0])[:, None], tf.shape(wanted)[1], axis=1)
    places = tf.stack([rows, wanted], axis=2)

    def gradient(above: Any) -> tuple[Any, None, None]:
        share = above * weight
        chosen = tf.exp(logs) * tf.reduce_sum(share, axis=1, keepdims=True)
        return tf.tensor_scatter_nd_sub(chosen, places, share), None, None

    return -tf.gather(logs, wanted, batch_dims=1) * weight, gradient
