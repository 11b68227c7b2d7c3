"""Reloads: left by who asked, failing late, and while clients come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from tests.api.harness import CHAT, Talk
from tests.conftest import run
from tests.daemon.running import MANY, daemon, free_port

TOKEN = "token-of-ann"
AUTH = f'[auth]\nrequired = true\n[tokens.ann]\ntoken = "{TOKEN}"\n'


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
