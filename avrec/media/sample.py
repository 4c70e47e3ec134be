"""What is asked of a media file and what comes back; and how both travel to a worker and home, without pickle."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

RATE = 16_000
"""Hz of every waveform; what YAMNet and the speech models hear."""

ABSENT = {"video": "no picture", "audio": "no sound"}
"""Why a modality is missing where a file never had it: a fact, not a defect."""

Frames = npt.NDArray[np.uint8]
Wave = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PicturePlan:
    """Which frames: at most `count`, `size` pixels wide and high, by `keyframes`, `uniform` or `shots`."""

    count: int
    size: int
    sampling: str = "keyframes"


@dataclass(frozen=True)
class SoundPlan:
    """How much sound: at most `max_seconds`, whole or in windows spread over a long file."""

    max_seconds: float


@dataclass(frozen=True)
class Request:
    """One file and what is wanted of it. With neither plan it is only probed.

    Without `seeks` the first two minutes are read in one pass, however long the file is.
    """

    uri: str
    root: str | None
    pictures: PicturePlan | None = None
    sound: SoundPlan | None = None
    seeks: bool = True


@dataclass(frozen=True)
class Probe:
    """What a file holds: the columns of `avrec.schema.MEDIA` after `item_id`, with their meanings."""

    status: str
    reason: str | None = None
    bytes: int | None = None
    duration_s: float | None = None
    has_video: bool = False
    has_audio: bool = False
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    sample_rate: int | None = None
    channels: int | None = None
    video_codec: str | None = None
    audio_codec: str | None = None


@dataclass(frozen=True)
class Sample:
    """The part of a file that the networks see.

    Attributes:
        probe: What the file holds.
        frames: `[n, size, size, 3]` uint8, RGB, upright, in time order.
        frame_times: `[n]` float32, seconds.
        wave: `[m]` float32, mono, 16 kHz: the windows one after the other.
        windows: `[k, 2]` float32: start in seconds and length in samples of each window.
        missing: Modality to the reason why nothing of it could be read.
        damage: What could not be read although something of the modality could.
        cuts: Seconds at which a new shot begins; None where nobody looked.
        turned: Whether the frames were brought upright by a quarter turn, so that width and height of the probe
            changed places.
    """

    probe: Probe
    frames: Frames
    frame_times: Wave
    wave: Wave
    windows: Wave
    missing: dict[str, str] = field(default_factory=dict)
    damage: dict[str, str] = field(default_factory=dict)
    cuts: list[float] | None = None
    turned: bool = False


_ARRAYS = ("frames", "frame_times", "wave", "windows")


def request_to_bytes(request: Request) -> bytes:
    return json.dumps(asdict(request)).encode()


def request_from_bytes(data: bytes) -> Request:
    values = json.loads(data)
    pictures, sound = values.pop("pictures"), values.pop("sound")
    return Request(
        **values,
        pictures=PicturePlan(**pictures) if pictures else None,
        sound=SoundPlan(**sound) if sound else None,
    )


def sample_to_bytes(sample: Sample) -> tuple[bytes, bytes]:
    """A JSON header and the arrays' bytes. Nothing in them can make the reader run code."""
    arrays = {name: np.ascontiguousarray(getattr(sample, name)) for name in _ARRAYS}
    header: dict[str, Any] = {name: [array.dtype.str, array.shape] for name, array in arrays.items()}
    header |= {"probe": asdict(sample.probe), "missing": sample.missing, "damage": sample.damage, "cuts": sample.cuts}
    header["turned"] = sample.turned
    return json.dumps(header).encode(), b"".join(array.tobytes() for array in arrays.values())


def sample_from_bytes(header: dict[str, Any], body: bytes) -> Sample:
    arrays, offset = {}, 0
    for name in _ARRAYS:
        dtype, shape = np.dtype(header[name][0]), tuple(header[name][1])
        count = int(np.prod(shape))
        arrays[name] = np.frombuffer(body, dtype, count, offset).reshape(shape)
        offset += count * dtype.itemsize
    missing, damage, cuts = (header[name] for name in ("missing", "damage", "cuts"))
    turned = bool(header["turned"])
    return Sample(Probe(**header["probe"]), **arrays, missing=missing, damage=damage, cuts=cuts, turned=turned)
