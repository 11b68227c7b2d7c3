"""Routes in a gateway that runs: a reload changes them while requests are under way; falling back is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.api.harness import CHAT, until
from tests.conftest import run
from tests.daemon.running import Running, daemon
from tests.daemon.test_reloads import talking
from tests.fakes.behaviours import HangAfter, Stream, server_error
from tests.fakes.provider import FakeProvider
from tests.ports import free_port

ONE, TWO = "sk-one-0000000000001", "sk-two-0000000000002"
TO_FAST: dict[str, Any] = {**CHAT, "model": "fast"}
WORD = {"id": "c", "choices": [{"index": 0, "delta": {"content": "word"}, "finish_reason": None}]}
BOTH = '{ provider = "one", model = "m" }, { provider = "two", model = "m" }'


def configuration(fake: FakeProvider, targets: str) -> str:
    text = ""
    for name in ("one", "two"):
        text += f'[providers.{name}]\ntype = "openai"\nbase_url = "{fake.base_url}"\nkeys = "{name}.txt"\n'
        text += 'models = ["m"]\nprobe.kind = "none"\nretry.on_server_error = {attempts = 0}\n'
    return text + f'[routes.fast]\nstrategy = "least_in_flight"\ntargets = [{targets}]\n'


class Serving:
    def __init__(self, running: Running, fake: FakeProvider, port: int) -> None:
        self.running = running
        self.fake = fake
        self.port = port

    async def change(self, targets: str) -> None:
        self.running.change(f"127.0.0.1:{self.port}", more=configuration(self.fake, targets))
        assert (await self.running.daemon.reload())["changed"] == ["routes.fast"]

    async def served(self, count: int) -> str:
        """Who serves the next requests: o for one, t for two."""
        found = ""
        for _ in range(count):
            async with talking(self.port) as talk:
                await talk.send("POST", "/v1/chat/completions", TO_FAST)
                found += ((await talk.answer()).header("x-llmgateway-provider") or "-")[0]
        return found

    def load(self, name: str) -> int:
        return self.running.daemon._holdings.route_memory.load((name, "m")).in_flight


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Serving]:
    port = free_port()
    for name, key in (("one", ONE), ("two", TWO)):
        (folder / f"{name}.txt").write_text(f"{key}\n")
        (folder / f"{name}.txt").chmod(0o600)
    async with FakeProvider() as fake, daemon(folder, f"127.0.0.1:{port}", configuration(fake, BOTH)) as running:
        yield Serving(running, fake, port)


def test_a_request_that_is_under_way_over_a_reload_counts_to_its_end_and_not_below(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as world:
            world.fake.script(ONE, HangAfter(200, Stream((WORD, WORD, WORD))))
            async with talking(world.port) as talk:
                await talk.send("POST", "/v1/chat/completions", {**TO_FAST, "stream": True})
                await talk.head()
                await talk.until(b"word")
                world.fake.script(ONE)
                assert (world.load("one"), world.load("two")) == (1, 0)
                await world.change(f'{BOTH}, {{ provider = "main", model = "echo" }}')
                assert world.load("one") == 1
                assert "o" not in await world.served(4)
            await world.fake.wait_aborted()
            await until(lambda: world.load("one") == 0)
            assert "o" in await world.served(3)

    run(scenario(), 60)


def test_a_target_that_was_taken_out_meanwhile_comes_back_with_nothing_under_way(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as world:
            world.fake.script(ONE, HangAfter(200, Stream((WORD, WORD, WORD))))
            async with talking(world.port) as talk:
                await talk.send("POST", "/v1/chat/completions", {**TO_FAST, "stream": True})
                await talk.head()
                await talk.until(b"word")
                world.fake.script(ONE)
                await world.change('{ provider = "two", model = "m" }')
                assert await world.served(2) == "tt"
                await world.change(BOTH)
                assert world.load("one") == 0
            await world.fake.wait_aborted()
            await world.running.wait_log("request", 3)
            assert (world.load("one"), sorted(await world.served(4))) == (0, ["o", "o", "t", "t"])

    run(scenario(), 60)


def test_each_change_of_target_is_logged_and_counted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as world:
            world.fake.script(ONE, server_error(500))
            assert await world.served(1) == "t"
            line = await world.running.wait_log("fell_back")
            assert (line["provider"], line["model"], line["cause"]) == ("one", "m", "server_error")
            assert (line["to_provider"], line["to_model"]) == ("two", "m")
            failed = await world.running.wait_log("attempt_failed")
            request = await world.running.wait_log("request")
            assert line["request_id"] == failed["request_id"] == request["request_id"]
            metrics = world.running.daemon._holdings.metrics.render().decode()
            (counted,) = [row for row in metrics.splitlines() if row.startswith("llm_gateway_fallbacks_total")]
            assert 'provider="one"' in counted and "server_error" in counted and counted.endswith(" 1")

    run(scenario(), 60)
