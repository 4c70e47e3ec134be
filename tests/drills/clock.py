"""A clock of the drill's own: what Python's processes take for the time of day, moved while they run."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import time
from datetime import datetime
from pathlib import Path

NEEDS_CC = "needs a C compiler, for a clock that is off (apt-get install gcc)"


def compiled(library: Path) -> bool:
    """Makes the library that answers for the clock; False where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return False
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return True


class Clock:
    """The time of day of every process that is started with `environment`.

    Args:
        base: Folder for the library and the file that holds how far off the clock is.
    """

    def __init__(self, base: Path) -> None:
        self.library, self.file = base / "clock.so", base / "clock.off"

    def make(self) -> None:
        """Compiles the library and begins with the real time.

        Raises:
            SystemExit: there is no C compiler.
        """
        if not compiled(self.library):
            raise SystemExit(f"The drill {NEEDS_CC}.")
        self.file.write_bytes(struct.pack("=q", 0))

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.library), "CLOCK_FILE": str(self.file)}

    def set(self, moment: datetime) -> None:
        """It is `moment` now, for processes that run too; from there on time passes as ever."""
        before = struct.unpack("=q", self.file.read_bytes())[0]
        real = time.time() - (before if os.environ.get("CLOCK_FILE") == str(self.file) else 0)
        with self.file.open("r+b", buffering=0) as file:  # eight bytes in one write: nobody reads half of them
            file.write(struct.pack("=q", int(moment.timestamp() - real)))
