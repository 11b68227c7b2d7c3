"""Through proxies: real ones on loopback, every way in which they fail, and whose fault it then is."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trustme

from gateway.config.proxyurl import ProxyUrl
from gateway.errors import ConnectError, ProxyError, UpstreamError, UpstreamTimeout
from gateway.net.client import Client, Origin, PoolStatistics, Timeouts
from gateway.secret import Secret
from tests.fakes.proxy import FakeProxy
from tests.net.scripted import Wire, answering, both_loops, scripted, turns
from tests.net.test_dial import client_tls, hold, server_tls, unresponsive
from tests.ports import free_port

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
PATIENT = 10.0
SHORT = 0.05
TIMEOUTS = Timeouts(connect=PATIENT, write=PATIENT, first_byte=PATIENT, idle=PATIENT)

KINDS: dict[str, Callable[[trustme.CA], FakeProxy]] = {
    "http": lambda _: FakeProxy("http"),
    "http with auth": lambda _: FakeProxy("http", user="ann", password="pässword:with/all"),
    "https": lambda ca: FakeProxy("http", tls=server_tls(ca), user="ann", password="secret"),
    "socks5": lambda _: FakeProxy("socks5"),
    "socks5h with auth": lambda _: FakeProxy("socks5h", user="ann", password="secret"),
}
"""Every way to speak to a proxy."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@asynccontextmanager
async def calling(authority: trustme.CA) -> AsyncIterator[Client]:
    """A client that trusts the authority. At the end no connection may be left."""
    client = Client(tls=client_tls(authority))
    try:
        yield client
    finally:
        await client.close()
        assert client.statistics() == PoolStatistics(0, 0, 0)


async def ask(
    client: Client, origin: Origin, proxy: ProxyUrl | None, connect: float = PATIENT, total: float = PATIENT
) -> bytes:
    deadline = asyncio.get_running_loop().time() + total
    timeouts = Timeouts(connect=connect, write=PATIENT, first_byte=PATIENT, idle=PATIENT)
    answer = await client.exchange(origin, b"POST", b"/v1", [], b"hello", timeouts, deadline, proxy=proxy)
    try:
        return await answer.read_all(1_000_000)
    finally:
        answer.close()


async def failure_of(
    client: Client, origin: Origin, proxy: ProxyUrl, connect: float = PATIENT, total: float = PATIENT
) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await ask(client, origin, proxy, connect, total)
    failure = caught.value
    assert not failure.sent
    assert not proxy.password or proxy.password.reveal() not in f"{failure} {failure!r}"
    return failure


@pytest.mark.parametrize("secure", [False, True], ids=["plain origin", "TLS origin"])
@pytest.mark.parametrize("kind", KINDS)
@both_loops
async def test_an_origin_is_reached_without_a_word_and_nothing_is_kept(
    kind: str, secure: bool, authority: trustme.CA
) -> None:
    heard = b""

    async def listen(wire: Wire) -> None:
        nonlocal heard
        heard += await wire.reader.read(1)

    tls = server_tls(authority) if secure else None
    async with scripted(listen, tls=tls) as upstream, KINDS[kind](authority) as proxy, calling(authority) as client:
        await client.reach(upstream.origin, TIMEOUTS, proxy=proxy.url)
        await proxy.wait_gone()
        await upstream.wait_gone()
        assert proxy.tunnels == 1
        assert upstream.accepted == 1 or secure  # uvloop leaves before its last word of the handshake is out
    assert not heard


async def knock(client: Client) -> None:
    await client.reach(Origin("http", "127.0.0.1", 1), TIMEOUTS, proxy=ProxyUrl("http", "127.0.0.1", free_port()))


@both_loops
async def test_what_cannot_be_reached_is_told_like_a_request_that_failed(authority: trustme.CA) -> None:
    async with calling(authority) as client:
        with pytest.raises(ProxyError, match="refuses connections"):
            await knock(client)
        await client.close()
        with pytest.raises(ConnectError, match="closed"):
            await knock(client)


