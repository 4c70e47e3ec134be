"""What `avrec doctor` says about pretrained weights."""

from __future__ import annotations

from collections.abc import Iterable

from avrec.errors import WeightsError
from avrec.features.weights import ALL, find_weights
from avrec.platform.doctor import Finding


def weights() -> Iterable[Finding]:
    """Finds and hashes every file that an extractor may ask for."""
    for each in ALL:
        try:
            path = find_weights(each)
        except WeightsError as error:
            yield Finding("weights", "broken", str(error), "make install")
        else:
            yield Finding("weights", "ok", f"{each.name}, {path.stat().st_size / 1e6:.1f} MB, hash as expected")
