"""A picture or a sound as a question: opened under the same limits as the catalogue, through the same networks.

Where an encoder of whole items read the catalogue, it reads the example too: as an item of one modality.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from avrec.errors import DataError, MediaError
from avrec.features.base import Extraction, Vectors
from avrec.features.registry import build_extractor
from avrec.features.semantic_folder import ENCODER, is_encoded
from avrec.features.tokens import Item, Segments
from avrec.media.pool import decode_many
from avrec.media.sample import PicturePlan, Request, Sample, SoundPlan
from avrec.params import FeaturesParams

FRAMES = 4
SECONDS = 30.0
LARGEST_BYTES = 256 * 1024**2


def picture_moments(path: Path, params: FeaturesParams) -> Segments:
    """Vectors `[n, dim]` and times of a picture, or of some frames of a film.

    Raises:
        DataError: there is no such file.
        MediaError: it holds no picture that can be read.
    """
    extractor = build_extractor("visual", params)
    plan: PicturePlan = replace(extractor.plan, count=FRAMES)  # type: ignore[attr-defined]
    (found,) = extractor.extract([_read(path, params, pictures=plan)])
    return _moments(found)


def sound_moments(path: Path, params: FeaturesParams) -> Segments:
    """Vectors `[n, dim]` and times of a sound, or of the sound of a film; at most its first half minute.

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


def _moments(found: Extraction) -> Segments:
    if found.vector is None:
        raise MediaError(f"nothing to search with: {found.reason}")
    return Segments(found.segments, found.starts, found.ends)


def as_whole(example: Item, folder: Path) -> Vectors | None:
    """What the encoder of whole items makes of an example, `[1, dim]`.

    Args:
        example: Its moments by modality; those it lacks are missing, as in an item.
        folder: Of the semantic modality; None comes back where no encoder is in it, or it reads none of the example.

    Raises:
        DataError: the catalogue's vectors, from which the encoder learned, are of other networks.
    """
    if not example or not is_encoded(folder):
        return None
    from avrec.features.semantic import SemanticEncoder

    try:
        found = SemanticEncoder.load(folder / ENCODER).encode([example])
    except ValueError as error:
        raise DataError(f"{folder / ENCODER} reads vectors of another network than the example's: {error}") from error
    return found.vectors if found.present[0] else None
