"""What every request goes through: its id, its record, and the scope of its path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.api.guard import Guard
from gateway.api.inbound import read_fields
from gateway.conductor.auth import Authenticator, Identity
from gateway.config.model import Config, ServerConfig, TokenConfig
from gateway.secret import Secret
from tests.api.harness import AS_ANN, CHAT, STREAM, TOKENS, configuration, gateway, until
from tests.conftest import run
from tests.fakes.provider import FakeProvider


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("abc-123", True),
        ("550e8400-e29b-41d4-a716-446655440000", True),
        ("A.b_c:d/e+f=", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("", False),
        ("two words", False),
        ("<script>", False),
        ("\xe9", False),
        ('a"b', False),
        ("a,b", False),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/nowhere"])
def test_a_sane_request_id_is_kept_and_another_is_replaced(tmp_path: Path, path: str, given: str, kept: bool) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            got = await running.ask("POST", path, CHAT, {"X-Request-Id": given})
            name = got.header("x-request-id")
            assert (name == given) is kept
            assert kept or (name is not None and name.startswith("req_"))
            assert (await running.logged())["request_id"] == name

    run(scenario())


def test_an_id_that_was_sent_twice_is_replaced(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            got = await running.ask("POST", "/nowhere", CHAT, [("x-request-id", "a"), ("x-request-id", "b")])
            assert (got.header("x-request-id") or "").startswith("req_")

    run(scenario())


def test_ids_of_ours_are_never_given_twice(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            ids = {(await running.chat()).header("x-request-id") for _ in range(5)}
            ids |= {(await running.administrate("GET", "/admin/status")).header("x-request-id")}
            assert len(ids) == 6

    run(scenario())


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/v1/chat/completions", {}, 401, "invalid_api_key"),
        ("/v1/chat/completions", {"authorization": "Bearer token-of-reader"}, 403, "permission_denied"),
        ("/p/main/v1/files", {"authorization": "Bearer wrong"}, 401, "invalid_api_key"),
        ("/nowhere", AS_ANN, 404, "not_found"),
        ("/v1/models", AS_ANN, 405, "method_not_allowed"),
    ],
)
def test_a_request_that_no_body_would_help_is_refused_before_it_has_one(
    tmp_path: Path, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url) + TOKENS) as running,
            running.talk() as talk,
        ):
            await talk.send("POST", path, b"", {**headers, "content-length": "100000", "expect": "100-continue"})
            got = await talk.answer()
            assert (got.status, got.json["error"]["code"]) == (status, code)
            line = await running.logged()
            assert (line["status"], line["error"], line["outcome"]) == (status, code, "error")
            assert line["request_id"] == got.header("x-request-id")
            assert fake.requests == []

    run(scenario())


def test_a_refusal_by_the_head_may_be_read_by_a_listed_origin_and_names_the_client_behind_a_proxy(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        server = 'cors_origins = ["https://chat.example.org"]\ntrusted_proxies = ["127.0.0.1"]'
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url, server=server, more=TOKENS)) as running,
            running.talk() as talk,
        ):
            headers = {"origin": "https://chat.example.org", "x-forwarded-for": "1.2.3.4", "content-length": "1000"}
            await talk.send("POST", "/v1/chat/completions", b"", headers)
            got = await talk.answer()
            assert (got.status, got.header("access-control-allow-origin")) == (401, "https://chat.example.org")
            assert (await running.logged())["client"] == "1.2.3.4"

    run(scenario())


class Counting(Guard):
    """Knows how often it was asked."""

    asked = 0

    def check(self, fields: Mapping[bytes, bytes], peer: str) -> None:
        self.asked += 1
        super().check(fields, peer)


class Broken(Authenticator):
    def identify(self, fields: Mapping[bytes, bytes], query: str, peer: str) -> Identity | None:
        raise ZeroDivisionError


def authenticator(token: str) -> Authenticator:
    return Authenticator(Config(tokens={"ann": TokenConfig(token=Secret(token))}), required=True)


@pytest.mark.parametrize("body_behind", [False, True])
def test_a_request_is_looked_at_once_wherever_its_body_is(tmp_path: Path, body_behind: bool) -> None:
    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url)) as running,
            running.talk() as talk,
        ):
            guard = Counting(ServerConfig(), auth_on=True)
            running.router = running.make_router(guard, authenticator("token-of-ann"))
            body = json.dumps(CHAT).encode()
            fields = {**AS_ANN, "content-length": str(len(body)), "x-request-id": "r-1"}
            await talk.send("POST", "/v1/chat/completions", b"" if body_behind else body, fields)
            if body_behind:
                await until(lambda: guard.asked == 1)
                await talk.send_raw(body)
            got = await talk.answer()
            assert (got.status, got.header("x-request-id")) == (200, "r-1")
            line = await running.logged()
            assert (line["token"], line["bytes_in"], line["request_id"]) == ("ann", len(body), "r-1")
            assert guard.asked == 1

    run(scenario())


def test_a_token_that_was_taken_away_while_the_body_came_counts_no_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url)) as running,
            running.talk() as talk,
        ):
            guard = Guard(ServerConfig(), auth_on=True)
            running.router = running.make_router(guard, authenticator("token-of-ann"))
            body = json.dumps(CHAT).encode()
            fields = {**AS_ANN, "content-length": str(len(body)), "expect": "100-continue"}
            await talk.send("POST", "/v1/chat/completions", b"", fields)
            assert (await talk.head()).status == 100
            running.router = running.make_router(guard, authenticator("another-token"))
            await talk.send_raw(body)
            assert (await talk.answer()).status == 401
            assert fake.requests == []

    run(scenario())


def test_a_body_that_stops_coming_is_logged_with_the_token_that_its_head_had(tmp_path: Path) -> None:
    async def scenario() -> None:
        config = configuration("http://127.0.0.1:9", server="body_timeout = 0.05", more=TOKENS)
        async with gateway(tmp_path, config) as running, running.talk() as talk:
            await talk.send("POST", "/v1/chat/completions", b"", {**AS_ANN, "content-length": "1000"})
            got = await talk.answer()
            line = await running.logged()
            assert (got.status, line["status"], line["error"], line["token"]) == (408, 408, "request_timeout", "ann")
            assert line["request_id"] == got.header("x-request-id")

    run(scenario())


def test_a_mistake_of_ours_is_answered_with_the_id_under_which_it_is_logged(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway(tmp_path, configuration("http://127.0.0.1:9")) as running:
            running.router = running.make_router(Guard(ServerConfig(), auth_on=True), Broken(Config(), required=True))
            got = await running.ask("GET", "/v1/models", b"")
            assert (got.status, got.code) == (500, "internal_error")
            line = await running.logged()
            assert (line["status"], line["request_id"]) == (500, got.header("x-request-id"))
            assert len([line for line in running.lines if line["event"] == "request"]) == 1
            assert [type(error) for error in running.errors] == [ZeroDivisionError]
            running.errors.clear()

    run(scenario())


@pytest.mark.parametrize(
    ("sent", "status"), [(b"GET / HTTP/1.1\r\n\r\n", 400), (b"\x16\x03\x01", 400), (b"x: " + b"y" * 100_000, 431)]
)
def test_what_is_no_request_leaves_a_line_in_the_log_too(tmp_path: Path, sent: bytes, status: int) -> None:
    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url)) as running,
            running.talk() as talk,
        ):
            await talk.send_raw(sent)
            got = await talk.answer()
            line = await running.logged()
            assert got.status == line["status"] == status
            assert (line["client"], line["request_id"]) == ("127.0.0.1", got.header("x-request-id"))

    run(scenario())


def test_every_request_is_logged_once_but_those_about_health(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            for method, path, body in (
                ("POST", "/v1/chat/completions", STREAM),
                ("GET", "/v1/models", b""),
                ("GET", "/p/main/v1/models", b""),
                ("GET", "/health", b""),
                ("GET", "/ready", b""),
                ("GET", "/metrics", b""),
                ("GET", "/nowhere?key=secret", b""),
                ("GET", "/admin/status", b""),
            ):
                await running.ask(method, path, body)
            await running.logged(count=5)
            await until(lambda: running.metric("llm_requests_in_flight") == 0)
            seen = [(line["surface"], line["path"], line["status"]) for line in running.lines]
            assert seen == [
                ("openai", "/v1/chat/completions", 200),
                ("openai", "/v1/models", 200),
                ("passthrough", "/p/main/v1/models", 200),
                ("unknown", "/nowhere", 404),
                ("admin", "/admin/status", 403),
            ]

    run(scenario())


def test_metrics_know_the_surfaces_and_never_a_name_that_was_made_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            for n in range(5):
                await running.chat(model=f"made-up-{n}")
            await until(lambda: running.metric("llm_requests_in_flight") == 0)
            page = (await running.ask("GET", "/metrics")).body.decode()
            assert "made-up" not in page
            assert 'llm_requests_total{surface="openai",provider="",model="",status="404"} 5' in page

    run(scenario())


@pytest.mark.parametrize(
    ("headers", "fields"),
    [
        ([], {}),
        ([(b"a", b"1"), (b"b", b"2")], {b"a": b"1", b"b": b"2"}),
        ([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")], {b"a": b"1, 3", b"b": b"2"}),
    ],
)
def test_fields_that_come_more_than_once_are_a_list(
    headers: list[tuple[bytes, bytes]], fields: dict[bytes, bytes]
) -> None:
    assert read_fields(headers) == fields
