"""Makes an approved version the champion: `python -m pipelines.promote VERSION`. Once more does nothing."""

from __future__ import annotations

import sys
from dataclasses import asdict

from avrec.registry.promotion import promote
from pipelines.stage import effect, result


def work() -> None:
    move = promote(sys.argv[1])
    print(f"promote: version {move.version} is the champion; before: {move.before or 'none'}", flush=True)
    result(asdict(move))


if __name__ == "__main__":
    effect("promote", work)
