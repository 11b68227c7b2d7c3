"""Upstream bytes to client bytes, after the commit point.

The bytes pass through unchanged, unless the gateway gave the model another name or an error repeats a key; a tap reads
the usage. From here on nothing is retried: when the upstream breaks, or ends before its answer does, the client gets
the surface's own error event and the connection ends without a proper end of message; an error event of the provider's
own passes as it came, with its end. The end of an answer that is charged for waits until it is.

Invariant: a client has only ever been given whole events while its stream goes on, so that a keepalive or an error
event can follow at any time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

from gateway import jsonlib
from gateway.conductor.outlet import Outlet
from gateway.errors import FailedStream, IncompleteStream, UpstreamError, UpstreamTimeout, Withheld
from gateway.net.deadline import Deadline
from gateway.observe.record import RequestRecord
from gateway.policy.room import Room, Share
from gateway.upstream.answer import UpstreamAnswer
from gateway.upstream.concealment import BodyMask
from gateway.wire.sse import EVENT_ENDS, Event, EventReader, UsageTap
from gateway.wire.usage_tail import UsageAround, UsageTail

if TYPE_CHECKING:
    from gateway.conductor.lastword import LastWord
    from gateway.conductor.stream_ends import Reader, Writer

EVENT_LIMIT = 16 * 1024 * 1024
"""Bytes of one event that wait for its end; base64 images fit. A longer one passes in pieces, and so does a large one
for which there is no room."""

END_SECONDS = 0.5
END_LIMIT = 64 * 1024
"""For what comes between the end of a stream and that of its message: nothing, as a rule, and at once."""

ID_LENGTH = 200
"""Characters of a response's id; OpenAI's have 60."""


KNOWN_ENDS = (IncompleteStream.code, FailedStream.code, Withheld.code)
"""Of streams that did not break off: the words that they have in the log and the metrics."""

INCOMPLETE = "its stream ended before the answer did"


PROVIDERS_KINDS = frozenset({"server", "overloaded", "timeout"})
"""Of failures that a stream tells of: those that the provider is to blame for."""


class BrokenAnswerError(Exception):
    """The upstream failed after the commit point. The client has been told as far as it can be. `code` is for the
    record; `error` is what broke the answer off, unless the client or we ourselves are to blame."""

    def __init__(self, message: str, code: str = "", error: UpstreamError | None = None) -> None:
        super().__init__(message)
        self.error = error
        self.code = code if code in KNOWN_ENDS else "stream_disconnect"

    @property
    def blames_provider(self) -> bool:
        """Not the client, our own books, or our patience."""
        match self.error:
            case None | Withheld() | FailedStream(theirs=False) | UpstreamTimeout(phase="total"):
                return False
        return True


class Quiet(NamedTuple):
    """How a quiet stream is kept alive: `word` after `seconds` of silence. 0: not at all."""

    seconds: float
    word: bytes


async def relay(
    answer: UpstreamAnswer,
    first: bytes,
    reply: Outlet,
    record: RequestRecord,
    tail: UsageTail | UsageAround | None = None,
    settle: Callable[[], Awaitable[None]] | None = None,
    watch: Callable[[bytes], None] | None = None,
    mask: BodyMask | None = None,
) -> None:
    """Pass a body on as it comes; `first` was read already. Raises BrokenAnswerError. `settle` is awaited before the
    last byte goes out that is no white space. `watch` sees the bytes as they come, the client what `mask` makes of
    them."""
    held = b""
    try:
        data = first or await answer.read()
        while data:
            if tail is not None:
                tail.feed(data)
            if watch is not None:
                watch(data)
            if mask is not None:
                data = mask.feed(data)
            record.bytes_out += len(data)
            if settle is not None:
                data, held = without_last(held + data)
            await reply.write(data)
            data = await answer.read()
        if tail is not None and not tail.whole:
            raise IncompleteStream(INCOMPLETE)
        if settle is not None:
            await settle()
        rest = b"" if mask is None else mask.rest()
        record.bytes_out += len(rest)
        await reply.write(held + rest)
    except UpstreamError as error:
        reply.abort()
        raise BrokenAnswerError(str(error), error.code, error) from error
    await reply.end()


def without_last(data: bytes) -> tuple[bytes, bytes]:
    """Cut before the last byte that means something: a client can do without white space behind it."""
    end = len(data.rstrip()) - 1
    if end < 0 or len(data) - end > END_LIMIT:
        end = len(data) - 1
    return data[:end], data[end:]


async def relay_events(
    answer: UpstreamAnswer,
    held: bytes,
    reply: Outlet,
    record: RequestRecord,
    *,
    room: Share,
    tap: UsageTap,
    change: Callable[[bytes], bytes],
    is_over: Callable[[], bool],
    last_is_last: bool,
    fault: Callable[[bytes], UpstreamError | None],
    quiet: Quiet,
    error_event: Callable[[UpstreamError], bytes],
    watch: Callable[[bytes], None] | None = None,
    last: LastWord | None = None,
) -> None:
    """Pass a stream of events on; `held` was read already. Raises BrokenAnswerError.

    `room` is for an event that waits for its end. `change` gets whole events as they came and gives them as they go
    out. `is_over` says whether the stream has come to its end, so that a connection that fails has cost the client
    nothing; where its last event is the last indeed (`last_is_last`), nobody waits long for more. `fault` is asked when
    the bytes have ended, with what stands behind the last event. `watch` sees the bytes as they came. `last` holds the
    end back.
    """
    gate, rest = EventGate(room), b""
    filler = QuietFiller(reply, gate, quiet)
    try:
        data = held or await answer.read()
        while data:
            tap.feed(data)
            if watch is not None:
                watch(data)
            if events := gate.feed(data):
                events = change(events)
                await _say(events if last is None else await last.let_pass(events), reply, record)
            filler.begin_again()
            try:
                data = await (_read_soon(answer) if last_is_last and is_over() else answer.read())
            except UpstreamError:
                if not is_over():
                    raise
                data = b""
        rest = gate.rest()
        wrong = fault(rest)
        rest = change(rest)
        if wrong is not None:
            raise wrong
        await _say(rest if last is None else await last.end(rest), reply, record)
    except UpstreamError as error:
        error.__traceback__ = None  # which, by way of `wrong`, is in a cycle with this frame
        unsent = b"" if last is None else last.give_up()
        if isinstance(error, FailedStream):
            await reply.write(unsent + rest)
            await reply.end()
        else:
            await reply.write(unsent + (b"" if gate.between_events else b"\n\n") + error_event(error))
            reply.abort()
        raise BrokenAnswerError(str(error), error.code, error) from error
    finally:
        filler.close()
    await reply.end()


async def relay_translated(
    answer: UpstreamAnswer,
    held: bytes,
    reply: Outlet,
    record: RequestRecord,
    *,
    reader: Reader,
    writer: Writer,
    quiet: Quiet,
    settle: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Pass a stream on in another dialect; `held` was read already. Raises BrokenAnswerError.

    The client does not wait for what the provider sends after its stream's end. `settle` is awaited before the client
    is told of the end.
    """
    filler = QuietFiller(reply, EventGate(Share(Room())), quiet)
    broke: UpstreamError | None = None
    try:
        data = held or await answer.read()
        while data and not reader.ended and writer.failure is None:
            deltas = reader.feed(data)
            await _settle_whole(reader, settle, ended=False)
            await _say(writer.write(deltas), reply, record)
            filler.begin_again()
            data = b"" if reader.ended or writer.failure is not None else await answer.read()
        if not reader.ended and writer.failure is None:
            deltas = reader.end()
            await _settle_whole(reader, settle, ended=True)
            await _say(writer.write(deltas), reply, record)
    except UpstreamError as error:
        broke = error.with_traceback(None)  # which is in a cycle with this frame
        await _say(writer.write(reader.broken(error)), reply, record)
    finally:
        filler.close()
    if (failure := reader.failure or writer.failure) is not None:
        reply.abort()
        if broke is None and reader.failure is not None and failure.kind in PROVIDERS_KINDS:
            broke = UpstreamError(failure.message)
        raise BrokenAnswerError(failure.message, failure.code, broke)
    await reply.end()
    await _read_to_end(answer)


