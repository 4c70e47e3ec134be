"""How far a long extraction is: rate and time left, a line now and then."""

from __future__ import annotations

import sys
import time

EVERY_S = 5.0


class Progress:
    """Says `what 120/300, 15.2/s, 12 s left` on stderr, at most every few seconds."""

    def __init__(self, what: str, total: int, shown: bool = True) -> None:
        self._what, self._total, self._shown = what, total, shown
        self._done, self._started = 0, time.monotonic()
        self._said = self._started

    def advance(self, count: int) -> None:
        self._done += count
        if self._done >= self._total or time.monotonic() - self._said >= EVERY_S:
            self._say()

    def _say(self) -> None:
        self._said = time.monotonic()
        if not self._shown:
            return
        rate = self._done / max(self._said - self._started, 1e-6)
        left = (self._total - self._done) / max(rate, 1e-6)
        ending = f"{left:.0f} s left" if self._done < self._total else f"{self._said - self._started:.1f} s"
        print(f"{self._what}: {self._done}/{self._total}, {rate:.1f}/s, {ending}", file=sys.stderr, flush=True)
