"""A provider that is down, before a gateway that runs: what operators see of its circuit, and how they close it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.conftest import run
from tests.e2e.process import gateway, one_provider, write_keys
from tests.fakes.behaviours import Answer, server_error
from tests.fakes.provider import FakeProvider

KEY = "sk-one-0000000000000001"
BODY = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}).encode()


async def chat(address: str) -> int:
    def ask() -> int:
        request = Request(f"{address}/v1/chat/completions", BODY, {"content-type": "application/json"})
        try:
            with urlopen(request) as answer:
                return int(answer.status)
        except HTTPError as error:
            with error:
                return error.code

    return await asyncio.to_thread(ask)


async def get(address: str, path: str) -> str:
    def read() -> str:
        with urlopen(f"{address}{path}") as answer:
            return str(answer.read(), "utf-8")

    return await asyncio.to_thread(read)


def test_operators_see_an_open_circuit_and_close_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        write_keys(tmp_path, [KEY])
        async with FakeProvider() as fake, gateway(tmp_path, one_provider(fake.base_url)) as running:
            fake.script(KEY, server_error())
            statuses = [await chat(running.address) for _ in range(6)]
            assert statuses.count(503) >= 3 and len(fake.requests) == 5
            listed = await running.command("breakers", "list")
            assert listed.code == 0 and " open " in listed.out and "auto_recovery" in listed.out
            status = await running.command("status")
            assert "main: circuit open for " in status.out and "llmgateway breakers reset main" in status.out
            health = json.loads(await get(running.address, "/health/circuit-breakers"))
            assert (health["status"], health["open"]) == ("degraded", 1)
            assert 'llm_gateway_circuit_state{provider="main"} 2\n' in await get(running.address, "/metrics")
            fake.script(KEY, Answer())
            assert await chat(running.address) == 503
            reset = await running.command("breakers", "reset", "main")
            assert (reset.code, reset.out) == (0, "reset: main\n")
            assert await chat(running.address) == 200
            assert (await running.command("breakers", "reset")).out == "nothing was shut\n"
            wrong = await running.command("breakers", "list", "mian")
            assert (wrong.code, "did you mean" in wrong.err) == (1, True)
            assert [line["event"] for line in running.logs if line["event"].startswith("circuit_")] == [
                "circuit_opened",
                "circuit_closed",
            ]

    run(scenario(), 60)
