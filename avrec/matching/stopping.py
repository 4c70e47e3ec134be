"""Epochs, early stopping and checkpoints: the loop of every matcher that is trained by gradients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from avrec.features.progress import Progress as Shown
from avrec.matching.base import Matcher
from avrec.matching.checkpoints import Checkpoint
from avrec.matching.data import Arrays, Interactions
from avrec.matching.selection import SELECT_K, quality, selection_set


class Learner(Protocol):
    """What is trained: a network with its optimiser."""

    def epoch(self, number: int) -> float:
        """One pass over the examples, the same for the same number; returns the mean loss."""

    def write_into(self, matcher: Any) -> None:
        """Hands the current weights to the matcher as arrays."""

    def state(self) -> Arrays:
        """Weights and optimiser; with them the next epoch is the same as without an interruption."""

    def restore(self, state: Arrays) -> None:
        """Becomes what `state` was taken from."""


@dataclass
class Progress:
    """How far training is.

    Attributes:
        epochs: Figures of each epoch so far.
        best: Figure and number of the best epoch, and the matcher's arrays after it; None without validation.
    """

    epochs: list[dict[str, float]] = field(default_factory=list)
    best: tuple[float, int, Arrays] | None = None


def fit_epochs(
    matcher: Any, learner: Learner, learned: tuple[str, ...], train: Interactions,
    validation: Interactions | None, checkpoint: Checkpoint,
) -> list[dict[str, float]]:  # fmt: skip
    """Trains until validation stops getting better, or for `matcher.best_epoch` epochs where there is none.

    Args:
        matcher: Has `params.epochs`, `params.patience` and `best_epoch`, which is set.
        learner: Trains it.
        learned: Attributes of the matcher that `learner.write_into` sets: arrays, or mappings of names to arrays.
        train: Learned from.
        validation: Judged after each epoch; None to judge nothing.
        checkpoint: Where an interrupted training goes on from.

    Returns:
        Loss and validation figures an epoch.
    """
    judged = selection_set(train, validation)
    params = matcher.params
    last = params.epochs if judged or matcher.best_epoch is None else matcher.best_epoch
    progress = _resumed(checkpoint, learner)
    shown = Shown(f"{matcher.name}: epochs (fewer where it stops early)", last - len(progress.epochs))
    for number in range(len(progress.epochs) + 1, last + 1 if len(train.positives()) else 1):
        if progress.best and number - 1 - progress.best[1] >= params.patience:
            break
        progress.epochs.append({"epoch": number, "loss": learner.epoch(number)})
        if judged:
            learner.write_into(matcher)
            figures = quality(matcher._score, judged)
            progress.epochs[-1].update({f"val_{name}": value for name, value in figures.items()})
            value = figures[f"ndcg@{SELECT_K}"]
            if progress.best is None or value > progress.best[0]:
                progress.best = value, number, _flat(matcher, learned)
        shown.advance(1)
        if checkpoint.due():
            _keep(checkpoint, learner, progress)
    _finish(matcher, learner, learned, progress)
    checkpoint.remove()
    return progress.epochs


def _finish(matcher: Any, learner: Learner, learned: tuple[str, ...], progress: Progress) -> None:
    learner.write_into(matcher)
    if progress.best is None:
        matcher.best_epoch = len(progress.epochs)
        return
    matcher.best_epoch = progress.best[1]
    for name in learned:
        setattr(matcher, name, _unflat(progress.best[2], name))
    matcher.prepare()


def _flat(matcher: Matcher, learned: tuple[str, ...]) -> Arrays:
    """Arrays under their names, those of mappings under `NAME/KEY`."""
    arrays: Arrays = {}
    for name in learned:
        value = getattr(matcher, name)
        parts = {f"{name}/{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
        arrays.update(parts)
    return arrays


def _unflat(arrays: Arrays, name: str) -> Any:
    if name in arrays:
        return arrays[name]
    return {key.removeprefix(f"{name}/"): value for key, value in arrays.items() if key.startswith(f"{name}/")}


def _keep(checkpoint: Checkpoint, learner: Learner, progress: Progress) -> None:
    arrays = {f"learner:{name}": value for name, value in learner.state().items()}
    best: Any = None
    if progress.best:
        arrays.update({f"best:{name}": value for name, value in progress.best[2].items()})
        best = progress.best[:2]
    checkpoint.write(arrays, {"epochs": progress.epochs, "best": best})


def _resumed(checkpoint: Checkpoint, learner: Learner) -> Progress:
    found = checkpoint.read()
    if found is None:
        return Progress()
    arrays, info = found
    learner.restore(_named(arrays, "learner:"))
    best = info["best"]
    return Progress(info["epochs"], (float(best[0]), int(best[1]), _named(arrays, "best:")) if best else None)


def _named(arrays: Arrays, prefix: str) -> Arrays:
    return {name.removeprefix(prefix): np.asarray(a) for name, a in arrays.items() if name.startswith(prefix)}
