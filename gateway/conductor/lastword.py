"""The end of a stream that is charged for: it goes out when the entry is in the ledger, and not before.

An end is known by its event: `message_stop`, `response.completed` and its relatives, Gemini's first reason to stop. A
chat's is held from its first reason to stop, so that usage and `[DONE]`, which come together with it, go out together
with it: who has read the last word has paid. Until then events pass at once. A stream without any end is held by its
last chunk, which comes after all of them.

Where the gateway has asked for usage that the client did not ask for, the chunk that has nothing else is taken out.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from gateway import jsonlib
from gateway.wire.output_tap import OutputTap
from gateway.wire.sse import EndTap

DONE = re.compile(rb"^data: ?\[DONE\]", re.MULTILINE)
"""No JSON has it: there, line feeds are escaped."""

EVENT = re.compile(rb".+?(?:\n\n|\n\r\n|\r\r|\Z)", re.DOTALL)

USAGE = re.compile(rb'"usage"\s*:\s*\{')

CHAT = frozenset({"chat", "completions"})
"""Shapes of streams that end with `[DONE]`, after the reason why."""

LATE = frozenset({"generate"})
"""Shapes of streams that may go on after what looks like their end: of several candidates one ends first."""

HELD_LIMIT = 1 << 20
"""Bytes that are held of those. More are given out: then it was not the end."""


class LastWord:
    """One stream's. `end` has looked at the events before they come here; None: their ends are not known. `settle` is
    awaited once, before the end. `unasked`: its usage chunk is not for the client. `several`: answers come side by
    side, so that a chat's first reason to stop is not the last."""

    __slots__ = ("_end", "_ends", "_held", "_output", "_settle", "_settled", "_unasked")

    def __init__(
        self,
        shape: str,
        end: EndTap | None,
        output: OutputTap,
        settle: Callable[[], Awaitable[None]],
        *,
        unasked: bool = False,
        several: bool = False,
    ) -> None:
        chat = end is None or shape in CHAT
        self._end = None if chat and several else end
        self._ends: Callable[[bytes], bool] = _is_done if chat else _never if shape in LATE else _always
        self._output = output
        self._settle = settle
        self._settled = False
        self._unasked = unasked
        self._held = b""

    async def let_pass(self, events: bytes) -> bytes:
        """What may go out now of whole events. Raises what `settle` raises."""
        self._output.feed(events)
        if self._unasked and b'"usage"' in events:
            events = without_usage_chunk(events)
        if self._settled:
            return events
        if self._held or (self._end is not None and self._end.ends):
            self._held += events
            if not self._ends(events):
                return b"" if len(self._held) <= HELD_LIMIT else self.give_up()
            await self._settle_once()
            events, self._held = self._held, b""
        elif self._ends is _is_done and _is_done(events):
            await self._settle_once()
        return events

    async def end(self, rest: bytes) -> bytes:
        """What is still to go out, when the bytes have ended. Raises what `settle` raises."""
        self._output.feed(rest)
        await self._settle_once()
        return self._held + rest

    def give_up(self) -> bytes:
        """What was held for an end that does not come. Nothing, when it came and could not be charged for."""
        held, self._held = self._held, b""
        return b"" if self._settled else held

    async def _settle_once(self) -> None:
        if not self._settled:
            self._settled = True
            await self._settle()


def _is_done(events: bytes) -> bool:
    return b"[DONE]" in events and DONE.search(events) is not None


def _always(events: bytes) -> bool:
    return True


def _never(events: bytes) -> bool:
    return False


def without_usage_chunk(events: bytes) -> bytes:
    """Chunks of Chat Completions or Completions but for one that has usage, and no choices.
    https://platform.openai.com/docs/api-reference/chat/create#chat_create-stream_options"""
    if USAGE.search(events) is None:
        return events
    return b"".join([event for event in EVENT.findall(events) if not _is_usage_chunk(event)])


def _is_usage_chunk(event: bytes) -> bool:
    if USAGE.search(event) is None:
        return False
    data = b"".join([line[5:] for line in event.splitlines() if line.startswith(b"data:")])
    try:
        payload = jsonlib.loads(data)
    except ValueError:
        return False
    return isinstance(payload, dict) and payload.get("choices") == []
