"""`[routes.NAME]`, and providers that list the same model: which target serves, and what happens when it does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.api.harness import CHAT, STREAM, Gateway, configuration, gateway
from tests.conftest import run
from tests.fakes.behaviours import (
    Answer,
    Behaviour,
    CloseBeforeAnswer,
    bad_request,
    error,
    model_not_found,
    quota,
    rate_limited,
    server_error,
    unauthorized,
)
from tests.fakes.provider import FakeProvider

FIRST, SECOND = "sk-first", "sk-second"
ROUTE = 'targets = [{ provider = "main", model = "big" }, { provider = "spare", model = "small" }]'
TO_FAST: dict[str, Any] = {**CHAT, "model": "fast"}
TOO_LONG = error(
    400, "context_length_exceeded", "This model's maximum context length is 8192 tokens.", "invalid_request_error"
)
FILTERED = error(400, "content_filter", "The response was filtered.", "invalid_request_error")


@asynccontextmanager
async def two_targets(
    tmp_path: Path, route: str = ROUTE, *, more: str = ""
) -> AsyncIterator[tuple[FakeProvider, Gateway]]:
    async with FakeProvider() as fake:
        spare = f"""
[providers.spare]
type = "openai"
base_url = "{fake.base_url}"
models = ["small"]
[providers.spare.retry]
on_server_error = {{attempts = 0}}
[routes.fast]
{route}
{more}
"""
        retry = "on_server_error = {attempts = 1, backoff = 0}"
        config = configuration(fake.base_url, provider='models = ["big"]', retry=retry, more=spare)
        async with gateway(tmp_path, config, {"main": [FIRST], "spare": [SECOND]}) as running:
            yield fake, running


def test_a_route_goes_to_its_first_target_and_answers_in_its_own_name(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with two_targets(tmp_path) as (fake, running):
            got = await running.ask("POST", "/v1/chat/completions", TO_FAST)
            assert (got.status, got.json["model"]) == (200, "fast")
            assert (got.header("x-llmgateway-provider"), got.header("x-llmgateway-model")) == ("main", "big")
            assert [(seen.key, seen.json["model"]) for seen in fake.requests] == [(FIRST, "big")]
            assert running.fallbacks == []

    run(scenario())


@pytest.mark.parametrize("body", [TO_FAST, {**STREAM, "model": "fast"}], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("failure", "cause"),
    [
        (unauthorized(), "exhausted_keys"),
        (quota(), "exhausted_keys"),
        (model_not_found(), "exhausted_keys"),
        (rate_limited(retry_after=30), "rate_limit"),
        (server_error(500), "server_error"),
        (server_error(503), "server_error"),
        (CloseBeforeAnswer(), "server_error"),
        (error(408, None, "Too slow.", "timeout"), "timeout"),
    ],
)
def test_after_a_failure_that_is_not_the_requests_the_next_target_serves(
    tmp_path: Path, failure: Behaviour, cause: str, body: dict[str, Any]
) -> None:
    async def scenario() -> None:
        async with two_targets(tmp_path) as (fake, running):
            fake.script(FIRST, failure)
            got = await running.ask("POST", "/v1/chat/completions", body)
            assert got.status == 200
            assert got.header("x-llmgateway-provider") == "spare"
            assert running.fallbacks == [("main", cause, "spare")]
            assert fake.requests[-1].json["model"] == "small"

    run(scenario())


@pytest.mark.parametrize(
    ("failure", "cause"), [(TOO_LONG, "context_length"), (FILTERED, "content_filter"), (bad_request(), "")]
)
@pytest.mark.parametrize("wanted", [True, False])
def test_what_is_wrong_with_the_request_goes_on_where_the_route_says_so(
    tmp_path: Path, failure: Answer, cause: str, wanted: bool
) -> None:
    async def scenario() -> None:
        route = f'{ROUTE}\nfallback_on = ["context_length", "content_filter"]' if wanted else ROUTE
        async with two_targets(tmp_path, route) as (fake, running):
            fake.script(FIRST, failure)
            got = await running.ask("POST", "/v1/chat/completions", TO_FAST)
            if wanted and cause:
                assert (got.status, running.fallbacks) == (200, [("main", cause, "spare")])
            else:
                assert (got.status, running.fallbacks) == (400, [])

    run(scenario())


def test_nobody_waits_for_a_target_that_wants_to_be_left_alone_while_another_may_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with two_targets(tmp_path) as (fake, running):
            fake.script(FIRST, error(503, None, "Busy.", "server_error", retry_after="60"))
            got = await running.ask("POST", "/v1/chat/completions", TO_FAST)
            assert (got.status, got.header("x-llmgateway-provider")) == (200, "spare")
            assert [seen.key for seen in fake.requests] == [FIRST, SECOND]

    run(scenario())
