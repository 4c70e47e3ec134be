"""Extractors by modality, as params name them."""

from __future__ import annotations

from avrec.errors import ParamsError
from avrec.features.base import Extractor
from avrec.params import FeaturesParams


def build_extractor(modality: str, params: FeaturesParams) -> Extractor:
    """The extractor of `modality`. Cheap: networks are loaded when first needed.

    Raises:
        ParamsError: no such modality.
    """
    from avrec.features.audio import AudioExtractor
    from avrec.features.text import TextExtractor
    from avrec.features.visual import VisualExtractor

    if modality == "visual":
        return VisualExtractor(params.visual, params.limits)
    if modality == "audio":
        return AudioExtractor(params.audio, params.limits)
    if modality == "speech":
        from avrec.features.speech import SpeechExtractor

        return SpeechExtractor(params.speech, params.audio, params.limits)
    if modality == "text":
        return TextExtractor(params.text)
    raise ParamsError(f"modality '{modality}' is unknown; expected visual, audio, speech or text.")
