"""The sound of a stream as mono float32 at 16 kHz, whatever its rate, format and channels.

Resampling is FFmpeg's, in the worker: it downmixes any layout by the standard matrix, works on a stream, and what
leaves the worker is a tenth of what was decoded. Everything after the waveform is tensorflow-io's (`avrec.features`).
"""

from __future__ import annotations

from typing import Any

import av
import numpy as np

from avrec.media.container import FAILURES, Media, describe, is_encrypted
from avrec.media.sample import RATE, Wave

WINDOW_S = 10.0
"""Length of the windows that a long file is heard in."""

TOGETHER = 1 << 15
"""Samples that are resampled in one go: a frame at a time, most of the time would go into calls."""


class SoundDecoder:
    """Collects windows of sound. Damage is remembered, not raised."""

    def __init__(self, media: Media, max_seconds: float) -> None:
        self.stream = media.audio
        self.damage: str | None = None
        self._limit = int(max_seconds * RATE)
        self._origin = float((self.stream.start_time or 0) * (self.stream.time_base or 0))
        self._waves: list[Wave] = []
        self._windows: list[tuple[float, int]] = []
        self._open(0.0)

    @property
    def full(self) -> bool:
        return self._heard * RATE >= self._limit

    def _open(self, start: float) -> None:
        self._resampler: Any | None = None
        self._waiting = av.AudioFifo()
        self._kind: tuple[int, str, str] | None = None
        self._pieces: list[Wave] = []
        self._start, self._heard = start, 0.0

    def feed(self, packet: Any) -> float:
        """Decodes one packet; the seconds of the current window so far."""
        if not self.full:
            try:
                for frame in self.stream.codec_context.decode(packet):
                    self._take(frame)
            except FAILURES as error:
                if not isinstance(error, EOFError):
                    self._note(error)
        return self._heard

    def _take(self, frame: Any) -> None:
        frame.pts = None  # a gap in the times must not become silence, nor a jump back an error
        self._heard += frame.samples / frame.sample_rate if frame.sample_rate else 0.0
        kind = (frame.sample_rate, frame.layout.name, frame.format.name)
        if self._kind not in (None, kind):
            # Changed within the stream: finish with the old resampler, go on with a new one. Waiting samples of
            # another layout must not be joined: libavutil would read past the planes of the frame.
            self._drain()
        self._kind = kind
        self._waiting.write(frame)
        if self._waiting.samples >= TOGETHER:
            self._resample()

    def _resample(self) -> None:
        if self._resampler is None:
            self._resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        frame = self._waiting.read()
        if frame is not None:
            frame.pts = None
            self._keep(self._resampler.resample(frame))

    def _drain(self) -> None:
        """Brings out what waits and what the resampler holds back; the next frame meets new ones."""
        try:
            self._resample()
            assert self._resampler is not None
            self._keep(self._resampler.resample(None))
        except FAILURES as error:
            self._note(error)
        self._waiting, self._resampler = av.AudioFifo(), None

    def _keep(self, frames: list[Any]) -> None:
        self._pieces += [frame.to_ndarray().reshape(-1) for frame in frames]

    def close_window(self) -> None:
        """Ends the current window: drains decoder and resampler and keeps what there is."""
        if not self.full:
            self.feed(None)
        self._drain()
        self.stream.codec_context.flush_buffers()
        if any(len(piece) for piece in self._pieces):
            self._keep_window(np.concatenate(self._pieces)[: self._limit].astype(np.float32))
        self._open(0.0)

    def _keep_window(self, wave: Wave) -> None:
        """Keeps what are numbers; what are not becomes silence and damage, and a window without any is not kept."""
        finite = np.isfinite(wave)
        if not finite.all():
            self.damage = self.damage or f"sound damaged: {1 - finite.mean():.0%} of its samples are not numbers"
        if finite.any():
            self._waves.append(np.clip(np.where(finite, wave, 0.0), -8.0, 8.0).astype(np.float32))
            self._windows.append((self._start, len(wave)))

    def windows(self, media: Media, duration: float, max_seconds: float) -> None:
        """Hears a long file in windows spread over its length, a seek each."""
        count = max(1, int(max_seconds / WINDOW_S))
        for i in range(count):
            self._open((i + 0.5) * duration / count - WINDOW_S / 2)
            self._limit = int(WINDOW_S * RATE)
            self._hear(media)
            self.close_window()

    def _hear(self, media: Media) -> None:
        try:
            base = self.stream.start_time or 0
            media.container.seek(base + int(self._start / self.stream.time_base), stream=self.stream, backward=True)
            for packet in media.container.demux(self.stream):
                if not is_encrypted(packet) and self.feed(packet) >= WINDOW_S:
                    return
        except FAILURES as error:
            self._note(error)

    def result(self) -> tuple[Wave, Wave]:
        """The wave `[m]` and its windows `[k, 2]`."""
        if not self._waves:
            return np.zeros(0, np.float32), np.zeros((0, 2), np.float32)
        return np.concatenate(self._waves), np.array(self._windows, np.float32)

    def _note(self, error: BaseException) -> None:
        self.damage = self.damage or f"sound damaged: {describe(error)}"
