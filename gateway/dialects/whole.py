"""Whole answers and streams of deltas, each made from the other.

A provider that answers a streamed request with a whole answer is read by the one and written by the other, and so is
the reverse. Both keep everything but where the cuts were.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gateway.dialects.conversation import (
    Answer,
    Choice,
    Citation,
    Ending,
    Finish,
    Part,
    Refusal,
    Signature,
    Text,
    Thinking,
    ToolCall,
)
from gateway.dialects.deltas import Begin, Broken, Cited, Close, Delta, End, Finished, More, Open, Signed, Used
from gateway.dialects.failure import Failure
from gateway.dialects.names import Json
from gateway.usage import Usage


def to_deltas(answer: Answer) -> list[Delta]:
    """The stream that an answer would have been, each part in one piece."""
    deltas: list[Delta] = [Begin(answer.id, answer.model, answer.created, service_tier=answer.service_tier)]
    block = 0
    for number, choice in enumerate(answer.choices):
        logprobs = choice.logprobs
        for part in choice.parts:
            said = _said(part)
            deltas.append(Open(block, _opening(part), number))
            if said:
                deltas.append(More(block, said, logprobs if isinstance(part, Text | Refusal) else None))
                logprobs = None if isinstance(part, Text | Refusal) else logprobs
            deltas += _marks(block, part)
            deltas.append(Close(block))
            block += 1
        deltas.append(Finished(choice.ending, number))
    if answer.usage is not None:
        deltas.append(Used(answer.usage))
    deltas.append(End())
    return deltas


class Collector:
    """Puts a stream together again. `failure` is set when it broke."""

    def __init__(self) -> None:
        self.failure: Failure | None = None
        self._begin = Begin("", "")
        self._usage: Usage | None = None
        self._blocks: dict[int, _Block] = {}
        self._endings: dict[int, Ending] = {}

    def feed(self, deltas: Iterable[Delta]) -> None:
        for delta in deltas:
            match delta:
                case Begin():
                    self._begin, self._usage = delta, delta.usage or self._usage
                case Open(block, part, choice):
                    self._blocks[block] = _Block(part, choice)
                case More(block, text, logprobs):
                    self._blocks[block].more(text, logprobs)
                case Signed(block, signature):
                    self._blocks[block].signature = signature
                case Cited(block, citation):
                    self._blocks[block].citations.append(citation)
                case Finished(ending, choice):
                    self._endings[choice] = ending
                case Used(usage):
                    self._usage = usage
                case Broken(failure):
                    self.failure = failure

    @property
    def answer(self) -> Answer:
        begin = self._begin
        numbers = {block.choice for block in self._blocks.values()} | set(self._endings)
        choices = tuple(self._choice(number) for number in sorted(numbers))
        return Answer(begin.id, begin.model, choices, self._usage, begin.created, begin.service_tier)

    def _choice(self, number: int) -> Choice:
        blocks = [block for block in self._blocks.values() if block.choice == number]
        said = [logprobs for block in blocks for logprobs in block.logprobs]
        return Choice(
            tuple(block.part for block in blocks), self._endings.get(number, Ending(Finish.STOP)), _joined(said)
        )


class _Block:
    __slots__ = ("_opening", "_texts", "choice", "citations", "logprobs", "signature")

    def __init__(self, opening: Part, choice: int) -> None:
        self._opening = opening
        self.choice = choice
        self._texts: list[str] = []
        self.citations: list[Citation] = []
        self.logprobs: list[Json] = []
        self.signature: Signature | None = None

    def more(self, text: str, logprobs: Json | None) -> None:
        self._texts.append(text)
        if logprobs is not None:
            self.logprobs.append(logprobs)

    @property
    def part(self) -> Part:
        part, text = self._opening, "".join(self._texts)
        match part:
            case Text():
                signature = self.signature or part.signature
                return replace(
                    part, text=part.text + text, citations=(*part.citations, *self.citations), signature=signature
                )
            case Thinking():
                return replace(part, text=part.text + text, signature=self.signature or part.signature)
            case Refusal():
                return Refusal(part.text + text)
            case ToolCall():
                arguments = part.arguments + text
                signature = self.signature or part.signature
                return replace(part, arguments=arguments or ("" if part.custom else "{}"), signature=signature)
            case _:
                return part


def _opening(part: Part) -> Part:
    """What `Open` has of a part; the rest follows."""
    match part:
        case Text():
            return Text("")
        case Thinking():
            return Thinking("")
        case Refusal():
            return Refusal("")
        case ToolCall():
            return replace(part, arguments="", signature=None)
        case _:
            return part


def _said(part: Part) -> str:
    match part:
        case Text() | Thinking() | Refusal():
            return part.text
        case ToolCall():
            return part.arguments
        case _:
            return ""


def _marks(block: int, part: Part) -> list[Delta]:
    marks: list[Delta] = []
    if isinstance(part, Text):
        marks += [Cited(block, citation) for citation in part.citations]
    if isinstance(part, Text | Thinking | ToolCall) and part.signature is not None:
        marks.append(Signed(block, part.signature))
    return marks


def _joined(said: list[Json]) -> Json | None:
    """Log probabilities of all pieces of a text, one list after the other by name."""
    if not said:
        return None
    joined: Json = {}
    for logprobs in said:
        for name, entries in logprobs.items():
            known = joined.get(name)
            if isinstance(known, list) and isinstance(entries, list):
                known += entries
            else:
                joined[name] = list(entries) if isinstance(entries, list) else entries
    return joined
