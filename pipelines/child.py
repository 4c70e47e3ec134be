"""Runs a module of `pipelines` for a parent that may be killed: `python -m pipelines.child MODULE ARGUMENT...`.

The process leads a group of its own, so that a parent can end it with everything it started. Where the
parent dies without a word (SIGKILL, out of memory), the group ends by itself within a second.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time


def watch(parent: int) -> None:
    """Ends this process's group once `parent` is not its parent any more."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.killpg(os.getpgid(0), signal.SIGKILL)


def main(arguments: list[str]) -> None:
    if not arguments or not arguments[0].startswith("pipelines."):
        print("usage: python -m pipelines.child pipelines.MODULE ARGUMENT...", file=sys.stderr)
        raise SystemExit(2)
    if os.getpgid(0) == os.getpid():  # never the group of whoever types the command
        threading.Thread(target=watch, args=(os.getppid(),), daemon=True).start()
    sys.argv = arguments
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
