"""Requests that would cost the operator more than they cost their user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.api.billed import ask, charges, charging
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
