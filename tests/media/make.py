"""Real media files, made on the spot, for tests."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 22_050


def make_clip(
    path: Path, *, seconds: float = 2.0, size: tuple[int, int] = (96, 64), picture: bool = True, sound: bool = True,
    seed: int = 0, gop: int = 250, fps: int = 10,
) -> Path:  # fmt: skip
    """Writes an MP4: a bright square moving over a coloured ground, and a tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as container:
        video = _video_stream(container, size, fps, gop) if picture else None
        audio = container.add_stream("aac", rate=RATE, layout="mono") if sound else None
        if video is not None:
            for frame in _frames(int(seconds * fps), size, seed):
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        if audio is not None:
            for frame in _tone(seconds, 220.0 * (1 + seed)):
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path


def _video_stream(container: av.container.OutputContainer, size: tuple[int, int], fps: int, gop: int) -> av.VideoStream:
    stream = container.add_stream("libx264", rate=Fraction(fps))
    stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
    stream.codec_context.gop_size = gop
    return stream


def _frames(count: int, size: tuple[int, int], seed: int) -> list[av.VideoFrame]:
    colour = np.random.default_rng(seed).integers(40, 200, 3, dtype=np.uint8)
    frames = []
    for i in range(count):
        picture = np.full((size[1], size[0], 3), colour, np.uint8)
        left = (7 * i) % (size[0] - 16)
        picture[16:32, left : left + 16] = 255
        frames.append(av.VideoFrame.from_ndarray(picture, format="rgb24"))
    return frames


def _tone(seconds: float, hertz: float) -> list[av.AudioFrame]:
    wave = 0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)
    frames = []
    for start in range(0, len(wave), 1024):
        piece = wave[start : start + 1024].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(piece[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
        frames.append(frame)
    return frames


def make_wav(path: Path, wave: np.ndarray, rate: int, codec: str = "pcm_f32le") -> Path:
    """Writes `[channels, n]` float32 as a WAV file of any rate, layout and sample format."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(wave)]
    with av.open(str(path), "w", format="wav") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(wave.T.reshape(1, -1), np.float32), format="flt", layout=layout
        )
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
        for part in resampler.resample(frame):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path
