"""Smaller towers that learn from trained ones what these make of every candidate, right answers and wrong ones.

Knowledge distillation (Hinton et al., "Distilling the knowledge in a neural network", 2015; for ranking: Tang and Wang,
"Ranking distillation", KDD 2018).
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from avrec.matching.checkpoints import Checkpoint, training_key
from avrec.matching.data import Catalog, Floats, Interactions
from avrec.matching.examples import Examples
from avrec.matching.softmax import retrieval_loss
from avrec.matching.stopping import fit_epochs
from avrec.matching.towers import person_vectors
from avrec.matching.two_tower import TwoTower
from avrec.matching.two_tower_training import LEARNED, TowerLearner
from avrec.params import TwoTowerParams


class Teacher(TowerLearner):
    """Trained towers that only answer; their items are looked up, not made anew.

    Args:
        matcher: Fitted, on the catalogue and the people that the student learns from.
        examples: Of the training.
    """

    def __init__(self, matcher: TwoTower, examples: Examples) -> None:
        self.params, self.n_items = matcher.params, len(matcher.vectors)
        self.liked, self.log_q = tf.constant(examples.liked), tf.constant(examples.log_q)
        self.items: Any = _Known(matcher.vectors, matcher.bias)
        kernel, nobody = tf.constant(matcher.kernel), tf.constant(matcher.nobody)
        self.users: Any = lambda likes, known: person_vectors(likes, known, kernel, nobody)


class _Known:
    """Items with fixed vectors, in the place of `TowerItems`."""

    def __init__(self, vectors: Floats, bias: Floats) -> None:
        self._vectors, self._bias = tf.constant(vectors), tf.constant(bias)

    def of(self, items: Any, seed: Any) -> tuple[Any, Any]:
        return tf.gather(self._vectors, items), tf.gather(self._bias, items)


class Student(TowerLearner):
    """Towers whose loss is shared between the right answer and what the teacher says of all candidates."""

    def __init__(self, params: TwoTowerParams, seed: int, examples: Examples, inputs: list[Floats], present: Floats,
                 teacher: Teacher) -> None:  # fmt: skip
        self.teacher, self.share = teacher, params.compression.teacher
        super().__init__(params, seed, examples, inputs, present)

    def loss(self, rows: tuple[Any, ...], seed: Any) -> Any:
        logits, target = self.logits(rows, seed)
        right = retrieval_loss(logits, target, tf.ones_like(target, tf.float32))
        # The same candidates, and the same of them masked: accidental hits have no share for the teacher either.
        wanted = tf.stop_gradient(tf.nn.softmax(self.teacher.logits(rows, seed)[0]))
        told = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(wanted, logits))
        return (1.0 - self.share) * right + self.share * told


def distil(
    matcher: TwoTower, teacher: TwoTower, catalog: Catalog, train: Interactions, validation: Interactions | None
) -> list[dict[str, float]]:
    """Fits `matcher`, with vectors of `matcher.dim`, to the likes and to a fitted `teacher`.

    Returns:
        Loss and validation figures an epoch.
    """
    examples = Examples.of(train, len(catalog))
    params = matcher.params.model_copy(update={"dim": matcher.dim})
    learner = Student(params, matcher.seed, examples, *matcher.inputs(catalog), Teacher(teacher, examples))
    checkpoint = Checkpoint(training_key(matcher, catalog, train, validation))
    return fit_epochs(matcher, learner, LEARNED, train, validation, checkpoint)
