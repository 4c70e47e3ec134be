"""Worker processes that decode files and may die: the only way in for files nobody vouches for."""

from __future__ import annotations

import json
import queue
import signal
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from avrec.errors import MediaError
from avrec.media.nursery import nursery
from avrec.media.sample import Request, Sample, request_to_bytes, sample_from_bytes
from avrec.media.worker import HEADER
from avrec.params import LimitsParams

FILES_PER_WORKER = 500
"""A worker is replaced after so many files, so that what libraries leak stays small."""

Answer = Sample | MediaError


@dataclass(frozen=True)
class Decoded:
    """The answer to the request at position `index`, and how long the worker took."""

    index: int
    answer: Answer
    seconds: float


def decode_many(requests: Iterable[Request], limits: LimitsParams, workers: int = 2) -> Iterator[Decoded]:
    """Decodes files in parallel; yields samples or errors as they come, not in order.

    At most `4 * workers` answers wait for the reader, so that memory stays flat. Closing the iterator early ends the
    workers.
    """
    pool = _Pool(requests, limits, workers)
    try:
        yield from pool.answers()
    finally:
        pool.stop()


class _Pool:
    """One thread a worker: threads wait on sockets, processes work."""

    def __init__(self, requests: Iterable[Request], limits: LimitsParams, workers: int) -> None:
        self._requests = enumerate(requests)
        self._limits = limits
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._out: queue.Queue[Decoded | BaseException | None] = queue.Queue(4 * workers)
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def answers(self) -> Iterator[Decoded]:
        running = len(self._threads)
        while running:
            item = self._out.get()
            if item is None:
                running -= 1
            elif isinstance(item, BaseException):
                raise item
            else:
                yield item

    def stop(self) -> None:
        self._stopped.set()
        while any(thread.is_alive() for thread in self._threads):
            try:
                self._out.get(timeout=0.005)
            except queue.Empty:
                continue

    def _serve(self) -> None:
        child = _Child(self._limits, self._stopped)
        try:
            while (job := self._next()) is not None:
                index, request = job
                started = time.monotonic()
                answer = child.ask(request)
                self._out.put(Decoded(index, answer, time.monotonic() - started))
            self._out.put(None)
        except BaseException as error:  # carried to the reader's thread, where it is raised
            self._out.put(error)
        finally:
            child.stop()

    def _next(self) -> tuple[int, Request] | None:
        with self._lock:
            return None if self._stopped.is_set() else next(self._requests, None)


class _Child:
    """One worker process, started when needed and again when it died."""

    def __init__(self, limits: LimitsParams, stopped: threading.Event) -> None:
        self._limits = limits
        self._stopped = stopped
        self._pid: int | None = None
        self._connection: socket.socket | None = None
        self._served = 0
        self._died = False  # over the last file, by a signal that was not ours

    def ask(self, request: Request) -> Answer:
        """The answer of the worker; or why there is none, with the worker replaced.

        A file over which the decoder dies is asked for once more without seeks, in which most of such deaths lie.
        """
        answer = self._ask(request)
        if self._died and request.seeks and not self._stopped.is_set():
            again = self._ask(replace(request, seeks=False))
            return answer if isinstance(again, MediaError) else again
        return answer

    def _ask(self, request: Request) -> Answer:
        self._died = False
        if self._pid is None or self._served >= FILES_PER_WORKER:
            self._start()
        assert self._connection is not None
        self._served += 1
        data = request_to_bytes(request)
        try:
            self._connection.sendall(HEADER.pack(len(data), 0) + data)
            header, body = self._reply(time.monotonic() + self._limits.seconds)
        except TimeoutError:
            self.stop()
            return MediaError(f"took longer than {self._limits.seconds:g} s")
        except (EOFError, ConnectionError):
            return MediaError(self._obituary())
        if "refused" in header:
            return MediaError(str(header["refused"]))
        return sample_from_bytes(header, body)

    def _reply(self, deadline: float) -> tuple[dict[str, Any], bytes]:
        header_size, body_size = HEADER.unpack(self._receive(HEADER.size, deadline))
        if header_size > 1 << 24 or body_size > self._limits.memory_mb << 20:
            raise EOFError("not an answer")
        header = json.loads(self._receive(header_size, deadline))
        return header, self._receive(body_size, deadline)

    def _receive(self, size: int, deadline: float) -> bytes:
        assert self._connection is not None
        data, got = bytearray(size), 0
        while got < size:
            # Short waits, so that a reader who leaves early is not held up by a file that hangs.
            self._connection.settimeout(0.2)
            try:
                n = self._connection.recv_into(memoryview(data)[got:])
            except TimeoutError:
                if time.monotonic() > deadline or self._stopped.is_set():
                    raise
                continue
            if n == 0:
                raise EOFError("worker gone")
            got += n
        return bytes(data)

    def _start(self) -> None:
        self.stop()
        ours, theirs = socket.socketpair()
        with theirs:
            self._pid = nursery.start(theirs, self._limits)
        self._connection, self._served = ours, 0

    def _obituary(self) -> str:
        """Why the worker is gone, in words; it is replaced at the next request."""
        assert self._pid is not None
        code = nursery.end(self._pid, patience=5.0)
        self._pid = None
        self.stop()
        if code == -signal.SIGALRM:
            return f"took longer than {self._limits.seconds:g} s"
        self._died = code < 0
        if code < 0:
            return f"the decoder died ({signal.Signals(-code).name})"
        return "the decoder died"

    def stop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._pid is not None:
            nursery.end(self._pid)
        self._connection = self._pid = None
