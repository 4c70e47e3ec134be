"""The words of an item: sentence vectors of its title, description and tags, and of what was found in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from avrec.features.base import Extraction, Extractor
from avrec.features.encoder import Encoder, build_encoder, mean_vector
from avrec.params import TextParams


class TextExtractor(Extractor):
    """Sentence vectors by the encoder that params name.

    Inputs are mappings of field to text. Fields are encoded one by one and averaged, so that a long description does
    not drown the title.
    """

    name: ClassVar[str] = "text"
    modality: ClassVar[str] = "text"
    version: ClassVar[int] = 2

    def __init__(self, params: TextParams) -> None:
        self.params = params
        self.dim = self._encoder.dim

    def settings(self) -> dict[str, Any]:
        return {
            "params": self.params.model_dump(mode="json"),
            "encoder": self._encoder.name,
            **self._encoder.settings(),
        }

    @cached_property
    def _encoder(self) -> Encoder:
        return build_encoder(self.params.encoder)

    def extract(self, inputs: Iterable[Mapping[str, str]]) -> list[Extraction]:
        """One extraction a mapping, in order; no words in any field means missing."""
        return [self._one([text for text in fields.values() if text.strip()]) for fields in inputs]

    def _one(self, texts: Sequence[str]) -> Extraction:
        if not texts:
            return Extraction.missing("no text", self.dim)
        none = np.zeros(0, np.float32)
        vector = mean_vector(self._encoder.encode(texts))
        return Extraction(vector, np.zeros((0, self.dim), np.float32), none, none)
