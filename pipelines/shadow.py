"""A version's lists beside the champion's, with the data of this checkout: `python -m pipelines.shadow VERSION`."""

from __future__ import annotations

import sys
from pathlib import Path

from avrec.registry.shadow import shadow
from pipelines.stage import effect, result


def work() -> None:
    made = shadow(sys.argv[1], Path.cwd())
    print("\n".join(made.markdown()), flush=True)
    result(made.to_json())


if __name__ == "__main__":
    effect("shadow", work)
