"""A few frames of a picture stream: decoded, upright, resized, with their times."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from avrec.media.container import FAILURES, Media, describe, is_encrypted
from avrec.media.sample import Frames, PicturePlan
from avrec.media.shots import SIZE, find_cuts

Timed = tuple[float, Frames]

SKIPPING = frozenset({"h264"})
"""Decoders that leave out frames no other frame refers to when asked to, and give the same pictures of the rest."""

ENOUGH = 2
"""Key frames that stand for a short stream, where more would cost decoding what lies between them."""


class PictureDecoder:
    """Turns packets of one stream into frames of the size the network wants.

    Damage is remembered, not raised: a stream is read as far as it truly goes.
    """

    def __init__(self, media: Media, size: int) -> None:
        self.stream = media.video
        self.size = size
        self.damage: str | None = None
        self.cuts: list[float] | None = None
        self.turned = False
        self._reformatter = VideoReformatter()
        self._base = float(self.stream.time_base or 0)
        self._origin = (self.stream.start_time or 0) * self._base
        self._rate = float(self.stream.average_rate or self.stream.guessed_rate or 25)

    def key_frames(self, packets: Iterable[Any]) -> Iterator[Timed]:
        """One frame of each packet, every packet being a key frame that needs no other."""
        for packet in packets:
            frame = self._alone(packet)
            if frame is not None:
                yield from self._picture(frame, 0)

    def _alone(self, packet: Any) -> Any | None:
        context = self.stream.codec_context
        try:
            frames = context.decode(packet) + context.decode(None)
            return frames[0] if frames else None
        except FAILURES as error:
            self._note(error)
            return None
        finally:
            context.flush_buffers()

    def at_times(self, packets: Iterable[Any], targets: Sequence[float]) -> Iterator[Timed]:
        """The first frame at or after each target second, decoding in order and stopping after the last.

        A stream that ends early gives its last frame for the targets it did not reach, once.
        """
        waiting, last, number = list(targets), None, -1
        for number, frame in enumerate(self._in_order(packets, self._shown_at(packets, targets))):
            last = frame
            if waiting and self._time(frame, number) >= waiting[0] - 1e-6:
                time = self._time(frame, number)
                waiting = [target for target in waiting if target > time + 1e-6]
                last = None
                yield from self._picture(frame, number)
            if not waiting:
                self._start_over()
                return
        if last is not None:
            yield from self._picture(last, number)

    def second(self, packet: Any) -> float:
        """When a packet is shown, from the start of the stream."""
        stamp = packet.pts if packet.pts is not None else packet.dts
        return float(stamp or 0) * self._base - self._origin

    def every_frame(self, packets: Iterable[Any]) -> Iterator[Timed]:
        """All frames, small and BGR, with their times."""
        reformatter = VideoReformatter()
        for number, frame in enumerate(self._in_order(packets)):
            try:
                small = reformatter.reformat(frame, *SIZE, format="bgr24", interpolation=Interpolation.AREA)
                yield self._time(frame, number), small.to_ndarray().astype(np.uint8, copy=False)
            except FAILURES as error:
                self._note(error)

    def _shown_at(self, packets: Iterable[Any], targets: Sequence[float]) -> set[int] | None:
        """Time stamps of the frames that `at_times` takes, where all packets are here and say when; else None."""
        if self.stream.codec_context.name not in SKIPPING or not isinstance(packets, Sequence) or not self._base:
            return None
        given = [packet.pts for packet in packets]
        if not given or None in given or len(set(given)) != len(given):
            return None
        stamps = sorted(given)
        if stamps == given:
            return None  # there is nothing to leave out; or these are times of decoding, as AVI gives them
        seconds = [stamp * self._base - self._origin for stamp in stamps]
        places = [bisect_left(seconds, target - 1e-6) for target in targets]
        return {stamps[min(place, len(stamps) - 1)] for place in places}

    def _in_order(self, packets: Iterable[Any], wanted: set[int] | None = None) -> Iterator[Any]:
        """The frames of `packets`; where `wanted` says whose are needed, those that no other needs may be left out."""
        context = self.stream.codec_context
        for packet in itertools.chain(packets, [None]):
            if wanted is not None and packet is not None:
                context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
            try:
                yield from context.decode(packet)
            except FAILURES as error:
                if not isinstance(error, EOFError):
                    self._note(error)
        self._start_over()

    def _start_over(self) -> None:
        self.stream.codec_context.flush_buffers()
        self.stream.codec_context.skip_frame = "DEFAULT"

    def _time(self, frame: Any, number: int) -> float:
        if frame.pts is None or not self._base:
            return number / self._rate
        return float(frame.pts) * self._base - self._origin

    def _picture(self, frame: Any, number: int) -> Iterator[Timed]:
        try:
            small = self._reformatter.reformat(
                frame, width=self.size, height=self.size, format="rgb24", interpolation=Interpolation.AREA
            )
            # `rotation` is the counterclockwise turn that the display matrix asks for.
            quarters = round((frame.rotation or 0) / 90) % 4
            self.turned = quarters % 2 == 1
            turned = np.rot90(small.to_ndarray(), k=quarters)
            yield max(self._time(frame, number), 0.0), np.ascontiguousarray(turned, dtype=np.uint8)
        except FAILURES as error:
            self._note(error)

    def _note(self, error: BaseException) -> None:
        self.damage = self.damage or f"picture damaged: {describe(error)}"


def evenly(count: int, duration: float) -> list[float]:
    """`count` instants in the middle of equal parts of `duration` seconds."""
    return [(i + 0.5) * duration / count for i in range(count)]


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """`count` of `items`, evenly spread, or all where there are no more."""
    if len(items) <= count:
        return list(items)
    return [items[int((i + 0.5) * len(items) / count)] for i in range(count)]


def from_packets(decoder: PictureDecoder, packets: Sequence[Any], plan: PicturePlan, duration: float) -> list[Timed]:
    """Frames of a short stream, all of whose packets are here.

    Key frames where there are enough of them; else evenly spaced frames, which costs decoding from the one before.
    """
    keys = [packet for packet in packets if packet.is_keyframe and not packet.is_corrupt]
    if plan.sampling == "keyframes" and _enough([decoder.second(key) for key in keys], plan.count, duration):
        found = list(decoder.key_frames(spread(keys, plan.count)))
        if found:
            return found
    targets = _shots(decoder, packets, plan, duration) if plan.sampling == "shots" else evenly(plan.count, duration)
    found = [timed for run, wanted in _runs(decoder, packets, targets) for timed in decoder.at_times(run, wanted)]
    return found or list(decoder.at_times(packets, targets))


def _shots(decoder: PictureDecoder, packets: Sequence[Any], plan: PicturePlan, duration: float) -> list[float]:
    """The middle of each shot, or of some spread over the film where there are more than wanted."""
    decoder.cuts = find_cuts(decoder.every_frame(packets))
    bounds = [0.0, *decoder.cuts, max(duration, *decoder.cuts, 0.0)]
    return spread([(start + end) / 2 for start, end in pairwise(bounds)], plan.count)


def _enough(keys: Sequence[float], count: int, duration: float) -> bool:
    """Whether the key frames show the whole: as many as wanted, or at least two with one in the second half."""
    return len(keys) >= count or (len(keys) >= ENOUGH and keys[-1] >= duration / 2)


def _runs(
    decoder: PictureDecoder, packets: Sequence[Any], targets: Sequence[float]
) -> Iterator[tuple[Sequence[Any], list[float]]]:
    """The packets from a key frame to the next, with the targets among them; those without any need no decoding.

    Where times are missing or run backwards there is but one run: everything.
    """
    starts = [place for place, packet in enumerate(packets) if packet.is_keyframe and not packet.is_corrupt]
    times = [decoder.second(packets[place]) - 1e-6 for place in starts]
    if not starts or times != sorted(set(times)):
        yield packets, list(targets)
        return
    ends = [*starts[1:], len(packets)]
    bounds = [*times[1:], math.inf]
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        low = times[place] if place else -math.inf
        wanted = [target for target in targets if low <= target < bounds[place]]
        if wanted:
            yield packets[start:end], wanted


def from_seeks(decoder: PictureDecoder, media: Media, plan: PicturePlan, duration: float) -> list[Timed]:
    """Frames of a long stream: a seek to each instant, and one frame decoded there.

    Shots of a long film are not looked for, which would mean decoding hours: its key frames are taken.
    """
    found: dict[float, Frames] = {}
    for target in evenly(plan.count, duration):
        packets = _packets_from(media, target)
        if plan.sampling == "uniform":
            frames = decoder.at_times(_until(packets, target + 30.0), [target])
        else:
            frames = decoder.key_frames(_first_key(packets))
        for time, picture in frames:
            found.setdefault(round(time, 3), picture)
    return sorted(found.items())


def _packets_from(media: Media, seconds: float) -> Iterator[Any]:
    stream = media.video
    assert stream is not None
    try:
        origin = stream.start_time or 0
        media.container.seek(origin + int(seconds / stream.time_base), stream=stream, backward=True)
        for packet in media.container.demux(stream):
            if (packet.dts is not None or packet.size) and not is_encrypted(packet):
                yield packet
    except FAILURES:
        return


def _first_key(packets: Iterator[Any]) -> Iterator[Any]:
    for packet in packets:
        if packet.is_keyframe:
            yield packet
            return


def _until(packets: Iterator[Any], seconds: float) -> Iterator[Any]:
    for packet in packets:
        yield packet
        if packet.pts is not None and float(packet.pts * packet.time_base) > seconds:
            return
