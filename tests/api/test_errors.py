"""Every row of the table of errors: status, code, type, headers, always JSON in OpenAI's shape."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.api.errors import render
from gateway.errors import RequestError
from tests.api.harness import CHAT, KEYS, STREAM, TOKENS, Gateway, Got, configuration, gateway, until
from tests.conftest import run
from tests.fakes.behaviours import Behaviour, Hang, Reset, rate_limited, server_error, unauthorized
from tests.fakes.provider import FakeProvider

CHAT_PATH = "/v1/chat/completions"


@asynccontextmanager
async def running_with(tmp_path: Path, behaviour: Behaviour | None = None, more: str = "") -> AsyncIterator[Gateway]:
    async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=more)) as running:
        if behaviour is not None:
            for key in KEYS:
                fake.script(key, behaviour)
        yield running


def check(got: Got, status: int, code: str, kind: str, param: str | None = None) -> None:
    error = got.error
    assert (got.status, error["code"], error["type"], error["param"]) == (status, code, kind, param)
    assert error["message"][-1] in ".?" and got.complete
    assert got.header("content-length") == str(len(got.body))


@pytest.mark.parametrize("body", [CHAT, STREAM])
@pytest.mark.parametrize(
    ("behaviour", "more", "status", "code", "kind"),
    [
        (None, TOKENS, 401, "invalid_api_key", "authentication_error"),
        (unauthorized(), "", 502, "upstream_credentials", "api_error"),
        (Reset(), "", 502, "upstream_error", "api_error"),
        (Hang(), "[providers.main.timeouts]\ntotal = 0.1", 504, "upstream_timeout", "timeout_error"),
    ],
)
def test_an_error_is_json_whether_a_stream_was_asked_for_or_not(
    tmp_path: Path, body: object, behaviour: Behaviour | None, more: str, status: int, code: str, kind: str
) -> None:
    async def scenario() -> None:
        async with running_with(tmp_path, behaviour, more) as running:
            got = await running.ask("POST", CHAT_PATH, body, {"accept": "text/event-stream"})
            check(got, status, code, kind)
            assert got.header("x-request-id") == (await running.logged())["request_id"]
            if status == 401:
                assert got.header("www-authenticate") == 'Bearer realm="llmgateway"'

    run(scenario())


@pytest.mark.parametrize("body", [CHAT, STREAM])
def test_keys_that_cool_or_are_gone_are_told_with_their_return(tmp_path: Path, body: object) -> None:
    async def scenario() -> None:
        async with running_with(tmp_path, rate_limited(33)) as running:
            running.clock.stop()
            await running.chat()
            got = await running.ask("POST", CHAT_PATH, body)
            check(got, 429, "keys_cooling", "rate_limit_error")
            assert (got.header("retry-after"), got.header("retry-after-ms")) == ("33", "33000")
            for key in KEYS:
                running.pool.standings.disable(running.key(key))
            got = await running.ask("POST", CHAT_PATH, body)
            check(got, 503, "no_usable_key", "api_error")
            assert (got.header("retry-after"), got.header("retry-after-ms")) == ("30", "30000")

    run(scenario())


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", CHAT_PATH, "POST"),
        ("PUT", "/v1/embeddings", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("DELETE", "/v1/models/gpt-4o", "GET, HEAD, POST"),
        ("POST", "/health", "GET, HEAD"),
        ("HEAD", "/v1/responses/resp_1", "GET, DELETE"),
        ("OPTIONS", CHAT_PATH, "POST"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(tmp_path: Path, method: str, path: str, allow: str) -> None:
    async def scenario() -> None:
        async with running_with(tmp_path) as running:
            got = await running.ask(method, path)
            assert (got.status, got.header("allow")) == (405, allow)
            assert method == "HEAD" or got.code == "method_not_allowed"

    run(scenario())


def test_a_client_that_asks_for_a_websocket_is_told_that_there_are_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_with(tmp_path) as running:
            wanted = {"connection": "Upgrade", "upgrade": "WebSocket", "sec-websocket-version": "13"}
            got = await running.ask("GET", "/v1/responses", headers=wanted)
            assert (got.status, got.code, got.header("upgrade")) == (426, "no_websockets", "HTTP/1.1")

    run(scenario())


@pytest.mark.parametrize(
    "path", ["//", "/v1", "/v1/", "/v2/models", "/v1/chat/completions/", "/V1/models", "/admin", "/%"]
)
def test_a_path_that_is_not_there_is_a_404(tmp_path: Path, path: str) -> None:
    async def scenario() -> None:
        async with running_with(tmp_path, more=TOKENS) as running:
            check(await running.ask("POST", path, CHAT), 404, "not_found", "invalid_request_error")

    run(scenario())


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, server="max_body_bytes = 2048")
            async with gateway(tmp_path, config) as running, running.talk() as talk:
                await talk.send("POST", CHAT_PATH, b"", {"content-length": "2049"})
                check(await talk.answer(), 413, "request_too_large", "invalid_request_error")

    run(scenario())


def test_a_head_that_is_too_large_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_with(tmp_path) as running:
            got = await running.ask("GET", "/health", b"", {"x-large": "x" * 40000})
            check(got, 431, "request_too_large", "invalid_request_error")

    run(scenario())


def test_a_gateway_that_drains_refuses_what_is_new(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_with(tmp_path) as running, running.talk() as talk:
            await talk.send("GET", "/health")
            assert (await talk.answer()).status == 200
            running.server.draining = True
            await talk.send("POST", CHAT_PATH, CHAT)
            got = await talk.answer()
            check(got, 503, "draining", "api_error")
            assert got.header("retry-after")

    run(scenario())


def test_too_many_connections_are_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, server="max_connections = 1")
            async with gateway(tmp_path, config) as running, running.talk() as talk:
                await talk.send("GET", "/health")
                await talk.answer()
                async with running.talk() as other:
                    got = await other.answer()
                    check(got, 503, "overloaded", "api_error")
                    assert got.header("retry-after")

    run(scenario())


def test_a_response_that_cannot_be_looked_up_is_no_404(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_with(tmp_path) as running:
            await running.database.close()
            got = await running.ask("GET", "/v1/responses/resp_1")
            check(got, 503, "store_unavailable", "api_error")
            assert got.header("retry-after") == "5"

    run(scenario())


def test_an_error_of_a_provider_names_it_and_its_attempts(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_with(tmp_path, server_error()) as running:
            theirs = await running.chat()
            assert (theirs.status, theirs.header("x-llmgateway-attempts")) == (500, "3")
        async with running_with(tmp_path, Reset()) as running:
            ours = await running.chat()
            assert (ours.header("x-llmgateway-provider"), ours.header("x-llmgateway-attempts")) == ("main", "3")

    run(scenario())


def test_errors_are_counted_by_their_code(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_with(tmp_path, Reset()) as running:
            await running.chat()
            await running.ask("GET", "/nowhere")
            await until(lambda: running.metric("llm_requests_in_flight") == 0)
            assert running.metric('llm_requests_errors_total{provider="main",reason="upstream_error"}') == 1
            assert running.metric('llm_requests_errors_total{provider="",reason="not_found"}') == 1

    run(scenario())


def test_a_client_that_leaves_while_it_is_answered_is_no_fault_of_ours(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running_with(tmp_path) as running:
            for _ in range(20):
                async with running.talk() as talk:
                    await talk.send("GET", "/nowhere")
                await asyncio.sleep(0)
            await until(lambda: running.metric("llm_requests_in_flight") == 0)
            assert running.metric('llm_requests_errors_total{provider="",reason="internal_error"}') == 0

    run(scenario())


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (RequestError(400, "c", "m"), {}),
        (RequestError(401, "c", "m"), {"www-authenticate": 'Bearer realm="llmgateway"'}),
        (RequestError(429, "c", "m", retry_after=0.0), {"retry-after": "1", "retry-after-ms": "0"}),
        (RequestError(429, "c", "m", retry_after=1.2345), {"retry-after": "2", "retry-after-ms": "1235"}),
        (RequestError(503, "c", "m", retry_after=86400.0), {"retry-after": "86400", "retry-after-ms": "86400000"}),
        (RequestError(405, "c", "m", extra={"allow": "GET, POST"}), {"allow": "GET, POST"}),
    ],
)
def test_an_errors_headers_follow_from_it(error: RequestError, headers: dict[str, str]) -> None:
    status, rendered, _ = render(error, "id-1")
    assert status == error.status
    found = {name.decode(): value.decode() for name, value in rendered}
    assert found == {"content-type": "application/json", "x-request-id": "id-1", **headers}
