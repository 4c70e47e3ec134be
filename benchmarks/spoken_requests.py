"""Requests that a machine speaks and Whisper hears: what reaches a search by voice, and its word errors."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from avrec.errors import MediaError, WeightsError
from avrec.features.speech import Transcriber
from avrec.features.weights import WHISPER, find_weights
from avrec.params import FeaturesParams
from avrec.search.voice import transcribe_request

VOICES = (("en-us", 130), ("en-gb-scotland", 150), ("en-us+f3", 170))
"""eSpeak NG's voices, and words a minute."""
MANDARIN = (("cmn", 130),)


@dataclass(frozen=True)
class Heard:
    """One request: what was said, and what was understood of it; None where no speech was."""

    said: str
    words: str | None

    @property
    def errors(self) -> int:
        """Words (of Chinese: characters) wrongly there, wrongly absent or another."""
        return distance(tokens(self.said), tokens(self.words or ""))


def why_not() -> str | None:
    """What is missing to speak and to hear; None where nothing is."""
    if shutil.which("espeak-ng") is None:
        return "nobody to speak the requests: install espeak-ng"
    try:
        for weights in WHISPER:
            find_weights(weights)
    except WeightsError as error:
        return str(error)
    return None


def hear(sentences: Sequence[str], voices: Sequence[tuple[str, int]] = VOICES) -> list[Heard]:
    """Each sentence by each voice, through what `avrec search --voice` does; sentences in turn for each voice."""
    params = FeaturesParams()
    transcriber = Transcriber(params.speech)
    return [Heard(said, _heard(said, voice, speed, params, transcriber)) for voice, speed in voices
            for said in sentences]  # fmt: skip


def _heard(said: str, voice: str, speed: int, params: FeaturesParams, transcriber: Transcriber) -> str | None:
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "request.wav"
        subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-w", str(file), said], check=True)
        try:
            return transcribe_request(file, params, transcriber)
        except MediaError:
            return None


def error_rate(heard: Sequence[Heard]) -> float:
    """Errors over the words that were said."""
    return sum(each.errors for each in heard) / sum(len(tokens(each.said)) for each in heard)


def tokens(text: str) -> list[str]:
    """Words without case and punctuation; of Chinese, characters."""
    return re.findall(r"[\u4e00-\u9fff]|[a-z0-9']+", text.lower())


def distance(said: Sequence[str], heard: Sequence[str]) -> int:
    """Fewest insertions, deletions and substitutions from one to the other (Levenshtein)."""
    above = list(range(len(heard) + 1))
    for row, word in enumerate(said, 1):
        line = [row]
        for column, other in enumerate(heard, 1):
            line.append(min(above[column] + 1, line[-1] + 1, above[column - 1] + (word != other)))
        above = line
    return above[-1]
