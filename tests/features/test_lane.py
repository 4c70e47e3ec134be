"""Networks beside decoders: batches across files, order, and errors that do not get lost in a thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import numpy as np
import pytest

from avrec.errors import MediaError
from avrec.features.base import Extraction, Extractor
from avrec.features.lane import WAITING, Lane
from avrec.features.tensorflow import run_padded
from avrec.media.sample import Probe, Sample


def rows(*counts: int) -> list[np.ndarray]:
    return [np.full((count, 2), number, np.float32) for number, count in enumerate(counts)]


class Counting:
    """Doubles its rows and remembers the batches it saw."""

    def __init__(self) -> None:
        self.batches: list[np.ndarray] = []

    def __call__(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.batches.append(batch)
        return 2 * batch, batch[:, :1]


@pytest.mark.parametrize("counts", [(3, 0, 9, 1), (0, 0), (), (4, 4), (1, 1, 1)])
def test_batches_run_across_inputs_and_rows_come_home(counts: tuple[int, ...]) -> None:
    network = Counting()
    found = list(run_padded(network, rows(*counts), 4))
    assert len(found) == len(counts)
    for number, (count, outputs) in enumerate(zip(counts, found, strict=True)):
        assert [out.shape for out in outputs] == ([(count, 2), (count, 1)] if count else [])
        assert all((out == factor * number).all() for out, factor in zip(outputs, (2, 1), strict=False))
    assert [len(batch) for batch in network.batches] == [4] * -(-sum(counts) // 4)


def test_no_more_inputs_are_taken_than_a_batch_needs() -> None:
    taken = []

    def given() -> Iterator[np.ndarray]:
        for number, each in enumerate(rows(2, 2, 2, 2)):
            taken.append(number)
            yield each

    found = run_padded(Counting(), given(), 4)
    next(found)
    assert taken == [0, 1]


class Means(Extractor):
    """The mean of the wave; fails at a wave of 99."""

    name: ClassVar[str] = "means"
    modality: ClassVar[str] = "audio"
    version: ClassVar[int] = 1
    dim = 1

    def settings(self) -> dict[str, Any]:
        return {}

    def extract(self, inputs: Iterable[Sample]) -> Iterator[Extraction]:
        for sample in inputs:
            if sample.wave[0] == 99:
                raise RuntimeError("unlucky")
            none = np.zeros(0, np.float32)
            yield Extraction(sample.wave[:1], np.zeros((0, 1), np.float32), none, none)


def sample(value: int) -> Sample:
    none = np.zeros(0, np.float32)
    return Sample(Probe("ok"), np.zeros((0, 1, 1, 3), np.uint8), none, np.full(5, value, np.float32), none)


def test_every_key_gets_its_own_extraction() -> None:
    found: dict[str, Extraction] = {}
    with Lane(Means(), found.__setitem__) as lane:
        for number in range(40):
            lane.put(f"k{number}", MediaError("broken") if number % 5 == 0 else sample(number))
    assert len(found) == 40
    assert all((found[f"k{n}"].reason == "broken") == (n % 5 == 0) for n in range(40))
    assert all(found[f"k{n}"].vector == [n] for n in range(40) if n % 5)


def test_an_error_in_the_lane_is_raised_where_it_is_filled() -> None:
    found: dict[str, Extraction] = {}
    with pytest.raises(RuntimeError, match="unlucky"), Lane(Means(), found.__setitem__) as lane:
        for number in [1, 99, *range(100, 100 + 3 * WAITING)]:
            lane.put(f"k{number}", sample(number))
    assert set(found) == {"k1"}


def test_an_error_outside_ends_the_lane() -> None:
    with pytest.raises(KeyboardInterrupt), Lane(Means(), lambda *_: None) as lane:
        lane.put("k", sample(1))
        raise KeyboardInterrupt
    assert not lane._thread.is_alive()
