"""What is trained by gradients: a network, its optimiser and one compiled step, on one device or on several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from avrec.matching.data import Arrays
from avrec.matching.strategies import strategy_named
from avrec.params import NetworkParams


class Learner(ABC):
    """Base: a subclass makes its variables inside `scope`, calls `compile`, and writes `batches` and `loss`.

    Over several devices every one of them has all weights and takes its share of the rows of each batch; gradients are
    added up. Every worker draws the same batches from the same seed, so nobody has to hand any out.

    Args:
        params: How to train.
        seed: Of batches and drop-outs.
    """

    may_rest = False
    """Whether a variable may have no part in a loss; where it may not, that is an error."""

    def __init__(self, params: NetworkParams, seed: int) -> None:
        self.strategy = strategy_named(params.strategy)
        self.training, self.seed = params, seed
        keras.utils.set_random_seed(seed)
        if params.deterministic:
            tf.config.experimental.enable_op_determinism()

    @property
    def replicas(self) -> int:
        """Devices over which a batch is shared out."""
        return int(self.strategy.num_replicas_in_sync)

    def scope(self) -> AbstractContextManager[Any]:
        """Where variables are made."""
        scope: AbstractContextManager[Any] = self.strategy.scope()
        return scope

    def compile(self, variables: list[Any], learning_rate: float) -> None:
        """Makes the optimiser and the step of `variables`; inside `scope`."""
        self.variables = variables
        self.optimizer = keras.optimizers.Adam(learning_rate)
        self.optimizer.build(variables)
        self.step = tf.function(self._step)
        self._loss = self.jit(self.loss)

    def jit(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, compiled by XLA where `params.xla` says so."""
        return tf.function(function, jit_compile=True) if self.training.xla else function

    @abstractmethod
    def batches(self, number: int) -> Iterator[tuple[np.ndarray[Any, Any], ...]]:
        """Batches of epoch `number`: arrays of as many rows each, a multiple of `replicas`."""

    @abstractmethod
    def loss(self, rows: tuple[Any, ...], seed: Any) -> Any:
        """Mean loss of the rows of a batch, a scalar; `seed` holds two integers that decide what is left out."""

    @abstractmethod
    def write_into(self, matcher: Any) -> None:
        """Hands the current weights to the matcher as arrays."""

    def epoch(self, number: int) -> float:
        """One pass over the examples, the same for the same number; returns the mean loss."""
        losses = []
        for i, batch in enumerate(self.batches(number)):
            rows, seed = tuple(tf.constant(part) for part in batch), tf.constant([self.seed + number, 2 * i])
            if number == 1 and i == 0:
                self.check(rows, seed)
            losses.append(self.step(rows, seed))
        return float(np.mean([loss.numpy() for loss in losses]))

    def check(self, rows: tuple[Any, ...], seed: Any) -> None:  # noqa: B027  # most have nothing to check
        """Looks at the first batch of a training before anything is learned from it; raises where something is off."""

    def _step(self, rows: tuple[Any, ...], seed: Any) -> Any:
        """One step of gradient descent on a batch; returns the loss."""
        if self.replicas == 1:
            return self._descend(rows, seed)
        losses = self.strategy.run(self._descend, args=(rows, seed))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    def _descend(self, rows: tuple[Any, ...], seed: Any) -> Any:
        if self.replicas > 1:
            mine = tf.distribute.get_replica_context().replica_id_in_sync_group
            rows = tuple(part[mine :: self.replicas] for part in rows)
        with tf.GradientTape() as tape:
            loss = self._loss(rows, seed) / self.replicas
        gradients = [
            tf.zeros(variable.shape) if gradient is None and self.may_rest else tf.convert_to_tensor(gradient)
            for gradient, variable in zip(tape.gradient(loss, self.variables), self.variables, strict=True)
        ]
        self.optimizer.apply_gradients(zip(gradients, self.variables, strict=True))
        return loss

    def state(self) -> Arrays:
        """Weights and optimiser; with them the next epoch is the same as without an interruption."""
        return {f"{i}": np.array(v) for i, v in enumerate([*self.variables, *self.optimizer.variables])}

    def restore(self, state: Arrays) -> None:
        """Becomes what `state` was taken from."""
        for i, variable in enumerate([*self.variables, *self.optimizer.variables]):
            variable.assign(np.reshape(state[f"{i}"], variable.shape))
