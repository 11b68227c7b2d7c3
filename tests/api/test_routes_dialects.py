"""A route whose targets speak other dialects than the client and than each other: failures and filters in all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.api.harness import Got
from tests.api.routed import APIS, EVERY_CAUSE, FIRST, ROUTE, SECOND, routed
from tests.conftest import run
from tests.fakes.behaviours import Answer, Behaviour, Cut, Stream
from tests.fakes.script import GREETING

MESSAGES: dict[str, Any] = {"model": "fast", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
CONTENTS: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
RESPONSE: dict[str, Any] = {"model": "fast", "input": "hi", "store": False}
CHAT: dict[str, Any] = {"model": "fast", "messages": [{"role": "user", "content": "hi"}]}
STREAMED = {"stream": True}

SURFACES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", CHAT),
    "responses": ("/v1/responses", RESPONSE),
    "messages": ("/v1/messages", MESSAGES),
    "generate": ("/v1beta/models/fast:generateContent", CONTENTS),
    "chat, streamed": ("/v1/chat/completions", {**CHAT, **STREAMED}),
    "responses, streamed": ("/v1/responses", {**RESPONSE, **STREAMED}),
    "messages, streamed": ("/v1/messages", {**MESSAGES, **STREAMED}),
    "generate, streamed": ("/v1beta/models/fast:streamGenerateContent?alt=sse", CONTENTS),
}
WHOLE = [name for name in SURFACES if "streamed" not in name]
TERMINAL = {"chat": "[DONE]", "responses": "response.completed", "messages": "message_stop", "generate": '"STOP"'}

FAILURES: dict[str, Answer] = {
    "openai": Answer(500, {"error": {"message": "broken", "type": "server_error", "param": None, "code": None}}),
    "anthropic": Answer(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    "gemini": Answer(503, {"error": {"code": 503, "message": "Try later.", "status": "UNAVAILABLE"}}),
}
ERROR_EVENTS: dict[str, Stream] = {
    "openai": Stream(({"error": {"message": "broken", "type": "server_error", "code": None}},)),
    "anthropic": Stream(({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},)),
    "gemini": Stream(({"error": {"code": 503, "message": "Try later.", "status": "UNAVAILABLE"}},)),
}


def text_of(got: Got, surface: str) -> str:
    """What the client was told, in its own dialect."""
    if "streamed" in surface:
        data = [line[5:].strip() for line in got.body.decode().splitlines() if line.startswith("data:")]
        payloads = [json.loads(line) for line in data if line != "[DONE]"]
        assert TERMINAL[surface.partition(",")[0]] in got.body.decode()
    else:
        payloads = [got.json]
    return "".join(_texts(payload, surface) for payload in payloads)


def _texts(payload: Any, surface: str) -> str:
    match surface:
        case "chat":
            return str(payload["choices"][0]["message"]["content"])
        case "chat, streamed":
            return "".join(choice["delta"].get("content") or "" for choice in payload["choices"])
        case "responses":
            return "".join(part["text"] for item in payload["output"] for part in item["content"])
        case "responses, streamed":
            return str(payload["delta"]) if payload["type"] == "response.output_text.delta" else ""
        case "messages":
            return "".join(block["text"] for block in payload["content"])
        case "messages, streamed":
            return str(payload.get("delta", {}).get("text", ""))
    return "".join(part["text"] for part in payload["candidates"][0]["content"]["parts"])


@pytest.mark.parametrize("kinds", [("anthropic", "gemini"), ("gemini", "openai"), ("openai", "anthropic")])
@pytest.mark.parametrize("surface", SURFACES)
def test_each_target_is_asked_in_its_own_dialect_whatever_the_clients(
    tmp_path: Path, surface: str, kinds: tuple[str, str]
) -> None:
    path, body = SURFACES[surface]

    async def scenario() -> None:
        async with routed(tmp_path, kinds=kinds) as world:
            got = await world.ask(body, path)
            assert (got.status, text_of(got, surface)) == (200, GREETING)
            assert got.header("x-llmgateway-provider") == "main"
            world.main.script(FIRST, FAILURES[kinds[0]])
            got = await world.ask(body, path)
            assert (got.status, text_of(got, surface)) == (200, GREETING)
            assert (got.header("x-llmgateway-provider"), got.header("x-llmgateway-model")) == ("spare", "small")
            assert (world.fallbacks, world.asked) == ([("main", "server_error", "spare")], (2, 1))
            assert b"small" not in got.body and b"big" not in got.body

    run(scenario())


@pytest.mark.parametrize(
    ("kind", "surface"),
    [("openai", "chat, streamed"), ("openai", "messages, streamed"), ("anthropic", "messages, streamed"),
     ("anthropic", "generate, streamed"), ("gemini", "generate, streamed"), ("gemini", "responses, streamed")],
)  # fmt: skip
@pytest.mark.parametrize("failure", ["error event", "no event", "cut at once"])
def test_a_stream_that_ends_before_it_says_anything_is_another_targets(
    tmp_path: Path, kind: str, surface: str, failure: str
) -> None:
    path, body = SURFACES[surface]
    behaviours: dict[str, Behaviour] = {
        "error event": ERROR_EVENTS[kind],
        "no event": Stream(()),
        "cut at once": Cut(0, Stream(({"id": "x"},))),
    }

    async def scenario() -> None:
        async with routed(tmp_path, kinds=(kind, "openai")) as world:
            world.main.script(FIRST, behaviours[failure])
            got = await world.ask(body, path)
            assert (got.status, text_of(got, surface)) == (200, GREETING)
            assert world.fallbacks == [("main", "server_error", "spare")]

    run(scenario())


@pytest.mark.parametrize("kind", APIS)
@pytest.mark.parametrize("surface", [*WHOLE, "messages, streamed"])
def test_when_all_targets_fail_the_last_ones_answer_is_told_in_the_clients_shape(
    tmp_path: Path, kind: str, surface: str
) -> None:
    path, body = SURFACES[surface]

    async def scenario() -> None:
        async with routed(tmp_path, kinds=("openai", kind)) as world:
            world.main.script(FIRST, Answer(500, {"error": {"message": "not this", "type": "server_error"}}))
            world.spare.script(SECOND, FAILURES[kind])
            got = await world.ask(body, path)
            assert got.status in (500, 503, 529)
            said = {"openai": "broken", "anthropic": "Overloaded", "gemini": "Try later."}[kind]
            error = got.json["error"]
            assert error["message"] == said and b"not this" not in got.body
            match surface.partition(",")[0]:
                case "chat" | "responses":
                    assert {"message", "type", "param", "code"} <= set(error)
                case "messages":
                    assert got.json["type"] == "error" and "type" in error
                case "generate":
                    assert error["code"] == got.status and error["status"]
            assert got.header("x-llmgateway-provider") == "spare"
            assert got.header("x-llmgateway-attempts") == "2"

    run(scenario())


TOO_LONG: dict[str, list[Answer]] = {
    "openai": [
        Answer(400, {"error": {"message": "This model's maximum context length is 128000 tokens.", "param": "messages",
                               "type": "invalid_request_error", "code": "context_length_exceeded"}}),
    ],
    "anthropic": [
        Answer(400, {"type": "error", "error": {"type": "invalid_request_error",
                                                "message": "prompt is too long: 210000 tokens > 200000 maximum"}}),
        Answer(413, {"type": "error", "error": {"type": "request_too_large", "message": "Request exceeds the maximum "
                                                "size"}}),
    ],
    "gemini": [
        Answer(400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "The input token count (1200000) "
                               "exceeds the maximum number of tokens allowed (1048576)."}}),
    ],
}  # fmt: skip


@pytest.mark.parametrize("surface", ["chat", "messages, streamed", "generate"])
@pytest.mark.parametrize(("kind", "failure"), [(kind, one) for kind, each in TOO_LONG.items() for one in each])
def test_a_request_that_is_too_long_for_one_model_goes_to_another(
    tmp_path: Path, kind: str, failure: Answer, surface: str
) -> None:
    path, body = SURFACES[surface]

    async def scenario() -> None:
        async with routed(tmp_path, f"{ROUTE}\n{EVERY_CAUSE}", kinds=(kind, "openai")) as world:
            world.main.script(FIRST, failure)
            got = await world.ask(body, path)
            assert (got.status, text_of(got, surface)) == (200, GREETING)
            assert world.fallbacks == [("main", "context_length", "spare")]

    run(scenario())


BREAKS: dict[str, tuple[str | dict[str, Any], ...]] = {
    "openai": ({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "big",
                "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Well"}, "finish_reason": None}]},),
    "anthropic": (
        {"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "model": "big",
         "content": [], "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Well"}},
    ),
    "gemini": ({"candidates": [{"content": {"role": "model", "parts": [{"text": "Well"}]}, "index": 0}]},),
}  # fmt: skip


@pytest.mark.parametrize("kind", BREAKS)
@pytest.mark.parametrize("surface", [name for name in SURFACES if "streamed" in name])
def test_a_stream_that_has_said_something_is_nobody_elses(tmp_path: Path, kind: str, surface: str) -> None:
    path, body = SURFACES[surface]

    async def scenario() -> None:
        async with routed(tmp_path, kinds=(kind, "openai")) as world:
            world.main.script(FIRST, Stream((*BREAKS[kind], *(ERROR_EVENTS[kind].events or ()))))
            got = await world.ask(body, path)
            assert (got.status, got.body.count(b"Well") > 0, world.fallbacks, world.asked) == (200, True, [], (1, 0))
            assert b"error" in got.body and TERMINAL[surface.partition(",")[0]] not in got.body.decode()

    run(scenario())


# -- filters ---------------------------------------------------------------------------------------------------------

USAGE = {"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3}
NO_WORDS: dict[str, dict[str, Any]] = {
    "chat": {"id": "c", "object": "chat.completion", "created": 1, "model": "big", "usage": USAGE, "choices": [
        {"index": 0, "message": {"role": "assistant", "content": None}, "finish_reason": "content_filter",
         "content_filter_results": {"hate": {"filtered": True, "severity": "high"}}}]},
    "responses": {"id": "resp_1", "object": "response", "created_at": 1, "model": "big", "status": "incomplete",
                  "incomplete_details": {"reason": "content_filter"}, "output": []},
    "messages": {"id": "m", "type": "message", "role": "assistant", "model": "big", "content": [],
                 "stop_reason": "refusal", "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 0}},
    "generate": {"promptFeedback": {"blockReason": "SAFETY", "safetyRatings": [
        {"category": "HARM_CATEGORY_HARASSMENT", "probability": "HIGH"}]}, "usageMetadata": {"promptTokenCount": 3}},
}  # fmt: skip


def chunk(delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
    choices = [{"index": 0, "delta": delta, "finish_reason": reason}]
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "big", "choices": choices}


NO_WORDS_STREAMED: dict[str, tuple[str | dict[str, Any], ...]] = {
    "chat": (chunk({"role": "assistant", "content": ""}, None), chunk({}, "content_filter"), "[DONE]"),
    "responses": (
        {"type": "response.created", "response": {"id": "r", "object": "response", "status": "in_progress"}},
        {"type": "response.incomplete", "response": NO_WORDS["responses"]},
    ),
    "messages": (
        {"type": "message_start", "message": {**NO_WORDS["messages"], "stop_reason": None}},
        {"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_sequence": None},
         "usage": {"output_tokens": 0}},
        {"type": "message_stop"},
    ),
    "generate": (NO_WORDS["generate"],),
}  # fmt: skip
SOME_WORDS: dict[str, dict[str, Any]] = {
    "chat": {**NO_WORDS["chat"], "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Well"}, "finish_reason": "content_filter"}]},
    "responses": {**NO_WORDS["responses"], "output": [
        {"id": "m", "type": "message", "role": "assistant", "status": "incomplete",
         "content": [{"type": "output_text", "text": "Well", "annotations": []}]}]},
    "messages": {**NO_WORDS["messages"], "content": [{"type": "text", "text": "Well"}]},
    "generate": {"candidates": [
        {"content": {"role": "model", "parts": [{"text": "Well"}]}, "finishReason": "SAFETY", "index": 0}]},
}  # fmt: skip
KIND_OF = {"chat": "openai", "responses": "openai", "messages": "anthropic", "generate": "gemini"}
"""Who speaks it."""


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("shape", "client"),
    [*((shape, shape) for shape in NO_WORDS), ("chat", "messages"), ("messages", "generate"), ("generate", "chat")],
)
def test_an_answer_that_a_filter_took_is_another_targets_where_the_route_says_so(
    tmp_path: Path, shape: str, client: str, streamed: bool
) -> None:
    filtered: Behaviour = Stream(NO_WORDS_STREAMED[shape]) if streamed else Answer(body=NO_WORDS[shape])
    surface = f"{client}, streamed" if streamed else client
    path, body = SURFACES[surface]

    async def scenario() -> None:
        async with routed(tmp_path, f"{ROUTE}\n{EVERY_CAUSE}", kinds=(KIND_OF[shape], "openai")) as world:
            world.main.script(FIRST, filtered)
            got = await world.ask(body, path)
            assert (got.status, text_of(got, surface)) == (200, GREETING)
            assert world.fallbacks == [("main", "content_filter", "spare")]

    run(scenario())


@pytest.mark.parametrize("shape", NO_WORDS)
def test_so_is_one_that_was_to_become_a_stream(tmp_path: Path, shape: str) -> None:
    path, body = SURFACES[f"{shape}, streamed"]
    whole = ('[providers.main.streaming]\nmode = "disabled"', "")

    async def scenario() -> None:
        kinds = (KIND_OF[shape], "openai")
        async with routed(tmp_path, f"{ROUTE}\n{EVERY_CAUSE}", kinds=kinds, settings=whole) as world:
            world.main.script(FIRST, Answer(body=NO_WORDS[shape]))
            got = await world.ask(body, path)
            assert (got.status, text_of(got, f"{shape}, streamed")) == (200, GREETING)
            assert world.fallbacks == [("main", "content_filter", "spare")]

    run(scenario())


def test_so_is_one_with_an_event_of_any_size(tmp_path: Path) -> None:
    """Which came as a stream that nobody had asked for, and without a blank line at its end."""
    path, body = SURFACES["messages"]
    first = {**chunk({"role": "assistant", "content": ""}, None), "obfuscation": "x" * (3 << 19)}
    last = b"data: " + json.dumps(chunk({}, "content_filter")).encode()

    async def scenario() -> None:
        async with routed(tmp_path, f"{ROUTE}\n{EVERY_CAUSE}", kinds=("openai", "openai")) as world:
            world.main.script(FIRST, Stream((first, last)))
            got = await world.ask(body, path)
            assert (got.status, text_of(got, "messages")) == (200, GREETING)
            assert world.fallbacks == [("main", "content_filter", "spare")]

    run(scenario())


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("shape", NO_WORDS)
def test_without_the_routes_word_it_is_the_clients(tmp_path: Path, shape: str, streamed: bool) -> None:
    filtered: Behaviour = Stream(NO_WORDS_STREAMED[shape]) if streamed else Answer(body=NO_WORDS[shape])
    path, body = SURFACES[f"{shape}, streamed" if streamed else shape]

    async def scenario() -> None:
        async with routed(tmp_path, kinds=(KIND_OF[shape], "openai")) as world:
            world.main.script(FIRST, filtered)
            got = await world.ask(body, path)
            assert (got.status, world.fallbacks, world.asked) == (200, [], (1, 0))
            assert any(word in got.body for word in (b"content_filter", b"refusal", b"SAFETY"))

    run(scenario())


@pytest.mark.parametrize("shape", SOME_WORDS)
def test_an_answer_that_has_said_something_is_the_clients_even_if_a_filter_ended_it(tmp_path: Path, shape: str) -> None:
    path, body = SURFACES[shape]

    async def scenario() -> None:
        async with routed(tmp_path, f"{ROUTE}\n{EVERY_CAUSE}", kinds=(KIND_OF[shape], "openai")) as world:
            world.main.script(FIRST, Answer(body=SOME_WORDS[shape]))
            got = await world.ask(body, path)
            assert (got.status, world.fallbacks) == (200, [])
            assert b"Well" in got.body

    run(scenario())


@pytest.mark.parametrize("surface", WHOLE)
def test_when_filters_took_all_answers_the_last_one_is_the_clients(tmp_path: Path, surface: str) -> None:
    path, body = SURFACES[surface]

    async def scenario() -> None:
        async with routed(tmp_path, f"{ROUTE}\n{EVERY_CAUSE}", kinds=("openai", "openai")) as world:
            own = NO_WORDS[surface if surface == "responses" else "chat"]
            world.main.script(FIRST, Answer(body=own))
            world.spare.script(SECOND, Answer(body=own))
            got = await world.ask(body, path)
            assert (got.status, got.header("x-llmgateway-provider")) == (200, "spare")

    run(scenario())
