"""The process that touches the bytes: made by `avrec.media.nursery` for `avrec.media.pool`.

It reads requests from a socket and answers with samples or reasons. It may crash or hang: it holds nothing of value,
its memory is bounded, and a timer of its own ends it even when nobody is left to do so.
"""

from __future__ import annotations

import json
import resource
import signal
import socket
import struct
from pathlib import Path

from avrec.errors import MediaError
from avrec.params import LimitsParams

HEADER = struct.Struct(">QQ")


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes; fewer mean that the other side is gone."""
    data = bytearray(size)
    view, got = memoryview(data), 0
    while got < size:
        n = connection.recv_into(view[got:])
        if n == 0:
            raise EOFError("the other side is gone")
        got += n
    return bytes(data)


def bound_memory(megabytes: int) -> None:
    """Lets this process grow by at most so much address space beyond what it holds now."""
    try:
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:  # no /proc: allow for the interpreter and the libraries
        held = 1 << 30
    limit = held + (megabytes << 20)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    except (ValueError, OSError):
        return  # a system that cannot bound address space; time still is
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer(data: bytes, limits: LimitsParams) -> tuple[bytes, bytes]:
    """The reply to one request, as header and body."""
    from avrec.media.decode import decode
    from avrec.media.sample import request_from_bytes, sample_to_bytes

    try:
        return sample_to_bytes(decode(request_from_bytes(data), limits))
    except MediaError as error:
        reason = error.reason
    except MemoryError:
        reason = f"needs more than {limits.memory_mb} MB of memory"
    except Exception as error:  # a file must not end the run, whatever it makes a library raise
        reason = f"not readable: {type(error).__name__}"
    return json.dumps({"refused": reason}).encode(), b""


def serve(connection: socket.socket, limits: LimitsParams) -> None:
    """Answers the requests of `connection` until it is closed."""
    bound_memory(limits.memory_mb)
    while True:
        try:
            size, _ = HEADER.unpack(receive(connection, HEADER.size))
            data = receive(connection, size)
        except (EOFError, ConnectionError):
            return
        signal.setitimer(signal.ITIMER_REAL, limits.seconds + 5.0)
        header, body = answer(data, limits)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        connection.sendall(HEADER.pack(len(header), len(body)))
        connection.sendall(header)
        connection.sendall(body)
