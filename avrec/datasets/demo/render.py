"""Writes the media files of the demo set: H.264 and AAC through PyAV, in parallel, bit-equal on every run.

What makes the bytes stable: one encoder thread, FFmpeg's `bitexact` flags (no dates, no version strings), and a seed of
its own for every file. Another FFmpeg build may well encode differently; on one machine nothing does.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from avrec.datasets.demo.catalogue import FPS, SAMPLE_RATE, SIZE, Catalogue
from avrec.datasets.demo.picture import frames
from avrec.datasets.demo.sound import waveform

AAC_FRAME = 1024


@dataclass(frozen=True)
class Clip:
    """All that one file needs; crosses the process border."""

    path: str
    look: int
    sound: int
    topic: int
    seed: int
    seconds: float
    has_picture: bool
    has_sound: bool


def clips_of(catalogue: Catalogue, folder: Path) -> list[Clip]:
    """One clip an item, below `folder`."""
    return [
        Clip(
            path=str(folder / catalogue.media_uri(i)),
            look=int(catalogue.look[i]),
            sound=int(catalogue.sound[i]),
            topic=int(catalogue.topic[i]),
            seed=int(catalogue.seed[i]),
            seconds=float(catalogue.duration[i]),
            has_picture=not catalogue.sound_only[i],
            has_sound=not catalogue.silent[i],
        )
        for i in range(len(catalogue))
    ]


def render_all(clips: Sequence[Clip], workers: int | None = None) -> list[str]:
    """Writes every clip and returns the SHA-256 of each file, in order.

    Args:
        clips: What to render.
        workers: Processes; default: one a core, none for a handful of clips. Does not change a byte.
    """
    workers = workers or min(os.cpu_count() or 1, 1 + len(clips) // 64)
    for parent in {Path(clip.path).parent for clip in clips}:
        parent.mkdir(parents=True, exist_ok=True)
    if workers == 1:
        return [render(clip) for clip in clips]
    # Spawned, not forked: a parent that already runs threads (TensorFlow, Arrow) must not be copied.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(render, clips, chunksize=8))


def render(clip: Clip) -> str:
    """Writes one file and returns the SHA-256 of its bytes."""
    with av.open(clip.path, "w", format="mp4", options={"fflags": "+bitexact", "movflags": "+faststart"}) as container:
        picture = _picture_stream(container) if clip.has_picture else None
        sound = _sound_stream(container) if clip.has_sound else None
        if picture is not None:
            _encode_pictures(container, picture, clip)
        if sound is not None:
            _encode_sound(container, sound, clip)
    return hashlib.sha256(Path(clip.path).read_bytes()).hexdigest()


def _picture_stream(container: Any) -> Any:
    options = {"preset": "veryfast", "crf": "27", "threads": "1", "flags": "+bitexact", "bf": "0"}
    stream = container.add_stream("libx264", rate=FPS, options=options)
    stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
    stream.codec_context.gop_size = FPS  # a key frame a second: what a sampler of key frames sees
    return stream


def _sound_stream(container: Any) -> Any:
    options = {"threads": "1", "flags": "+bitexact"}
    stream = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono", options=options)
    stream.bit_rate = 64_000
    return stream


def _encode_pictures(container: Any, stream: Any, clip: Clip) -> None:
    for index, pixels in enumerate(frames(clip.look, clip.topic, clip.seed, clip.seconds)):
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = index, Fraction(1, FPS)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _encode_sound(container: Any, stream: Any, clip: Clip) -> None:
    samples = waveform(clip.sound, clip.seed, clip.seconds)
    for start in range(0, len(samples), AAC_FRAME):
        block = np.ascontiguousarray(samples[None, start : start + AAC_FRAME])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