@pytest.mark.parametrize("secure", [False, True], ids=["plain origin", "TLS origin"])
@pytest.mark.parametrize("kind", KINDS)
@both_loops
async def test_a_request_goes_through_every_kind_of_proxy(kind: str, secure: bool, authority: trustme.CA) -> None:
    tls = server_tls(authority) if secure else None
    big = b"HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\n" + b"x" * 900_000
    async with (
        scripted(answering(OK, big), tls=tls) as upstream,
        KINDS[kind](authority) as proxy,
    ):
        async with calling(authority) as client:
            assert await ask(client, upstream.origin, proxy.url) == b"{}"
            assert await ask(client, upstream.origin, proxy.url) == b"x" * 900_000
            assert proxy.tunnels == upstream.accepted == 1  # the tunnel is used again
            assert upstream.requests[0].startswith(b"POST /v1 HTTP/1.1\r\nhost: ")
        await proxy.wait_gone()
        await upstream.wait_gone()


@both_loops
async def test_each_proxy_and_no_proxy_have_connections_of_their_own(authority: trustme.CA) -> None:
    async with (
        scripted(answering(OK, OK)) as upstream,
        FakeProxy() as one,
        FakeProxy() as two,
        calling(authority) as client,
    ):
        for way in (one.url, two.url, None, one.url, two.url, None):
            await ask(client, upstream.origin, way)
        assert (one.tunnels, two.tunnels, upstream.accepted) == (1, 1, 3)


@pytest.mark.parametrize(
    ("user", "password", "head"),
    [
        ("", "", b"CONNECT 127.0.0.1:PORT HTTP/1.1\r\nhost: 127.0.0.1:PORT\r\n\r\n"),
        (
            "ann",
            "secret",
            b"CONNECT 127.0.0.1:PORT HTTP/1.1\r\nhost: 127.0.0.1:PORT\r\n"
            b"proxy-authorization: Basic YW5uOnNlY3JldA==\r\n\r\n",
        ),
    ],
)
@both_loops
async def test_connect_is_asked_as_it_is_written(user: str, password: str, head: bytes, authority: trustme.CA) -> None:
    async with (
        scripted(answering(OK)) as upstream,
        FakeProxy(user=user, password=password) as proxy,
        calling(authority) as client,
    ):
        await ask(client, upstream.origin, proxy.url)
        assert proxy.heads == [head.replace(b"PORT", b"%d" % upstream.origin.port)]
        assert b"proxy-authorization" not in upstream.requests[0]


@pytest.mark.parametrize(
    ("kind", "asked"), [("http", "origin.test"), ("socks5h", "origin.test"), ("socks5", "127.0.0.1")]
)
@both_loops
async def test_who_looks_the_origins_name_up(kind: str, asked: str, authority: trustme.CA) -> None:
    async with (
        scripted(answering(OK)) as upstream,
        FakeProxy(kind, hosts={"origin.test": "127.0.0.1"}) as proxy,
        calling(authority) as client,
    ):
        host = "localhost" if kind == "socks5" else "origin.test"
        await ask(client, Origin("http", host, upstream.origin.port), proxy.url)
        assert [origin.rpartition(":")[0] for origin in proxy.asked] == [asked]


# The proxy fails.


@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
@both_loops
async def test_a_proxy_that_is_not_there_is_at_fault(scheme: str, authority: trustme.CA) -> None:
    async with calling(authority) as client:
        failure = await failure_of(client, Origin("http", "127.0.0.1", 1), ProxyUrl(scheme, "127.0.0.1", free_port()))
    assert isinstance(failure, ProxyError)
    assert not failure.beyond


@both_loops
async def test_a_proxy_whose_name_nobody_knows_is_at_fault(authority: trustme.CA) -> None:
    async with calling(authority) as client:
        failure = await failure_of(client, Origin("http", "127.0.0.1", 1), ProxyUrl("http", "nowhere.invalid", 80))
    assert isinstance(failure, ProxyError)
    assert "host name of http://nowhere.invalid:80" in failure.message


