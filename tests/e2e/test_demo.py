"""`llmgateway serve --demo`: what the first five minutes look like."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.conftest import run
from tests.e2e.load import Caller
from tests.e2e.process import ROOT, command

EVERYDAY = {
    "LLMGATEWAY_CONFIG": "/nowhere.toml",
    "LLMGATEWAY__SERVER__LISTEN": "nonsense",
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
async def demo(folder: Path) -> AsyncIterator[Demo]:
    """A demo that is ready. Another program may take its port between the looking and the listening: then again."""
    running = await start(folder) or await start(folder) or await start(folder)
    assert running is not None, "the demo did not start"
    try:
        yield running
    finally:
        if running.process.returncode is None:
            await running.stop()


async def start(folder: Path) -> Demo | None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        "serve",
        "--demo",
        cwd=ROOT,
        env={**os.environ, **EVERYDAY, "TMPDIR": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    text = (await process.stdout.readuntil(b"leaves nothing behind.\n")).decode()
    while b'"ready"' not in (line := await process.stderr.readline()):
        if not line:
            await process.wait()
            return None
    return Demo(process, text)


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