async def _settle_whole(reader: Reader, settle: Callable[[], Awaitable[None]] | None, *, ended: bool) -> None:
    """Before the client hears of the end, unless it is no proper one."""
    if settle is not None and (ended or reader.ended) and reader.failure is None:
        await settle()


async def _read_soon(answer: UpstreamAnswer) -> bytes:
    """What comes behind a stream's end: late usage, or nothing, which may take as long to come as it likes."""
    try:
        async with asyncio.timeout(END_SECONDS):
            return await answer.read()
    except TimeoutError:
        return b""


async def _read_to_end(answer: UpstreamAnswer) -> None:
    """Read what is left of a message, so that its connection can be used again; it is no loss if not."""
    try:
        async with asyncio.timeout(END_SECONDS):
            await answer.read_all(END_LIMIT)
    except (TimeoutError, UpstreamError):
        pass


async def _say(events: bytes, reply: Outlet, record: RequestRecord) -> None:
    if events:
        record.bytes_out += len(events)
        await reply.write(events)


class EventGate:
    """Holds back an event that has not ended, where there is `room` for it. On nearly every call the bytes are whole
    events."""

    __slots__ = ("_rest", "_room", "between_events")

    def __init__(self, room: Share) -> None:
        self._rest = bytearray()
        self._room = room
        self.between_events = True  # what was let through so far ended an event

    def feed(self, data: bytes) -> bytes:
        """What may go out now."""
        rest = self._rest
        if not rest and data.endswith(EVENT_ENDS):
            self.between_events = True
            return data
        searched = max(0, len(rest) - 2)
        rest += data
        end = max(at + len(mark) if (at := rest.rfind(mark, searched)) >= 0 else 0 for mark in EVENT_ENDS)
        if not end and len(rest) <= EVENT_LIMIT and self._room.grow(len(rest)):
            return b""
        self._room.hold(0)
        self.between_events = bool(end)
        passed = bytes(rest[: end or None])
        del rest[: end or None]
        return passed

    def rest(self) -> bytes:
        """What nobody ended."""
        return bytes(self._rest)


