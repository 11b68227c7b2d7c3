"""The life of a connection over real sockets: keep-alive, pipelining, slow and vanishing clients, handlers that err."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import RequestError
from gateway.net.connection import BODY_STEP, PIPELINE_LIMIT, READ_AHEAD, Reply, Request
from gateway.policy.room import weight
from tests.garbage import leaving_no_cycle
from tests.net.raw import GET, SocketClient, chunked, post
from tests.net.scripted import both_loops, turns
from tests.net.serving import BIG, EVENTS, SHORT, TEXT, Handling, mirror, serving, target

# -- requests one after the other ----------------------------------------------------------------------------------


@both_loops
async def test_a_connection_serves_many_requests() -> None:
    async with serving(mirror) as served, served.connecting() as client:
        for body in (b"one", b"", b"three"):
            await client.send(post(body))
            answer = await client.read_answer()
            assert (answer.status, answer.body) == (200, body)
            assert not answer.closes
        assert served.server.connections == 1


@both_loops
async def test_pipelined_requests_are_answered_in_order() -> None:
    async with serving(target) as served, served.connecting() as client:
        await client.send(b"".join(GET.replace(b"/ ", b"/%d " % n) for n in range(50)))
        assert [(await client.read_answer()).body for _ in range(50)] == [b"/%d" % n for n in range(50)]


@pytest.mark.parametrize("first", [post(b"hello"), chunked(b"he", b"llo"), chunked(), GET, post(b"")], ids=repr)
@both_loops
async def test_what_follows_a_body_is_the_next_request(first: bytes) -> None:
    async with serving() as served, served.connecting() as client:
        await client.send(first + chunked(b"x" * 300, path=b"/second") + post(b"y", b"/third") + GET)
        asked = [json.loads((await client.read_answer()).body) for _ in range(4)]
        assert asked[0]["body"] == ("hello" if b"llo" in first else "")
        assert [each["path"] for each in asked[1:]] == ["/second", "/third", "/"]
        assert [each["body"] for each in asked[1:]] == ["x" * 300, "y", ""]


@pytest.mark.parametrize("request_", [GET, post(b"hello"), chunked(b"he", b"l", b"lo")], ids=repr)
@both_loops
async def test_requests_may_come_byte_by_byte(request_: bytes) -> None:
    async with serving(mirror) as served, served.connecting() as client:
        await client.send_by_bytes(request_ * 2)
        for _ in range(2):
            assert (await client.read_answer()).body == (b"" if request_ is GET else b"hello")


@both_loops
async def test_more_pipelined_requests_than_fit_are_taken_when_their_turn_comes() -> None:
    handling = Handling()
    async with serving(handling) as served, served.connecting() as client:
        sending = asyncio.create_task(client.send(GET * 5_000))
        await handling.waits.wait()
        handling.may_go.set()
        for _ in range(5_000):
            assert (await client.read_answer()).body == b"data: 2\n\n"
        await sending


@both_loops
async def test_one_line_end_too_many_after_a_request_is_overlooked() -> None:
    async with serving(mirror) as served, served.connecting() as client:
        await client.send(post(b"hello") + b"\r\n" + GET + b"\r\n")
        assert (await client.read_answer()).body == b"hello"
        assert (await client.read_answer()).status == 200
        await client.send(GET)
        assert (await client.read_answer()).status == 200


@both_loops
async def test_connection_close_is_honoured() -> None:
    async with serving(mirror) as served, served.connecting() as client:
        await client.send(post(b"hello", b"/", b"Connection: foo, Close") + GET)
        answer = await client.read_answer()
        assert (answer.status, answer.closes) == (200, True)
        assert await client.read_to_end() == b""


@both_loops
async def test_large_bodies_go_both_ways() -> None:
    body = bytes(range(256)) * (BIG // 256)
    async with serving(mirror) as served, served.connecting() as client:
        for request in (post(body), chunked(*(body[n : n + 1_000_000] for n in range(0, BIG, 1_000_000)))):
            await client.send(request)
            assert (await client.read_answer()).body == body


@both_loops
async def test_others_have_their_turn_between_requests_that_came_together() -> None:
    order: list[str] = []

    async def note(request: Request, reply: Reply) -> None:
        order.append(request.path)
        await reply.send(200, TEXT, b"")

    async with serving(note) as served, served.connecting() as many, served.connecting() as one:
        await many.send(GET.replace(b"/ ", b"/many ") * 1_000)
        await one.send(GET.replace(b"/ ", b"/one "))
        await one.read_answer()
        for _ in range(1_000):
            await many.read_answer()
    assert order.index("/one") < 500


@both_loops
async def test_a_client_that_leaves_behind_many_requests_cancels_the_first() -> None:
    handling = Handling()
    async with serving(handling) as served, served.connecting() as client:
        await client.send(GET * 5_000)
        await handling.waits.wait()
        await served.wait_until(lambda: served.server.buffered > READ_AHEAD)
        client.close()
        await handling.cancelled.wait()
        await served.wait_quiet()


@pytest.mark.parametrize("limits", [{}, {"max_buffered_bytes": 100_000}], ids=["its own", "of all together"])
@both_loops
async def test_requests_piled_up_beyond_a_limit_end_the_connection(limits: dict[str, Any]) -> None:
    handling = Handling()
    async with serving(handling, **limits) as served, served.connecting() as client:
        await client.send(GET)
        await handling.waits.wait()
        sending = asyncio.create_task(client.send(GET * (2 * PIPELINE_LIMIT // len(GET))))
        await handling.cancelled.wait()
        await served.wait_quiet()
        await asyncio.gather(sending, return_exceptions=True)


# -- what is refused by its head -----------------------------------------------------------------------------------


async def nobody(request: Request) -> None:
    raise RequestError(401, "invalid_api_key", "Who are you?")


@pytest.mark.parametrize(
    "request_",
    [post(bytes(500_000)), post(bytes(500_000), b"/", b"Expect: 100-continue"), chunked(bytes(500_000))],
    ids=["length", "expect", "chunked"],
)
@both_loops
async def test_who_may_not_come_in_is_told_before_the_body_has_come(request_: bytes) -> None:
    async with serving(admit=nobody) as served, served.connecting() as client:
        await client.send(request_[: request_.index(b"\r\n\r\n") + 4])
        answer = await client.read_answer()
        assert (answer.status, answer.error, answer.closes) == (401, "invalid_api_key", True)
        assert served.server.buffered == 0


class Admitting:
    """An admission that waits, as for a database."""

    def __init__(self) -> None:
        self.waits = asyncio.Event()
        self.may_go = asyncio.Event()

    async def __call__(self, request: Request) -> str:
        self.waits.set()
        await self.may_go.wait()
        return "admitted"


async def tell_context(request: Request, reply: Reply) -> None:
    await reply.send(200, TEXT, b"%s: %s" % (str(request.context).encode(), request.body))


@pytest.mark.parametrize("request_", [post(b"hello"), chunked(b"he", b"llo")], ids=["length", "chunked"])
@both_loops
async def test_the_body_may_come_while_it_is_still_asked_who_sends_it(request_: bytes) -> None:
    admitting = Admitting()
    head = request_.index(b"\r\n\r\n") + 4
    async with serving(tell_context, admit=admitting, header_timeout=SHORT) as served, served.connecting() as client:
        for _ in range(2):
            await client.send(request_[:head])
            await admitting.waits.wait()
            await client.send(request_[head:])
            await asyncio.sleep(2 * SHORT)  # no timeout of the client's runs meanwhile
            admitting.may_go.set()
            assert (await client.read_answer()).body == b"admitted: hello"
            admitting.may_go.clear()
            admitting.waits.clear()


@both_loops
async def test_a_drain_that_begins_while_it_is_asked_who_comes_turns_him_away() -> None:
    admitting = Admitting()
    async with serving(admit=admitting) as served, served.connecting() as client:
        await client.send(post(b"hello")[:-5])
        await admitting.waits.wait()
        draining = asyncio.create_task(served.server.drain(10))
        await turns()
        admitting.may_go.set()
        assert (await client.read_answer()).error == "draining"
        await draining


@both_loops
async def test_who_leaves_while_it_is_asked_who_he_is_leaves_nothing_behind() -> None:
    admitting = Admitting()
    async with serving(admit=admitting) as served:
        async with served.connecting() as client:
            await client.send(post(b"hello")[:-5])
            await admitting.waits.wait()
        admitting.may_go.set()
        await served.wait_quiet()


# -- Expect: 100-continue ------------------------------------------------------------------------------------------


@both_loops
async def test_a_client_that_waits_is_told_to_continue() -> None:
    request = post(b"hello", b"/", b"Expect: 100-continue")
    async with serving(mirror) as served, served.connecting() as client:
        for _ in range(2):
            await client.send(request[:-5])
            assert (await client.read_answer()).status == 100
            await client.send(b"hello")
            assert (await client.read_answer()).body == b"hello"


@both_loops
async def test_a_client_that_has_waited_once_is_not_told_again() -> None:
    async with serving(mirror) as served, served.connecting() as client:
        await client.send(post(b"hello", b"/", b"Expect: 100-continue")[:-5])
        assert (await client.read_answer()).status == 100
        await client.send(b"hello")
        assert (await client.read_answer()).status == 200
        await client.send_by_bytes(post(b"again"))
        answer = await client.read_answer()
        assert (answer.status, answer.body) == (200, b"again")


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@both_loops
async def test_a_client_that_does_not_wait_is_not(version: bytes) -> None:
    request = post(b"hello", b"/", b"Expect: 100-continue").replace(b"1.1", version)
    async with serving(mirror) as served, served.connecting() as client:
        await client.send(request)
        answer = await client.read_answer()
        assert (answer.status, answer.body) == (200, b"hello")


@both_loops
async def test_a_body_that_is_too_large_is_refused_before_it_is_sent() -> None:
    request = post(bytes(5000), b"/", b"Expect: 100-continue")
    async with serving(max_body_bytes=4096) as served, served.connecting() as client:
        await client.send(request[:-5000])
        answer = await client.read_answer()
        assert (answer.status, answer.error, answer.closes) == (413, "request_too_large", True)
        assert await client.read_to_end() == b""


@both_loops
async def test_a_refused_upload_hears_why_although_it_is_still_sending() -> None:
    async with serving(max_body_bytes=4096) as served, served.connecting() as client:
        sending = asyncio.create_task(client.send(post(bytes(BIG))))
        assert (await client.read_answer()).status == 413
        await sending
        client.half_close()
        assert await client.read_to_end() == b""


# -- slow clients --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent, limit",
    [
        (b"G", "header_timeout"),
        (GET[:-1], "header_timeout"),
        (post(b"hello")[:-5], "body_timeout"),
        (post(b"hello")[:-1], "body_timeout"),
        (chunked(b"hello")[:-12], "body_timeout"),
        (chunked(b"hello")[:-5], "body_timeout"),
        (chunked(b"hello")[:-1], "body_timeout"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("before", [b"", GET], ids=["first", "later"])
@both_loops
async def test_a_request_that_does_not_become_whole_is_timed_out(before: bytes, sent: bytes, limit: str) -> None:
    limits: dict[str, Any] = {limit: SHORT}
    async with serving(**limits) as served, served.connecting() as client:
        await client.send(before + sent)
        if before:
            assert (await client.read_answer()).status == 200
        answer = await client.read_answer()
        assert (answer.status, answer.error, answer.closes) == (408, "request_timeout", True)
        assert await client.read_to_end() == b""
        client.close()
        await served.wait_quiet()


@pytest.mark.parametrize(
    "sent, limit",
    [(b"", "header_timeout"), (b"\r\n", "header_timeout"), (GET, "idle_timeout"), (GET + b"\r\n", "idle_timeout")],
    ids=repr,
)
@both_loops
async def test_an_idle_connection_is_closed_without_a_word(sent: bytes, limit: str) -> None:
    limits: dict[str, Any] = {limit: SHORT}
    async with serving(**limits) as served, served.connecting() as client:
        await client.send(sent)
        if len(sent) > 2:
            assert (await client.read_answer()).status == 200
        assert await client.read_to_end() == b""
        await served.wait_quiet()


@both_loops
async def test_a_body_has_all_the_time_it_needs_as_long_as_it_comes() -> None:
    loop = asyncio.get_running_loop()
    limit, steps = 0.5, 7
    async with serving(body_timeout=limit) as served, served.connecting() as client:
        await client.send(post(bytes(steps * BODY_STEP))[: -steps * BODY_STEP])
        for _ in range(steps):
            await client.send(bytes(BODY_STEP))
            enough = loop.time() + limit / 5
            while loop.time() < enough:
                await turns(20)
        assert (await client.read_answer()).status == 200


@pytest.mark.usefixtures("young")
@pytest.mark.parametrize("sent", [GET[:-1], post(b"hello")[:-1]], ids=["head", "body"])
@both_loops
async def test_a_request_that_is_timed_out_leaves_no_cycle(sent: bytes) -> None:
    async with serving(header_timeout=SHORT, body_timeout=SHORT) as served:
        with leaving_no_cycle():
            assert (await served.exchange(sent)).status == 408
            await served.wait_until(lambda: not served.server.connections)


@pytest.mark.parametrize(
    "head", [post(bytes(1_000_000))[:-1_000_000], chunked()[:-5] + b"f4240\r\n"], ids=["length", "chunks"]
)
@both_loops
async def test_a_body_that_only_trickles_is_given_up(head: bytes) -> None:
    async with serving(body_timeout=SHORT) as served, served.connecting() as client:
        await client.send(head)

        async def trickle() -> None:
            while True:
                await client.send(b"\0")
                await turns(20)

        trickling = asyncio.create_task(trickle())
        assert (await client.read_answer()).status == 408
        trickling.cancel()


@both_loops
async def test_a_body_does_not_hold_its_room_the_longer_the_more_it_announces() -> None:
    """Four of 64 MB that came at two kilobytes a second would leave no room for anybody for half a day."""
    size = 100 * BODY_STEP
    loop = asyncio.get_running_loop()
    async with serving(body_timeout=SHORT, max_body_bytes=size) as served, served.connecting() as client:
        await client.send(post(bytes(size))[:-size])

        async def come_slowly() -> None:
            for _ in range(100):
                await client.send(bytes(BODY_STEP))
                enough = loop.time() + SHORT / 3
                while loop.time() < enough:
                    await turns(20)

        coming = asyncio.create_task(come_slowly())
        assert (await client.read_answer()).status == 408
        coming.cancel()


@both_loops
async def test_a_client_that_does_not_read_is_cut_and_its_handler_cancelled() -> None:
    handling = Handling("writing")
    async with serving(handling, write_timeout=SHORT) as served, served.connecting() as client:
        await client.send(GET)
        await handling.cancelled.wait()
        await served.wait_quiet()
        with pytest.raises(EOFError):
            await client.read_answer()


@both_loops
async def test_a_client_that_does_not_read_a_whole_answer_is_cut() -> None:
    async def much(request: Request, reply: Reply) -> None:
        await reply.send(200, TEXT, bytes(BIG))

    async with serving(much, write_timeout=SHORT) as served, served.connecting() as client:
        await client.send(GET)
        await served.wait_until(lambda: served.server.connections == 1)
        await served.wait_quiet()


@both_loops
async def test_a_client_that_reads_slowly_is_waited_for() -> None:
    async def much(request: Request, reply: Reply) -> None:
        await reply.start(200, TEXT)
        for _ in range(BIG // 1_000_000):
            await reply.write(bytes(1_000_000))
        await reply.end()

    async with serving(much) as served, served.connecting(receive_buffer=4096) as client:
        await client.send(GET)
        assert len((await client.read_answer()).body) == BIG


@both_loops
async def test_a_handler_takes_as_long_as_it_wants() -> None:
    """The limits on clients are past many times while their handler thinks."""
    handling = Handling()
    limits: dict[str, Any] = {
        "header_timeout": SHORT,
        "body_timeout": SHORT,
        "idle_timeout": SHORT,
        "write_timeout": SHORT,
    }
    async with serving(handling, **limits) as served, served.connecting() as client:
        await client.send(post(b"hello"))
        await handling.waits.wait()
        passed = asyncio.Event()
        asyncio.get_running_loop().call_later(3 * SHORT, passed.set)
        await passed.wait()
        handling.may_go.set()
        assert (await client.read_answer()).body == b"data: 2\n\n"


# -- clients that go away ------------------------------------------------------------------------------------------

WAYS = [SocketClient.half_close, SocketClient.close, SocketClient.reset]


@pytest.mark.parametrize("go", WAYS, ids=lambda go: go.__name__)
@pytest.mark.parametrize("where", ["before", "between", "writing"])
@pytest.mark.parametrize("request_", [GET, chunked(b"hello")], ids=["GET", "chunked"])
@both_loops
async def test_a_client_that_goes_away_cancels_its_handler(
    request_: bytes, where: str, go: Callable[[SocketClient], None]
) -> None:
    handling = Handling(where)
    async with serving(handling) as served, served.connecting() as client:
        await client.send(request_)
        await handling.waits.wait()
        await turns()
        go(client)
        await handling.cancelled.wait()
        await served.wait_quiet()


@pytest.mark.parametrize("go", WAYS, ids=lambda go: go.__name__)
@pytest.mark.parametrize("sent", [b"", b"GET", GET[:-2], post(b"hello")[:-2], chunked(b"hello")[:-2]], ids=repr)
@both_loops
async def test_a_client_may_go_away_in_the_middle_of_its_request(
    sent: bytes, go: Callable[[SocketClient], None]
) -> None:
    async with serving() as served, served.connecting() as client:
        await client.send(sent)
        await served.wait_until(lambda: served.server.connections == 1)
        await turns()
        go(client)
        await served.wait_quiet()
        assert (await served.exchange(GET)).status == 200


@both_loops
async def test_a_client_that_half_closes_behind_its_requests_gets_what_needs_no_waiting() -> None:
    async with serving(mirror) as served, served.connecting() as client:
        await client.send(post(b"one") + chunked(b"two") + post(b"three"))
        client.half_close()
        assert [(await client.read_answer()).body for _ in range(3)] == [b"one", b"two", b"three"]
        assert await client.read_to_end() == b""
        await served.wait_quiet()


@both_loops
async def test_a_client_that_went_away_before_its_handler_began_cancels_it() -> None:
    handling = Handling()
    async with serving(handling) as served, served.connecting() as client:
        await client.send(GET)
        client.half_close()
        await handling.cancelled.wait()
        await served.wait_quiet()


@both_loops
async def test_a_handler_may_clean_up_after_its_client_is_gone() -> None:
    cleaned = asyncio.Event()

    async def careful(request: Request, reply: Reply) -> None:
        await reply.start(200, EVENTS)
        try:
            await asyncio.Event().wait()
        finally:
            await turns()
            cleaned.set()

    async with serving(careful) as served, served.connecting() as client:
        await client.send(GET)
        await client.read_head()
        client.reset()
        await cleaned.wait()
        await served.wait_quiet()


@both_loops
async def test_the_error_of_a_write_to_nobody_is_nobodys_mistake() -> None:
    async def stubborn(request: Request, reply: Reply) -> None:
        await reply.start(200, EVENTS)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
        await reply.write(bytes(1_000_000))
        await reply.write(bytes(1_000_000))
        await reply.end()

    async with serving(stubborn) as served, served.connecting() as client:
        await client.send(GET)
        await client.read_head()
        client.reset()
        await served.wait_quiet()


# -- handlers that err ---------------------------------------------------------------------------------------------


@both_loops
async def test_a_request_error_is_rendered_and_the_connection_goes_on() -> None:
    async def missing(request: Request, reply: Reply) -> None:
        raise RequestError(404, "not_found", "There is nothing.")

    async with serving(missing) as served, served.connecting() as client:
        await client.send(post(b"hello", b"/x") + GET.replace(b"GET", b"HEAD") + GET)
        answer = await client.read_answer()
        assert (answer.status, answer.error, answer.closes) == (404, "not_found", False)
        assert json.loads(answer.body)["error"]["path"] == "/x"
        assert (await client.read_answer("HEAD")).status == 404
        assert (await client.read_answer()).status == 404


@both_loops
async def test_a_request_error_that_closes_ends_the_connection() -> None:
    async def missing(request: Request, reply: Reply) -> None:
        raise RequestError(404, "not_found", "There is nothing.", close=True)

    async with serving(missing) as served, served.connecting() as client:
        await client.send(GET + GET)
        answer = await client.read_answer()
        assert (answer.status, answer.closes) == (404, True)
        assert await client.read_to_end() == b""


@both_loops
async def test_an_exception_before_the_answer_is_a_500_and_reported() -> None:
    async def broken(request: Request, reply: Reply) -> None:
        raise ZeroDivisionError("secret")

    async with serving(broken, expect_errors=True) as served:
        answer = await served.exchange(post(b"hello"))
        assert (answer.status, answer.error) == (500, "internal_error")
        assert b"secret" not in answer.body
        assert [type(error) for error in served.errors] == [ZeroDivisionError]


@both_loops
async def test_a_handler_that_sends_nothing_is_a_mistake_of_ours() -> None:
    async def silent(request: Request, reply: Reply) -> None:
        pass

    async with serving(silent, expect_errors=True) as served:
        answer = await served.exchange(GET)
        assert (answer.status, answer.error) == (500, "internal_error")
        assert [type(error) for error in served.errors] == [RuntimeError]


# -- limits on all connections together -----------------------------------------------------------------------------


@both_loops
async def test_large_bodies_together_have_a_limit() -> None:
    body = bytes(70_000)
    async with serving(mirror, max_buffered_bytes=100_000) as served, served.connecting() as first:
        await first.send(post(body)[:-1])
        await served.wait_until(lambda: served.server.buffered > 65536)
        for request in (post(body), chunked(body)):
            answer = await served.exchange(request)
            assert (answer.status, answer.error, answer.closes) == (503, "overloaded", True)
            assert answer.header(b"retry-after") == b"1"
        assert (await served.exchange(post(b"small"))).status == 200
        await first.send(b"\0")
        assert (await first.read_answer()).body == body
        await served.wait_until(lambda: not served.server.buffered)
        assert (await served.exchange(post(body))).status == 200


@both_loops
async def test_a_body_counts_for_what_its_values_take() -> None:
    body = b"[%b[]]" % (b"[]," * 25_000)
    handling = Handling()
    async with serving(handling, max_buffered_bytes=3_000_000) as served, served.connecting() as first:
        await first.send(post(body))
        await handling.waits.wait()
        assert served.server.buffered == weight(body) == 2_000_080
        answer = await served.exchange(post(body))
        assert (answer.status, answer.error, answer.closes) == (503, "overloaded", True)
        first.close()
        await handling.cancelled.wait()
        await served.wait_until(lambda: not served.server.buffered)


@both_loops
async def test_a_body_whose_values_never_find_room_is_too_large() -> None:
    body = b"[%b[]]" % (b"[]," * 25_000)
    async with serving(mirror, max_buffered_bytes=2_000_000) as served:
        answer = await served.exchange(post(body))
        assert (answer.status, answer.error, answer.closes) == (413, "request_too_large", True)
        assert answer.header(b"retry-after") is None
        await served.wait_until(lambda: not served.server.buffered)


@pytest.mark.parametrize("further", [(), (b"Expect: 100-continue",)], ids=["plain", "expect"])
@both_loops
async def test_who_has_no_room_for_a_body_says_so_before_it_comes(further: tuple[bytes, ...]) -> None:
    body = bytes(70_000)
    async with serving(mirror, max_buffered_bytes=100_000) as served, served.connecting() as first:
        head = post(body)[: -len(body)]
        await first.send(head)
        await served.wait_until(lambda: served.server.buffered == len(body))
        async with served.connecting() as second:
            await second.send(post(body, b"/", *further)[: -len(body)])
            answer = await second.read_answer()
            assert (answer.status, answer.error, answer.closes) == (503, "overloaded", True)
            assert answer.header(b"retry-after") == b"1"
        assert served.server.buffered == len(body)
        await first.send(body)
        assert (await first.read_answer()).body == body
        await served.wait_until(lambda: not served.server.buffered)


@both_loops
async def test_who_may_not_come_in_takes_no_room() -> None:
    async with serving(admit=nobody, max_buffered_bytes=100_000) as served, served.connecting() as client:
        body = bytes(200_000)
        await client.send(post(body)[: -len(body)])
        assert (await client.read_answer()).status == 401


@both_loops
async def test_a_large_body_counts_until_it_is_answered() -> None:
    handling = Handling()
    async with serving(handling, max_buffered_bytes=100_000) as served, served.connecting() as first:
        await first.send(post(bytes(70_000)))
        await handling.waits.wait()
        assert served.server.buffered >= 70_000
        assert (await served.exchange(post(bytes(70_000)))).status == 503
        handling.may_go.set()
        assert (await first.read_answer()).status == 200
        await served.wait_until(lambda: not served.server.buffered)


@both_loops
async def test_a_body_that_the_handler_needs_no_more_does_not_count() -> None:
    handling = Handling("between")

    async def forgetful(request: Request, reply: Reply) -> None:
        reply.forget_body()
        assert request.body == b""
        await handling(request, reply)

    async with serving(forgetful, max_buffered_bytes=100_000) as served, served.connecting() as first:
        await first.send(post(bytes(70_000)) + GET)
        await handling.waits.wait()
        assert served.server.buffered == 0
        handling.may_go.set()
        assert (await first.read_answer()).body.endswith(b"data: 2\n\n")
        assert (await first.read_answer()).status == 200


@both_loops
async def test_what_was_counted_of_a_client_that_vanished_is_given_back() -> None:
    async with serving() as served, served.connecting() as client:
        await client.send(post(bytes(90_000))[:-1])
        await served.wait_until(lambda: served.server.buffered > 65536)
        client.reset()
        await served.wait_quiet()
