"""Exchanges over real sockets: what goes out, what comes back, and what becomes of the connection."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trustme

from gateway.errors import ConnectError, Disconnect, ProtocolError, UpstreamError, UpstreamTimeout
from gateway.net.client import Answer, Client, Origin, PoolStatistics, Timeouts
from tests.net.scripted import Script, Upstream, Wire, answering, both_loops, scripted, turns

EMPTY = PoolStatistics(open=0, idle=0, waiting=0)
ONE_IDLE = PoolStatistics(open=1, idle=1, waiting=0)
PATIENT = Timeouts(connect=10.0, write=10.0, first_byte=10.0, idle=10.0)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: 7\r\nContent-Length: 2\r\n\r\n{}"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
BIG = 32_000_000  # more than the kernel's buffers on both sides take


async def send(
    client: Client,
    origin: Origin,
    method: bytes = b"POST",
    headers: Sequence[tuple[bytes, bytes]] = (),
    body: bytes = b"hello",
    timeouts: Timeouts = PATIENT,
    total: float = 10.0,
    limit: int = 100,
) -> Answer:
    deadline = asyncio.get_running_loop().time() + total
    return await client.exchange(origin, method, b"/v1", headers, body, timeouts, deadline, max_connections=limit)


async def fetch(client: Client, origin: Origin, method: bytes = b"POST") -> bytes:
    answer = await send(client, origin, method)
    try:
        return await answer.read_all(1_000_000)
    finally:
        answer.close()


@asynccontextmanager
async def talking(*scripts: Script, idle_timeout: float = 55.0) -> AsyncIterator[tuple[Client, Upstream]]:
    """A client and an upstream. At the end no connection may be left."""
    client = Client(idle_timeout=idle_timeout)
    async with scripted(*scripts) as upstream:
        try:
            yield client, upstream
        finally:
            await client.close()
        await upstream.wait_gone()
        assert client.statistics() == EMPTY
        assert not client._connections


# What goes out and what comes back.


@both_loops
async def test_an_answer_comes_back_as_it_was_sent() -> None:
    async with talking(answering(OK)) as (client, upstream):
        answer = await send(client, upstream.origin)
        assert answer.status == 200
        assert answer.headers == [
            (b"content-type", b"application/json"),
            (b"x-request-id", b"7"),
            (b"content-length", b"2"),
        ]
        assert answer.header(b"x-request-id") == b"7"
        assert answer.header(b"retry-after") is None
        assert await answer.read() == b"{}"
        assert answer.complete
        assert await answer.read() == b""
        answer.close()


@pytest.mark.parametrize(
    ("method", "headers", "body", "sent"),
    [
        (b"GET", [], b"", b"GET /v1 HTTP/1.1\r\nhost: HOST\r\n\r\n"),
        (b"POST", [], b"", b"POST /v1 HTTP/1.1\r\nhost: HOST\r\ncontent-length: 0\r\n\r\n"),
        (b"POST", [(b"x-a", b"1")], b"hi", b"POST /v1 HTTP/1.1\r\nhost: HOST\r\nx-a: 1\r\ncontent-length: 2\r\n\r\nhi"),
        (
            b"DELETE",
            [(b"content-length", b"2"), (b"host", b"example.org")],
            b"hi",
            b"DELETE /v1 HTTP/1.1\r\nhost: example.org\r\ncontent-length: 2\r\n\r\nhi",
        ),
    ],
)
@both_loops
async def test_host_and_length_are_added_where_they_are_missing(
    method: bytes, headers: list[tuple[bytes, bytes]], body: bytes, sent: bytes
) -> None:
    async with talking(answering(OK)) as (client, upstream):
        answer = await send(client, upstream.origin, method, headers, body)
        answer.close()
        assert upstream.requests == [sent.replace(b"HOST", upstream.origin.authority)]


@pytest.mark.parametrize(
    ("target", "headers", "body"),
    [
        (b"/v1 HTTP/1.1\r\nx: y", [], b""),
        (b"/v1", [(b"x", b"1\r\ny: 2")], b""),
        (b"/v1", [(b"x", b"1\ny: 2")], b""),
        (b"/v1", [(b"x", b"1\0")], b""),
        (b"/v1", [(b"x y", b"1")], b""),
        (b"/v1 2", [], b""),
        (b"/v1", [(b"host", b"a"), (b"host", b"b")], b""),
        (b"/v1", [(b"host", b"a"), (b"host", b"a")], b""),
        (b"/v1", [(b"content-length", b"4"), (b"content-length", b"4")], b"four"),
        (b"/v1", [(b"content-length", b"3")], b"four"),
        (b"/v1", [(b"content-length", b"5")], b"four"),
    ],
)
@both_loops
async def test_a_request_that_is_not_http_is_not_sent(
    target: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    async with talking(answering(OK)) as (client, upstream):
        with pytest.raises(ValueError, match="cannot be written"):
            await client.exchange(upstream.origin, b"POST", target, headers, body, PATIENT, 1e12)
        assert client.statistics() == EMPTY
        await upstream.wait_gone()
        assert upstream.requests == []


@both_loops
async def test_it_is_told_when_a_request_is_on_its_way_and_not_before() -> None:
    told: list[str] = []
    so_far: list[str] = []
    asking = asyncio.Event()

    async def slow(wire: Wire) -> None:
        await wire.read_request()
        await asking.wait()
        so_far.extend(told)
        wire.write(OK)
        await wire.wait_gone()

    async with talking(slow) as (client, upstream):

        async def ask(name: str) -> Answer:
            at, note = upstream.origin, lambda: told.append(name)
            return await client.exchange(
                at, b"POST", b"/v1", [], b"hello", PATIENT, 1e12, max_connections=1, written=note
            )

        first = asyncio.create_task(ask("first"), name="first")
        while not told:
            await asyncio.sleep(0)
        second = asyncio.create_task(ask("second"), name="second")  # there is no place for it
        await turns()
        asking.set()
        (await first).close()
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        assert so_far == ["first"]


FRAMINGS = {
    "content-length": (b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world", True),
    "chunked": (CHUNKED + b"6;x=y\r\nhello \r\n5\r\nworld\r\n0\r\ntrailer: ignored\r\n\r\n", True),
    "both": (CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-length: 21\r\n\r\n") + b"b\r\nhello world\r\n0\r\n\r\n", False),
    "until closed": (b"HTTP/1.1 200 OK\r\nserver: x\r\n\r\nhello world", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\ncontent-length: 11\r\n\r\nhello world", False),
    "connection: close": (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 11\r\n\r\nhello world", False),
    "interim answers": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world",
        True,
    ),
}


@pytest.mark.parametrize("framing", FRAMINGS)
@both_loops
async def test_an_answer_may_be_cut_at_every_byte(framing: str) -> None:
    response, keeps = FRAMINGS[framing]
    cuts = iter(range(len(response)))

    async def cutting(wire: Wire) -> None:
        for cut in cuts:
            await wire.read_request()
            wire.write(response[:cut])
            await turns()
            wire.write(response[cut:])
            if not keeps:
                return
        await wire.wait_gone()

    async with talking(cutting) as (client, upstream):
        for _ in range(len(response)):
            assert await fetch(client, upstream.origin) == b"hello world"
        assert upstream.accepted == (1 if keeps else len(response))
        assert client.statistics() == (ONE_IDLE if keeps else EMPTY)


@pytest.mark.parametrize("framing", FRAMINGS)
@both_loops
async def test_an_answer_may_come_byte_by_byte(framing: str) -> None:
    response, _ = FRAMINGS[framing]

    async def dripping(wire: Wire) -> None:
        await wire.read_request()
        for byte in response:
            wire.write(bytes([byte]))
            await turns(3)

    async with talking(dripping) as (client, upstream):
        assert await fetch(client, upstream.origin) == b"hello world"


@pytest.mark.parametrize(
    ("method", "head"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n"),
        (b"POST", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ],
)
@both_loops
async def test_an_answer_without_a_body_ends_with_its_head(method: bytes, head: bytes) -> None:
    async with talking(answering(head, head)) as (client, upstream):
        for _ in range(2):
            assert await fetch(client, upstream.origin, method) == b""
        assert upstream.accepted == 1


@pytest.mark.parametrize("response", [OK, b"HTTP/1.1 200 Connection established\r\n\r\n"])
@both_loops
async def test_a_tunnel_that_is_granted_is_no_answer(response: bytes) -> None:
    async with talking(answering(response)) as (client, upstream):
        with pytest.raises(ProtocolError, match="switches protocols"):
            await fetch(client, upstream.origin, b"CONNECT")
        assert client.statistics() == EMPTY


@both_loops
async def test_a_redirect_is_returned_not_followed() -> None:
    response = b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"
    async with talking(answering(response)) as (client, upstream):
        answer = await send(client, upstream.origin)
        assert answer.status == 302
        assert answer.header(b"location") == b"http://169.254.169.254/"
        assert await answer.read_all(0) == b""


@both_loops
async def test_a_stream_is_read_as_it_arrives_and_what_is_there_in_one_piece() -> None:
    more = asyncio.Event()

    async def streaming(wire: Wire) -> None:
        await wire.read_request()
        wire.write(CHUNKED + b"3\r\none\r\n3\r\ntwo\r\n")
        await more.wait()
        wire.write(b"5\r\nthree\r\n4\r\nfour\r\n")
        wire.write(b"0\r\n\r\n")
        await wire.wait_gone()

    async with talking(streaming) as (client, upstream):
        answer = await send(client, upstream.origin)
        pieces = [await answer.read()]
        while pieces[-1] == b"":  # the head may come alone
            pieces.append(await answer.read())
        assert b"".join(pieces) == b"onetwo"
        assert not answer.complete
        more.set()
        assert b"".join([piece async for piece in rest(answer)]) == b"threefour"
        assert client.statistics() == ONE_IDLE


async def rest(answer: Answer) -> AsyncIterator[bytes]:
    while piece := await answer.read():
        yield piece


@pytest.mark.parametrize("size", [0, 1, 262144, 262145, 5_000_000])
@both_loops
async def test_bodies_of_any_size_arrive_whole(size: int) -> None:
    async with talking(answering(OK, OK)) as (client, upstream):
        for _ in range(2):
            answer = await send(client, upstream.origin, body=b"x" * size)
            answer.close()
        assert [request.count(b"x") for request in upstream.requests] == [size, size]
        assert upstream.accepted == 1


@both_loops
async def test_an_answer_beyond_the_limit_is_not_read() -> None:
    async with talking(answering(HEAD + b"0123456789")) as (client, upstream):
        answer = await send(client, upstream.origin)
        with pytest.raises(ProtocolError, match="more than 9 bytes"):
            await answer.read_all(9)


@both_loops
async def test_an_answer_of_exactly_the_limit_is_read() -> None:
    async with talking(answering(HEAD + b"0123456789")) as (client, upstream):
        answer = await send(client, upstream.origin)
        assert await answer.read_all(10) == b"0123456789"


# What becomes of the connection.


@both_loops
async def test_a_connection_is_used_again_for_the_same_origin_only() -> None:
    async with talking(answering(OK, OK)) as (client, upstream), scripted(answering(OK)) as other:
        await fetch(client, upstream.origin)
        await fetch(client, other.origin)
        await fetch(client, upstream.origin)
        assert (upstream.accepted, other.accepted) == (1, 1)
        assert client.statistics() == PoolStatistics(open=2, idle=2, waiting=0)
        await client.close()


@both_loops
async def test_deadlines_end_with_the_answer() -> None:
    async with talking(answering(OK, OK)) as (client, upstream):
        loop = asyncio.get_running_loop()
        over = loop.time() + 0.25
        answer = await send(client, upstream.origin, total=0.25)
        await answer.read_all(10)
        while loop.time() < over + 0.01:
            await turns()
        assert client.statistics() == ONE_IDLE
        await fetch(client, upstream.origin)
        assert upstream.accepted == 1


@both_loops
async def test_an_unread_answer_that_is_wholly_here_keeps_its_connection() -> None:
    async with talking(answering(OK, OK)) as (client, upstream):
        answer = await send(client, upstream.origin)
        await turns()
        answer.close()
        assert client.statistics() == ONE_IDLE
        answer.close()
        assert client.statistics() == ONE_IDLE


@both_loops
async def test_closing_an_answer_before_its_end_closes_the_connection() -> None:
    async with talking(answering(HEAD + b"01234")) as (client, upstream):
        answer = await send(client, upstream.origin)
        assert await answer.read() == b"01234"
        answer.close()
        answer.close()
        assert client.statistics() == EMPTY
        await upstream.wait_gone()
        with pytest.raises(Disconnect, match="before its end"):
            await answer.read()


@pytest.mark.parametrize("late", [False, True], ids=["with the answer", "afterwards"])
@both_loops
async def test_bytes_beyond_an_answer_are_never_taken_for_the_next(late: bool) -> None:
    done = asyncio.Event()

    async def splitting(wire: Wire) -> None:
        await wire.read_request()
        if not late:
            wire.write(OK + OK.replace(b"{}", b"[]"))
        else:
            wire.write(OK)
            await done.wait()
            wire.write(OK.replace(b"{}", b"[]"))
        await wire.wait_gone()

    async with talking(splitting, answering(OK)) as (client, upstream):
        assert await fetch(client, upstream.origin) == b"{}"
        done.set()
        await upstream.wait_gone()
        assert client.statistics() == EMPTY
        assert await fetch(client, upstream.origin) == b"{}"
        assert upstream.accepted == 2


@both_loops
async def test_a_connection_that_the_upstream_closed_while_idle_is_not_used() -> None:
    async with talking(answering(OK, close=True), answering(OK)) as (client, upstream):
        await fetch(client, upstream.origin)
        await upstream.wait_gone()
        await turns()
        assert client.statistics() == EMPTY
        await fetch(client, upstream.origin)
        assert upstream.accepted == 2


@both_loops
async def test_idle_connections_are_closed_after_their_time() -> None:
    async with talking(answering(OK), idle_timeout=0.02) as (client, upstream):
        await fetch(client, upstream.origin)
        assert client.statistics() == ONE_IDLE
        await upstream.wait_gone()
        assert client.statistics() == EMPTY
        assert not client._connections


def closing_on(request: int, *, by_reset: bool = False, after: bytes = b"") -> Script:
    """Answers until it has read its nth request, and then closes."""

    async def script(wire: Wire) -> None:
        for _ in range(request - 1):
            await wire.read_request()
            wire.write(OK)
        await wire.read_request()
        if after:
            wire.write(after)
            await turns()
        if by_reset:
            wire.reset()

    return script


@pytest.mark.parametrize("by_reset", [False, True], ids=["end of file", "reset"])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
@both_loops
async def test_a_stale_connection_makes_the_request_go_once_more_to_a_fresh_one(method: bytes, by_reset: bool) -> None:
    async with talking(closing_on(2, by_reset=by_reset), answering(OK)) as (client, upstream):
        await fetch(client, upstream.origin, method)
        assert await fetch(client, upstream.origin, method) == b"{}"
        assert upstream.accepted == 2
        assert len(upstream.requests) == 3
        assert client.statistics() == ONE_IDLE


@both_loops
async def test_a_large_request_goes_once_more_too() -> None:
    async def deaf(wire: Wire) -> None:
        await wire.read_request()
        wire.write(OK)
        await wire.reader.readexactly(1)
        wire.reset()

    async with talking(deaf, answering(OK)) as (client, upstream):
        await fetch(client, upstream.origin)
        answer = await send(client, upstream.origin, body=b"x" * BIG)
        assert answer.status == 200
        answer.close()
        assert upstream.requests[-1].endswith(b"x" * BIG)


@both_loops
async def test_the_second_try_is_on_a_fresh_connection_even_if_others_are_idle() -> None:
    async with talking(closing_on(2), closing_on(2), answering(OK)) as (client, upstream):
        first, second = await send(client, upstream.origin), await send(client, upstream.origin)
        await first.read_all(10)
        await second.read_all(10)
        assert await fetch(client, upstream.origin) == b"{}"
        assert upstream.accepted == 3


@both_loops
async def test_the_second_try_is_the_last() -> None:
    async with talking(closing_on(2), closing_on(1)) as (client, upstream):
        await fetch(client, upstream.origin)
        with pytest.raises(Disconnect, match="without an answer"):
            await fetch(client, upstream.origin)
        assert upstream.accepted == 2
        assert client.statistics() == EMPTY


@both_loops
async def test_whoever_asks_decides_whether_a_request_may_go_once_more() -> None:
    async with talking(closing_on(2), answering(OK)) as (client, upstream):
        await fetch(client, upstream.origin)
        with pytest.raises(Disconnect, match="without an answer") as caught:
            deadline = asyncio.get_running_loop().time() + 10.0
            await client.exchange(
                upstream.origin, b"POST", b"/v1", [], b"hello", PATIENT, deadline, resend=lambda: False
            )
        assert caught.value.sent
        assert (upstream.accepted, len(upstream.requests)) == (1, 2)
        assert client.statistics() == EMPTY


@both_loops
async def test_a_reused_connection_that_had_begun_to_answer_is_not_tried_again() -> None:
    async with talking(closing_on(2, after=b"HTTP/1.1 2")) as (client, upstream):
        await fetch(client, upstream.origin)
        with pytest.raises(Disconnect, match="middle of its answer"):
            await fetch(client, upstream.origin)
        assert upstream.accepted == 1


# Failures.


async def failure_of(client: Client, upstream: Upstream, body: bytes = b"") -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        answer = await send(client, upstream.origin, body=body)
        await answer.read_all(10_000_000)
    assert client.statistics() == EMPTY
    await upstream.wait_gone()
    return caught.value


@pytest.mark.parametrize("by_reset", [False, True], ids=["end of file", "reset"])
@pytest.mark.parametrize(
    "begun",
    [b"", b"HTTP/1.1 200 OK\r\ncont", HEAD, HEAD + b"01234", CHUNKED + b"5\r\n01", CHUNKED + b"2\r\n01\r\n"],
    ids=["nothing", "half a head", "head", "half a body", "half a chunk", "no last chunk"],
)
@both_loops
async def test_an_answer_cut_short_is_a_disconnect(begun: bytes, by_reset: bool) -> None:
    async with talking(closing_on(1, after=begun, by_reset=by_reset)) as (client, upstream):
        failure = await failure_of(client, upstream)
        assert isinstance(failure, Disconnect)
        assert failure.sent


@both_loops
async def test_a_reset_does_not_pass_for_the_end_of_a_body_without_length() -> None:
    begun = b"HTTP/1.1 200 OK\r\n\r\nhello"
    async with talking(closing_on(1, after=begun, by_reset=True)) as (client, upstream):
        assert isinstance(await failure_of(client, upstream), Disconnect)


@both_loops
async def test_what_came_before_a_reset_is_still_read() -> None:
    async with talking(closing_on(1, after=HEAD + b"01234", by_reset=True)) as (client, upstream):
        answer = await send(client, upstream.origin)
        assert await answer.read() == b"01234"
        with pytest.raises(Disconnect, match="reset"):
            await answer.read()


@pytest.mark.parametrize(
    "response",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x16",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n",
        CHUNKED + b"zz\r\n",
        CHUNKED + b"2\r\n0123\r\n",
    ],
)
@both_loops
async def test_what_is_not_http_is_a_protocol_error(response: bytes) -> None:
    async with talking(answering(response)) as (client, upstream):
        failure = await failure_of(client, upstream)
        assert isinstance(failure, ProtocolError)
        assert len(failure.detail) <= 200


@pytest.mark.parametrize("pieces", [1, 2, 100])
@both_loops
async def test_a_head_beyond_64_kib_is_a_protocol_error(pieces: int) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: " + b"y" * 70_000 + b"\r\n\r\n"

    async def boasting(wire: Wire) -> None:
        await wire.read_request()
        step = len(head) // pieces + 1
        for start in range(0, len(head), step):
            wire.write(head[start : start + step])
            await turns(3)
        await wire.wait_gone()

    async with talking(boasting) as (client, upstream):
        assert isinstance(await failure_of(client, upstream), ProtocolError)


@both_loops
async def test_a_head_of_60_kib_is_read() -> None:
    value = b"y" * 60_000
    async with talking(answering(OK.replace(b"X-Request-Id: 7", b"x: " + value))) as (client, upstream):
        answer = await send(client, upstream.origin)
        assert answer.header(b"x") == value
        answer.close()


@both_loops
async def test_an_upstream_may_answer_before_it_has_read_the_request() -> None:
    async def impatient(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        wire.write(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 4\r\n\r\nmuch")
        await turns()
        wire.reset()

    async with talking(impatient) as (client, upstream):
        answer = await send(client, upstream.origin, body=b"x" * BIG)
        assert answer.status == 413
        assert await answer.read_all(10) == b"much"
        answer.close()
        assert client.statistics() == EMPTY


# Deadlines.

SHORT = 0.02


async def silent(wire: Wire) -> None:
    await wire.wait_gone()


async def deaf(wire: Wire) -> None:
    await asyncio.Event().wait()


async def deaf_but_rude(wire: Wire) -> None:
    wire.write(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n")
    await asyncio.Event().wait()


def stopping(*begun: bytes) -> Script:
    async def script(wire: Wire) -> None:
        await wire.read_request()
        for piece in begun:
            wire.write(piece)
            await turns()
        await wire.wait_gone()

    return script


@pytest.mark.parametrize(
    ("phase", "begun", "timeouts", "total"),
    [
        ("first_byte", [], Timeouts(10.0, 10.0, SHORT, 10.0), 10.0),
        ("first_byte", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1"], Timeouts(10.0, 10.0, SHORT, 10.0), 10.0),
        ("total", [], PATIENT, 0.25),
        ("idle", [HEAD], Timeouts(10.0, 10.0, 10.0, SHORT), 10.0),
        ("idle", [HEAD, b"01", b"23"], Timeouts(10.0, 10.0, 10.0, SHORT), 10.0),
        ("total", [HEAD, b"01", b"23"], PATIENT, 0.25),
    ],
)
@both_loops
async def test_a_silent_upstream_is_given_up(phase: str, begun: list[bytes], timeouts: Timeouts, total: float) -> None:
    async with talking(stopping(*begun)) as (client, upstream):
        with pytest.raises(UpstreamTimeout) as caught:
            answer = await send(client, upstream.origin, timeouts=timeouts, total=total)
            await answer.read_all(100)
        assert caught.value.phase == phase
        assert caught.value.sent
        assert client.statistics() == EMPTY
        await upstream.wait_gone()


@both_loops
async def test_a_stream_that_never_pauses_still_ends_at_the_total_deadline() -> None:
    async def endless(wire: Wire) -> None:
        await wire.read_request()
        wire.write(CHUNKED)
        while not wire.writer.is_closing():
            wire.write(b"5\r\nagain\r\n")
            await wire.writer.drain()
            await turns(1)

    async with talking(endless) as (client, upstream):
        answer = await send(client, upstream.origin, total=0.25)
        with pytest.raises(UpstreamTimeout, match="total"):
            while await answer.read():
                pass


@both_loops
async def test_an_upstream_that_stops_reading_is_given_up() -> None:
    async with scripted(deaf) as upstream:
        client = Client()
        with pytest.raises(UpstreamTimeout, match="write") as caught:
            await send(client, upstream.origin, body=b"x" * BIG, timeouts=Timeouts(10.0, SHORT, 10.0, 10.0))
        assert caught.value.sent
        assert client.statistics() == EMPTY


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@both_loops
async def test_an_answer_to_a_request_that_is_not_read_is_taken_at_once(tls: bool) -> None:
    server, trusting = contexts()
    async with scripted(deaf_but_rude, tls=server if tls else None) as upstream:
        client = Client(tls=trusting)
        timeouts = Timeouts(10.0, 3600.0, 3600.0, 3600.0)
        answer = await send(client, upstream.origin, body=b"x" * BIG, timeouts=timeouts, total=3600.0)
        assert answer.status == 413
        assert await answer.read() == b""
        assert tls or client.statistics() == EMPTY, "what was not read is in the way of another request"
        await client.close()


@pytest.mark.parametrize(("connect", "total", "phase"), [(SHORT, 10.0, "connect"), (10.0, SHORT, "total")])
@both_loops
async def test_dialing_has_a_deadline_and_nothing_was_sent(connect: float, total: float, phase: str) -> None:
    async with scripted(silent) as upstream:
        client = Client(tls=ssl.create_default_context())
        origin = Origin("https", "127.0.0.1", upstream.origin.port)  # whose handshake is never answered
        with pytest.raises(UpstreamTimeout, match=phase) as caught:
            await send(client, origin, timeouts=Timeouts(connect, 10.0, 10.0, 10.0), total=total)
        assert not caught.value.sent
        assert client.statistics() == EMPTY
        await upstream.wait_gone()


# Cancellation, at each await.


async def cancelled(task: asyncio.Task[Answer] | asyncio.Task[bytes]) -> None:
    await turns(20)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@both_loops
async def test_cancelling_while_dialing_leaves_nothing() -> None:
    async with scripted(silent) as upstream:
        client = Client(tls=ssl.create_default_context())
        origin = Origin("https", "127.0.0.1", upstream.origin.port)
        await cancelled(asyncio.create_task(send(client, origin)))
        assert client.statistics() == EMPTY
        await upstream.wait_gone()


@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
@pytest.mark.parametrize("size", [5, BIG], ids=["waiting for the head", "writing"])
@both_loops
async def test_cancelling_an_exchange_closes_its_connection(size: int, reused: bool) -> None:
    async def stuck(wire: Wire) -> None:
        if reused:
            await wire.read_request()
            wire.write(OK)
        await wire.reader.readuntil(b"\r\n\r\n")
        await asyncio.Event().wait()

    async with scripted(stuck) as upstream:
        client = Client()
        if reused:
            await fetch(client, upstream.origin)
        await cancelled(asyncio.create_task(send(client, upstream.origin, body=b"x" * size)))
        assert client.statistics() == EMPTY
        assert not client._connections
        assert upstream.accepted == 1


@both_loops
async def test_a_cancelled_read_loses_nothing() -> None:
    go = asyncio.Event()

    async def late(wire: Wire) -> None:
        await wire.read_request()
        wire.write(HEAD)
        await go.wait()
        wire.write(b"0123456789")
        await wire.wait_gone()

    async with talking(late) as (client, upstream):
        answer = await send(client, upstream.origin)
        await cancelled(asyncio.create_task(answer.read()))
        go.set()
        assert await answer.read_all(10) == b"0123456789"
        assert client.statistics() == ONE_IDLE


@both_loops
async def test_an_answer_closed_after_a_cancelled_read_gives_up_its_connection() -> None:
    async with talking(stopping(HEAD)) as (client, upstream):
        answer = await send(client, upstream.origin)
        await cancelled(asyncio.create_task(answer.read()))
        answer.close()
        assert client.statistics() == EMPTY
        await upstream.wait_gone()


# A limit on connections.


@both_loops
async def test_beyond_the_limit_requests_wait_in_line() -> None:
    async with talking(answering(*[OK] * 4)) as (client, upstream):
        order: list[int] = []

        async def numbered(number: int) -> None:
            answer = await send(client, upstream.origin, limit=1)
            order.append(number)
            await answer.read_all(10)

        first = await send(client, upstream.origin, limit=1)
        waiting = [asyncio.create_task(numbered(number)) for number in range(3)]
        await turns()
        assert client.statistics() == PoolStatistics(open=1, idle=0, waiting=3)
        await first.read_all(10)
        await asyncio.gather(*waiting)
        assert order == [0, 1, 2]
        assert upstream.accepted == 1


@both_loops
async def test_the_place_of_a_failed_exchange_goes_to_the_next_in_line() -> None:
    async with talking(stopping(HEAD), answering(OK)) as (client, upstream):
        first = await send(client, upstream.origin, limit=1)
        second = asyncio.create_task(send(client, upstream.origin, limit=1))
        await turns()
        first.close()
        answer = await second
        assert await answer.read_all(10) == b"{}"
        assert upstream.accepted == 2


@both_loops
async def test_a_cancelled_waiter_passes_its_connection_on() -> None:
    async with talking(answering(OK, OK)) as (client, upstream):
        first = await send(client, upstream.origin, limit=1)
        second = asyncio.create_task(send(client, upstream.origin, limit=1))
        third = asyncio.create_task(send(client, upstream.origin, limit=1))
        await turns()
        await first.read_all(10)  # the connection is handed to the second here
        second.cancel()
        assert await (await third).read_all(10) == b"{}"
        with pytest.raises(asyncio.CancelledError):
            await second
        assert upstream.accepted == 1


@both_loops
async def test_a_connection_that_dies_on_its_way_to_a_waiter_is_replaced() -> None:
    async with talking(answering(OK), answering(OK)) as (client, upstream):
        first = await send(client, upstream.origin, limit=1)
        second = asyncio.create_task(send(client, upstream.origin, limit=1))
        await turns()
        connection = first._connection
        assert connection is not None
        await first.read_all(10)
        connection.abort()
        assert await (await second).read_all(10) == b"{}"
        assert upstream.accepted == 2
        assert client.statistics() == ONE_IDLE


@pytest.mark.parametrize(("connect", "total", "phase"), [(SHORT, 10.0, "connect"), (10.0, SHORT, "total")])
@both_loops
async def test_waiting_in_line_has_a_deadline(connect: float, total: float, phase: str) -> None:
    async with talking(answering(OK)) as (client, upstream):
        first = await send(client, upstream.origin, limit=1)
        with pytest.raises(UpstreamTimeout, match=phase) as caught:
            await send(client, upstream.origin, timeouts=Timeouts(connect, 10.0, 10.0, 10.0), total=total, limit=1)
        assert not caught.value.sent
        assert client.statistics() == PoolStatistics(open=1, idle=0, waiting=0)
        first.close()


# The end.


@both_loops
async def test_closing_the_client_ends_everything() -> None:
    async with talking(stopping(HEAD), answering(OK)) as (client, upstream):
        reading = await send(client, upstream.origin, limit=2)
        idle = await send(client, upstream.origin, limit=2)
        await idle.read_all(10)
        blocked = asyncio.create_task(reading.read())
        await turns()
        await client.close()
        with pytest.raises(Disconnect, match="client is closed"):
            await blocked
        with pytest.raises(ConnectError, match="client is closed"):
            await send(client, upstream.origin)
        assert client.statistics() == EMPTY
        await upstream.wait_gone()


@both_loops
async def test_closing_the_client_fails_those_who_wait_or_dial() -> None:
    async with talking(stopping(HEAD)) as (client, upstream):
        first = await send(client, upstream.origin, limit=1)
        waiting = asyncio.create_task(send(client, upstream.origin, limit=1))
        await turns()
        async with scripted(answering(OK)) as other:
            dialing = asyncio.create_task(send(client, other.origin))
            await turns(1)
            await client.close()
            for task in (waiting, dialing):
                with pytest.raises((ConnectError, Disconnect), match="client is closed"):
                    await task
            await other.wait_gone()
        first.close()


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For a server called localhost, and for a client that trusts it."""
    authority = trustme.CA()
    server, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(trusting)
    return server, trusting


@both_loops
async def test_exchanges_over_tls_keep_their_connection() -> None:
    server, trusting = contexts()
    async with scripted(answering(OK, OK, OK), tls=server) as upstream:
        client = Client(tls=trusting)
        for size in (5, 2_000_000, 5):
            answer = await send(client, upstream.origin, body=b"x" * size)
            assert await answer.read_all(10) == b"{}"
        assert upstream.accepted == 1
        await client.close()
        await upstream.wait_gone()


@both_loops
async def test_certificates_are_verified_unless_told_otherwise() -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(server)
    async with scripted(answering(OK), tls=server) as upstream:
        client = Client()
        with pytest.raises(ConnectError, match="not trusted"):
            await send(client, upstream.origin)
        assert client.statistics() == EMPTY


@both_loops
async def test_many_exchanges_at_once_leave_nothing_behind() -> None:
    async with talking(answering(*[OK] * 1000)) as (client, upstream):
        bodies = await asyncio.gather(*[fetch(client, upstream.origin) for _ in range(200)])
        assert bodies == [b"{}"] * 200
        assert upstream.accepted <= 100  # the limit that `send` gives
        assert client.statistics().waiting == 0
        assert client.statistics().open == client.statistics().idle == upstream.accepted
