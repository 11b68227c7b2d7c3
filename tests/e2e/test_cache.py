"""The response cache of a gateway that runs: commands and reloads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests.conftest import run
from tests.e2e.process import GatewayProcess, gateway, one_provider, write_keys
from tests.fakes.provider import FakeProvider

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}


async def asked(running: GatewayProcess, body: Mapping[str, Any] = CHAT) -> str | None:
    """What the answer says of the cache."""

    def fetch() -> str | None:
        data = json.dumps(body).encode()
        request = Request(f"{running.address}/v1/chat/completions", data, {"content-type": "application/json"})
        with urlopen(request, timeout=10) as answer:
            answer.read()
            state: str | None = answer.headers["x-llmgateway-cache"]
            return state

    return await asyncio.to_thread(fetch)


def test_commands_and_reloads_reach_the_cache(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, ["sk-key-0000000000000001"])
            config = one_provider(fake.base_url)
            async with gateway(tmp_path, config) as running:
                assert await asked(running) is None
                assert (await running.command("cache", "show")).out == "the response cache is off (cache.enabled)\n"
                refused = await running.command("cache", "clear")
                assert refused.code == 1 and "cache.enabled = true" in refused.err

                running.config.write_text(f"{config}\n[cache]\nenabled = true\n")
                assert (await running.command("reload", "--json")).json["changed"] == ["cache"]
                assert [await asked(running), await asked(running)] == ["miss", "hit"]
                assert (
                    "in memory, for each user: 1 answer, 0.0 MB of 64 MB"
                    in (await running.command("cache", "show")).out
                )

                assert (await running.command("cache", "clear")).out == "cleared: 1 answer, 0.0 MB\n"
                assert [await asked(running), await asked(running)] == ["miss", "hit"]

                running.config.write_text(f"{config}\n[cache]\nenabled = true\n[logging]\nlevel = 'debug'\n")
                assert (await running.command("reload")).code == 0
                assert await asked(running) == "hit"

                running.config.write_text(f"{config}\n[cache]\nenabled = true\nttl = 100\n")
                assert (await running.command("reload")).code == 0
                assert await asked(running) == "miss"

                running.config.write_text(config)
                assert (await running.command("reload")).code == 0
                assert await asked(running) is None
            assert not list((tmp_path / "state").glob("*cache*"))

    run(scenario(), 60)
