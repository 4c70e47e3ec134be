"""all-MiniLM-L6-v2: an English BERT of six layers (Wang et al. 2020; Reimers and Gurevych 2019), run by KerasHub."""

from __future__ import annotations

import os
import unicodedata
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from avrec.errors import WeightsError
from avrec.features.encoder import Encoder
from avrec.features.tensorflow import load
from avrec.features.weights import MINILM, find_together

LENGTHS = (32, 64, 128, 256)
"""Tokens of a batch: a text is padded to the next of these, and cut at the last, for which the network was trained."""
INSTALL = "pip install 'avrec[bert]'"
LIBRARIES = ("keras-hub", "tensorflow", "tensorflow-text")

Tokens = npt.NDArray[np.int32]


class MiniLm(Encoder):
    """English sentences to unit vectors of 384 numbers: the mean over the tokens of what the last layer says."""

    name: ClassVar[str] = "minilm"
    dim: ClassVar[int] = 384

    def settings(self) -> dict[str, Any]:
        try:
            libraries = {name: version(name) for name in LIBRARIES}
        except PackageNotFoundError as error:
            raise WeightsError(f"the text encoder minilm needs KerasHub. Run: {INSTALL}") from error
        return {"weights": [weights.sha256 for weights in MINILM], "lengths": LENGTHS, "libraries": libraries}

    @cached_property
    def _network(self) -> tuple[Any, Any]:
        """Tokenizer and backbone.

        Raises:
            WeightsError: KerasHub or a file is not there, or the files are not in one folder.
        """
        paths = find_together(MINILM)
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        load()
        try:
            import keras_hub
        except ImportError as error:
            raise WeightsError(f"the text encoder minilm needs KerasHub. Run: {INSTALL}") from error
        folder = str(paths[0].parent)
        words = keras_hub.models.BertTokenizer.from_preset(folder)
        return words, _compiled(keras_hub.models.BertBackbone.from_preset(folder))

    def _one(self, text: str) -> npt.NDArray[np.float32]:
        words, network = self._network
        tokens, mask = self._padded(words, text)
        states = np.asarray(network(tokens, mask))[0]
        vector: npt.NDArray[np.float32] = states[mask[0] > 0].mean(axis=0, dtype=np.float32)
        return vector

    @staticmethod
    def _padded(words: Any, text: str) -> tuple[Tokens, Tokens]:
        """Token numbers and mask, `[1, length]` each."""
        found = np.asarray(words(_without_accents(text))).reshape(-1)[: LENGTHS[-1] - 2]
        ids = [words.cls_token_id, *found.tolist(), words.sep_token_id]
        length = next(length for length in LENGTHS if length >= len(ids))
        tokens, mask = np.full((1, length), words.pad_token_id, np.int32), np.zeros((1, length), np.int32)
        tokens[0, : len(ids)], mask[0, : len(ids)] = ids, 1
        return tokens, mask


def _compiled(backbone: Any) -> Any:
    """Tokens and mask `[1, length]` to states `[1, length, 384]`; traced once a length."""
    tf = load()

    def states(tokens: Any, mask: Any) -> Any:
        inputs = {"token_ids": tokens, "padding_mask": mask, "segment_ids": tf.zeros_like(tokens)}
        return backbone(inputs, training=False)["sequence_output"]

    shape = tf.TensorSpec([1, None], tf.int32)
    return tf.function(states, input_signature=[shape, shape])


def _without_accents(text: str) -> str:
    """As the network's own tokenizer has it, which KerasHub's leaves out: without it `café` is an unknown word."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
