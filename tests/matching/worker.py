"""One process of a training: `python -m tests.matching.worker MATCHER STRATEGY OUT [kill after EPOCH]`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import tensorflow as tf

from avrec.matching.learner import Learner
from avrec.matching.loading import validation_halves
from avrec.matching.registry import build

from .conftest import PARAMS
from .planted import planted_catalog, planted_split


def main(name: str, strategy: str, out: str, kill_after: str = "") -> None:
    if strategy == "mirrored":
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
    if kill_after:
        _kill_in_the_epoch_after(int(kill_after))
    catalog = planted_catalog()
    split = planted_split(catalog)
    params = getattr(PARAMS, name).model_copy(update={"strategy": strategy})
    matcher = build(name, PARAMS.model_copy(update={name: params}))
    matcher.fit(catalog, split.train, validation_halves(split.val, PARAMS.seed)[0])
    matcher.save(Path(out))


def _kill_in_the_epoch_after(number: int) -> None:
    """As a machine that goes down: no exit handler runs, no buffer is written."""
    step = Learner._step

    def killing(self: Learner, rows: object, seed: object) -> object:
        tf.py_function(lambda s: os.kill(os.getpid(), signal.SIGKILL) if s[0] == self.seed + number + 1 else None,
                       [seed], [])  # fmt: skip
        return step(self, rows, seed)

    Learner._step = killing


if __name__ == "__main__":
    main(*sys.argv[1:])
