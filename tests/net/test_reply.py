"""Answers on the wire: how they are framed, and that one that is not whole does not look it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import RequestError
from gateway.net.connection import Reply, Request
from tests.net.raw import GET
from tests.net.scripted import both_loops
from tests.net.serving import BIG, EVENTS, TEXT, Handling, serving, target


@both_loops
async def test_head_is_answered_without_a_body_and_with_its_length() -> None:
    async with serving(target) as served, served.connecting() as client:
        await client.send(GET.replace(b"GET /", b"HEAD /abc") + GET)
        answer = await client.read_answer("HEAD")
        assert answer.header(b"content-length") == b"4"
        assert (await client.read_answer()).body == b"/"


@both_loops
async def test_a_streamed_answer_to_head_has_no_body_either() -> None:
    handling = Handling()
    handling.may_go.set()
    async with serving(handling) as served, served.connecting() as client:
        await client.send(GET.replace(b"GET", b"HEAD") + GET)
        assert (await client.read_answer("HEAD")).status == 200
        assert (await client.read_answer()).body == b"data: 2\n\n"


@both_loops
async def test_204_has_neither_body_nor_length() -> None:
    async def nothing(request: Request, reply: Reply) -> None:
        await reply.send(204, [], b"")

    async with serving(nothing) as served, served.connecting() as client:
        await client.send(GET + GET)
        for _ in range(2):
            answer = await client.read_answer()
            assert answer.status == 204
            assert answer.header(b"content-length") is answer.header(b"transfer-encoding") is None


@pytest.mark.parametrize("fields", [b"", b"Host: a\r\n"], ids=["no host", "plain"])
@both_loops
async def test_http_1_0_gets_one_answer_that_ends_with_the_connection(fields: bytes) -> None:
    handling = Handling("between")
    handling.may_go.set()
    async with serving(handling) as served, served.connecting() as client:
        await client.send(b"GET / HTTP/1.0\r\n%b\r\n" % fields + GET)
        answer = await client.read_answer()
        assert (answer.status, answer.closes) == (200, True)
        assert answer.body == b"data: 1\n\ndata: 2\n\n"
        assert answer.header(b"transfer-encoding") is None


@both_loops
async def test_a_length_frames_an_answer_in_pieces() -> None:
    async def pieces(request: Request, reply: Reply) -> None:
        await reply.start(200, TEXT, 6)
        await reply.write(b"abc")
        await reply.write(b"")
        await reply.write(b"def")
        await reply.end()

    async with serving(pieces) as served, served.connecting() as client:
        await client.send(GET + GET)
        for _ in range(2):
            answer = await client.read_answer()
            assert (answer.header(b"content-length"), answer.body) == (b"6", b"abcdef")


@both_loops
async def test_an_empty_piece_does_not_end_a_chunked_answer() -> None:
    async def pieces(request: Request, reply: Reply) -> None:
        await reply.start(200, TEXT)
        for piece in (b"", b"abc", b"", b"def", b""):
            await reply.write(piece)
        await reply.end()

    async with serving(pieces) as served:
        assert (await served.exchange(GET)).body == b"abcdef"


@both_loops
async def test_extra_headers_are_added_to_whatever_is_answered() -> None:
    async def extra(request: Request, reply: Reply) -> None:
        reply.extra_headers = [(b"x-request-id", b"7")]
        if request.path == "/fails":
            raise RequestError(404, "not_found", "There is nothing.")
        await reply.send(200, TEXT, b"")

    async with serving(extra) as served:
        assert (await served.exchange(GET)).header(b"x-request-id") == b"7"
        assert (await served.exchange(GET.replace(b"/ ", b"/fails "))).header(b"x-request-id") == b"7"


@pytest.mark.parametrize("length", [None, 100])
@pytest.mark.parametrize("error", [ZeroDivisionError(), RequestError(502, "x", "x"), None], ids=repr)
@both_loops
async def test_an_answer_that_breaks_off_does_not_look_whole(error: Exception | None, length: int | None) -> None:
    async def broken(request: Request, reply: Reply) -> None:
        await reply.start(200, TEXT, length)
        await reply.write(b"half")
        if error is not None:
            raise error

    async with serving(broken, expect_errors=True) as served, served.connecting() as client:
        await client.send(GET + GET)
        head = await client.read_head()
        assert b" 200 " in head.split(b"\r\n")[0]
        rest = await client.read_to_end()
        assert rest == (b"4\r\nhalf\r\n" if length is None else b"half")
        await served.wait_quiet()
        if error is None:
            assert [type(each) for each in served.errors] == [RuntimeError]
        elif isinstance(error, ZeroDivisionError):
            assert served.errors == [error]


@both_loops
async def test_a_head_that_is_started_and_nothing_more_reaches_the_client() -> None:
    async def head_only(request: Request, reply: Reply) -> None:
        await reply.start(200, TEXT)
        reply.abort()

    async with serving(head_only) as served, served.connecting() as client:
        await client.send(GET)
        assert (await client.read_head()).startswith(b"HTTP/1.1 200 OK\r\n")
        assert await client.read_to_end() == b""


@pytest.mark.parametrize("length", [None, 10])
@both_loops
async def test_what_was_written_before_an_abort_arrives_but_no_end(length: int | None) -> None:
    async def aborting(request: Request, reply: Reply) -> None:
        await reply.start(200, TEXT, length)
        await reply.write(b"half")
        reply.abort()

    async with serving(aborting) as served, served.connecting() as client:
        await client.send(GET + GET)
        with pytest.raises(EOFError):
            await client.read_answer()
        assert client.received.strip() in (b"", b"half")


@both_loops
async def test_much_that_was_written_before_an_abort_arrives() -> None:
    async def aborting(request: Request, reply: Reply) -> None:
        await reply.start(200, TEXT)
        await reply.write(bytes(BIG))
        reply.abort()

    async with serving(aborting) as served, served.connecting() as client:
        await client.send(GET)
        await client.read_head()
        assert len(await client.read_to_end()) == len(b"%x\r\n\r\n" % BIG) + BIG


@both_loops
async def test_less_than_the_promised_length_is_no_whole_answer() -> None:
    async def stingy(request: Request, reply: Reply) -> None:
        await reply.start(200, TEXT, 10)
        await reply.write(b"half")
        await reply.end()

    async with serving(stingy, expect_errors=True) as served, served.connecting() as client:
        await client.send(GET + GET)
        await client.read_head()
        assert await client.read_to_end() == b"half"
        assert served.errors


@pytest.mark.parametrize("pieces", [(b"too much",), (b"too ", b"much"), (b"t", b"oo ", b"much")])
@both_loops
async def test_nothing_is_written_beyond_the_promised_length(pieces: tuple[bytes, ...]) -> None:
    async def lavish(request: Request, reply: Reply) -> None:
        await reply.start(200, TEXT, 5)
        for piece in pieces:
            await reply.write(piece)
        await reply.end()

    async with serving(lavish, expect_errors=True) as served, served.connecting() as client:
        await client.send(GET + GET)
        await client.read_head()
        rest = await client.read_to_end()
        assert b"too much".startswith(rest)
        assert len(rest) < 5
        assert served.errors


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\0b"], ids=repr)
@both_loops
async def test_a_header_value_cannot_end_its_line(value: bytes) -> None:
    async def splitting(request: Request, reply: Reply) -> None:
        await reply.send(200, [(b"x", value)], b"")

    async with serving(splitting, expect_errors=True) as served:
        answer = await served.exchange(GET)
        assert (answer.status, answer.header(b"set-cookie"), answer.header(b"x")) == (500, None, None)
        assert [type(error) for error in served.errors] == [ValueError]


@both_loops
async def test_a_handler_that_is_done_may_leave_the_body_of_head_and_204_unsaid() -> None:
    async def started(request: Request, reply: Reply) -> None:
        await reply.start(204 if request.path == "/204" else 200, TEXT)
        await reply.end()

    async with serving(started) as served, served.connecting() as client:
        await client.send(GET.replace(b"/ ", b"/204 ") + GET.replace(b"GET", b"HEAD") + GET)
        assert (await client.read_answer()).status == 204
        assert (await client.read_answer("HEAD")).status == 200
        assert (await client.read_answer()).body == b""


@both_loops
async def test_a_piece_may_be_written_from_outside_while_the_handler_waits() -> None:
    begun: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    may_end = asyncio.Event()

    async def quiet(request: Request, reply: Reply) -> None:
        await reply.start(200, EVENTS)
        begun.set_result(reply)
        await may_end.wait()
        await reply.write(b"data: 1\n\n")
        await reply.end()

    async with serving(quiet) as served, served.connecting() as client:
        await client.send(GET)
        (await begun).write_nowait(b": still there\n\n")
        await client.read_head()
        chunks = client.read_chunks()
        assert await anext(chunks) == b": still there\n\n"
        may_end.set()
        assert [chunk async for chunk in chunks] == [b"data: 1\n\n"]


@both_loops
async def test_a_piece_to_a_client_that_is_gone_is_an_error() -> None:
    handling = Handling("between")
    replies = []

    async def noted(request: Request, reply: Reply) -> None:
        replies.append(reply)
        await handling(request, reply)

    async with serving(noted) as served, served.connecting() as client:
        await client.send(GET)
        await handling.waits.wait()
        client.reset()
        await served.wait_quiet()
        with pytest.raises(ConnectionError):
            replies[0].write_nowait(b"data: 2\n\n")
