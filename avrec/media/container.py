"""Opening a container under limits: formats that are media, no second file, no network, bounded streams and pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import av

from avrec.errors import MediaError
from avrec.media.location import open_bytes
from avrec.params import LimitsParams

# Containers of sound and moving or still pictures. Left out are playlists and scripts (hls, dash, concat, sdp, image2,
# lavfi), which make FFmpeg open other files, and text (tty, ass, srt), which it would gladly draw or list.
FORMATS = (
    "3gp,aac,ac3,ac4,aiff,amr,amrnb,amrwb,ape,apng,asf,au,avi,avif,av1,bmp_pipe,caf,dts,dtshd,dv,eac3,flac,flv,gif,h263,"
    "h264,hevc,iamf,ivf,jpeg_pipe,latm,loas,m4v,matroska,mjpeg,mov,mp3,mp4,mpc,mpc8,mpeg,mpegts,mpegvideo,mxf,nut,obu,"
    "ogg,png_pipe,qoa,rm,tiff_pipe,truehd,tta,voc,vvc,w64,wav,webm,webp_pipe,wtv,wv"
)
FAILURES = (av.FFmpegError, ValueError, OSError, EOFError, IndexError, NotImplementedError, UnicodeError)
"""What PyAV raises on broken input; `MemoryError` is handled apart."""


@dataclass(frozen=True)
class Media:
    """An open container and its one picture and one sound stream; either may be None, with a reason."""

    container: Any
    bytes: int
    duration_s: float | None
    video: Any
    audio: Any
    no_video: str | None
    no_audio: str | None


@contextmanager
def open_media(address: str, limits: LimitsParams) -> Iterator[Media]:
    """Opens what `avrec.media.location.locate` returned.

    FFmpeg reads through our file object and may open nothing itself, so a file cannot make it read another.

    Raises:
        MediaError: not media, or beyond the limits of bytes, streams or duration.
    """
    file, size = open_bytes(address, limits.bytes)
    with file:
        try:
            container = av.open(file, metadata_errors="replace", buffer_size=1 << 18, options=_options(limits))
        except FAILURES as error:
            raise MediaError(f"not readable as media: {describe(error)}") from error
        with container:
            yield _checked(container, size, limits)


def _options(limits: LimitsParams) -> dict[str, str]:
    return {
        "protocol_whitelist": "none",
        "format_whitelist": FORMATS,
        "max_pixels": str(limits.pixels),
        "threads": "1",
    }


def _checked(container: Any, size: int, limits: LimitsParams) -> Media:
    if len(container.streams) > limits.streams:
        raise MediaError(f"{len(container.streams)} streams, the limit is {limits.streams}")
    video: Any
    video, no_video = _best(container, "video", "picture")
    audio, no_audio = _best(container, "audio", "sound")
    if video is not None and (video.width or 0) * (video.height or 0) > limits.pixels:
        video, no_video = None, f"picture of {video.width}x{video.height}, the limit is {limits.pixels} pixels"
    duration = _duration(container, video, audio)
    if duration is not None and duration > limits.duration_s:
        raise MediaError(f"{duration:.0f} s long, the limit is {limits.duration_s:.0f} s")
    for stream in (video, audio):
        if stream is not None:
            stream.codec_context.thread_count = 1  # parallel over files, not within one
    return Media(container, size, duration, video, audio, no_video, no_audio)


def _best(container: Any, kind: str, what: str) -> tuple[Any, str | None]:
    """The stream to read: moving pictures before cover art, one we can decode before one we cannot."""
    streams = list(getattr(container.streams, kind))
    if not streams:
        return None, f"no {what}"
    usable = [stream for stream in streams if stream.codec_context is not None]
    if not usable:
        return None, f"no decoder for the {what}"
    return min(usable, key=_is_cover), None


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _duration(container: Any, *streams: Any) -> float | None:
    """Seconds as the container says, else as its longest stream says; None where nobody says."""
    if container.duration and container.duration > 0:
        return float(container.duration) / float(av.time_base)
    known = [float(s.duration * s.time_base) for s in streams if s is not None and s.duration and s.time_base]
    known = [seconds for seconds in known if math.isfinite(seconds) and seconds > 0]
    return max(known, default=None)


def describe(error: BaseException) -> str:
    """FFmpeg's words without addresses, so that equal files give equal reasons."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0][:200].rstrip(".").lower()
