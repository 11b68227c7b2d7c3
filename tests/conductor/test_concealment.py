"""A key that the provider repeats in its errors is in nothing that leaves the gateway, however short it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.api.harness import CHAT, Gateway, Got, configuration, gateway
from tests.conftest import run
from tests.fakes.behaviours import Answer, Stream
from tests.fakes.provider import FakeProvider

AT_ONCE = "[queue]\ntimeout = 0.001"  # nobody waits for a key

LENGTHS = {
    "long": ("sk-long-0000000000001", "sk-long-0000000000002", "sk-long-0000000000003"),
    "short": ("sk-key-0001", "sk-key-0002", "sk-key-0003"),
    "a word": ("qwert", "zuiop", "yxcvb"),
}


def refusal(key: str, status: int) -> dict[str, Any]:
    code = "invalid_api_key" if status == 401 else "invalid_value"
    return {"error": {"message": f"Not with {key}, not with '{key}'.", "type": "x", "param": None, "code": code}}


async def everything_said(running: Gateway, *answers: Got) -> str:
    """All that clients, operators and the database get to see."""
    asked = [await running.administrate("GET", f"/admin/{what}") for what in ("status", "keys")]
    await running.control.save()
    stored = await running.database.fetch("SELECT last_error FROM key_status")
    return "\n".join([*(f"{got.headers} {got.body!r}" for got in (*answers, *asked)), f"{running.lines} {stored}"])


@pytest.mark.parametrize("keys", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("status", [400, 401, 403, 429])
@pytest.mark.parametrize(
    ("path", "inside"), [("/v1/chat/completions", False), ("/v1/chat/completions", True), ("/p/main/v1/models", False)]
)
def test_a_repeated_key_is_in_nothing_that_is_said(
    tmp_path: Path, keys: tuple[str, ...], status: int, path: str, inside: bool
) -> None:
    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url, more=AT_ONCE), keys) as running,
        ):
            for key in keys:
                said, headers = refusal(key, status), {"x-key": key}
                fake.script(key, Stream((said,), headers=headers) if inside else Answer(status, said, headers))
            answers = [await running.ask("POST", path, CHAT | {"stream": inside}) for _ in keys]
            assert all(got.status >= 400 or inside for got in answers)
            shown = await everything_said(running, *answers)
            assert not [key for key in keys if key in shown]

    run(scenario())


def test_a_client_is_told_that_the_providers_words_are_left_out(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["qwert"]) as running:
            fake.script("qwert", Answer(400, refusal("qwert", 400)))
            got = await running.chat()
            assert (got.status, got.code) == (400, "upstream_error")
            assert "left out" in got.error["message"]

    run(scenario())


def test_the_guards_word_is_without_the_key_that_closed_the_pool(tmp_path: Path) -> None:
    keys = LENGTHS["short"]

    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url, more=AT_ONCE), keys) as running,
        ):
            for _ in keys:
                assert (await running.chat()).status == 200
            for key in keys:
                fake.script(key, Answer(401, refusal(key, 401)))
            answers = [await running.chat() for _ in range(6)]
            assert running.pool.guard.tripped and answers[-1].code == "circuit_open"
            shown = await everything_said(running, *answers)
            assert "Not with" in answers[-1].error["message"]
            assert not [key for key in keys if key in shown]

    run(scenario())
