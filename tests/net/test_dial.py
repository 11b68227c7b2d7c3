"""Opening connections: origins, TCP, TLS, and every way in which that fails."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trustme

from gateway.errors import ConnectError, Disconnect, ProtocolError, UpstreamError, UpstreamTimeout
from gateway.net.dial import READ_AHEAD, Connection, Origin, dial
from tests.net.scripted import Wire, both_loops, scripted, turns
from tests.ports import free_port


async def hold(wire: Wire) -> None:
    await wire.wait_gone()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@contextmanager
def unresponsive() -> Iterator[Origin]:
    """A port whose accept queue is full: Linux drops further connection requests."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield Origin("http", "127.0.0.1", listener.getsockname()[1])


@pytest.mark.parametrize(
    ("url", "origin", "path"),
    [
        ("https://api.example.org/v1", Origin("https", "api.example.org", 443), "/v1"),
        ("https://api.example.org/v1/", Origin("https", "api.example.org", 443), "/v1"),
        ("https://API.Example.org", Origin("https", "api.example.org", 443), ""),
        ("http://localhost:11434/", Origin("http", "localhost", 11434), ""),
        ("http://[::1]:8080/a/b", Origin("http", "::1", 8080), "/a/b"),
        ("https://bücher.example/v1", Origin("https", "xn--bcher-kva.example", 443), "/v1"),
    ],
)
def test_a_base_url_becomes_an_origin_and_a_path(url: str, origin: Origin, path: str) -> None:
    assert Origin.parse(url) == (origin, path)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("api.example.org/v1", "begin with http"),
        ("ftp://example.org", "begin with http"),
        ("https:///v1", "no host"),
        ("https://user:secret@example.org", "user name"),
        ("https://example.org/v1?key=x", "query"),
        ("https://example.org/v1#x", "fragment"),
        ("https://example.org:99999", "ort"),
    ],
)
def test_what_cannot_be_a_base_url_is_refused_with_words(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Origin.parse(url)


@pytest.mark.parametrize(
    ("origin", "authority"),
    [
        (Origin("https", "example.org", 443), b"example.org"),
        (Origin("http", "example.org", 443), b"example.org:443"),
        (Origin("http", "::1", 8080), b"[::1]:8080"),
    ],
)
def test_the_authority_leaves_out_the_default_port(origin: Origin, authority: bytes) -> None:
    assert origin.authority == authority
    assert str(origin) == f"{origin.scheme}://{authority.decode()}"


async def failure_of(origin: Origin, context: ssl.SSLContext | None = None, seconds: float = 10.0) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await dial(origin, context, seconds)
    assert not caught.value.sent
    return caught.value


@both_loops
async def test_a_refused_port_is_a_connect_error() -> None:
    failure = await failure_of(Origin("http", "127.0.0.1", free_port()))
    assert isinstance(failure, ConnectError)
    assert "refuses connections" in failure.message


@pytest.mark.parametrize("host", ["nowhere.invalid", "a..b", "x" * 64 + ".example"])
@both_loops
async def test_a_host_that_has_no_address_is_a_connect_error(host: str) -> None:
    failure = await failure_of(Origin("http", host, 80))
    assert isinstance(failure, ConnectError)
    assert "host name" in failure.message


@both_loops
async def test_a_host_that_does_not_answer_is_a_connect_timeout() -> None:
    with unresponsive() as origin:
        failure = await failure_of(origin, seconds=0.05)
    assert isinstance(failure, UpstreamTimeout)
    assert failure.phase == "connect"


@both_loops
async def test_the_tls_handshake_belongs_to_connecting(authority: trustme.CA) -> None:
    async with scripted(hold) as upstream:
        origin = Origin("https", "127.0.0.1", upstream.origin.port)
        failure = await failure_of(origin, client_tls(authority), seconds=0.05)
        await upstream.wait_gone()
    assert isinstance(failure, UpstreamTimeout)
    assert failure.phase == "connect"


@both_loops
async def test_a_trusted_certificate_is_accepted(authority: trustme.CA) -> None:
    async with scripted(hold, tls=server_tls(authority)) as upstream:
        connection = await dial(upstream.origin, client_tls(authority), 10.0)
        connection.abort()
        await upstream.wait_gone()


@both_loops
async def test_a_certificate_nobody_vouches_for_is_refused(authority: trustme.CA) -> None:
    async with scripted(hold, tls=server_tls(authority)) as upstream:
        failure = await failure_of(upstream.origin, ssl.create_default_context())
    assert isinstance(failure, ConnectError)
    assert "not trusted" in failure.message
    assert "local issuer certificate" in failure.detail or "self-signed" in failure.detail


@both_loops
async def test_a_certificate_for_another_host_is_refused(authority: trustme.CA) -> None:
    async with scripted(hold, tls=server_tls(authority, "other.example")) as upstream:
        failure = await failure_of(upstream.origin, client_tls(authority))
    assert isinstance(failure, ConnectError)
    assert "not trusted" in failure.message
    assert "localhost" in failure.detail


@both_loops
async def test_a_server_that_speaks_no_tls_is_a_connect_error(authority: trustme.CA) -> None:
    async def plain(wire: Wire) -> None:
        wire.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await wire.wait_gone()

    async with scripted(plain) as upstream:
        failure = await failure_of(Origin("https", "127.0.0.1", upstream.origin.port), client_tls(authority))
    assert isinstance(failure, ConnectError)


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@both_loops
async def test_a_cancelled_dial_leaves_no_connection(secure: bool, authority: trustme.CA) -> None:
    context = client_tls(authority) if secure else None
    with unresponsive() as silent:
        async with scripted(hold) as upstream:
            origin = Origin("https", "127.0.0.1", upstream.origin.port) if secure else silent
            dialing = asyncio.create_task(dial(origin, context, 10.0))
            await turns()
            dialing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await dialing
            await upstream.wait_gone()


async def begun(upstream_origin: Origin) -> Connection:
    connection = await dial(upstream_origin, None, 10.0)
    connection.begin(connection.loop.time() + 10.0)
    return connection


@both_loops
async def test_the_sender_is_held_back_while_nobody_reads() -> None:
    async def flood(wire: Wire) -> None:
        wire.write(b"x" * 64_000_000)
        await wire.wait_gone()

    async with scripted(flood) as upstream:
        connection = await begun(upstream.origin)
        while connection.transport.is_reading():
            await turns(1)
        assert READ_AHEAD < connection.unread <= READ_AHEAD + 262144  # one read of the loop beyond
        taken = connection.take()
        assert connection.transport.is_reading()
        connection.put_back(taken)
        assert not connection.transport.is_reading()
        connection.take()
        assert connection.transport.is_reading()
        connection.abort()
        await upstream.wait_gone()


@both_loops
async def test_bytes_that_answer_no_request_end_the_connection() -> None:
    async def greet(wire: Wire) -> None:
        wire.write(b"220 mail.example ESMTP\r\n")
        await wire.wait_gone()

    async with scripted(greet) as upstream:
        try:
            connection = await dial(upstream.origin, None, 10.0)
        except ConnectError:
            return  # they came before anybody could ask
        while not connection.closed:
            await turns(1)
        await upstream.wait_gone()


@both_loops
async def test_who_waits_learns_why_the_connection_failed() -> None:
    async with scripted(hold) as upstream:
        connection = await begun(upstream.origin)
        waiting = asyncio.create_task(connection.wait())
        await turns()
        connection.fail(ProtocolError("enough"))
        connection.fail(Disconnect("too late to matter"))
        with pytest.raises(ProtocolError, match="enough"):
            await waiting
        await upstream.wait_gone()


@both_loops
async def test_a_cancelled_wait_can_be_repeated() -> None:
    go = asyncio.Event()

    async def late(wire: Wire) -> None:
        await go.wait()
        wire.write(b"HTTP/1.1 ")
        await wire.wait_gone()

    async with scripted(late) as upstream:
        connection = await begun(upstream.origin)
        waiting = asyncio.create_task(connection.wait())
        await turns()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go.set()
        await connection.wait()
        assert connection.unread == 9
        connection.abort()


@both_loops
async def test_silence_that_nobody_waits_for_is_not_timed() -> None:
    async with scripted(hold) as upstream:
        connection = await begun(upstream.origin)
        connection.watch("idle", 0.0)
        await turns()
        assert not connection.closed
        connection.watch("idle", 0.0)
        with pytest.raises(UpstreamTimeout, match="idle"):
            await connection.wait()
        await upstream.wait_gone()


@both_loops
async def test_what_arrives_in_the_last_moment_counts() -> None:
    async with scripted(hold) as upstream:
        connection = await begun(upstream.origin)
        connection.watch("idle", 5.0)
        waiting = asyncio.create_task(connection.wait())
        await turns()
        connection.feed_data(b"HTTP/1.1")
        connection._expire()  # before the one who waits has had its turn
        await waiting
        assert not connection.closed
        connection.abort()


@both_loops
async def test_a_closed_connection_has_no_timer() -> None:
    async with scripted(hold) as upstream:
        connection = await begun(upstream.origin)
        connection.watch("idle", 5.0)
        connection.abort()
        connection.watch("idle", 5.0)
        assert connection._deadline._handle is None
        await upstream.wait_gone()


@both_loops
async def test_the_total_deadline_needs_nobody_who_waits() -> None:
    async with scripted(hold) as upstream:
        connection = await dial(upstream.origin, None, 10.0)
        connection.begin(connection.loop.time() + 0.05)
        connection.watch("idle", 0.0)
        await upstream.wait_gone()
        with pytest.raises(UpstreamTimeout, match="total"):
            await connection.wait()


@both_loops
async def test_a_write_is_given_up_only_without_progress() -> None:
    read_some = asyncio.Event()

    async def sluggish(wire: Wire) -> None:
        await read_some.wait()
        await wire.reader.readexactly(10_000_000)
        await asyncio.Event().wait()

    async with scripted(sluggish) as upstream:
        connection = await begun(upstream.origin)
        writing = asyncio.create_task(connection.write(b"POST / HTTP/1.1\r\n\r\n", b"x" * 64_000_000, 5.0))
        await turns()
        connection._expire()  # by hand: the kernel's buffers have taken some by now
        before = connection.transport.get_write_buffer_size()
        read_some.set()
        while connection.transport.get_write_buffer_size() == before:
            await turns(1)
        connection._expire()
        assert not connection.closed
        while (left := connection.transport.get_write_buffer_size()) != before:
            before = left
            await turns(100)
        connection._expire()
        connection._expire()
        await writing
        with pytest.raises(UpstreamTimeout, match="write"):
            await connection.wait()
