"""The server as a whole: how many it lets in, how it drains and closes, and that nothing on the wire breaks it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
import uvloop
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.config.model import ServerConfig
from gateway.errors import AddressTaken
from gateway.net.chunks import CHUNKS_AT_ONCE
from gateway.net.connection import Reply, Request
from tests.garbage import leaving_no_cycle
from tests.net.raw import GET, Answer, RawClient, chunked, connecting, post
from tests.net.scripted import both_loops, turns
from tests.net.serving import BIG, EVENTS, SHORT, TEXT, Handling, echo, mirror, serving

HOURS = 3600.0


def assert_turned_away(answer: Answer, code: str) -> None:
    assert (answer.status, answer.error, answer.closes) == (503, code, True)
    assert int(answer.header(b"retry-after") or 0) >= 1


# -- limits --------------------------------------------------------------------------------------------------------


@both_loops
async def test_a_connection_too_many_is_told_so() -> None:
    async with serving(max_connections=2) as served:
        async with served.connecting() as first, served.connecting() as second:
            for client in (first, second):
                await client.send(GET)
                assert (await client.read_answer()).status == 200
            async with served.connecting() as third:
                await third.send(GET)
                assert_turned_away(await third.read_answer(), "overloaded")
                assert await third.read_to_end() == b""
            await first.send(GET)
            assert (await first.read_answer()).status == 200
        await served.wait_quiet()
        assert (await served.exchange(GET)).status == 200


@both_loops
async def test_those_that_are_turned_away_are_not_without_limit_either() -> None:
    async with serving(max_connections=1) as served, served.connecting() as first:
        await first.send(GET)
        await first.read_answer()
        async with served.connecting() as told:
            assert_turned_away(await told.read_answer(), "overloaded")
            async with served.connecting() as cut:
                with pytest.raises((ConnectionResetError, EOFError)):
                    await cut.read_answer()
        await first.send(GET)
        assert (await first.read_answer()).status == 200


@pytest.mark.usefixtures("young")
@both_loops
async def test_those_that_are_turned_away_leave_no_cycle() -> None:
    async with serving(max_connections=1) as served, served.connecting() as first:
        await first.send(GET)
        await first.read_answer()
        with leaving_no_cycle():
            async with served.connecting() as told:
                assert_turned_away(await told.read_answer(), "overloaded")
                assert await told.read_to_end() == b""
            await served.wait_until(lambda: served.server.connections == 1)


@both_loops
async def test_reconfigured_limits_hold_from_the_next_request_on() -> None:
    async with serving(mirror, max_body_bytes=4096) as served, served.connecting() as client:
        await client.send(post(bytes(2000)))
        assert (await client.read_answer()).status == 200
        served.server.reconfigure(ServerConfig(max_body_bytes=1024))
        await client.send(post(bytes(2000)))
        assert (await client.read_answer()).status == 413


# -- listening -----------------------------------------------------------------------------------------------------


@both_loops
async def test_a_server_listens_on_several_addresses() -> None:
    async with serving() as served:
        await served.server.listen("localhost:0")
        assert len(served.server.addresses()) >= 2
        assert (await served.exchange(GET)).status == 200


@both_loops
async def test_an_address_that_is_left_can_be_taken_again() -> None:
    async with serving(mirror) as served:
        address = served.address
        await served.server.unlisten("127.0.0.1:0")
        assert served.server.addresses() == []
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address.split(":"))
        await served.server.listen(address)
        assert (await served.exchange(GET)).status == 200


@both_loops
async def test_a_request_under_way_finishes_though_its_listener_is_closed_and_is_the_last() -> None:
    handling = Handling("between")
    async with serving(handling) as served, served.connecting() as client:
        await client.send(GET)
        await handling.waits.wait()
        await served.server.unlisten("127.0.0.1:0")
        handling.may_go.set()
        assert (await client.read_answer()).body == b"data: 1\n\ndata: 2\n\n"
        assert await client.read_to_end() == b""


@pytest.mark.parametrize("begun", [0, 10, -3], ids=["not begun", "with half a head", "with half a body"])
@both_loops
async def test_what_came_in_by_a_closed_listener_reaches_no_handler_any_more(begun: int) -> None:
    request = post(b"hello", b"/health")
    handled: list[str] = []

    async def note(request: Request, reply: Reply) -> None:
        handled.append(request.path)
        await mirror(request, reply)

    async with serving(note, lasting=frozenset({"/health"})) as served:
        await served.server.listen("[::1]:0")
        stays = served.server.addresses()[1]
        async with served.connecting() as client, connecting(stays) as other:
            await client.send(GET)
            await client.read_answer()
            await other.send(GET)
            await other.read_answer()
            handled.clear()
            await client.send(request[:begun])
            await other.send(request[:begun])
            await asyncio.sleep(0)
            await served.server.unlisten("127.0.0.1:0")
            await client.send(request[begun:])
            await other.send(request[begun:])
            assert_turned_away(await client.read_answer(), "draining")
            assert await client.read_to_end() == b""
            assert (await other.read_answer()).status == 200
            assert handled == ["/health"]


@both_loops
async def test_an_idle_connection_of_a_closed_listener_is_closed() -> None:
    async with serving(mirror) as served, served.connecting() as client:
        await client.send(GET)
        await client.read_answer()
        await served.server.unlisten("127.0.0.1:0")
        assert await client.read_to_end() == b""


@both_loops
async def test_who_connects_to_a_bound_address_is_served_once_it_accepts() -> None:
    async with serving(mirror) as served:
        await served.server.bind("[::1]:0")
        assert served.server.listening == {"127.0.0.1:0", "[::1]:0"}
        async with connecting(served.server.addresses()[1]) as client:
            await client.send(GET)
            assert (await served.exchange(GET)).status == 200  # by the other one, which accepts
            assert served.server.connections <= 1
            await served.server.accept()
            assert (await client.read_answer()).status == 200


@both_loops
async def test_a_bound_address_is_taken_and_is_let_go_without_having_accepted() -> None:
    async with serving() as served, serving() as other:
        await served.server.bind("[::1]:0")
        address = served.server.addresses()[1]
        with pytest.raises(AddressTaken):
            await other.server.bind(address)
        await served.server.unlisten("[::1]:0")
        await other.server.bind(address)


# -- the end -------------------------------------------------------------------------------------------------------


@both_loops
async def test_requests_in_flight_finish_before_a_drain_is_over() -> None:
    handling = Handling("between")
    async with serving(handling) as served, served.connecting() as client:
        await client.send(GET)
        await handling.waits.wait()
        assert served.server.in_flight == 1
        draining = asyncio.create_task(served.server.drain(10))
        await asyncio.sleep(0)
        handling.may_go.set()
        assert (await client.read_answer()).body == b"data: 1\n\ndata: 2\n\n"
        assert await draining == 0
        assert await client.read_to_end() == b""


@both_loops
async def test_an_answer_that_begins_in_a_drain_says_that_it_is_the_last() -> None:
    handling = Handling()
    async with serving(handling) as served, served.connecting() as client:
        await client.send(GET)
        await handling.waits.wait()
        draining = asyncio.create_task(served.server.drain(10))
        await asyncio.sleep(0)
        handling.may_go.set()
        answer = await client.read_answer()
        assert (answer.status, answer.closes) == (200, True)
        assert await draining == 0


@pytest.mark.parametrize("request_", [GET, post(b"hello"), chunked(b"hello")], ids=repr)
@both_loops
async def test_new_requests_are_turned_away_while_a_drain_waits(request_: bytes) -> None:
    handling = Handling()
    async with serving(handling) as served, served.connecting() as busy:
        async with served.connecting() as begun:
            await busy.send(GET)
            await handling.waits.wait()
            await begun.send(request_[:-3])
            await served.wait_until(lambda: served.server.connections == 2)
            draining = asyncio.create_task(served.server.drain(10))
            await asyncio.sleep(0)
            await begun.send(request_[-3:])
            assert_turned_away(await begun.read_answer(), "draining")
            assert await begun.read_to_end() == b""
        assert_turned_away(await served.exchange(request_), "draining")
        handling.may_go.set()
        assert (await busy.read_answer()).status == 200
        assert await draining == 0
        assert await busy.read_to_end() == b""
        assert served.server.addresses() == []


@both_loops
async def test_a_drain_is_not_held_up_by_clients_that_come_later() -> None:
    handling = Handling()
    async with serving(handling) as served, served.connecting() as busy:
        await busy.send(GET)
        await handling.waits.wait()
        draining = asyncio.create_task(served.server.drain(10))
        await asyncio.sleep(0)
        async with served.connecting() as late:
            await late.send(GET)
            assert_turned_away(await late.read_answer(), "draining")
            handling.may_go.set()
            assert (await busy.read_answer()).status == 200
            assert await draining == 0


@both_loops
async def test_a_pipelined_request_behind_an_answer_that_a_drain_made_the_last_gets_none() -> None:
    handling = Handling()
    async with serving(handling) as served, served.connecting() as client:
        await client.send(GET + GET)
        await handling.waits.wait()
        draining = asyncio.create_task(served.server.drain(10))
        await asyncio.sleep(0)
        handling.may_go.set()
        answer = await client.read_answer()
        assert (answer.status, answer.closes) == (200, True)
        assert await draining == 0
        assert await client.read_to_end() == b""


@both_loops
async def test_a_pipelined_request_is_turned_away_when_a_drain_began_behind_the_head_of_the_answer_before() -> None:
    handling = Handling("between")
    async with serving(handling) as served, served.connecting() as client:
        await client.send(GET + GET)
        await handling.waits.wait()
        draining = asyncio.create_task(served.server.drain(10))
        await asyncio.sleep(0)
        handling.may_go.set()
        answer = await client.read_answer()
        assert (answer.status, answer.closes) == (200, False)
        assert_turned_away(await client.read_answer(), "draining")
        assert await draining == 0


@both_loops
async def test_a_drain_does_not_wait_for_clients_that_were_refused_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.net.connection.LINGER_SECONDS", HOURS)
    async with serving(max_body_bytes=4096) as served, served.connecting() as client:
        await client.send(post(bytes(5000))[:-1])
        assert (await client.read_answer()).status == 413
        assert await served.server.drain(HOURS) == 0


@both_loops
async def test_a_drain_that_begins_amid_many_chunks_turns_their_sender_away() -> None:
    draining: list[asyncio.Task[int]] = []

    async def begin(request: Request) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: draining.append(loop.create_task(served.server.drain(HOURS))))

    async with serving(admit=begin, body_timeout=HOURS) as served, served.connecting() as client:
        await client.send(chunked(*[b"x" * 8] * 2 * CHUNKS_AT_ONCE)[:-5])
        assert_turned_away(await client.read_answer(), "draining")
        assert await draining[0] == 0


@both_loops
async def test_a_drain_and_a_close_end_idle_connections() -> None:
    async with serving() as served, served.connecting() as fresh, served.connecting() as used:
        await used.send(GET)
        await used.read_answer()
        await served.wait_until(lambda: served.server.connections == 2)
        assert await served.server.drain(10) == 0
        await served.server.close()
        assert served.server.connections == 0
        assert await fresh.read_to_end() == b""
        assert await used.read_to_end() == b""


@pytest.mark.parametrize("sent", [GET[:-2], post(b"hello")[:-2], chunked(b"hello")[:-2]], ids=["head", "body", "chunk"])
@both_loops
async def test_a_drain_does_not_wait_for_requests_that_are_not_whole(sent: bytes) -> None:
    async with serving() as served, served.connecting() as client:
        await client.send(sent)
        await served.wait_until(lambda: served.server.connections == 1)
        await turns()
        assert await served.server.drain(60) == 0
        answer = await client.read_answer()
        assert (answer.status, answer.error, answer.closes) == (503, "draining", True)


@both_loops
async def test_what_a_drain_waited_for_in_vain_is_cut() -> None:
    slow, stuck = Handling("between"), Handling()

    async def either(request: Request, reply: Reply) -> None:
        await (slow if request.path == "/slow" else stuck)(request, reply)

    async with serving(either) as served, served.connecting() as first, served.connecting() as second:
        await first.send(GET.replace(b"/ ", b"/slow "))
        await second.send(GET)
        await slow.waits.wait()
        await stuck.waits.wait()
        assert await served.server.drain(SHORT) == 2
        await served.server.close()
        assert slow.cancelled.is_set()
        assert stuck.cancelled.is_set()
        assert served.server.connections == 0


@pytest.mark.parametrize("first", [False, True])
@both_loops
async def test_a_drain_in_a_hurry_cuts_at_once(first: bool) -> None:
    handling = Handling()
    async with serving(handling) as served, served.connecting() as client:
        await client.send(GET)
        await handling.waits.wait()
        if first:
            served.server.hurry()
        draining = asyncio.create_task(served.server.drain(3600))
        await asyncio.sleep(0)
        served.server.hurry()
        served.server.hurry()
        assert await draining == 1
        assert handling.cancelled.is_set()


@both_loops
async def test_a_path_that_lasts_is_answered_in_a_drain_too_and_is_the_last_of_its_connection() -> None:
    handling = Handling()

    async def either(request: Request, reply: Reply) -> None:
        await (handling if request.path == "/" else echo)(request, reply)

    async with serving(either, lasting=frozenset({"/how"})) as served, served.connecting() as busy:
        await busy.send(GET)
        await handling.waits.wait()
        draining = asyncio.create_task(served.server.drain(10))
        await asyncio.sleep(0)
        answer = await served.exchange(GET.replace(b"/ ", b"/how "))
        assert (answer.status, answer.closes) == (200, True)
        assert_turned_away(await served.exchange(GET.replace(b"/ ", b"/what ")), "draining")
        handling.may_go.set()
        assert (await busy.read_answer()).status == 200
        assert await draining == 0


@both_loops
async def test_a_drain_with_nothing_to_wait_for_is_over_at_once() -> None:
    async with serving() as served:
        assert await served.server.drain(10) == 0
        await served.server.close()
        await served.server.close()


@both_loops
async def test_a_server_that_is_hushed_cuts_what_is_in_flight_and_turns_away_what_comes_until_it_is_closed() -> None:
    handling = Handling()
    async with serving(handling) as served, served.connecting() as busy:
        await busy.send(GET)
        await handling.waits.wait()
        await served.server.hush()
        assert await busy.read_to_end() == b""
        assert_turned_away(await served.exchange(GET), "draining")
        await served.server.close()
        assert served.server.addresses() == []


@both_loops
async def test_a_close_cancels_whatever_there_is() -> None:
    before, writing = Handling(), Handling("writing")

    async def either(request: Request, reply: Reply) -> None:
        await (writing if request.path == "/writing" else before)(request, reply)

    async with serving(either) as served, served.connecting() as first, served.connecting() as second:
        await first.send(GET)
        await second.send(GET.replace(b"/ ", b"/writing "))
        await before.waits.wait()
        await writing.waits.wait()
        await served.server.close()
        assert before.cancelled.is_set()
        assert writing.cancelled.is_set()
        assert served.server.connections == served.server.in_flight == 0


@both_loops
async def test_the_task_of_a_connection_is_named_after_its_client() -> None:
    async def named(request: Request, reply: Reply) -> None:
        task = asyncio.current_task()
        assert task is not None
        await reply.send(200, TEXT, task.get_name().encode())

    async with serving(named) as served, served.connecting() as client:
        await client.send(GET)
        assert (await client.read_answer()).body.startswith(b"client 127.0.0.1")


@both_loops
async def test_many_streams_run_at_once() -> None:
    async def stream(request: Request, reply: Reply) -> None:
        await reply.start(200, EVENTS)
        for n in range(20):
            await reply.write(b"data: %d\n\n" % n)
            await asyncio.sleep(0)
        await reply.end()

    async with serving(stream) as served:
        answers = await asyncio.gather(*(served.exchange(GET) for _ in range(200)))
        assert {answer.body for answer in answers} == {b"".join(b"data: %d\n\n" % n for n in range(20))}
        await served.wait_quiet()


@both_loops
async def test_a_reply_that_waits_holds_no_more_than_its_share() -> None:
    """A handler that writes faster than its client reads is held back."""
    written = 0

    async def fast(request: Request, reply: Reply) -> None:
        nonlocal written
        await reply.start(200, TEXT)
        while True:
            await reply.write(bytes(10_000))
            written += 10_000

    async with serving(fast) as served, served.connecting(receive_buffer=4096) as client:
        await client.send(GET)
        await client.read_head()
        before = -1
        while before != written:
            before = written
            for _ in range(100):
                await asyncio.sleep(0)
        assert written < BIG


# -- anything at all -----------------------------------------------------------------------------------------------

LEGAL = [
    GET,
    post(b'{"model":"a"}', b"/v1/chat/completions", b"Content-Type: application/json"),
    post(b"hello", b"/", b"Expect: 100-continue"),
    chunked(b"hello", b"x" * 300),
    b"HEAD / HTTP/1.0\r\n\r\n",
    b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
]

SNIPPETS = st.sampled_from(
    [b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"0", b"-1", b"99999999999999999999", b"\r\n\r\n", b"HTTP/1.1",
     b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: b\r\n", b"Connection: close\r\n", b"\xff"]
)  # fmt: skip


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """Legal requests in a row, with pieces cut out, put in, or doubled."""
    data = b"".join(draw(st.lists(st.sampled_from(LEGAL), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        end = at + draw(st.integers(0, 12))
        middle = draw(st.one_of(st.just(b""), SNIPPETS, st.just(data[at:end] * 2), st.binary(max_size=3)))
        data = data[:at] + middle + data[end:]
    return data


LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


def play_with_everything(loop: Callable[[], asyncio.AbstractEventLoop], inputs: st.SearchStrategy[bytes]) -> None:
    """Whatever comes in: every answer is whole, the connection ends, and the next client is served."""

    async def play(sent: bytes, cut: int) -> None:
        async with asyncio.timeout(10), serving(mirror, max_body_bytes=4096) as served:
            async with served.connecting() as client:
                await client.send(sent[:cut])
                await asyncio.sleep(0)
                await client.send(sent[cut:])
                client.half_close()
                await read_answers(client)
            await served.wait_quiet()
            assert (await served.exchange(GET)).status == 200

    with asyncio.Runner(loop_factory=loop) as runner:

        @settings(max_examples=300)
        @given(inputs, st.integers(0, 200))
        @example(b"", 0)
        @example(GET * 50, 7)
        def every(sent: bytes, cut: int) -> None:
            runner.run(play(sent, cut))

        every()


async def read_answers(client: RawClient) -> None:
    """All answers until the end; they are a number of whole ones (those to HEAD cannot be told from others).

    Who sends on after its last request (HTTP/1.0, `Connection: close`) is reset after the answers.
    """
    try:
        rest = await client.read_to_end()
    except ConnectionResetError:
        rest = client.received
    while rest:
        head, found, rest = rest.partition(b"\r\n\r\n")
        assert found
        assert head.startswith(b"HTTP/1.1 ")
        length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: ")]
        if length and not rest.startswith(b"HTTP/1.1 "):
            rest = rest[int(length[0][16:]) :]


@LOOPS
def test_random_bytes_break_nothing(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    play_with_everything(loop, st.binary(max_size=400))


@LOOPS
def test_mutated_requests_break_nothing(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    play_with_everything(loop, mutations())


@both_loops
async def test_other_forms_of_targets_are_understood() -> None:
    async with serving() as served:
        for sent, path, query in [
            (b"GET http://b/c?d=e HTTP/1.1", "/c", "d=e"),
            (b"GET http://b HTTP/1.1", "/", ""),
            (b"GET http://b?d HTTP/1.1", "/", "d"),
            (b"GET /a//b?c?d HTTP/1.1", "/a//b", "c?d"),
            (b"GET /%41%2f HTTP/1.1", "/%41%2f", ""),
            (b"OPTIONS * HTTP/1.1", "*", ""),
        ]:
            answer = await served.exchange(sent + b"\r\nHost: b\r\n\r\n")
            asked = json.loads(answer.body)
            assert (asked["path"], asked["query"]) == (path, query)
