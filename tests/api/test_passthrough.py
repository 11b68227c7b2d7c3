"""`/p/PROVIDER/…`: only the host and the credentials change."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.harness import KEYS, configuration, gateway
from tests.conftest import run
from tests.fakes.behaviours import Answer, Stream, rate_limited, unauthorized
from tests.fakes.provider import FakeProvider
from tests.net.scripted import answering, scripted

BODY = b'\x00\x01 not JSON \xff "model": "gpt-4o" '


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
@pytest.mark.parametrize("path", ["/v1/files/x?purpose=a%20b&y", "/", "//double/%2e%2E/end", "/v2beta/a:b?"])
def test_method_path_query_and_body_arrive_as_they_were_sent(tmp_path: Path, method: str, path: str) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1"]) as running:
            fake.script("sk-1", Answer(201, BODY[::-1], {"content-type": "application/x-odd"}))
            got = await running.ask(method, f"/p/main{path}", BODY, {"content-type": "application/x-odd"})
            (seen,) = fake.requests
            assert (seen.method, seen.path, seen.body) == (method, path.rstrip("?"), BODY)
            assert (got.status, got.body, got.header("content-type")) == (201, BODY[::-1], "application/x-odd")

    run(scenario())


@pytest.mark.parametrize(
    ("name", "value", "forwarded"),
    [
        ("X-Stainless-OS", "Linux", True),
        ("OpenAI-Organization", "org", True),
        ("Anthropic-Version", "2023-06-01", True),
        ("If-None-Match", '"x"', True),
        ("X-Request-Id", "mine", True),
        ("Range", "bytes=0-1", True),
        ("Authorization", "Bearer client", False),
        ("Proxy-Authorization", "Basic x", False),
        ("X-Api-Key", "client", False),
        ("Api-Key", "client", False),
        ("X-Goog-Api-Key", "client", False),
        ("Cookie", "a=b", False),
        ("Keep-Alive", "timeout=5", False),
        ("TE", "trailers", False),
        ("Upgrade", "websocket", False),
        ("X-Hop", "declared below", False),
        ("Referer", "http://localhost/", False),
        ("Accept-Encoding", "gzip", False),
    ],
)
def test_request_headers_go_through_but_credentials_cookies_and_hop_by_hop(
    tmp_path: Path, name: str, value: str, forwarded: bool
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1"]) as running:
            await running.ask("GET", "/p/main/v1/models", b"", {name: value, "Connection": "X-Hop, keep-alive"})
            seen = fake.requests[0].headers
            assert (seen.get(name.lower()) == value) is forwarded
            assert seen["authorization"] == "Bearer sk-1"
            assert seen["accept-encoding"] == "identity"
            assert seen["host"] == f"127.0.0.1:{fake.port}"
            assert "connection" not in seen

    run(scenario())


def test_answer_headers_come_back_but_cookies_and_hop_by_hop(tmp_path: Path) -> None:
    theirs = {
        "X-RateLimit-Remaining-Requests": "1",
        "ETag": '"x"',
        "Location": "/v1/files/1",
        "Content-Encoding": "identity",
        "Retry-After": "3",
    }
    dropped = {"Set-Cookie": "a=b", "Keep-Alive": "timeout=5", "X-Hop": "1", "Connection": "x-hop", "Alt-Svc": "h3"}

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1"]) as running:
            fake.script("sk-1", Answer(200, b"x", {**theirs, **dropped}))
            got = await running.ask("GET", "/p/main/v1/files")
            assert {name: got.header(name.lower()) for name in theirs} == theirs
            assert not any(got.header(name.lower()) for name in dropped)
            assert got.header("x-llmgateway-upstream-id") == "req_fake"
            assert got.header("x-request-id") != "req_fake"

    run(scenario())


def test_an_errors_retry_after_comes_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1"]) as running:
            fake.script("sk-1", rate_limited(30))
            got = await running.ask("GET", "/p/main/v1/files")
            assert (got.status, got.header("retry-after")) == (429, "30")

    run(scenario())


def test_verdicts_teach_the_pool_and_another_key_takes_over(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            fake.script(KEYS[0], unauthorized())
            got = await running.ask("GET", "/p/main/v1/models?key=secret&a=1")
            assert (got.status, got.header("x-llmgateway-attempts")) == (200, "2")
            assert [seen.path for seen in fake.requests] == ["/v1/models?a=1"] * 2
            assert running.key(KEYS[0]).standing.status.value == "suspect"
            line = await running.logged()
            assert (line["surface"], line["path"]) == ("passthrough", "/p/main/v1/models")

    run(scenario())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_the_clients_to_follow(tmp_path: Path, status: int) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1"]) as running:
            fake.script("sk-1", Answer(status, b"", {"location": "/elsewhere"}))
            got = await running.ask("GET", "/p/main/v1/files/x/content")
            assert (got.status, got.header("location")) == (status, "/elsewhere")
            assert len(fake.requests) == 1

    run(scenario())


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_has_none(tmp_path: Path, status: int) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1"]) as running:
            fake.script("sk-1", Answer(status, b"", {"etag": '"x"'}))
            async with running.talk() as talk:
                for _ in range(2):
                    await talk.send("GET", "/p/main/v1/files")
                    got = await talk.answer()
                    assert (got.status, got.body, got.complete) == (status, b"", True)
                    assert got.header("transfer-encoding") is None

    run(scenario())


def test_head_is_answered_without_a_body_and_the_connection_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1"]) as running:
            fake.script("sk-1", Answer(200, b"", {"content-length": "1234"}), Answer())
            async with running.talk() as talk:
                await talk.send("HEAD", "/p/main/v1/files/x")
                got = await talk.answer()
                assert (got.status, got.header("content-length")) == (200, "1234")
                await talk.send("GET", "/p/main/v1/models")
                assert (await talk.answer()).status == 200
            assert [seen.method for seen in fake.requests] == ["HEAD", "GET"]
            assert (await running.logged())["outcome"] == "ok"

    run(scenario())


def test_a_stream_passes_as_it_comes(tmp_path: Path) -> None:
    events = (b"data: {\n\n", b"anything", b"\r\n\xff")

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url), ["sk-1"]) as running:
            fake.script("sk-1", Stream(events))
            got = await running.ask("POST", "/p/main/v1/anything", b"{}")
            assert (got.body, got.complete) == (b"".join(events), True)

    run(scenario())


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "trace", "Connect"])
def test_what_would_echo_the_key_or_open_a_tunnel_is_not_for_a_provider(tmp_path: Path, method: str) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            got = await running.ask(method, "/p/main/v1/models")
            assert (got.status, got.code) == (405, "method_not_allowed")
            assert got.header("allow") == "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
            assert not fake.requests

    run(scenario())


@pytest.mark.parametrize("status", [200, 302, 400])
def test_a_key_that_the_provider_repeats_in_a_header_goes_no_further(tmp_path: Path, status: int) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            fake.script(KEYS[0], Answer(status, {}, {"x-sent": f"Bearer {KEYS[0]}"}))
            got = await running.ask("GET", "/p/main/v1/files")
            assert (got.status, got.header("x-sent")) == (status, "Bearer sk-...0001")

    run(scenario())


@pytest.mark.parametrize("server", ['cors_origins = ["https://ours.example"]', ""])
def test_which_pages_may_read_an_answer_is_not_for_the_provider_to_say(tmp_path: Path, server: str) -> None:
    theirs = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "true", "ETag": '"x"'}

    async def scenario() -> None:
        async with FakeProvider() as fake:
            headers = {"Origin": "https://ours.example"} if server else {}
            async with gateway(tmp_path, configuration(fake.base_url, server=server), ["sk-1"]) as running:
                fake.script("sk-1", Answer(200, {}, theirs))
                got = await running.ask("GET", "/p/main/v1/files", b"", headers)
                assert got.header("etag") == '"x"'
                assert got.header("access-control-allow-origin") == headers.get("Origin")
                assert got.header("access-control-allow-credentials") is None

    run(scenario())


def test_a_length_beside_a_transfer_coding_counts_for_nothing(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def scenario() -> None:
        async with scripted(answering(head + b"5\r\nhello\r\n0\r\n\r\n")) as upstream:
            config = configuration(f"{upstream.origin}/v1")
            async with gateway(tmp_path, config, ["sk-1"]) as running:
                got = await running.ask("GET", "/p/main/v1/files/x/content")
                assert (got.status, got.body, got.complete) == (200, b"hello", True)

    run(scenario())


@pytest.mark.parametrize("path", ["/p/", "/p/main", "/p//v1/models", "/p/nobody/v1/models", "/p"])
def test_a_path_without_a_provider_leads_nowhere(tmp_path: Path, path: str) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            got = await running.ask("GET", path)
            assert (got.status, got.code) == (404, "not_found")
            assert not fake.requests

    run(scenario())


@pytest.mark.parametrize(
    ("kind", "path", "credentials", "version"),
    [
        ("anthropic", "/v1/messages/batches?beta=true", {"x-api-key": "sk-1"}, "2023-06-01"),
        ("gemini", "/v1beta/cachedContents", {"x-goog-api-key": "sk-1"}, None),
        ("gemini", "/v1beta/openai/files", {"authorization": "Bearer sk-1"}, None),
        ("azure", "/openai/assistants?api-version=2024-05-01-preview", {"api-key": "sk-1"}, None),
        ("moonshot", "/anthropic/v1/messages", {"authorization": "Bearer sk-1"}, "2023-06-01"),
        ("deepseek", "/anthropic/v1/messages", {"x-api-key": "sk-1"}, "2023-06-01"),
        ("deepseek", "/user/balance", {"authorization": "Bearer sk-1"}, None),
    ],
)
def test_the_key_travels_as_the_dialect_of_the_path_has_it(
    tmp_path: Path, kind: str, path: str, credentials: dict[str, str], version: str | None
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            text = configuration(fake.origin).replace('type = "openai"', f'type = "{kind}"')
            async with gateway(tmp_path, text, ["sk-1"]) as running:
                await running.ask("POST", f"/p/main{path}", b"{}", {"x-goog-api-key": "client"})
                await running.ask("POST", f"/p/main{path}", b"{}", {"anthropic-version": "2099-01-01"})
            first, second = fake.requests
            assert (first.path, first.credentials) == (path, credentials)
            assert first.headers.get("anthropic-version") == version
            assert second.headers["anthropic-version"] == "2099-01-01"

    run(scenario())
