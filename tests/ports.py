"""Ports for servers that bind their own, and ports where nobody listens."""

from __future__ import annotations

import os
import random
import socket
from itertools import cycle, islice

LOWEST, EACH, WORKERS = 20_000, 3_000, 4
"""Below those that the kernel gives to whoever asks for any, which may be given twice, and to clients."""


def _own() -> cycle[int]:
    """The ports of this worker of the tests, from anywhere among them."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % WORKERS
    ports = range(LOWEST + worker * EACH, LOWEST + (worker + 1) * EACH)
    start = random.randrange(EACH)  # for somebody else who runs the tests beside
    return cycle([*ports[start:], *ports[:start]])


_ports = _own()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has, and that nobody is told of again for long."""
    for port in islice(_ports, EACH):
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one whose connections linger is free
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")
