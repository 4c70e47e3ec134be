"""Whether a file goes on for as long as it says: what was cut off at the end is missed, not passed over."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import islice
from typing import Any

from avrec.media.container import FAILURES, Media, is_cover

STATING = ("mov", "matroska", "wav", "w64", "flac", "aiff", "caf", "au", "tta", "wv")
"""Containers that state how long they are. Of others FFmpeg often reckons it from the bit rate."""
SHORT_S, SHORT, SHORT_MOST_S = 1.0, 0.1, 10.0
"""A stream may be so many seconds shorter than stated, or such a part of its length, but not by more than the last."""
LOOKED_AT = 20_000
"""Packets near the end that are looked at, at most: what a file without an index costs is bounded by its time."""


class Clock:
    """When the packets of one open file are played.

    PyAV makes a fraction whenever a time base is asked for, and reckoning with fractions took a quarter of decoding:
    each stream is asked once, and the rest is a division of whole numbers, which rounds the same.
    """

    def __init__(self) -> None:
        self._bases: dict[int, tuple[int, int]] = {}

    def span(self, packet: Any) -> tuple[float, float]:
        """Seconds at which a packet begins and ends, from the start of its stream; it begins at 0 if it says nothing.

        Args:
            packet: Of PyAV, from the file that this clock is for.
        """
        stream = packet.stream
        base = self._bases.get(stream.index)
        if base is None:
            base = self._bases[stream.index] = _ratio(packet.time_base)
        stamp = packet.pts if packet.pts is not None else packet.dts
        start = 0.0 if stamp is None else (stamp - (stream.start_time or 0)) * base[0] / base[1]
        return start, start + (packet.duration or 0) * base[0] / base[1]


def _ratio(base: Fraction | None) -> tuple[int, int]:
    return (base.numerator, base.denominator) if base else (0, 1)


def cut_short(media: Media, ends: dict[int, float]) -> str | None:
    """What a file that states its length lacks at its end; None where it goes as far as it says, or says nothing.

    Args:
        media: Read to its end.
        ends: Second at which each stream ended that was read, by its index.
    """
    ends = {index: end for index, end in ends.items() if not is_cover(media.container.streams[index])}
    if not ends:
        return None
    told = _told(media, ends)
    if not told and (whole := _told_of_the_whole(media, ends)):
        told = {max(ends, key=ends.__getitem__): whole}  # the length of its longest stream
    for index, length in told.items():
        if ends[index] < _least(length):
            return f"the {media.container.streams[index].type} ends at {ends[index]:.1f} s of {length:.1f}"
    return None


def cut_tail(media: Media, streams: Iterable[Any]) -> str | None:
    """As `cut_short`, for a file too long to be read to its end: a seek near the end, and the packets from there.

    None also where the file cannot be sought in. `streams` are those that are read.
    """
    chosen = {stream.index: stream for stream in streams if not is_cover(stream)}
    if not chosen:
        return None
    told = _told(media, chosen)
    whole = None if told else _told_of_the_whole(media, chosen)
    if not told and not whole:
        return None
    least = {index: _least(told.get(index, whole or 0.0)) for index in told or chosen}
    reached = _reached(media, [chosen[index] for index in least], least, stop_at_first=bool(whole))
    if reached is None or (whole and reached) or len(reached) == len(least):
        return None
    index = min(set(least) - reached)
    return f"the {chosen[index].type} ends before {least[index]:.1f} s of {told.get(index, whole or 0.0):.1f}"


def _reached(media: Media, streams: list[Any], least: dict[int, float], stop_at_first: bool) -> set[int] | None:
    """Indices of the streams with a packet that ends at or after `least`; None where nobody can tell."""
    last = max(streams, key=lambda stream: least[stream.index])
    try:
        base = float(last.time_base)
        goal = (last.start_time or 0) + int(min(least.values()) / base)
        media.container.seek(goal, stream=last, backward=True, any_frame=True)
    except FAILURES:
        return None
    reached, clock = set[int](), Clock()
    try:
        for count, packet in enumerate(islice(media.container.demux(streams), LOOKED_AT + 1)):
            if count == LOOKED_AT:
                return None
            if packet.size and clock.span(packet)[1] >= least[packet.stream.index]:
                reached.add(packet.stream.index)
            if len(reached) == len(streams) or (stop_at_first and reached):
                break
    except FAILURES:
        pass  # a file that cannot be read there has been cut there
    return reached


def _told(media: Media, indices: Iterable[int]) -> dict[int, float]:
    """Seconds that each stream is stated to last, of those that say."""
    if not media.container.format.name.startswith(STATING):
        return {}
    streams = [media.container.streams[index] for index in indices]
    return {s.index: float(s.duration * s.time_base) for s in streams if s.duration and s.time_base}


def _told_of_the_whole(media: Media, indices: Iterable[int]) -> float | None:
    """Seconds that the file is stated to last, where `indices` are all its moving streams."""
    container = media.container
    moving = [stream for stream in (*container.streams.video, *container.streams.audio) if not is_cover(stream)]
    if not container.format.name.startswith(STATING) or len(moving) != len(set(indices)):
        return None
    return media.duration_s


def _least(length: float) -> float:
    """The second that a stream of `length` must reach."""
    return length - max(SHORT_S, min(SHORT * length, SHORT_MOST_S))
