"""A picture or a sound as a question: opened under the same limits as the catalogue, through the same networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from avrec.errors import DataError, MediaError
from avrec.features.base import Extraction, Vectors
from avrec.features.registry import build_extractor
from avrec.media.pool import decode_many
from avrec.media.sample import PicturePlan, Request, Sample, SoundPlan
from avrec.params import FeaturesParams

FRAMES = 4
SECONDS = 30.0
LARGEST_BYTES = 256 * 1024**2


def picture_moments(path: Path, params: FeaturesParams) -> Vectors:
    """Vectors `[n, dim]` of a picture, or of some frames of a film.

    Raises:
        DataError: there is no such file.
        MediaError: it holds no picture that can be read.
    """
    extractor = build_extractor("visual", params)
    plan: PicturePlan = replace(extractor.plan, count=FRAMES)  # type: ignore[attr-defined]
    (found,) = extractor.extract([_read(path, params, pictures=plan)])
    return _moments(found)


def sound_moments(path: Path, params: FeaturesParams) -> Vectors:
    """Vectors `[n, dim]` of a sound, or of the sound of a film; at most its first half minute.

    Raises:
        DataError: there is no such file.
        MediaError: it holds no sound that can be read.
    """
    extractor = build_extractor("audio", params)
    (found,) = extractor.extract([read_sound(path, params)])
    return _moments(found)


def read_sound(path: Path, params: FeaturesParams) -> Sample:
    """The first half minute of a sound file, decoded under limits; raises as `sound_moments`."""
    return _read(path, params, sound=SoundPlan(SECONDS))


def _read(
    path: Path, params: FeaturesParams, pictures: PicturePlan | None = None, sound: SoundPlan | None = None
) -> Sample:
    if not path.is_file():
        raise DataError(f"{path} is no file; give a picture, a sound or a film.")
    limits = params.limits.model_copy(update={"bytes": min(params.limits.bytes, LARGEST_BYTES)})
    request = Request(path.name, str(path.parent), pictures, sound)
    (decoded,) = decode_many([request], limits, 1)
    if isinstance(decoded.answer, MediaError):
        raise MediaError(f"{path}: {decoded.answer.reason}")
    return decoded.answer


def _moments(found: Extraction) -> Vectors:
    if found.vector is None:
        raise MediaError(f"nothing to search with: {found.reason}")
    return found.segments
