"""A daemon in the test's own process, where a test can leave what it does at any moment, and look inside."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.config.load import load_config
from gateway.daemon.daemon import Daemon
from gateway.observe.logs import Log
from gateway.providers import PROVIDER_FACTS
from tests.keeper.rig import replace_file

MANY = [f"sk-many-{n:011}" for n in range(2000)]


class Running:
    """A daemon that serves. `change` writes its configuration: listeners, key file, and more."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "config.toml"
        self.daemon: Daemon
        self._lines: list[bytes] = []
        self._written = threading.Event()

    def change(self, listen: str, keys: str = "a", more: str = "") -> None:
        provider = f'[providers.main]\ntype = "echo"\nkeys = "{keys}.txt"\nprobe.kind = "none"\n'
        self.path.write_text(f'[server]\nlisten = ["{listen}"]\n{provider}{more}')

    def write_keys(self, name: str, keys: list[str]) -> None:
        replace_file(self.folder / f"{name}.txt", "".join(f"{key}\n" for key in keys).encode())

    @property
    def keys(self) -> int:
        return sum(self.daemon._holdings.count_keys().values())

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The lines with this event so far."""
        return [line for line in map(json.loads, list(self._lines)) if line["event"] == event]

    async def wait_log(self, event: str, count: int = 1) -> dict[str, Any]:
        """The count-th line with this event, when it is there."""
        while len(found := self.logged(event)) < count:
            await asyncio.to_thread(self._written.wait, 1)
            self._written.clear()
        return found[count - 1]

    def write(self, lines: bytes) -> None:
        """Where the log goes; called on its thread."""
        self._lines += lines.splitlines()
        self._written.set()

    def listens(self, port: int) -> bool:
        """Whether it has the address, be it that it accepts there or not yet."""
        return any(address.endswith(f":{port}") for address in self.addresses)

    @property
    def addresses(self) -> list[str]:
        return self.daemon._server.addresses()


@asynccontextmanager
async def daemon(folder: Path, listen: str, more: str = "", **environ: str) -> AsyncIterator[Running]:
    """A daemon with the keys of `a.txt`. What it changes of the process is put back."""
    running = Running(folder)
    running.change(listen, more=more)
    running.write_keys("a", ["sk-first-000000000001"])
    running.write_keys("b", MANY)
    async with living(running, **environ):
        yield running


@asynccontextmanager
async def living(running: Running, **environ: str) -> AsyncIterator[None]:
    """From the start to the end of a daemon with the files that are in its folder."""
    thresholds, switching = gc.get_threshold(), sys.getswitchinterval()
    mourning = threading.excepthook
    ready = asyncio.Event()
    log = Log(write=running.write, human=False)
    config = load_config(running.path, {}, provider_types=PROVIDER_FACTS)
    running.daemon = Daemon(config, environ, running.folder / "admin.sock", log=log, announce=lambda _: ready.set())
    task = asyncio.create_task(running.daemon.run(), name="daemon")
    try:
        waiting = asyncio.create_task(ready.wait(), name="ready")
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        assert ready.is_set(), task.exception()
        yield
    finally:
        running.daemon._stopping.set()
        await task
        log.close()
        gc.set_threshold(*thresholds)
        gc.unfreeze()
        threading.excepthook = mourning
        sys.setswitchinterval(switching)
