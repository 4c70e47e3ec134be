"""A recorded request into words."""

from __future__ import annotations

from pathlib import Path

from avrec.errors import MediaError
from avrec.features.speech import Transcriber
from avrec.params import FeaturesParams
from avrec.search.examples import read_sound


def transcribe_request(path: Path, params: FeaturesParams, transcriber: Transcriber | None = None) -> str:
    """What is said in a recording, at most its first half minute; whether `features.speech` is enabled or not.

    Args:
        path: Of the recording.
        params: Section `features`: limits of decoding, and how speech is heard.
        transcriber: One that hears many recordings, so that Whisper is loaded once; by default one of `params`.

    Raises:
        DataError: there is no such file.
        MediaError: it holds no sound, or nobody speaks in it.
        WeightsError: speech to text is not installed.
    """
    sample = read_sound(path, params)
    _, utterances = (transcriber or Transcriber(params.speech)).hear(sample.wave, sample.windows)
    if not utterances:
        raise MediaError(f"{path}: no speech was understood")
    return " ".join(utterance.text for utterance in utterances)
