"""The daemon in this very process, where a test can leave a reload or a look at any moment."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from gateway.config.load import load_config
from gateway.daemon.daemon import Daemon
from gateway.errors import ConfigError
from gateway.observe.logs import Log
from gateway.providers import PROVIDER_FACTS
from tests.api.harness import CHAT, Talk
from tests.conftest import run

TOKEN = "token-of-ann"
AUTH = f'[auth]\nrequired = true\n[tokens.ann]\ntoken = "{TOKEN}"\n'
MANY = [f"sk-many-{n:011}" for n in range(2000)]


class Running:
    """A daemon that serves. `change` writes its configuration: listeners, key file, and more."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "config.toml"
        self.daemon: Daemon

    def change(self, listen: str, keys: str = "a", more: str = "") -> None:
        provider = f'[providers.main]\ntype = "echo"\nkeys = "{keys}.txt"\nprobe.kind = "none"\n'
        self.path.write_text(f'[server]\nlisten = ["{listen}"]\n{provider}{more}')

    def write_keys(self, name: str, keys: list[str]) -> None:
        path = self.folder / f"{name}.txt"
        path.write_text("".join(f"{key}\n" for key in keys))
        path.chmod(0o600)

    @property
    def keys(self) -> int:
        return sum(self.daemon._holdings.count_keys().values())

    def listens(self, port: int) -> bool:
        """Whether it has the address, be it that it accepts there or not yet."""
        return any(address.endswith(f":{port}") for address in self.addresses)

    @property
    def addresses(self) -> list[str]:
        return self.daemon._server.addresses()


@asynccontextmanager
async def daemon(folder: Path, listen: str, more: str = "") -> AsyncIterator[Running]:
    """A daemon with the keys of `a.txt`. What it changes of the process is put back."""
    running = Running(folder)
    running.change(listen, more=more)
    running.write_keys("a", ["sk-first-000000000001"])
    running.write_keys("b", MANY)
    thresholds, switching = gc.get_threshold(), sys.getswitchinterval()
    ready = asyncio.Event()
    log = Log(write=lambda _: None, human=False)
    config = load_config(running.path, {}, provider_types=PROVIDER_FACTS)
    running.daemon = Daemon(config, {}, folder / "admin.sock", log=log, announce=lambda _: ready.set())
    life = asyncio.create_task(running.daemon.run(), name="daemon")
    try:
        waiting = asyncio.create_task(ready.wait(), name="ready")
        await asyncio.wait({life, waiting}, return_when=asyncio.FIRST_COMPLETED)
        assert ready.is_set(), life.exception()
        yield running
    finally:
        running.daemon._stopping.set()
        await life
        log.close()
        gc.set_threshold(*thresholds)
        gc.unfreeze()
        sys.setswitchinterval(switching)


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@asynccontextmanager
async def talking(port: int) -> AsyncIterator[Talk]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Talk(reader, writer, f"127.0.0.1:{port}")
    finally:
        writer.close()


async def ask(talk: Talk) -> int:
    await talk.send("POST", "/v1/chat/completions", CHAT)
    return (await talk.answer()).status


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144])
def test_a_reload_whose_caller_leaves_is_finished_and_the_next_one_works(tmp_path: Path, turns: int) -> None:
    async def scenario() -> None:
        first, second, third = free_port(), free_port(), free_port()
        async with daemon(tmp_path, f"127.0.0.1:{first}") as running:
            running.change(f"127.0.0.1:{second}", "b")
            reloading = asyncio.create_task(running.daemon.reload(), name="reload")
            while not running.listens(second):
                await asyncio.sleep(0)
            for _ in range(turns):
                await asyncio.sleep(0)
            reloading.cancel()
            with suppress(asyncio.CancelledError):
                await reloading
            running.change(f"127.0.0.1:{third}", "b")
            assert (await running.daemon.reload())["changed"] == ["server"]  # all else was done by the first
            assert running.addresses == [f"127.0.0.1:{third}"]
            assert running.keys == len(MANY)

    run(scenario(), 60)


def test_a_new_address_serves_the_new_configuration_only(tmp_path: Path) -> None:
    """Open on loopback before, public with tokens after: nobody gets in there without one, not even meanwhile."""

    async def scenario() -> None:
        first, second = free_port(), free_port()
        async with daemon(tmp_path, f"127.0.0.1:{first}") as running:
            async with talking(first) as talk:
                assert await ask(talk) == 200
            running.change(f"0.0.0.0:{second}", "b", AUTH)
            reloading = asyncio.create_task(running.daemon.reload(), name="reload")
            statuses: list[int] = []
            while not (reloading.done() and statuses):
                with suppress(ConnectionRefusedError):
                    async with talking(second) as talk:
                        statuses.append(await ask(talk))
            await reloading
            assert set(statuses) == {401}

    run(scenario(), 60)


def test_a_connection_of_an_address_that_is_left_gets_nothing_from_the_new_configuration(tmp_path: Path) -> None:
    """Public with tokens before, open on loopback after."""

    async def scenario() -> None:
        first, second = free_port(), free_port()
        async with daemon(tmp_path, f"0.0.0.0:{first}", AUTH) as running, talking(first) as talk:
            assert await ask(talk) == 401
            running.change(f"127.0.0.1:{second}")
            await running.daemon.reload()
            await talk.send("GET", "/metrics")
            assert (await talk.answer()).code == "draining"
            assert await talk.closed()
            async with talking(second) as other:
                assert await ask(other) == 200

    run(scenario(), 60)


def test_a_reload_that_fails_late_leaves_the_old_configuration_and_no_trace(tmp_path: Path) -> None:
    async def scenario() -> None:
        first, second = free_port(), free_port()
        async with daemon(tmp_path, f"127.0.0.1:{first}") as running:
            tls = f'[server.tls]\ncert = "{tmp_path}/none.pem"\nkey = "{tmp_path}/none.pem"\n'
            running.change(f"127.0.0.1:{second}", "a", '[providers.other]\ntype = "echo"\n' + tls)
            (tmp_path / "none.pem").touch()
            with pytest.raises(ConfigError):
                await running.daemon.reload()
            assert running.addresses == [f"127.0.0.1:{first}"]
            assert running.keys == 1
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", second)
            async with talking(first) as talk:
                assert await ask(talk) == 200
            running.change(f"127.0.0.1:{second}")
            await running.daemon.reload()
            assert running.addresses == [f"127.0.0.1:{second}"]

    run(scenario(), 60)
