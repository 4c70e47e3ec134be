"""Music beside sound: the moments that YAMNet takes for music, heard by a network that was trained on nothing else."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import numpy.typing as npt

from avrec.features import musicnn
from avrec.features.tags import best_tags
from avrec.features.yamnet import PATCH
from avrec.media.sample import RATE

Vectors = npt.NDArray[np.float32]

IS_MUSIC = 0.5
"""Mean probability of music over the patches of a window from which the window is heard."""
LEAST, MOST = 0.15, 3
"""Tags: mean probability over the windows, and number. musicnn is seldom sure: half a dozen tags share a piece."""


class MusicListener:
    """Windows of 3 s of a wave to vectors; what is no music stays silent.

    Attributes:
        dim: Length of a row: musicnn's 200 numbers, and 1 where there is music. All are 0 where there is none, which
            the last one tells from a sound the network makes nothing of.
    """

    dim = musicnn.DIM + 1

    @cached_property
    def _network(self) -> Callable[[Vectors], tuple[Vectors, Vectors]]:
        return musicnn.build_musicnn()

    def listen(self, wave: Vectors, windows: Vectors, starts: Vectors, music: Vectors) -> tuple[Vectors, list[str]]:
        """Rows `[n, dim]` for patches at `starts` `[n]` (seconds), and tags of the music, best first.

        Args:
            wave: `[m]` mono, 16 kHz: the pieces one after the other.
            windows: `[k, 2]`: start in seconds and length in samples of each piece.
            starts: When each patch of YAMNet begins.
            music: `[n]`: probability that it is music.
        """
        rows = np.zeros((len(starts), self.dim), np.float32)
        scores: list[Vectors] = []
        for second, piece in _pieces(wave, windows):
            inside = (starts >= second - PATCH / RATE / 2) & (starts < second + (musicnn.WINDOW - PATCH / 2) / RATE)
            if not inside.any() or music[inside].mean() < IS_MUSIC:
                continue
            vector, score = self._network(piece)
            rows[inside] = np.append(vector, 1.0)
            scores.append(score)
        tags = best_tags(np.mean(scores, axis=0), musicnn.TAGS, LEAST, MOST) if scores else []
        return rows, tags


def _pieces(wave: Vectors, windows: Vectors) -> list[tuple[float, Vectors]]:
    """Second and samples `[musicnn.WINDOW]` of neighbouring windows; a rest is repeated until it is as long."""
    pieces, offset = [], 0
    for start, length in windows:
        end = offset + int(length)
        for first in range(offset, max(offset + 1, end - musicnn.WINDOW // 2), musicnn.WINDOW):
            piece = wave[first : min(first + musicnn.WINDOW, end)]
            pieces.append((float(start) + (first - offset) / RATE, np.resize(piece, musicnn.WINDOW)))
        offset = end
    return pieces