@pytest.mark.parametrize("kind", ["http", "socks5"])
@pytest.mark.parametrize("password", ["", "wrong"])
@both_loops
async def test_wrong_credentials_are_the_proxys_affair(kind: str, password: str, authority: trustme.CA) -> None:
    async with (
        scripted(hold) as upstream,
        FakeProxy(kind, user="ann", password="secret") as proxy,
        calling(authority) as client,
    ):
        wrong = ProxyUrl(kind, "127.0.0.1", proxy.port, "ann" if password else "", Secret(password))
        failure = await failure_of(client, upstream.origin, wrong)
        assert isinstance(failure, ProxyError)
        assert not failure.beyond
        assert upstream.accepted == 0


@pytest.mark.parametrize(
    ("answer", "words", "beyond"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "refuses a tunnel", False),
        (b"HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n", "refuses a tunnel", False),
        (b"HTTP/1.1 503 No exit\r\ncontent-length: 0\r\n\r\n", "refuses a tunnel.*503 No exit", True),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "is not HTTP", False),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", "is not HTTP", False),
        (b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 40_000, "is not HTTP", False),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 2000, "too long", False),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "more than its answer", False),
    ],
)
@both_loops
async def test_an_answer_that_is_no_consent_is_the_proxys_fault(
    answer: bytes, words: str, beyond: bool, authority: trustme.CA
) -> None:
    async with scripted(hold) as upstream, FakeProxy(answer=answer) as proxy, calling(authority) as client:
        failure = await failure_of(client, upstream.origin, proxy.url)
        await proxy.wait_gone()
    assert isinstance(failure, ProxyError)
    assert failure.beyond is beyond
    assert re.search(words, str(failure))


