"""Speech: nothing where nobody speaks, and what is said where somebody does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avrec.errors import WeightsError
from avrec.features.speech import SpeechExtractor, load_whisper, spoken_parts
from avrec.media.decode import decode
from avrec.media.sample import RATE, Request, SoundPlan
from avrec.params import AudioParams, FeaturesParams, LimitsParams, SpeechParams


@pytest.fixture(scope="module")
def extractor() -> SpeechExtractor:
    return SpeechExtractor(SpeechParams(), AudioParams(), LimitsParams())


def test_it_is_off_unless_asked_for() -> None:
    assert not FeaturesParams().speech.enabled


def test_noise_and_silence_are_not_spoken() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype(np.float32)
    tone = np.sin(np.arange(3 * RATE) / RATE * 2 * np.pi * 440).astype(np.float32)
    for wave in (noise, tone, np.zeros(3 * RATE, np.float32)):
        assert spoken_parts(wave) == []


def test_real_speech_becomes_words_with_times(shared_data: Path, extractor: SpeechExtractor) -> None:
    plan = Request("mdn__shared-assets__friday.mp4", str(shared_data / "clips"), None, SoundPlan(10.0))
    sample = decode(plan, LimitsParams())
    (found,) = extractor.extract([sample])
    assert found.signals is not None
    assert "somebody must have stolen the crown" in found.signals["transcript"].lower()
    assert found.signals["transcript_language"] == "en"
    assert found.segments.shape == (len(found.starts), 512)
    assert (found.ends > found.starts).all()
    assert found.starts[0] >= 0
    assert found.ends[-1] <= 7
    assert np.isclose(np.linalg.norm(found.vector), 1)  # type: ignore[arg-type]


def test_where_nobody_speaks_it_is_missing(shared_data: Path, extractor: SpeechExtractor) -> None:
    plan = Request("mdn__learning-area__frog.mp4", str(shared_data / "clips"), None, SoundPlan(10.0))
    (found,) = extractor.extract([decode(plan, LimitsParams())])
    assert found.vector is None
    assert found.reason == "no speech"


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"features\.speech\.model"):
        load_whisper(str(tmp_path))


def test_its_identity_changes_with_what_it_hears_by() -> None:
    def identity(**values: object) -> str:
        return SpeechExtractor(SpeechParams(**values), AudioParams(), LimitsParams()).identity  # type: ignore[arg-type]

    assert identity() != identity(language="zh")
    assert identity(enabled=True) == identity()
