"""Requests that would cost the operator more than they cost their user."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.conductor.upperbound import FRAME_TOKENS
from tests.api.billed import SHORT, ask, charges, charging
from tests.api.harness import AS_ANN, TOKENS, configuration, gateway
from tests.conftest import run
from tests.fakes.provider import FakeProvider

RESPONSE: dict[str, Any] = {"model": "gpt-4o-mini", "input": "hi", "max_output_tokens": 10}
LATER: list[dict[str, Any]] = [{"background": True}, {"background": True, "stream": True}, {"background": "true"}]


@pytest.mark.parametrize("later", LATER)
def test_an_answer_that_is_made_later_is_refused_where_it_costs(tmp_path: Path, later: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            got = await ask(running, {**RESPONSE, **later}, "/v1/responses")
            assert (got.status, got.code, got.error["param"]) == (400, "invalid_request_error", "background")
            assert fake.requests == []
            assert await charges(running) == []
            assert (await ask(running, {**RESPONSE, "background": False}, "/v1/responses")).status == 200

    run(scenario())


@pytest.mark.parametrize(("limits", "status"), [("tokens_per_minute = 100000", 400), ("requests_per_minute = 9", 200)])
def test_an_answer_that_is_made_later_is_refused_where_tokens_are_limited(
    tmp_path: Path, limits: str, status: int
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            text = configuration(fake.base_url, more=f"[limits.user]\n{limits}\n{TOKENS}")
            async with gateway(tmp_path, text) as running:
                got = await running.ask("POST", "/v1/responses", {**RESPONSE, "background": True}, AS_ANN)
                assert got.status == status
                assert len(fake.requests) == (status == 200)

    run(scenario())


@pytest.mark.parametrize(
    ("limit", "tokens"),
    [
        ({"max_tokens": 50}, 50),
        ({"max_tokens": "50"}, 50),
        ({"max_tokens": -1}, 4096),
        ({"max_tokens": None, "max_completion_tokens": 1}, 4096),  # the fake's address is not OpenAI's
        ({"max_tokens": 50, "max_completion_tokens": 1}, 50),
    ],
)
def test_what_limits_nothing_reserves_as_much_as_nothing_said(
    tmp_path: Path, limit: dict[str, Any], tokens: int
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, balance="0.01") as running:
            body = {**SHORT, **limit}
            got = await ask(running, body)
            into = len(json.dumps(body)) + FRAME_TOKENS
            assert (got.status, got.error["required"]) == (402, (into + 2 * tokens) / 100)

    run(scenario())


def test_a_limit_that_nobody_can_read_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            got = await ask(running, {**SHORT, "n": [2]})
            assert (got.status, got.error["param"], fake.requests) == (400, "n", [])

    run(scenario())
