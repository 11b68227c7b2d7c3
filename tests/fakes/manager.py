"""A service manager that listens at $NOTIFY_SOCKET."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Notifications:
    """What the daemon tells its service manager, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(path))

    async def next(self) -> str:
        return (await asyncio.get_running_loop().sock_recv(self._socket, 4096)).decode()

    def take(self) -> str:
        """One that is there already."""
        return self._socket.recv(4096).decode()

    def nothing(self) -> bool:
        try:
            self._socket.recv(4096, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        return False

    def close(self) -> None:
        self._socket.close()


@contextmanager
def notifications(folder: Path) -> Iterator[Notifications]:
    made = Notifications(folder / "notify")
    try:
        yield made
    finally:
        made.close()
