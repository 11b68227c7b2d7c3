"""A provider's Chat Completions stream.

A stream ends with `[DONE]`; one that stops without it has ended if all its choices had (Perplexity, Hugging Face), and
is broken otherwise. Chunks before the first choice say nothing yet (Azure). Usage may come on any chunk and more than
once: each report is of the whole.

Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from itertools import count
from typing import Any

from gateway import jsonlib
from gateway.dialects.deltas import Begin, Broken, Delta, End, Used
from gateway.dialects.dialect import Plan
from gateway.dialects.failure import Failure, FailureKind
from gateway.dialects.names import Json
from gateway.dialects.openai_chat.answer_reader import NAMELESS, created_of, text_of, top_citations
from gateway.dialects.openai_chat.choice_reader import ChoiceReader
from gateway.dialects.openai_chat.errors import carries_error, read_failure
from gateway.dialects.openai_chat.events import DONE, carried_error
from gateway.dialects.openai_chat.usage import read_usage
from gateway.usage import Usage
from gateway.wire.sse import Event

_HEAD = ("id", "model", "created", "service_tier")


class StreamReader:
    """Events in, deltas out; see `gateway.dialects.dialect.StreamReader`."""

    __slots__ = ("_begun", "_blocks", "_choices", "_head", "_over", "_plan", "_usage")

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._head: Json = {}
        self._begun = False
        self._over = False
        self._usage: Usage | None = None
        self._choices: dict[int, ChoiceReader] = {}
        self._blocks = count()

    def feed(self, event: Event) -> list[Delta]:
        if self._over:
            return []
        if event.data.strip() == DONE:
            return self._finish() if self._choices else self._break("the provider's stream has no answer")
        try:
            payload = jsonlib.loads(event.data)
        except ValueError:
            return self._break("the provider's stream has an event that is no JSON")
        if event.event == "error" or carries_error(payload):
            return self._fail(carried_error(event))
        if not isinstance(payload, dict):
            return self._break("the provider's stream has an event that is no object")
        return self._take(payload, event.data)

    def end(self) -> list[Delta]:
        if self._over:
            return []
        if self._choices and all(choice.finished for choice in self._choices.values()):
            return self._finish()
        return self._break("the provider ended its stream before its end")

    def _take(self, payload: Json, data: str) -> list[Delta]:
        deltas: list[Delta] = []
        usage = read_usage(payload)
        known, self._usage = self._usage, usage or self._usage
        choices = payload.get("choices")
        if not self._begun:
            self._head |= {name: value for name, value in payload.items() if value and name in _HEAD}
            if not isinstance(choices, list) or not choices:
                return []
            self._begun = True
            deltas.append(self._begin())
        elif usage is not None and usage != known:
            deltas.append(Used(usage))
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                return deltas + self._break("the provider's stream has a choice that is no object")
            if carries_error(choice):
                return deltas + self._fail(choice)
            deltas += self._reader(choice).feed(choice, data)
        for citation in top_citations(payload):
            self._reader({}).cite(citation)
        return deltas

    def _begin(self) -> Begin:
        head = self._head
        return Begin(
            text_of(head, "id"),
            text_of(head, "model"),
            created_of(head),
            self._usage,
            text_of(head, "service_tier"),
        )

    def _reader(self, choice: dict[str, Any]) -> ChoiceReader:
        index = choice.get("index")
        number = index if type(index) is int and index >= 0 else 0
        reader = self._choices.get(number)
        if reader is None:
            reader = self._choices[number] = ChoiceReader(number, self._plan, self._blocks)
        return reader

    def _finish(self) -> list[Delta]:
        if any(choice.nameless for choice in self._choices.values()):
            return self._break(NAMELESS)
        self._over = True
        deltas = [delta for choice in self._choices.values() for delta in choice.finish()]
        return [*deltas, End()]

    def _fail(self, payload: object) -> list[Delta]:
        self._over = True
        return [Broken(read_failure(0, payload))]

    def _break(self, message: str) -> list[Delta]:
        self._over = True
        return [Broken(Failure(0, FailureKind.SERVER, message))]
