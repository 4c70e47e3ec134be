"""Small pictures of items for a page, as data URIs: frames of a video, the outline of a sound, a card for the rest."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from avrec.errors import MediaError
from avrec.media.pool import decode_many
from avrec.media.sample import PicturePlan, Request, Sample, SoundPlan
from avrec.params import LimitsParams

WIDTH, HEIGHT = 320, 180
FRAMES = 3
BARS = 64
_SIDE = 256
_SECONDS = 8.0
_QUALITY = 78


def thumbnails(items: pa.Table, media_root: str | None, limits: LimitsParams, workers: int = 2) -> dict[str, str]:
    """A picture of each item by id.

    Args:
        items: Rows of table `ITEMS`.
        media_root: Folder or URL that relative `media_uri` are below.
        limits: Limits under which files are opened.
        workers: Decoding processes.

    Returns:
        Data URIs: JPEG where a frame could be read, else SVG.
    """
    rows = items.to_pylist()
    with_media = [row for row in rows if row["media_uri"]]
    found = {row["item_id"]: card(str(row["media_type"])) for row in rows}
    plans = (PicturePlan(FRAMES, _SIDE, "uniform"), SoundPlan(_SECONDS))
    requests = [Request(row["media_uri"], media_root, *plans) for row in with_media]
    for decoded in decode_many(requests, limits, workers) if requests else ():
        row = with_media[decoded.index]
        picture = None if isinstance(decoded.answer, MediaError) else picture_of(decoded.answer)
        found[row["item_id"]] = picture or card(str(row["media_type"]))
    return found


def picture_of(sample: Sample) -> str | None:
    """Frames side by side, or the outline of the sound; None where the sample has neither."""
    if len(sample.frames):
        return collage(sample.frames, _aspect(sample))
    return outline(sample.wave) if len(sample.wave) else None


def collage(frames: Sequence[npt.NDArray[np.uint8]] | npt.NDArray[np.uint8], aspect: float) -> str:
    """One JPEG: the middle frame large, the first and the last small beside it, so that motion shows.

    Args:
        frames: Square frames `[n, side, side, 3]`, squeezed as networks want them.
        aspect: Width over height as people see them.
    """
    from PIL import Image

    pictures = [_unsqueezed(frame, aspect) for frame in frames]
    sheet = Image.new("RGB", (WIDTH, HEIGHT))
    if len(pictures) < FRAMES:
        sheet.paste(_cover(pictures[len(pictures) // 2], WIDTH, HEIGHT))
        return _jpeg(sheet)
    left, gap = WIDTH * 2 // 3, 2
    half = (HEIGHT - gap) // 2
    small = (WIDTH - left - gap, half)
    sheet.paste(_cover(pictures[len(pictures) // 2], left, HEIGHT), (0, 0))
    sheet.paste(_cover(pictures[0], *small), (left + gap, 0))
    sheet.paste(_cover(pictures[-1], *small), (left + gap, half + gap))
    return _jpeg(sheet)


def outline(wave: npt.NDArray[np.float32]) -> str:
    """The loudness of a sound over time, `BARS` bars, as SVG."""
    parts = np.array_split(wave.astype(np.float64), BARS)
    loud = np.array([np.sqrt(np.mean(part**2)) if len(part) else 0.0 for part in parts])
    tall = np.maximum(loud / max(loud.max(), 1e-9), 0.04) * HEIGHT * 0.62
    step = WIDTH / (BARS + 4)
    bars = "".join(_bar((i + 2) * step, step * 0.6, height) for i, height in enumerate(tall))
    return _svg(f'<g fill="#8ab4ff">{bars}</g>')


def _bar(x: float, width: float, height: float) -> str:
    y = (HEIGHT - height) / 2
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="1.5"/>'


def card(media_type: str) -> str:
    """A plain card for an item whose media are missing or cannot be opened."""
    label = f"{media_type}, no preview"
    middle = f'x="{WIDTH // 2}" y="{HEIGHT // 2}" text-anchor="middle" dominant-baseline="middle"'
    return _svg(f'<text {middle} font-family="sans-serif" font-size="20" fill="#9aa4b8">{html.escape(label)}</text>')


def _svg(body: str) -> str:
    text = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#1c2333"/>{body}</svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()


def _jpeg(picture: Any) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _unsqueezed(frame: npt.NDArray[np.uint8], aspect: float) -> Any:
    from PIL import Image

    side = frame.shape[0]
    size = (round(side * aspect), side) if aspect >= 1 else (side, round(side / aspect))
    return Image.fromarray(frame).resize(size)


def _cover(picture: Any, width: int, height: int) -> Any:
    """Scaled and cut in the middle so that it fills the box."""
    from PIL import ImageOps

    return ImageOps.fit(picture, (width, height))


def _aspect(sample: Sample) -> float:
    width, height = sample.probe.width or 16, sample.probe.height or 9
    return min(max(width / height, 0.25), 4.0)
