"""Ports on this machine."""

from __future__ import annotations

import socket

from avrec.errors import PlatformError

HOST = "127.0.0.1"
TRIES = 50


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def choose(usual: int, taken: set[int] | None = None) -> int:
    """The usual port, or the next free one above it that is not in `taken`.

    Raises:
        PlatformError: none of the next 50 is free.
    """
    for port in range(usual, min(usual + TRIES, 65536)):
        if port not in (taken or set()) and is_free(port):
            return port
    raise PlatformError(f"No free port from {usual} to {usual + TRIES - 1} on {HOST}; stop what listens there.")
