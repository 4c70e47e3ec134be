"""One pass over one file: probe, frames and sound. Runs inside a worker; `avrec.media.pool` is the way in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from avrec.errors import MediaError
from avrec.media.container import FAILURES, Media, describe, is_encrypted, open_media
from avrec.media.ending import Clock, cut_short, cut_tail
from avrec.media.location import locate
from avrec.media.pictures import PictureDecoder, Timed, from_packets, from_seeks
from avrec.media.probe import describe_streams, probe_media, verdict
from avrec.media.sample import Request, Sample, Wave
from avrec.media.sound import SoundDecoder
from avrec.params import LimitsParams

VERSION = 5
"""Part of every media extractor's identity: raise it when equal files may give other frames or sound."""

LONG_S = 120.0
"""Longer files are looked at by seeks; shorter ones, and those of unknown length, in one pass of at most so much."""

KEEP_BYTES = 64 * 1024**2
"""Compressed pictures kept in memory during the pass; beyond it only key frames are kept."""


def decode(request: Request, limits: LimitsParams) -> Sample:
    """Reads what `request` asks for.

    Raises:
        MediaError: nothing of the file can be used; the reason says why.
    """
    address, without = locate(request.uri, request.root), frozenset[int]()
    while True:
        with open_media(address, limits, without) as media:
            if request.pictures is None and request.sound is None:
                return _only_probe(media)
            sample = _Pass(media, request).sample()
            dead = media.spare & _undecodable(media, sample)
        if not dead:
            return sample
        without |= dead  # a file of several sound tracks, say, whose first is of a kind nobody can decode


def _undecodable(media: Media, sample: Sample) -> set[int]:
    streams = {"visual": media.video, "audio": media.audio}
    return {streams[name].index for name in sample.missing if streams[name] is not None}


def _only_probe(media: Media) -> Sample:
    none = np.zeros(0, np.float32)
    return Sample(probe_media(media), np.zeros((0, 0, 0, 3), np.uint8), none, none, np.zeros((0, 2), np.float32))


@dataclass
class _Pass:
    """One file being read."""

    media: Media
    request: Request
    packets: list[Any] = field(default_factory=list)
    kept: int = 0
    stopped: str | None = None
    encrypted: set[str] = field(default_factory=set)
    ends: dict[int, float] = field(default_factory=dict)  # of each stream, by its index, in seconds

    def sample(self) -> Sample:
        plan, hearing = self.request.pictures, self.request.sound
        pictures = PictureDecoder(self.media, plan.size) if plan and self.media.video is not None else None
        sound = SoundDecoder(self.media, hearing.max_seconds) if hearing and self.media.audio is not None else None
        duration = self.media.duration_s
        frames: list[Timed] = []
        long = duration is not None and duration > LONG_S
        if long and self.request.seeks:
            assert duration is not None
            if pictures and plan:
                frames = from_seeks(pictures, self.media, plan, duration)
            if sound and hearing:
                sound.windows(self.media, duration, hearing.max_seconds)
        if not frames and (sound is None or not sound.result()[0].size):
            frames = self._one_pass(pictures, sound)
        if long:
            self.stopped = self.stopped or self._tail([d.stream for d in (pictures, sound) if d is not None])
        return self._assemble(pictures, sound, frames)

    def _tail(self, streams: list[Any]) -> str | None:
        if not self.request.seeks:
            return f"cannot be sought in: only the first {LONG_S:.0f} s were read"
        return cut_tail(self.media, streams)

    def _one_pass(self, pictures: PictureDecoder | None, sound: SoundDecoder | None) -> list[Timed]:
        end = self._demux(pictures, sound)
        if sound:
            sound.close_window()
        if not pictures:
            return []
        assert self.request.pictures is not None
        length = end if end > 0 else self.media.duration_s or 1.0
        return from_packets(pictures, self.packets, self.request.pictures, length)

    def _demux(self, pictures: PictureDecoder | None, sound: SoundDecoder | None) -> float:
        """Hears the sound and collects the pictures; the second at which the pictures ended."""
        streams = [decoder.stream for decoder in (pictures, sound) if decoder is not None]
        end, clock = 0.0, Clock()
        for packet in self._packets(streams):
            at, until = clock.span(packet)
            if at > LONG_S or (pictures is None and sound is not None and sound.full):
                return end
            if sound is not None and packet.stream is sound.stream:
                sound.feed(packet)
            else:
                self._keep(packet)
                end = max(end, at)
            self.ends[packet.stream.index] = max(self.ends.get(packet.stream.index, 0.0), until)
        self.stopped = self.stopped or cut_short(self.media, self.ends)
        return end

    def _packets(self, streams: list[Any]) -> Iterator[Any]:
        try:
            for packet in self.media.container.demux(streams) if streams else ():
                if packet.size and is_encrypted(packet):
                    self.encrypted.add(packet.stream.type)
                elif packet.size:
                    yield packet
        except FAILURES as error:
            self.stopped = f"stops early: {describe(error)}"

    def _keep(self, packet: Any) -> None:
        self.kept += packet.size
        if self.kept <= KEEP_BYTES or packet.is_keyframe:
            self.packets.append(packet)
        if self.kept > 4 * KEEP_BYTES:
            raise MediaError(f"pictures of more than {4 * KEEP_BYTES} bytes in {LONG_S:.0f} s")

    def _assemble(self, pictures: PictureDecoder | None, sound: SoundDecoder | None, frames: list[Timed]) -> Sample:
        wave, windows = sound.result() if sound else (np.zeros(0, np.float32), np.zeros((0, 2), np.float32))
        missing, damage = self._reasons(pictures, sound, bool(frames), wave)
        probe = describe_streams(self.media, bool(frames), bool(wave.size))
        reasons = [*missing.values(), *damage.values()]
        if pictures is not None or sound is not None or missing:
            status = verdict(bool(frames), bool(wave.size), reasons)
            probe = replace(probe, status=status, reason="; ".join(reasons) or None)
        size = self.request.pictures.size if self.request.pictures else 0
        stack = np.stack([picture for _, picture in frames]) if frames else np.zeros((0, size, size, 3), np.uint8)
        times = np.array([time for time, _ in frames], np.float32)
        cuts, turned = (pictures.cuts, pictures.turned) if pictures else (None, False)
        return Sample(probe, stack, times, wave, windows, missing, damage, cuts, turned)

    def _reasons(
        self, pictures: PictureDecoder | None, sound: SoundDecoder | None, seen: bool, wave: Wave
    ) -> tuple[dict[str, str], dict[str, str]]:
        missing, damage = {}, {}
        if self.request.pictures and not seen:
            missing["visual"] = self._why(self.media.no_video, "video", pictures.damage if pictures else None)
        elif pictures and (damaged := self._damage("video", pictures.damage)):
            damage["visual"] = damaged
        if self.request.sound and not wave.size:
            missing["audio"] = self._why(self.media.no_audio, "audio", sound.damage if sound else None)
        elif sound and (damaged := self._damage("audio", sound.damage)):
            damage["audio"] = damaged
        return missing, damage

    def _damage(self, kind: str, damage: str | None) -> str | None:
        what = "picture" if kind == "video" else "sound"
        return f"the {what} is encrypted in part" if kind in self.encrypted else damage or self.stopped

    def _why(self, absent: str | None, kind: str, damage: str | None) -> str:
        what = "picture" if kind == "video" else "sound"
        if kind in self.encrypted:
            return f"the {what} is encrypted"
        return absent or damage or self.stopped or f"the {what} stream holds nothing that can be decoded"
