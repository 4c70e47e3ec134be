"""What a file holds: the row of the media table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avrec.errors import MediaError
from avrec.media.container import FAILURES, Media, describe, is_encrypted, open_media
from avrec.media.location import locate
from avrec.media.sample import ABSENT, Probe, Request, Sample
from avrec.params import LimitsParams

if TYPE_CHECKING:
    import pyarrow as pa

PROBE_PACKETS = 400
"""How far into a file the probe looks for one frame that can be decoded."""


def probe_file(path: Path | str, limits: LimitsParams) -> Probe:
    """Probes one local file in this process: for files that are trusted. `probe_many` contains hostile ones."""
    path = Path(path)
    try:
        with open_media(locate(path.name, str(path.absolute().parent)), limits) as media:
            return probe_media(media)
    except MediaError as error:
        return Probe("refused", error.reason)


def probe_many(uris: Sequence[str | None], root: str | None, limits: LimitsParams, workers: int = 2) -> list[Probe]:
    """Probes each file in a worker under limits; one row a file, in order. An empty uri is status `none`."""
    from avrec.media.pool import decode_many

    wanted = [(row, uri) for row, uri in enumerate(uris) if uri]
    probes = [Probe("none", "no media")] * len(uris)
    for decoded in decode_many([Request(uri, root) for _, uri in wanted], limits, workers):
        row, answer = wanted[decoded.index][0], decoded.answer
        probes[row] = answer.probe if isinstance(answer, Sample) else Probe("refused", answer.reason)
    return probes


def probe_items(items: pa.Table, root: str | None, limits: LimitsParams, workers: int = 2) -> pa.Table:
    """Probes the media of each item; a table as `avrec.schema.MEDIA` says, in the order of `items`."""
    import pyarrow as pa  # here: workers need none of it, and it starts a thread, beside which no process is copied

    from avrec.schema import MEDIA

    probes = probe_many(items["media_uri"].to_pylist(), root, limits, workers)
    ids = items["item_id"].to_pylist()
    rows = [{"item_id": item, **asdict(probe)} for item, probe in zip(ids, probes, strict=True)]
    return MEDIA.conform(pa.Table.from_pylist(rows, schema=MEDIA.schema))


def probe_media(media: Media) -> Probe:
    """Decodes until one frame of each stream was seen; the streams say the rest."""
    seen, damage = _try_streams(media)
    has_video, has_audio = media.video in seen, media.audio in seen
    probe = describe_streams(media, has_video, has_audio)
    reasons = [
        media.no_video or (None if has_video else damage.get("video", "no picture can be decoded")),
        media.no_audio or (None if has_audio else damage.get("audio", "no sound can be decoded")),
    ]
    known = [text for text in reasons if text]
    return replace(probe, status=verdict(has_video, has_audio, known), reason="; ".join(known) or None)


def verdict(has_video: bool, has_audio: bool, reasons: Iterable[str]) -> str:
    """`ok` where all that a file has was read: a song misses nothing by having no picture."""
    if not (has_video or has_audio):
        return "refused"
    return "partial" if set(reasons) - set(ABSENT.values()) else "ok"


def _try_streams(media: Media) -> tuple[list[Any], dict[str, str]]:
    wanted = [stream for stream in (media.video, media.audio) if stream is not None]
    seen: list[Any] = []
    damage: dict[str, str] = {}
    try:
        for number, packet in enumerate(media.container.demux(wanted) if wanted else ()):
            if packet.stream not in seen and _decodes(packet, damage):
                seen.append(packet.stream)
            if len(seen) == len(wanted) or number >= PROBE_PACKETS:
                break
    except FAILURES as error:
        damage = {"video": describe(error), "audio": describe(error)} | damage
    return seen, damage


def _decodes(packet: Any, damage: dict[str, str]) -> bool:
    if is_encrypted(packet):
        damage.setdefault(packet.stream.type, "encrypted")
        return False
    try:
        return bool(packet.decode())
    except FAILURES as error:
        damage.setdefault(packet.stream.type, f"{packet.stream.type} damaged: {describe(error)}")
        return False


def describe_streams(media: Media, has_video: bool, has_audio: bool) -> Probe:
    """The row as the container's headers tell it; status and reason are for the caller to decide."""
    video, audio = media.video, media.audio
    rate = float(video.average_rate) if video is not None and video.average_rate else None
    return Probe(
        status="ok",
        bytes=media.bytes,
        duration_s=media.duration_s,
        has_video=has_video,
        has_audio=has_audio,
        width=(video.width or None) if video is not None else None,
        height=(video.height or None) if video is not None else None,
        fps=rate if rate is not None and math.isfinite(rate) else None,
        sample_rate=(audio.sample_rate or None) if audio is not None else None,
        channels=(audio.channels or None) if audio is not None else None,
        video_codec=video.codec_context.name if video is not None else None,
        audio_codec=audio.codec_context.name if audio is not None else None,
    )
