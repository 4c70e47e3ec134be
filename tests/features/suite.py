"""What every extractor must keep. Inherit the class and say what it makes and is given, the last lacking it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

from avrec.features.base import Extraction, Extractor
from avrec.media.sample import Sample


def equal(a: Extraction, b: Extraction) -> bool:
    """Bit-equal vectors, segments, times and signals."""
    arrays = all(np.array_equal(getattr(a, n), getattr(b, n)) for n in ("segments", "starts", "ends"))
    same = a.vector is b.vector is None or np.array_equal(a.vector, b.vector)  # type: ignore[arg-type]
    return arrays and same and (a.reason, a.signals) == (b.reason, b.signals)


@cache
def _made(suite: type[ExtractorSuite]) -> Extractor:
    return suite.make()


_found: dict[type[ExtractorSuite], list[Extraction]] = {}


def _extracted(suite: type[ExtractorSuite], extractor: Extractor, inputs: Sequence[Any]) -> list[Extraction]:
    if suite not in _found:
        _found[suite] = list(extractor.extract(inputs))
    return _found[suite]


class ExtractorSuite(ABC):
    @classmethod
    @abstractmethod
    def make(cls) -> Extractor: ...

    @classmethod
    @abstractmethod
    def give(cls, samples: list[Sample]) -> Sequence[Any]: ...

    @pytest.fixture
    def extractor(self) -> Extractor:
        return _made(type(self))

    @pytest.fixture
    def inputs(self, samples: list[Sample]) -> Sequence[Any]:
        return self.give(samples)

    @pytest.fixture
    def together(self, extractor: Extractor, inputs: Sequence[Any]) -> list[Extraction]:
        return _extracted(type(self), extractor, inputs)

    def test_shapes_and_types(self, extractor: Extractor, inputs: Sequence[Any], together: list[Extraction]) -> None:
        assert len(together) == len(inputs)
        for extraction in together[:-1]:
            assert extraction.vector is not None
            assert extraction.vector.shape == (extractor.dim,)
            assert extraction.vector.dtype == extraction.segments.dtype == np.float32
            assert np.isfinite(extraction.vector).all()
            assert extraction.segments.shape == (len(extraction.starts), extractor.dim)
            assert (extraction.ends > extraction.starts).all()
            assert (np.diff(extraction.starts) > 0).all()
            assert extraction.reason is None

    def test_missing_is_marked(self, extractor: Extractor, together: list[Extraction]) -> None:
        assert together[-1].vector is None
        assert together[-1].reason
        assert together[-1].segments.shape == (0, extractor.dim)

    def test_alone_equals_together_bit_for_bit(
        self, extractor: Extractor, inputs: Sequence[Any], together: list[Extraction]
    ) -> None:
        for one, extraction in zip(inputs, together, strict=True):
            (alone,) = extractor.extract([one])
            assert equal(alone, extraction)

    def test_order_and_repetition_change_nothing(
        self, extractor: Extractor, inputs: Sequence[Any], together: list[Extraction]
    ) -> None:
        order = np.random.default_rng(3).permutation(np.repeat(np.arange(len(inputs)), 3))
        again = list(extractor.extract([inputs[i] for i in order]))
        assert all(equal(found, together[i]) for found, i in zip(again, order, strict=True))

    def test_contents_differ(self, together: list[Extraction]) -> None:
        assert not np.allclose(together[0].vector, together[1].vector)  # type: ignore[arg-type]

    def test_nothing_in_nothing_out(self, extractor: Extractor) -> None:
        assert list(extractor.extract([])) == []

    def test_identity_names_every_setting(self, extractor: Extractor) -> None:
        assert extractor.identity.startswith(f"{extractor.name}@{extractor.version}+")
        assert type(extractor).__dict__["settings"](extractor) == extractor.settings()
