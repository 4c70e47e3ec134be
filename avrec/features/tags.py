"""Scores into words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def best_tags(scores: npt.NDArray[np.float32], names: Sequence[str], least: float, most: int) -> list[str]:
    """Names of at most `most` classes with a score of at least `least`, best first; ties in class order."""
    order = np.argsort(-scores, kind="stable")[:most]
    return [names[i] for i in order if scores[i] >= least]