@both_loops
async def test_interim_answers_come_before_consent(authority: trustme.CA) -> None:
    async def consenting(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        wire.write(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
        await answering(OK)(wire)

    async with scripted(consenting) as proxy, calling(authority) as client:
        url = ProxyUrl("http", "127.0.0.1", proxy.origin.port)
        assert await ask(client, Origin("http", "origin.test", 80), url) == b"{}"


@both_loops
async def test_a_consent_that_comes_byte_by_byte_is_understood(authority: trustme.CA) -> None:
    async def consenting(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        for byte in b"HTTP/1.1 200 OK\r\n\r\n":
            wire.write(bytes([byte]))
            await turns(2)
        await answering(OK)(wire)

    async with scripted(consenting) as proxy, calling(authority) as client:
        url = ProxyUrl("http", "127.0.0.1", proxy.origin.port)
        assert await ask(client, Origin("http", "origin.test", 80), url) == b"{}"


@pytest.mark.parametrize("kind", ["http", "socks5"])
@both_loops
async def test_a_proxy_that_hangs_up_is_at_fault(kind: str, authority: trustme.CA) -> None:
    async def leave(wire: Wire) -> None:
        await wire.reader.read(1)

    async with scripted(leave) as proxy, calling(authority) as client:
        url = ProxyUrl(kind, "127.0.0.1", proxy.origin.port)
        assert isinstance(await failure_of(client, Origin("http", "127.0.0.1", 1), url), ProxyError)


@pytest.mark.parametrize("kind", ["http", "socks5"])
@both_loops
async def test_a_silent_proxy_is_given_up_after_the_connect_timeout(kind: str, authority: trustme.CA) -> None:
    async with FakeProxy(kind, silent=True) as proxy, calling(authority) as client:
        failure = await failure_of(client, Origin("http", "127.0.0.1", 1), proxy.url, connect=SHORT)
        await proxy.wait_gone()
    assert isinstance(failure, ProxyError)
    assert "within 0.05 s" in failure.message
    assert failure.beyond


@both_loops
async def test_a_proxy_that_does_not_answer_at_all_is_at_fault(authority: trustme.CA) -> None:
    with unresponsive() as silent:
        async with calling(authority) as client:
            url = ProxyUrl("http", silent.host, silent.port)
            failure = await failure_of(client, Origin("http", "127.0.0.1", 1), url, connect=SHORT)
    assert isinstance(failure, ProxyError)
    assert not failure.beyond


@both_loops
async def test_the_requests_own_deadline_is_nobodys_fault(authority: trustme.CA) -> None:
    async with FakeProxy(silent=True) as proxy, calling(authority) as client:
        failure = await failure_of(client, Origin("http", "127.0.0.1", 1), proxy.url, total=SHORT)
        await proxy.wait_gone()
    assert isinstance(failure, UpstreamTimeout)
    assert failure.phase == "total"


@both_loops
async def test_a_proxys_certificate_that_nobody_vouches_for_is_its_fault(authority: trustme.CA) -> None:
    async with FakeProxy(tls=server_tls(trustme.CA())) as proxy, calling(authority) as client:
        failure = await failure_of(client, Origin("http", "127.0.0.1", 1), proxy.url)
    assert isinstance(failure, ProxyError)
    assert "certificate of https://localhost" in failure.message


@both_loops
async def test_a_proxy_that_speaks_no_tls_is_at_fault(authority: trustme.CA) -> None:
    async def plain(wire: Wire) -> None:
        wire.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await wire.wait_gone()

    async with scripted(plain) as proxy, calling(authority) as client:
        url = ProxyUrl("https", "127.0.0.1", proxy.origin.port)
        failure = await failure_of(client, Origin("http", "127.0.0.1", 1), url)
    assert isinstance(failure, ProxyError)
    assert not failure.beyond


@both_loops
async def test_a_cancelled_way_through_a_proxy_leaves_nothing(authority: trustme.CA) -> None:
    for kind in ("http", "socks5"):
        async with FakeProxy(kind, silent=True) as proxy, calling(authority) as client:
            asking = asyncio.create_task(ask(client, Origin("http", "127.0.0.1", 1), proxy.url))
            while not proxy.asked:
                await turns(1)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await proxy.wait_gone()


# The origin fails, or nobody knows who.


@pytest.mark.parametrize("kind", ["http", "https", "socks5"])
@both_loops
async def test_an_origin_behind_the_proxy_that_refuses_may_be_at_fault(kind: str, authority: trustme.CA) -> None:
    async with KINDS[kind](authority) as proxy, calling(authority) as client:
        failure = await failure_of(client, Origin("http", "127.0.0.1", free_port()), proxy.url)
    assert isinstance(failure, ProxyError)
    assert failure.beyond


@pytest.mark.parametrize("kind", ["http", "https", "socks5"])
@both_loops
async def test_a_wrong_certificate_inside_the_tunnel_is_the_origins_fault(kind: str, authority: trustme.CA) -> None:
    async with (
        scripted(hold, tls=server_tls(authority, "other.example")) as upstream,
        KINDS[kind](authority) as proxy,
        calling(authority) as client,
    ):
        failure = await failure_of(client, upstream.origin, proxy.url)
        assert proxy.tunnels == 1
        await proxy.wait_gone()
    assert type(failure) is ConnectError
    assert "certificate" in failure.message


@both_loops
async def test_a_name_that_we_look_up_ourselves_is_the_origins_fault(authority: trustme.CA) -> None:
    async with FakeProxy("socks5") as proxy, calling(authority) as client:
        failure = await failure_of(client, Origin("http", "nowhere.invalid", 80), proxy.url)
    assert type(failure) is ConnectError
    assert "host name" in failure.message


@pytest.mark.parametrize("kind", ["http", "https", "socks5"])
@pytest.mark.parametrize("silent", [False, True])
@both_loops
async def test_a_tunnel_without_anybody_at_its_end_is_the_proxys(
    kind: str, silent: bool, authority: trustme.CA
) -> None:
    async def leave(wire: Wire) -> None:
        await wire.reader.read(1)
        if silent:
            await wire.wait_gone()

    async with scripted(leave) as upstream, KINDS[kind](authority) as proxy, calling(authority) as client:
        origin = Origin("https", "127.0.0.1", upstream.origin.port)
        failure = await failure_of(client, origin, proxy.url, connect=0.5 if silent else PATIENT)
        await proxy.wait_gone()
        assert proxy.tunnels == 1
    assert isinstance(failure, ProxyError)
    assert failure.beyond


# The extra.


def test_socks_without_the_extra_says_what_to_install(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)

    async def scenario() -> UpstreamError:
        async with calling(authority) as client:
            return await failure_of(client, Origin("http", "127.0.0.1", 1), ProxyUrl("socks5", "127.0.0.1", 1))

    failure = asyncio.run(scenario())
    assert isinstance(failure, ProxyError)
    assert "pip install 'llmgateway[socks]'" in str(failure)
