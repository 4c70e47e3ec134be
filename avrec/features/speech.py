"""What is said in an item: voice activity first, then Whisper where there is a voice; each utterance with its times.

Silero's voice detector (in the wheel of faster-whisper) decides where; Whisper (Radford et al. 2022) decides what and
in which language. An utterance's vector is that of its sentence, so that search finds the moment in which it is said.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from avrec.errors import WeightsError
from avrec.features.base import Extraction, Extractor
from avrec.features.encoder import Encoder, mean_vector, multilingual
from avrec.features.weights import WHISPER, WHISPER_1, WHISPER_2, find_weights
from avrec.media.decode import VERSION as DECODE_VERSION
from avrec.media.sample import RATE, Sample, SoundPlan, Wave
from avrec.params import AudioParams, LimitsParams, SpeechParams

THREADS = 1
LEAST_S = 0.5
"""Voice shorter than this in all is no speech."""
DOUBTFUL, HOPELESS = -1.0, 0.6
"""Mean log probability below which, and probability of silence above which, words are not believed."""
REPEATS = 2.4
"""Times by which words shrink when compressed, above which Whisper went round in circles (its own default)."""
INSTALL = "pip install 'avrec[speech]'"


@dataclass(frozen=True)
class Utterance:
    """Words with their times in seconds within the item."""

    start_s: float
    end_s: float
    text: str


class SpeechExtractor(Extractor):
    """Transcript and its language as signals, utterances as segments `[n, 512]`; `no speech` where nobody speaks."""

    name: ClassVar[str] = "whisper"
    modality: ClassVar[str] = "speech"
    version: ClassVar[int] = 2

    def __init__(self, params: SpeechParams, audio: AudioParams, limits: LimitsParams) -> None:
        self.params, self.audio, self.limits = params, audio, limits
        self._encoder: Encoder = multilingual()
        self.dim = self._encoder.dim

    @property
    def plan(self) -> SoundPlan:
        """The same sound as the sound extractor's, so that one pass serves both."""
        return SoundPlan(self.audio.max_seconds)

    def settings(self) -> dict[str, Any]:
        return {
            "params": self.params.model_dump(exclude={"enabled"}),
            "max_seconds": self.audio.max_seconds,
            "limits": self.limits.model_dump(),
            "decode": DECODE_VERSION,
            "weights": [weights.sha256 for weights in WHISPER],
            "encoder": self._encoder.settings(),
            "libraries": {name: version(name) for name in ("av", "faster-whisper", "ctranslate2")},
        }

    def extract(self, inputs: Iterable[Sample]) -> Iterator[Extraction]:
        """One extraction a sample, in order."""
        for sample in inputs:
            yield self._one(sample)

    @cached_property
    def _model(self) -> Transcriber:
        return Transcriber(self.params)

    def _one(self, sample: Sample) -> Extraction:
        if not sample.wave.size:
            return Extraction.missing(sample.missing.get("audio", "no sound"), self.dim)
        language, utterances = self._model.hear(sample.wave, sample.windows)
        if not utterances:
            return Extraction.missing("no speech", self.dim)
        vectors = self._encoder.encode([utterance.text for utterance in utterances])
        words = " ".join(utterance.text for utterance in utterances).split(" ")
        signals = {"transcript": " ".join(words[: self.params.max_words]), "transcript_language": language}
        starts, ends = (np.array([getattr(u, n) for u in utterances], np.float32) for n in ("start_s", "end_s"))
        return Extraction(mean_vector(vectors), vectors, starts, ends, signals=signals)


class Transcriber:
    """Voice detector and Whisper; Whisper is loaded once, when somebody speaks.

    Raises:
        WeightsError: at the first voice: faster-whisper or the model is not installed.
    """

    def __init__(self, params: SpeechParams) -> None:
        self._params = params

    @cached_property
    def _whisper(self) -> Any:
        return load_whisper(self._params.model)

    def hear(self, wave: Wave, windows: Wave) -> tuple[str | None, list[Utterance]]:
        """Language and utterances of a wave of 16 kHz in windows `[k, 2]` (start in seconds, length in samples)."""
        language, found, offset = self._params.language, list[Utterance](), 0
        for start, length in windows:
            piece = wave[offset : offset + int(length)]
            offset += int(length)
            spoken = spoken_parts(piece)
            if sum(end - begin for begin, end in spoken) < LEAST_S * RATE:
                continue
            language, utterances = self._transcribe(piece, spoken, language)
            found += [Utterance(float(start) + u.start_s, float(start) + u.end_s, u.text) for u in utterances]
        return (language if found else None), found

    def _transcribe(
        self, wave: Wave, spoken: list[tuple[int, int]], language: str | None
    ) -> tuple[str, list[Utterance]]:
        clips = [bound / RATE for part in spoken for bound in part]
        segments, info = self._whisper.transcribe(
            wave, language=language, clip_timestamps=clips, beam_size=1, best_of=1, temperature=0.0,
            condition_on_previous_text=False, without_timestamps=False,
        )  # fmt: skip
        believed = [segment for segment in segments if believable(segment)]
        utterances = [Utterance(s.start, max(s.end, s.start + 0.1), " ".join(s.text.split())) for s in believed]
        return str(info.language), sorted(utterances, key=lambda utterance: utterance.start_s)


def believable(segment: Any) -> bool:
    """Whether a segment holds words: not a guess, not the text of a silence, not one phrase over and over."""
    sure = segment.avg_logprob > DOUBTFUL and segment.no_speech_prob < HOPELESS
    return bool(sure and segment.compression_ratio <= REPEATS and segment.text.strip())


def spoken_parts(wave: Wave) -> list[tuple[int, int]]:
    """Where somebody speaks in a wave of 16 kHz: first and last sample of each part."""
    _require()
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(threshold=0.5, min_silence_duration_ms=500, speech_pad_ms=200, max_speech_duration_s=28.0)
    return [(int(part["start"]), int(part["end"])) for part in get_speech_timestamps(wave, options)]


def load_whisper(folder: str | None) -> Any:
    """A Whisper model in float32 on the processor: of a folder, or the base model of the installed weights.

    Raises:
        WeightsError: it is not there; says what to install or name.
    """
    _require()
    from faster_whisper import WhisperModel

    settings = {"device": "cpu", "compute_type": "float32", "cpu_threads": THREADS, "num_workers": 1}
    if folder is not None:
        if not (Path(folder) / "model.bin").is_file():
            raise WeightsError(
                f"features.speech.model: {folder} holds no model.bin; name a CTranslate2 Whisper folder."
            )
        return WhisperModel(folder, local_files_only=True, **settings)
    files: dict[str, Any] = {find_weights(w).name: find_weights(w).read_bytes() for w in WHISPER[2:]}
    files["model.bin"] = io.BytesIO(b"".join(find_weights(w).read_bytes() for w in (WHISPER_1, WHISPER_2)))
    return WhisperModel("base", files=files, local_files_only=True, **settings)


def _require() -> None:
    try:
        import faster_whisper  # noqa: F401
    except ImportError as error:
        raise WeightsError(f"speech to text is not installed. Run: {INSTALL}") from error
