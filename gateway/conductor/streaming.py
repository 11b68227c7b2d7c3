"""Upstream bytes to client bytes, after the commit point.

The bytes pass through unchanged while a tap reads the usage, unless the gateway gave the model another name; then
the events that name it are rewritten. From here on nothing is retried: when the upstream breaks, the client gets
the surface's own error event and the connection ends without a proper end of message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway import jsonlib
from gateway.errors import UpstreamError
from gateway.net.connection import Reply
from gateway.net.deadline import Deadline
from gateway.upstream.exchange import UpstreamAnswer
from gateway.wire.sse import UsageTap

KEEPALIVE = b": keepalive\n\n"
"""A comment, which every SSE reader ignores. https://html.spec.whatwg.org/multipage/server-sent-events.html"""

LINE_LIMIT = 16 * 1024 * 1024
"""Bytes of one event that wait for their end while the model's name is rewritten; base64 images fit."""


class BrokenAnswerError(Exception):
    """The upstream failed after the commit point. The client has been told as far as it can be."""

    def __init__(self, error: UpstreamError) -> None:
        super().__init__(str(error))
        self.error = error


async def relay(answer: UpstreamAnswer, first: bytes, reply: Reply) -> int:
    """Pass a body on as it comes. Returns the number of bytes. Raises BrokenAnswerError."""
    size = len(first)
    try:
        if first:
            await reply.write(first)
        while data := await answer.read():
            size += len(data)
            await reply.write(data)
    except UpstreamError as error:
        reply.abort()
        raise BrokenAnswerError(error) from error
    await reply.end()
    return size


async def relay_events(
    answer: UpstreamAnswer,
    held: bytes,
    reply: Reply,
    tap: UsageTap,
    *,
    rename: ModelRenamer | None,
    keepalive: float,
    error_event: Callable[[UpstreamError], bytes],
) -> int:
    """Pass a stream of events on. Returns the number of bytes. Raises BrokenAnswerError."""
    quiet = QuietFiller(reply, keepalive)
    size = 0
    try:
        data = held or await answer.read()
        while data:
            size += len(data)
            tap.feed(data)
            await reply.write(data if rename is None else rename.feed(data))
            quiet.passed(data)
            data = await answer.read()
        if rename is not None:
            await reply.write(rename.rest())
    except UpstreamError as error:
        quiet.close()
        await reply.write((b"" if quiet.between_events else b"\n\n") + error_event(error))
        reply.abort()
        raise BrokenAnswerError(error) from error
    finally:
        quiet.close()
    await reply.end()
    return size


class QuietFiller:
    """Keeps an open stream alive: a comment after `seconds` of silence, only between two events. 0: never."""

    __slots__ = ("_deadline", "_loop", "_reply", "_seconds", "_tail")

    def __init__(self, reply: Reply, seconds: float) -> None:
        self._reply = reply
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._deadline = Deadline(self._loop, self._fill) if seconds > 0 else None
        self._tail = b""

    @property
    def between_events(self) -> bool:
        return not self._tail or self._tail.endswith((b"\n\n", b"\r\n\r\n", b"\r\r"))

    def passed(self, data: bytes) -> None:
        """Note what went by last."""
        self._tail = data[-4:] if len(data) >= 4 else (self._tail + data)[-4:]
        if self._deadline is not None:
            self._deadline.move(self._loop.time() + self._seconds)

    def close(self) -> None:
        if self._deadline is not None:
            self._deadline.close()

    def _fill(self) -> None:
        if self.between_events:
            self._reply.write_nowait(KEEPALIVE)
        assert self._deadline is not None
        self._deadline.move(self._loop.time() + self._seconds)


class ModelRenamer:
    """Puts the client's name for the model into the events of a stream. Any cut of the bytes will do."""

    __slots__ = ("_model", "_rest")

    def __init__(self, model: str) -> None:
        self._model = model
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """What may go out now: everything up to the last whole line."""
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        if not end and len(data) > LINE_LIMIT:
            end = len(data)
        self._rest = data[end:]
        lines = data[:end]
        if b'"model"' not in lines:
            return lines
        return b"".join(map(self._rename_line, lines.splitlines(keepends=True)))

    def rest(self) -> bytes:
        """A last line that nobody ended."""
        return self._rename_line(self._rest) if self._rest else b""

    def _rename_line(self, line: bytes) -> bytes:
        if not line.startswith(b"data:") or b'"model"' not in line:
            return line
        text = line[5:].strip()
        renamed = rename_model(text, self._model)
        return line if renamed is None else line.replace(text, renamed, 1)


def rename_model(body: bytes, model: str) -> bytes | None:
    """The JSON with `model` (or `response.model`) replaced; None if there is nothing to replace."""
    try:
        decoded = jsonlib.loads(body)
    except ValueError:
        return None
    if not isinstance(decoded, dict):
        return None
    holder = decoded if "model" in decoded else decoded.get("response")
    if not isinstance(holder, dict) or "model" not in holder:
        return None
    holder["model"] = model
    return jsonlib.dumps(decoded)
