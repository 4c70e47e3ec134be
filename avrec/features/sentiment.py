"""How people feel in what they write: -1 (bad) to 1 (good), in the languages of the multilingual encoder.

One small network over sentence vectors, fitted on English texts rated by people (Hutto and Gilbert 2014) and Chinese
reviews; `benchmarks/sentiment.py` fits and measures it. A sentence without an opinion is near 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from avrec.errors import WeightsError
from avrec.features.base import Vectors
from avrec.features.encoder import Encoder, multilingual

HEAD = Path(__file__).parent / "sentiment.npz"
CLEAR = 0.15
"""From this size on an opinion is clear."""
MOST_SENTENCES = 50
MOST_CHARACTERS = 400

_ENDS = re.compile(r"(?<=[.!?])\s+|(?<=[。！？!?])|\n+")


@dataclass(frozen=True)
class Head:
    """Two layers: `relu(x @ hidden + hidden_bias) @ out + bias`, cut to -1 and 1.

    Attributes:
        hidden: `[512, width]`. hidden_bias: `[width]`. out: `[width]`. bias: `[]`. All float32.
    """

    hidden: Vectors
    hidden_bias: Vectors
    out: Vectors
    bias: Vectors

    def __call__(self, vectors: Vectors) -> Vectors:
        """Scores `[n]` of unit vectors `[n, 512]`, row by row: a score does not depend on its company."""
        rows = [np.maximum(vector @ self.hidden + self.hidden_bias, 0) @ self.out + self.bias for vector in vectors]
        return np.clip(np.array(rows, np.float32), -1.0, 1.0)

    def save(self, path: Path) -> None:
        np.savez(path, hidden=self.hidden, hidden_bias=self.hidden_bias, out=self.out, bias=self.bias)


@cache
def load_head(path: Path = HEAD) -> Head:
    """Reads the fitted head.

    Raises:
        WeightsError: it is missing or not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Head(*(arrays[name] for name in ("hidden", "hidden_bias", "out", "bias")))
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} cannot be read: {error}. Install avrec again.") from error


class Sentiment:
    """Scores texts.

    Example:
        ```python
        Sentiment().scores(["Loved it!", "太无聊了"])  # [0.7, -0.6]
        ```
    """

    def __init__(self, encoder: Encoder | None = None) -> None:
        self._encoder = encoder or multilingual()
        self._head = load_head()
        self._known: dict[str, float] = {}

    def scores(self, texts: Sequence[str]) -> list[float]:
        """One score a text, in order; a blank text scores 0."""
        cut = [text.strip()[:MOST_CHARACTERS] for text in texts]
        new = list(dict.fromkeys(text for text in cut if text not in self._known))
        if new:
            found = self._head(self._encoder.encode(new))
            self._known |= {text: float(s) if text else 0.0 for text, s in zip(new, found, strict=True)}
        return [self._known[text] for text in cut]


def sentences(text: str) -> list[str]:
    """The first sentences of a text, at most `MOST_SENTENCES`."""
    parts = (part.strip() for part in _ENDS.split(text[: MOST_SENTENCES * MOST_CHARACTERS]))
    return [part for part in parts if part][:MOST_SENTENCES]


def summary(scores: Sequence[float]) -> dict[str, float | None]:
    """The columns `sentiment`, `sentiment_spread` and `sentiment_negative`; None where nobody wrote anything."""
    if not scores:
        return {"sentiment": None, "sentiment_spread": None, "sentiment_negative": None}
    values = np.array(scores, np.float64)
    return {
        "sentiment": float(values.mean()),
        "sentiment_spread": float(values.std()),
        "sentiment_negative": float((values <= -CLEAR).mean()),
    }
