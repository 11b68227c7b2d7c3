"""Streams for tests: events out of bytes cut anywhere, and what deltas add up to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from gateway import jsonlib
from gateway.dialects.conversation import Citation, Ending, Part, Refusal, Signature, Text, Thinking, ToolCall
from gateway.dialects.deltas import Begin, Broken, Cited, Close, Delta, End, Finished, More, Open, Signed, Used
from gateway.dialects.dialect import Plan
from gateway.dialects.failure import Failure
from gateway.dialects.openai_chat.stream_reader import StreamReader
from gateway.usage import Usage
from gateway.wire.sse import EventReader


def events(*payloads: dict[str, Any] | str) -> bytes:
    lines = (payload if isinstance(payload, str) else jsonlib.dumps(payload).decode() for payload in payloads)
    return "".join(f"data: {line}\n\n" for line in lines).encode()


def read(stream: bytes, plan: Plan | None = None, cut: int = 4096) -> list[Delta]:
    """All deltas of a stream that comes in pieces of `cut` bytes."""
    source, reader, deltas = EventReader(1 << 26), StreamReader(plan or Plan("theirs")), []
    for start in range(0, len(stream), cut):
        for event in source.feed(stream[start : start + cut]):
            deltas += reader.feed(event)
    if (rest := source.rest()) is not None:
        deltas += reader.feed(rest)
    return deltas + reader.end()


@dataclass
class Whole:
    """What a stream said, block by block."""

    parts: dict[int, list[Part]] = field(default_factory=dict)
    endings: dict[int, Ending] = field(default_factory=dict)
    usage: Usage | None = None
    failure: Failure | None = None
    ended: bool = False


def add_up(deltas: Iterable[Delta]) -> Whole:
    """The parts of a stream. Fails where the grammar of `deltas.py` is broken."""
    whole, opened = Whole(), dict[int, tuple[int, int]]()
    begun = False
    for delta in deltas:
        assert not whole.ended and whole.failure is None, "something came after the end"
        match delta:
            case Begin():
                assert not begun
                begun = True
                whole.usage = delta.usage
            case Open():
                assert begun and delta.block == len([*opened]), "blocks count up"
                parts = whole.parts.setdefault(delta.choice, [])
                opened[delta.block] = (delta.choice, len(parts))
                parts.append(delta.part)
            case More() | Signed() | Cited():
                choice, place = opened[delta.block]
                whole.parts[choice][place] = _grown(whole.parts[choice][place], delta)
            case Close():
                assert opened[delta.block][0] not in whole.endings
                opened[delta.block] = (-1, -1)
            case Finished():
                assert all(choice != delta.choice for choice, _ in opened.values()), "a block is open"
                whole.endings[delta.choice] = delta.ending
            case Used():
                whole.usage = delta.usage
            case Broken():
                whole.failure = delta.failure
            case End():
                assert begun
                whole.ended = True
    return whole


def _grown(part: Part, delta: More | Signed | Cited) -> Part:
    match delta, part:
        case More(), ToolCall():
            return replace(part, arguments=part.arguments + delta.text)
        case More(), Text() | Thinking() | Refusal():
            return replace(part, text=part.text + delta.text)
        case Signed(), Text() | Thinking() | ToolCall():
            return _signed(part, delta.signature)
        case Cited(), Text():
            return _cited(part, delta.citation)
    raise AssertionError(f"{delta} in a block of {part}")


def _signed(part: Text | Thinking | ToolCall, signature: Signature) -> Part:
    return replace(part, signature=signature)


def _cited(part: Text, citation: Citation) -> Part:
    return replace(part, citations=(*part.citations, citation))
