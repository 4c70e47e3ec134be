from __future__ import annotations

import socket

import pytest

from avrec.errors import PlatformError
from avrec.platform import ports


@pytest.fixture
def taken() -> socket.socket:
    with socket.socket() as server:
        server.bind((ports.HOST, 0))
        server.listen(1)
        yield server


def test_a_free_usual_port_is_kept() -> None:
    usual = ports.choose(19300)
    assert ports.choose(usual) == usual


def test_the_next_port_when_the_usual_is_taken(taken: socket.socket) -> None:
    usual = taken.getsockname()[1]
    assert not ports.is_free(usual)
    assert usual < ports.choose(usual) < usual + ports.TRIES


def test_no_port_is_given_out_twice() -> None:
    first = ports.choose(19400)
    assert ports.choose(first, {first}) != first


def test_nothing_free_says_where_it_looked(taken: socket.socket) -> None:
    usual = taken.getsockname()[1]
    with pytest.raises(PlatformError, match=f"from {usual} to"):
        ports.choose(usual, set(range(usual, usual + ports.TRIES)))
