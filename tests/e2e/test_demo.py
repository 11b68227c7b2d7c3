"""`llmgateway serve --demo`: what the first five minutes look like."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.conftest import run
from tests.e2e.load import Caller
from tests.e2e.process import ROOT, command

EVERYDAY: dict[str, Any] = {
    "LLMGATEWAY_CONFIG": "/nowhere.toml",
    "LLMGATEWAY__QUEUE__MAX": "nonsense",
    "RUNTIME_DIRECTORY": "/nowhere",
}
"""What may be set where the demo is started, and must not matter."""


class Demo:
    """A running demo."""

    def __init__(self, process: asyncio.subprocess.Process, text: str) -> None:
        self.process = process
        self.text = text
        found = re.search(r"curl (http://127\.0\.0\.1:\d+)/", text)
        assert found is not None, text
        self.address = found[1]

    async def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        assert self.process.stderr is not None
        said = await self.process.stderr.read()
        assert b"Traceback" not in said
        return await self.process.wait()


@asynccontextmanager
async def demo(folder: Path, listen: str = "127.0.0.1:0") -> AsyncIterator[Demo]:
    """A demo that is ready."""
    running = await start(folder, listen)
    try:
        yield running
    finally:
        if running.process.returncode is None:
            await running.stop()


async def start(folder: Path, listen: str) -> Demo:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        "serve",
        "--demo",
        cwd=ROOT,
        env={**os.environ, **EVERYDAY, "TMPDIR": str(folder), "LLMGATEWAY__SERVER__LISTEN": listen},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    while b'"ready"' not in (line := await process.stderr.readline()):
        assert line, "the demo did not start"
    return Demo(process, (await process.stdout.readuntil(b"leaves nothing behind.\n")).decode())


def test_the_demo_answers_shows_its_benched_keys_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with demo(tmp_path) as running:
            caller = Caller(running.address)
            said = {"model": "demo", "messages": [{"role": "user", "content": "Hello there"}]}
            for n in range(10):
                answer = await caller.post("/v1/chat/completions", {**said, "stream": n % 5 == 0})
                assert answer.status == 200
                if n % 5:
                    assert "Hello there" in answer.json["choices"][0]["message"]["content"]
                else:
                    assert answer.body.endswith(b"data: [DONE]\n\n")
            caller.close()
            ended = await command("status", cwd=tmp_path, TMPDIR=str(tmp_path))
            assert ended.code == 0, ended.err
            where = re.search(r" status (--socket) (\S+)\n", running.text)
            assert where is not None, "beside a configuration nobody else would find it"
            assert (await command("status", *where.groups(), TMPDIR=str(tmp_path), **EVERYDAY)).code == 0
            assert "no running gateway" in (await command("status", TMPDIR=str(tmp_path), **EVERYDAY)).err
            benched = ended.out.partition("Benched keys")[2]
            assert "suspect" in benched and "rate_limited" in benched
            reloaded = await command("reload", cwd=tmp_path, TMPDIR=str(tmp_path))
            assert reloaded.out == "reloaded; nothing changed\n"
            assert await running.stop() == 0
        assert list(tmp_path.iterdir()) == []

    run(scenario(), 60)


def test_sigterm_ends_the_demo_as_well(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with demo(tmp_path) as running:
            assert await running.stop(signal.SIGTERM) == 0
        assert list(tmp_path.iterdir()) == []

    run(scenario(), 60)


def test_a_second_demo_is_refused_and_the_first_lives_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with demo(tmp_path) as running:
            ended = await command("serve", "--demo", TMPDIR=str(tmp_path))
            assert ended.code == 4
            assert "a demo runs already" in ended.err
            caller = Caller(running.address)
            assert (await caller.request("GET", "/v1/models")).status == 200
            caller.close()
            assert (await command("status", cwd=tmp_path, TMPDIR=str(tmp_path))).code == 0

    run(scenario(), 60)


def test_the_address_of_a_demo_can_be_chosen(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

    async def scenario() -> None:
        async with demo(tmp_path, address) as running:
            assert running.address == f"http://{address}"
            assert "is taken" not in running.text
            caller = Caller(running.address)
            assert (await caller.request("GET", "/v1/models")).status == 200
            caller.close()

    run(scenario(), 60)


def test_a_chosen_address_that_is_taken_is_told_before_anything_else_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            ended = await command("serve", "--demo", TMPDIR=str(tmp_path), LLMGATEWAY__SERVER__LISTEN=address)
        assert (ended.code, ended.out) == (4, "")
        assert f"cannot listen on {address}" in ended.err
        assert "choose another address: LLMGATEWAY__SERVER__LISTEN=127.0.0.1:9000" in ended.err
        assert list(tmp_path.iterdir()) == []

    run(scenario(), 60)


def test_when_the_usual_port_is_taken_the_demo_finds_another_and_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # somebody else may have it
                stack.enter_context(socket.create_server(("127.0.0.1", 8000)))
            async with demo(tmp_path, "") as running:
                assert running.address != "http://127.0.0.1:8000"
                assert "Port 8000 is taken" in running.text
                assert (await command("reload", cwd=tmp_path, TMPDIR=str(tmp_path))).code == 0

    run(scenario(), 60)


def test_a_demo_whose_folder_was_swept_away_leaves_the_next_ones_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with demo(tmp_path) as first:
            (folder,) = tmp_path.iterdir()
            shutil.rmtree(folder)
            async with demo(tmp_path) as second:
                assert await first.stop() == 0
                assert (folder / "demo.txt").exists()
                ended = await command("status", cwd=tmp_path, TMPDIR=str(tmp_path))
                assert f"pid {second.process.pid}" in ended.out
        assert list(tmp_path.iterdir()) == []

    run(scenario(), 60)


def test_two_people_demo_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        first, second = tmp_path / "a", tmp_path / "b"  # short: a socket's path has 107 bytes
        first.mkdir()
        second.mkdir()
        async with demo(first) as one, demo(second) as other:
            assert one.address != other.address

    run(scenario(), 60)


def test_what_a_killed_demo_left_is_swept_away(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with demo(tmp_path) as running:
            await running.stop(signal.SIGKILL)
        assert list(tmp_path.iterdir()) != []
        async with demo(tmp_path) as running:
            status = (await command("status", "--json", cwd=tmp_path, TMPDIR=str(tmp_path))).json
            assert status["providers"][0]["counts"] == {"untested": 5}
        assert list(tmp_path.iterdir()) == []

    run(scenario(), 60)
