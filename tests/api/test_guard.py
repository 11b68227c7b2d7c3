"""Who may speak to the gateway at all: Host, Origin, forwarding headers, and what browsers are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.api.guard import FORWARDING, Guard
from gateway.config.model import ServerConfig
from gateway.errors import RequestError
from tests.api.harness import AS_ANN, CHAT, TOKENS, Got, configuration, gateway
from tests.conftest import run
from tests.fakes.provider import FakeProvider

ORIGIN = b"https://chat.example.org"
LISTED = ServerConfig(cors_origins=(ORIGIN.decode(),))
PROXIES = ServerConfig(trusted_proxies=("10.0.0.0/8", "::1", "192.0.2.7"))


def refuses(guard: Guard, fields: dict[bytes, bytes], peer: str = "127.0.0.1") -> bool:
    try:
        guard.check({b"host": b"localhost", **fields}, peer)
    except RequestError as error:
        assert (error.status, error.code) == (403, "permission_denied")
        return True
    return False


@pytest.mark.parametrize(
    ("host", "fine"),
    [
        (b"localhost", True),
        (b"localhost:8000", True),
        (b"LOCALHOST:1", True),
        (b"127.0.0.1:8000", True),
        (b"[::1]:8000", True),
        (b"[::1]", True),
        (b"evil.example", False),
        (b"evil.example:8000", False),
        (b"localhost.evil.example", False),
        (b"127.0.0.1.nip.io", False),
        (b"", False),
        (b":8000", False),
        (b"::1", False),
        (b"localhost@evil.example", False),
    ],
)
def test_without_auth_only_loopback_names_are_answered(host: bytes, fine: bool) -> None:
    assert refuses(Guard(ServerConfig(), auth_on=False), {b"host": host}) is not fine
    assert not refuses(Guard(ServerConfig(), auth_on=True), {b"host": host})
    assert not refuses(Guard(ServerConfig(), auth_on=False), {b"host": host}, "unix")


@pytest.mark.parametrize("auth_on", [False, True])
@pytest.mark.parametrize(
    ("host", "fine"),
    [(b"gateway.lan", True), (b"Gateway.LAN:8000", True), (b"localhost", False), (b"other.lan", False)],
)
def test_listed_hosts_are_the_only_ones(host: bytes, fine: bool, auth_on: bool) -> None:
    guard = Guard(ServerConfig(allowed_hosts=("gateway.lan",)), auth_on=auth_on)
    assert refuses(guard, {b"host": host}) is not fine


@pytest.mark.parametrize(
    ("config", "origin", "auth_on", "fine"),
    [
        (ServerConfig(), ORIGIN, False, False),
        (ServerConfig(), ORIGIN, True, True),
        (ServerConfig(), b"null", False, False),
        (ServerConfig(), b"http://localhost:8000", False, False),
        (LISTED, ORIGIN, False, True),
        (LISTED, ORIGIN + b".evil", False, False),
        (ServerConfig(cors_origins=("*",)), b"https://any.example", False, True),
    ],
)
def test_without_auth_an_origin_must_be_listed(config: ServerConfig, origin: bytes, auth_on: bool, fine: bool) -> None:
    assert refuses(Guard(config, auth_on=auth_on), {b"origin": origin}) is not fine


@pytest.mark.parametrize(
    ("site", "origin", "auth_on", "fine"),
    [
        (b"cross-site", None, False, False),
        (b"same-origin", None, False, True),
        (b"none", None, False, True),
        (b"cross-site", None, True, True),
        (b"cross-site", ORIGIN, False, True),
    ],
)
def test_without_auth_other_sites_pages_are_not_answered(
    site: bytes, origin: bytes | None, auth_on: bool, fine: bool
) -> None:
    fields = {b"sec-fetch-site": site} | ({b"origin": origin} if origin else {})
    assert refuses(Guard(LISTED, auth_on=auth_on), fields) is not fine


def test_the_marks_of_proxies_and_tunnels_are_known() -> None:
    assert {b"x-forwarded-proto", b"via", b"cf-connecting-ip", b"true-client-ip", b"x-client-ip"} <= {*FORWARDING}


@pytest.mark.parametrize("name", FORWARDING)
def test_without_auth_nothing_forwarded_is_answered_but_by_a_trusted_proxy(name: bytes) -> None:
    assert refuses(Guard(ServerConfig(), auth_on=False), {name: b"1.2.3.4"})
    assert refuses(Guard(PROXIES, auth_on=False), {name: b"1.2.3.4"}, "172.16.0.1")
    assert refuses(Guard(PROXIES, auth_on=False), {name: b"1.2.3.4"}, "unix")
    assert not refuses(Guard(PROXIES, auth_on=False), {name: b"1.2.3.4"}, "10.1.2.3")
    assert not refuses(Guard(ServerConfig(), auth_on=True), {name: b"1.2.3.4"})


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", b"1.2.3.4", "203.0.113.9"),
        ("10.0.0.1", b"1.2.3.4", "1.2.3.4"),
        ("::1", b"1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", b"6.6.6.6, 1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", b"6.6.6.6, 1.2.3.4, 192.0.2.7 ,10.9.9.9", "1.2.3.4"),
        ("10.0.0.1", b"10.0.0.2, 10.0.0.3", "10.0.0.1"),
        ("10.0.0.1", b"2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", b"", "10.0.0.1"),
        ("10.0.0.1", b"1.2.3.4, ", "10.0.0.1"),
        ("10.0.0.1", b"x" * 5000, "x" * 64),
        ("unix", b"1.2.3.4", "unix"),
    ],
)
def test_a_trusted_proxy_tells_who_the_client_is(peer: str, forwarded: bytes, address: str) -> None:
    guard = Guard(PROXIES, auth_on=True)
    assert guard.client_address({b"x-forwarded-for": forwarded}, peer) == address
    assert guard.client_address({}, peer) == peer


PREFLIGHT = {
    "origin": ORIGIN.decode(),
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-os",
}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/p/main/v1/anything", "/nowhere"])
@pytest.mark.parametrize(
    ("origins", "tokens", "status", "allowed"),
    [
        (f'["{ORIGIN.decode()}"]', "", 204, True),
        (f'["{ORIGIN.decode()}"]', TOKENS, 204, True),
        ('["*"]', TOKENS, 204, True),
        ('["https://other.example"]', "", 403, False),
        ('["https://other.example"]', TOKENS, 204, False),
        ("[]", "", 403, False),
    ],
)
def test_a_preflight_is_answered_without_a_token_and_without_the_provider(
    tmp_path: Path, path: str, origins: str, tokens: str, status: int, allowed: bool
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, server=f"cors_origins = {origins}", more=tokens)
            async with gateway(tmp_path, config) as running:
                got = await running.ask("OPTIONS", path, b"", PREFLIGHT)
                assert got.status == status
                assert (got.header("access-control-allow-origin") == ORIGIN.decode()) is allowed
                if allowed:
                    assert "POST" in (got.header("access-control-allow-methods") or "")
                    wanted = PREFLIGHT["access-control-request-headers"]
                    assert got.header("access-control-allow-headers") == wanted
                    assert got.header("vary") == "origin"
                assert not fake.requests

    run(scenario())


def test_every_answer_to_a_listed_origin_may_be_read_by_it(tmp_path: Path) -> None:
    def readable(got: Got) -> bool:
        assert got.header("vary") == "origin"
        return got.header("access-control-allow-origin") == ORIGIN.decode()

    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, server=f'cors_origins = ["{ORIGIN.decode()}"]', more=TOKENS)
            async with gateway(tmp_path, config) as running:
                origin = {"origin": ORIGIN.decode()}
                assert readable(await running.ask("POST", "/v1/chat/completions", CHAT, {**AS_ANN, **origin}))
                stream = {**CHAT, "stream": True}
                assert readable(await running.ask("POST", "/v1/chat/completions", stream, {**AS_ANN, **origin}))
                assert readable(await running.ask("POST", "/v1/chat/completions", CHAT, origin))  # 401
                assert readable(await running.ask("GET", "/nowhere", b"", origin))
                other = await running.ask("GET", "/health", b"", {"origin": "https://other.example"})
                assert other.status == 200 and other.header("access-control-allow-origin") is None

    run(scenario())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"x-forwarded-for": "1.2.3.4"}, 403),
        ([("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "1.2.3.4")], 403),
        ({"content-type": "text/plain"}, 200),  # a body is JSON whatever it is called
    ],
)
def test_a_web_page_cannot_use_an_open_gateway(
    tmp_path: Path, headers: dict[str, str] | list[tuple[str, str]], status: int
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            got = await running.ask("POST", "/v1/chat/completions", CHAT, headers)
            assert got.status == status
            assert len(fake.requests) == (status == 200)

    run(scenario())


def test_the_record_names_the_client_behind_a_trusted_proxy(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, server='trusted_proxies = ["127.0.0.1"]')
            async with gateway(tmp_path, config) as running:
                lines = [
                    ("x-forwarded-for", "6.6.6.6"),
                    ("x-forwarded-for", "1.2.3.4"),
                    ("x-forwarded-for", "127.0.0.1"),
                ]
                await running.ask("POST", "/v1/chat/completions", CHAT, lines)
                line = await running.logged()
                assert (line["client"], line["user"]) == ("1.2.3.4", "1.2.3.4")
                assert "x-forwarded-for" not in fake.requests[0].headers

    run(scenario())
