"""What clients of each API send, and how they know that an answer is whole: for load over real connections.

A request has a word of its own, which the fakes of `tests/fakes/api.py` say back: an answer that belongs to another
request is seen. Readers are strict: `UnfinishedError` is raised for whatever is no complete answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


class UnfinishedError(Exception):
    """A body that ended in order, but is no whole answer. `told`: it says itself that it failed."""

    def __init__(self, told: bool, body: bytes) -> None:
        super().__init__(f"{'told' if told else 'not told'}: {body[-300:]!r}")
        self.told = told


@dataclass(frozen=True, slots=True)
class Surface:
    """One way to ask for a text. `path` is that of a whole answer and of a stream."""

    name: str
    path: tuple[str, str]
    ask: Callable[[str, str, bool], Json]
    text: Callable[[Json], str]
    pieces: Callable[[list[Json]], tuple[str, bool]]

    def body(self, model: str, words: str, *, stream: bool) -> bytes:
        return json.dumps(self.ask(model, words, stream)).encode()

    def read(self, body: bytes, *, stream: bool) -> str:
        """The text of a whole answer. Raises UnfinishedError."""
        try:
            if not stream:
                return self.text(json.loads(body))
            events = list(_events(body))
            text, complete = self.pieces(events)
        except (KeyError, IndexError, TypeError, ValueError):
            raise UnfinishedError(b'"error"' in body, body) from None
        if not complete or any("error" in event and event["error"] for event in events):
            raise UnfinishedError(b'"error"' in body, body)
        return text


def _events(body: bytes) -> Iterator[Json]:
    for line in body.splitlines():
        if line.startswith(b"data:"):
            data = line[5:].strip()
            yield {"done": True} if data == b"[DONE]" else json.loads(data)


def _ask_chat(model: str, words: str, stream: bool) -> Json:
    return {"model": model, "messages": [{"role": "user", "content": words}], "max_tokens": 500, "stream": stream}


def _chat_text(answer: Json) -> str:
    choice = answer["choices"][0]
    if choice["finish_reason"] != "stop":
        raise ValueError(choice["finish_reason"])
    return str(choice["message"]["content"])


def _chat_pieces(events: list[Json]) -> tuple[str, bool]:
    choices = [choice for event in events for choice in event.get("choices", ())]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    return text, "done" in events[-1] and choices[-1]["finish_reason"] == "stop"


def _ask_responses(model: str, words: str, stream: bool) -> Json:
    return {"model": model, "input": words, "max_output_tokens": 500, "stream": stream}


def _response_text(answer: Json) -> str:
    if answer["status"] != "completed":
        raise ValueError(answer["status"])
    return "".join(part["text"] for item in answer["output"] for part in item.get("content", ()))


def _response_pieces(events: list[Json]) -> tuple[str, bool]:
    text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    return text, events[-1]["type"] == "response.completed"


def _message_text(answer: Json) -> str:
    if answer["stop_reason"] != "end_turn":
        raise ValueError(answer["stop_reason"])
    return "".join(block["text"] for block in answer["content"])


def _message_pieces(events: list[Json]) -> tuple[str, bool]:
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    return "".join(delta["text"] for delta in deltas), events[-1]["type"] == "message_stop"


def _ask_gemini(model: str, words: str, stream: bool) -> Json:
    return {"contents": [{"role": "user", "parts": [{"text": words}]}], "generationConfig": {"maxOutputTokens": 500}}


def _candidate_text(answer: Json) -> str:
    if answer["candidates"][0]["finishReason"] != "STOP":
        raise ValueError(answer["candidates"][0]["finishReason"])
    return "".join(part["text"] for part in answer["candidates"][0]["content"]["parts"])


def _candidate_pieces(events: list[Json]) -> tuple[str, bool]:
    candidates = [event["candidates"][0] for event in events]
    parts = [part for each in candidates for part in each.get("content", {}).get("parts", ())]
    return "".join(part.get("text", "") for part in parts), candidates[-1].get("finishReason") == "STOP"


SURFACES = (
    Surface("openai", ("/v1/chat/completions",) * 2, _ask_chat, _chat_text, _chat_pieces),
    Surface("responses", ("/v1/responses",) * 2, _ask_responses, _response_text, _response_pieces),
    Surface("anthropic", ("/v1/messages",) * 2, _ask_chat, _message_text, _message_pieces),
    Surface(
        "gemini",
        ("/v1beta/models/{model}:generateContent", "/v1beta/models/{model}:streamGenerateContent?alt=sse"),
        _ask_gemini,
        _candidate_text,
        _candidate_pieces,
    ),
)
"""The APIs that clients speak."""
