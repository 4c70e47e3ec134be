"""Where workers come from: a process that has loaded what they need, and makes a copy of itself for each of them.

A worker of its own interpreter takes half a second of a core before it can open a file, and again whenever one died
over a file; a copy takes milliseconds, and shares the memory of what is loaded. There is one nursery a process,
started when first needed; it opens no file, and ends with the process that started it, however that ends.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from avrec.media.worker import receive, serve
from avrec.params import LimitsParams
from avrec.settings import PROJECT

SIZE, ANSWER = struct.Struct(">Q"), struct.Struct(">q")


class Nursery:
    """The near end. Safe for threads; a nursery that died is replaced at the next request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._owner = 0

    @property
    def pid(self) -> int | None:
        """Of the nursery, or None where there is none yet."""
        return self._process.pid if self._process is not None and self._owner == os.getpid() else None

    def open(self) -> None:
        """Starts it where it is not there, without waiting for it to be ready."""
        with self._lock:
            self._open()

    def start(self, connection: socket.socket, limits: LimitsParams) -> int:
        """A new worker at the far end of `connection`, with the folder and environment of now; its process id."""
        wanted = {"limits": limits.model_dump(), "folder": str(Path.cwd()), "environment": dict(os.environ)}
        return self._ask(wanted, connection)

    def end(self, pid: int, patience: float = 0.0) -> int:
        """Ends a worker that does not end by itself within `patience` seconds.

        Returns:
            Its exit code, a signal as a negative number; 0 where it had to be ended.
        """
        return self._ask({"end": pid, "patience": patience})

    def close(self) -> None:
        """Ends the nursery; its workers end when their connections close."""
        with self._lock:
            self._close()

    def _ask(self, request: dict[str, Any], connection: socket.socket | None = None) -> int:
        data = json.dumps(request).encode()
        with self._lock:
            for last in (False, True):
                self._open()
                assert self._control is not None
                try:
                    head = SIZE.pack(len(data))
                    socket.send_fds(self._control, [head], [connection.fileno()] if connection is not None else [])
                    self._control.sendall(data)
                    return int(ANSWER.unpack(receive(self._control, ANSWER.size))[0])
                except (EOFError, OSError):
                    self._close()
                    if last or connection is None:  # with the nursery its workers are gone, or go by their timers
                        break
        if connection is None:
            return 0
        raise RuntimeError("the process that makes decoders dies at once; try `python -m avrec.media.nursery`")

    def _open(self) -> None:
        if self.pid is not None:
            return
        ours, theirs = socket.socketpair()
        # -P: this code, also where the current folder is a checkout of another version of it.
        command = [sys.executable, "-P", "-m", "avrec.media.nursery", str(theirs.fileno())]
        path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
        environment = os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        with theirs:
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        self._control, self._owner = ours, os.getpid()

    def _close(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
            self._process.wait()
        self._control = self._process = None


nursery = Nursery()
"""The one of this process."""

atexit.register(nursery.close)


def main() -> None:
    """The far end: makes workers and ends them until nobody asks any more. One thread: copies are whole."""
    import av.logging

    import avrec.media.decode  # noqa: F401  # what workers need, loaded once

    av.logging.set_level(av.logging.PANIC)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks, with which all of this ends
    control = socket.socket(fileno=int(sys.argv[1]))
    while True:
        try:
            head, given, _, _ = socket.recv_fds(control, SIZE.size, 1)
            request = json.loads(receive(control, SIZE.unpack(head)[0]))
        except (EOFError, ConnectionError, struct.error):
            return
        answer = _end(request["end"], request["patience"]) if "end" in request else _start(request, given[0], control)
        control.sendall(ANSWER.pack(answer))


def _start(request: dict[str, Any], descriptor: int, control: socket.socket) -> int:
    pid = os.fork()
    if pid:
        os.close(descriptor)  # else nobody would notice that the worker is gone
        return pid
    code = 1
    try:
        control.close()
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        serve(socket.socket(fileno=descriptor), LimitsParams.model_validate(request["limits"]))
        code = 0
    finally:
        os._exit(code)


def _end(pid: int, patience: float) -> int:
    until = time.monotonic() + patience
    with suppress(ChildProcessError):  # not one of this nursery's
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() >= until:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return 0
            time.sleep(0.002)
    return 0


if __name__ == "__main__":
    main()