class QuietFiller:
    """Says a word in an open stream after some time of silence, but never within an event."""

    __slots__ = ("_deadline", "_gate", "_loop", "_quiet", "_reply")

    def __init__(self, reply: Outlet, gate: EventGate, quiet: Quiet) -> None:
        self._reply = reply
        self._gate = gate
        self._quiet = quiet
        self._loop = asyncio.get_running_loop()
        self._deadline = Deadline(self._loop, self._fill) if quiet.seconds > 0 and quiet.word else None
        self.begin_again()

    def begin_again(self) -> None:
        if self._deadline is not None:
            self._deadline.move(self._loop.time() + self._quiet.seconds)

    def close(self) -> None:
        if self._deadline is not None:
            self._deadline.close()

    def _fill(self) -> None:
        if self._gate.between_events:
            try:
                self._reply.write_nowait(self._quiet.word)
            except ConnectionError:
                return  # the relay hears of it as well
        self.begin_again()


class ResponseIdReader:
    """Finds the id of a Responses answer in its stream, normally in the first event, and tells `found` once."""

    __slots__ = ("_events", "_found")

    def __init__(self, found: Callable[[str], None]) -> None:
        self._events = EventReader()
        self._found: Callable[[str], None] | None = found

    def feed(self, data: bytes) -> None:
        if self._found is None:
            return
        try:
            events = self._events.feed(data)
        except ValueError:  # an event that is too long to be the first
            self._found = None
            return
        for event in events:
            name = _id_in_event(event)
            if name:
                self._found(name)
                self._found = None
                return


def _id_in_event(event: Event) -> str:
    try:
        payload = jsonlib.loads(event.data)
    except ValueError:
        return ""
    return read_response_id(payload.get("response") if isinstance(payload, dict) else None)


def read_response_id(response: object) -> str:
    """The id of a Responses answer, "" if it has none worth remembering."""
    name = response.get("id") if isinstance(response, dict) else None
    return name if isinstance(name, str) and len(name) <= ID_LENGTH else ""
