"""Requests that would cost the operator more than they cost their user."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.conductor.upperbound import FRAME_TOKENS
from tests.api.billed import CENT, SHORT, ask, charges, charging
from tests.api.harness import AS_ANN, TOKENS, configuration, gateway
from tests.conftest import run
from tests.fakes.behaviours import Answer
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


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ('"max_tokens": 99999, "max_tokens": 1', "max_tokens"),
        ('"max_tok\\u0065ns": 99999, "max_tokens": 1', "max_tokens"),
        ('"max_tokens": 1, "Max_Tokens": 99999', "max_tokens"),
        ('"max_tokens": 1, "max_to\N{KELVIN SIGN}ens": 99999', "max_tokens"),
        ('"n": 50, "n": 1', "n"),
        ('"service_tier": "priority", "service_tier": "auto"', "service_tier"),
        ('"SERVICE_TIER": "priority"', "service_tier"),
        ('"Tools": [{"type": "web_search"}]', "tools"),
        ('"stream": true, "stream_options": {"include_usage": false, "include_usage": true}', "include_usage"),
        ('"stream": true, "stream_options": {"Include_Usage": false}', "include_usage"),
        ('"previous_response_id": "resp_1", "previous_response_id": null', "previous_response_id"),
        ('"extra_body": {"google": {"cached_content": "a"}}, "extra_body": {}', "extra_body"),
        ('"Extra_Body": {"google": {"cached_content": "a"}}', "extra_body"),
    ],
)
def test_what_a_provider_may_read_in_another_way_is_refused(tmp_path: Path, more: str, param: str) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            got = await ask(running, f'{{"model": "gpt-4o-mini", "messages": [], {more}}}'.encode())
            assert (got.status, got.code, got.error["param"]) == (400, "invalid_request_error", param)
            assert fake.requests == []

    run(scenario())


@pytest.mark.parametrize(
    ("settings", "param"),
    [
        ('{"maxOutputTokens": 99999, "maxOutputTokens": 1}', "maxOutputTokens"),
        ('{"maxOutput\\u0054okens": 99999, "maxOutputTokens": 1}', "maxOutputTokens"),
        ('{"MaxOutputTokens": 99999, "maxOutputTokens": 1}', "maxOutputTokens"),
        ('{"candidateCount": 8, "candidateCount": 1}', "candidateCount"),
    ],
)
def test_so_is_what_a_generation_config_may_say_in_two_ways(tmp_path: Path, settings: str, param: str) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            for name in ("generationConfig", "generation_config"):
                body = f'{{"contents": [{{"parts": [{{"text": "Hi"}}]}}], "{name}": {settings}}}'.encode()
                got = await ask(running, body, "/v1beta/models/gpt-4o-mini:generateContent")
                assert (got.status, param in got.json["error"]["message"]) == (400, True)
            assert fake.requests == []

    run(scenario())


def test_names_within_a_request_may_be_those_that_cost(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, balance="10000") as running:
            properties = {name: {"type": "string"} for name in ("model", "Model", "n", "max_tokens")}
            tools = [{"type": "function", "function": {"name": "f", "parameters": {"properties": properties}}}]
            assert (await ask(running, {**SHORT, "tools": tools * 2, "X-Trace": 1})).status == 200

    run(scenario())


def test_a_limit_that_nobody_can_read_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            got = await ask(running, {**SHORT, "n": [2]})
            assert (got.status, got.error["param"], fake.requests) == (400, "n", [])

    run(scenario())


FUNCTION: dict[str, Any] = {"type": "function", "name": "f", "parameters": {}}
SEARCH: dict[str, Any] = {"type": "web_search"}


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b'{"model":"gpt-4o","model":"gpt-4o-mini","messages":[],"max_tokens":1}', 400, "model"),
        (b'{"mod\\u0065l":"gpt-4o","model":"gpt-4o-mini","messages":[],"max_tokens":1}', 400, "model"),
        (b'{"model":"gpt-4o-mini","Model":"gpt-4o","messages":[],"max_tokens":1}', 400, "model"),
        (json.dumps({**SHORT, "models": ["o1-pro"]}).encode(), 402, "models"),
        (json.dumps({**SHORT, "fallbacks": [{"model": "o1-pro"}]}).encode(), 402, "fallbacks"),
        (
            json.dumps({**SHORT, "providerOptions": {"gateway": {"models": ["o1-pro"]}}}).encode(),
            402,
            "providerOptions.gateway.models",
        ),
        (json.dumps({**SHORT, "extra_body": {"model": "o1-pro"}}).encode(), 402, "extra_body.model"),
        (json.dumps({**SHORT, "extra_body": {"max_tokens": 99999, "x": 1}}).encode(), 402, "extra_body.max_tokens"),
    ],
)
def test_another_model_than_the_one_that_is_charged_for_is_refused(
    tmp_path: Path, body: bytes, status: int, param: str
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            got = await ask(running, body)
            assert (got.status, got.error["param"], fake.requests) == (status, param, [])

    run(scenario())


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"service_tier": "priority"}, "service_tier"),
        ({"service_tier": "ultrafast"}, "service_tier"),
        ({"service_tier": "flex"}, ""),
        ({"speed": "fast"}, "speed"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"tools": [SEARCH]}, "web_search"),
        ({"tools": [FUNCTION, SEARCH], "tool_choice": SEARCH}, "web_search"),
    ],
)
def test_what_costs_more_than_tokens_is_refused_where_the_request_insists_on_it(
    tmp_path: Path, more: dict[str, Any], param: str
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            got = await ask(running, {**RESPONSE, **more}, "/v1/responses")
            if param:
                assert (got.status, got.code, got.error["param"]) == (402, "unpriced_model", param)
            assert (got.status, len(fake.requests)) == ((402, 0) if param else (200, 1))

    run(scenario())


@pytest.mark.parametrize(
    ("extras", "status", "tools", "dropped"),
    [
        ("drop", 200, [FUNCTION], "web_search"),
        ("reject", 402, None, None),
        ("free", 200, [SEARCH, FUNCTION], None),
    ],
)
def test_tools_priced_by_the_call_that_are_merely_offered_are_left_out(
    tmp_path: Path, extras: str, status: int, tools: list[Any] | None, dropped: str | None
) -> None:
    async def scenario() -> None:
        setting = f'unpriced_extras = "{extras}"'
        async with FakeProvider() as fake, charging(tmp_path, fake, billing=setting) as running:
            body = {**RESPONSE, "tools": [SEARCH, FUNCTION], "tool_choice": "auto"}
            got = await ask(running, body, "/v1/responses")
            assert (got.status, got.header("x-llmgateway-dropped")) == (status, dropped)
            assert [json.loads(request.body).get("tools") for request in fake.requests] == ([tools] if tools else [])
            assert (await running.logged()).get("dropped") == dropped

    run(scenario())


def test_the_speed_of_speech_is_no_faster_service(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            fake.script("sk-first-000000000001", Answer(200, b"sound", {"content-type": "audio/mpeg"}))
            got = await ask(running, {"model": "whisper-1", "input": "Hi", "speed": 1.5}, "/v1/audio/speech")
            assert got.status == 200

    run(scenario())


def form(n: str | None) -> bytes:
    """An edit of an image as a form."""
    parts = {"model": "whisper-1", "prompt": "a cat"} | ({} if n is None else {"n": n})
    named = [f'--xyz\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{parts[name]}\r\n' for name in parts]
    return ("".join(named) + "--xyz--\r\n").encode()


@pytest.mark.parametrize(("n", "pictures"), [(None, 1), (1, 1), (3, 3), ("3", 3), (0, 1)])
@pytest.mark.parametrize("as_form", [False, True])
def test_each_picture_costs_what_the_request_does(tmp_path: Path, n: Any, pictures: int, as_form: bool) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake) as running:
            fake.script("sk-first-000000000001", Answer(200, {"data": []}))
            if as_form:
                headers = {**AS_ANN, "content-type": "multipart/form-data; boundary=xyz"}
                body = form(None if n is None else str(n))
                got = await running.ask("POST", "/v1/images/edits", body, headers)
            else:
                fields = {"model": "whisper-1", "prompt": "a cat", "n": n}  # the one with a price for a request
                got = await ask(running, fields, "/v1/images/generations")
            assert got.status == 200
            assert [-written.entry.amount for written in await charges(running)] == [50 * CENT * pictures]

    run(scenario())


def test_pictures_beyond_the_balance_are_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, balance="1") as running:
            got = await ask(running, {"model": "whisper-1", "prompt": "a cat", "n": 3}, "/v1/images/generations")
            assert (got.status, got.code, got.error["required"]) == (402, "insufficient_quota", 1.5)

    run(scenario())
