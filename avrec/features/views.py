"""What networks learn from: frames and log-mel patches of items, decoded once and held in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from avrec.errors import MediaError, ParamsError
from avrec.features import yamnet
from avrec.features.audio import cut_patches
from avrec.features.base import Mask, Vectors
from avrec.features.mobilenet import SIZE
from avrec.features.progress import Progress
from avrec.features.tensorflow import run_padded
from avrec.media.pool import decode_many
from avrec.media.sample import PicturePlan, Request, Sample, SoundPlan
from avrec.params import FeaturesParams, FinetuneParams

FRAME_BYTES = SIZE * SIZE * 3
PATCH_BYTES = yamnet.FRAMES * yamnet.MELS * 4


@dataclass(frozen=True)
class Views:
    """Frames and patches of items, spread evenly over each; an item with fewer has some of them more than once.

    Attributes:
        frames: `[n, frames, 224, 224, 3]` uint8; zero where there is no picture.
        patches: `[n, patches, 96, 64]` float32, log-mel; zero where there is no sound.
        seen, heard: Which items have a picture `[n]` bool, and which a sound.
    """

    frames: npt.NDArray[np.uint8]
    patches: Vectors
    seen: Mask
    heard: Mask


def items_within(params: FinetuneParams) -> int:
    """How many items `cache_mb` has room for.

    Raises:
        ParamsError: for too few to learn from.
    """
    each = params.frames * FRAME_BYTES + params.patches * PATCH_BYTES
    room = params.cache_mb * 1_000_000 // each
    if room < 2 * params.items:
        raise ParamsError(
            f"finetune.cache_mb {params.cache_mb} holds {room} items; two steps of finetune.items {params.items} need "
            f"{-(-2 * params.items * each // 1_000_000)}."
        )
    return room


def load_views(items: pa.Table, media_root: str | None, features: FeaturesParams, params: FinetuneParams) -> Views:
    """Decodes the media of `items` (`avrec.schema.ITEMS`), as extraction does; what cannot be read is not there."""
    n = items.num_rows
    frames = np.zeros((n, params.frames, SIZE, SIZE, 3), np.uint8)
    patches = np.zeros((n, params.patches, yamnet.FRAMES, yamnet.MELS), np.float32)
    seen, heard = np.zeros(n, bool), np.zeros(n, bool)
    network = yamnet.build_log_mel()
    plans = PicturePlan(features.visual.frames, SIZE, features.visual.sampling), SoundPlan(features.audio.max_seconds)
    rows = [row for row, uri in enumerate(items["media_uri"].to_pylist()) if uri]
    uris = items["media_uri"].to_pylist()
    shown = Progress("files decoded", len(rows))
    requests = (Request(uris[row], media_root, *plans) for row in rows)
    for decoded in decode_many(requests, features.limits, workers=os.cpu_count() or 2):
        row, sample = rows[decoded.index], decoded.answer
        shown.advance(1)
        if isinstance(sample, MediaError):
            continue
        if len(sample.frames):
            frames[row], seen[row] = sample.frames[spread(len(sample.frames), params.frames)], True
        waves = _patches_of(sample)
        if len(waves):
            (spectrograms,) = next(iter(run_padded(network, [waves[spread(len(waves), params.patches)]], yamnet.BATCH)))
            patches[row], heard[row] = spectrograms, True
    return Views(frames, patches, seen, heard)


def _patches_of(sample: Sample) -> Vectors:
    return cut_patches(sample.wave, sample.windows)[0]


def spread(have: int, want: int) -> Sequence[int]:
    """`want` of `have` positions, evenly and in order; some more than once where there are fewer."""
    return [(2 * i + 1) * have // (2 * want) for i in range(want)]
