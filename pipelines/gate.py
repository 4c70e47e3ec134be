"""Judges a version with the data of this checkout: `python -m pipelines.gate VERSION`. Refusing is not a failure."""

from __future__ import annotations

import sys
from pathlib import Path

from avrec.registry.approval import request_body
from avrec.registry.gate import gate
from avrec.registry.shadow import shadow
from pipelines.stage import effect, result


def work() -> None:
    report = gate(sys.argv[1], Path.cwd())
    print(report.markdown(), flush=True)
    if report.passed:  # what would change is only asked of what may come
        print("\n".join(shadow(report.version, Path.cwd()).markdown()), flush=True)
    result({
        "version": report.version, "passed": report.passed, "verdict": report.verdict,
        "reasons": list(report.reasons), "body": request_body(report.version),
    })  # fmt: skip


if __name__ == "__main__":
    effect("gate", work)
