"""Statistics of how frames look: colour, light and movement."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def look_of(frames: npt.NDArray[np.uint8]) -> dict[str, float | None]:
    """Signals of `[n, h, w, 3]` RGB frames, with the meanings of `avrec.schema.SIGNALS`."""
    small = frames[:, ::4, ::4].astype(np.float32) / 255.0
    luma = small @ LUMA
    return {
        "colourfulness": colourfulness(small),
        "brightness": float(luma.mean()),
        "motion": float(np.abs(np.diff(luma, axis=0)).mean()) if len(luma) > 1 else None,
    }


def colourfulness(frames: npt.NDArray[np.float32]) -> float:
    """Hasler and Suesstrunk (2003), mean over frames, for values 0 to 1: 0 is grey, above 0.3 is vivid."""
    red, green, blue = frames[..., 0], frames[..., 1], frames[..., 2]
    rg, yb = red - green, (red + green) / 2 - blue
    axes = (1, 2)
    deviation = np.hypot(rg.std(axis=axes), yb.std(axis=axes))
    mean = np.hypot(rg.mean(axis=axes), yb.mean(axis=axes))
    return float((deviation + 0.3 * mean).mean())


def poster_of(frames: npt.NDArray[np.uint8]) -> int:
    """Which of `[n, h, w, 3]` frames stands for all: the one with the most detail, the middle one among equals.

    Detail is the mean luma difference of neighbouring pixels: black, white, faded and blurred frames have little.
    """
    luma = frames[:, ::2, ::2].astype(np.float32) @ LUMA
    detail = np.abs(np.diff(luma, axis=1)).mean(axis=(1, 2)) + np.abs(np.diff(luma, axis=2)).mean(axis=(1, 2))
    best = np.flatnonzero(detail >= 0.95 * detail.max())
    return int(best[len(best) // 2])
