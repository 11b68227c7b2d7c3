"""Streams of providers that are only asked for whole answers: what the provider is asked, what the client gets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway import jsonlib
from gateway.conductor.unstreamed import whole_body
from gateway.dialects.continuity import seal
from gateway.dialects.conversation import Signature
from tests.api.billed import CENT, charges, prices
from tests.api.harness import AS_ANN, CHAT, KEYS, TOKENS, Gateway, configuration, gateway
from tests.conftest import run
from tests.fakes.behaviours import (
    Answer,
    Behaviour,
    Cut,
    Stream,
    bad_request,
    rate_limited,
    server_error,
)
from tests.fakes.provider import FakeProvider

DISABLED = '[providers.main.streaming]\nmode = "disabled"\n'

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
MESSAGE = {"role": "assistant", "content": "word", "new_field": {"kept": 1}}
CHAT_ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o",
    "system_fingerprint": "fp_1",
    "choices": [{"index": 0, "message": MESSAGE, "logprobs": None, "finish_reason": "stop"}],
    "usage": USAGE,
}
COMPLETION = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1,
    "model": "gpt-4o",
    "choices": [{"index": 0, "text": "word", "logprobs": None, "finish_reason": "stop"}],
    "usage": USAGE,
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "gpt-4o",
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "word", "annotations": [{"type": "file_citation"}]}],
        }
    ],
    "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
}
MESSAGES_ANSWER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "gpt-4o",
    "content": [{"type": "text", "text": "word"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 2},
}
GENERATION = {
    "candidates": [{"content": {"parts": [{"text": "word"}], "role": "model"}, "finishReason": "STOP", "new": 1}],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5},
    "modelVersion": "gpt-4o",
}

TURNS = [{"role": "user", "content": "hi"}]
CONTENTS = {"contents": [{"parts": [{"text": "hi"}]}], "newField": 7}


@dataclass(frozen=True, slots=True)
class Surface:
    """A client's call and the provider's whole answer; `end` stands in the stream that is made of it."""

    name: str
    kind: str
    path: str
    body: Mapping[str, Any]
    answer: Mapping[str, Any]
    end: bytes
    asked: str = ""

    def __str__(self) -> str:
        return self.name


STREAMED = {"model": "gpt-4o", "stream": True, "new_field": 7}
SURFACES = (
    Surface("chat", "openai", "/v1/chat/completions", {**STREAMED, "messages": TURNS}, CHAT_ANSWER, b"data: [DONE]"),
    Surface("completions", "openai", "/v1/completions", {**STREAMED, "prompt": "hi"}, COMPLETION, b"data: [DONE]"),
    Surface(
        "responses", "openai", "/v1/responses", {**STREAMED, "input": "hi"}, RESPONSE, b"event: response.completed"
    ),
    Surface(
        "messages",
        "anthropic",
        "/v1/messages",
        {**STREAMED, "max_tokens": 9, "messages": TURNS},
        MESSAGES_ANSWER,
        b"event: message_stop",
    ),
    Surface(
        "generate",
        "gemini",
        "/v1beta/models/gpt-4o:streamGenerateContent?alt=sse&quotaUser=me",
        CONTENTS,
        GENERATION,
        b'"finishReason":"STOP"',
        "/v1beta/models/gpt-4o:generateContent?quotaUser=me",
    ),
    Surface(
        "array",
        "gemini",
        "/v1beta/models/gpt-4o:streamGenerateContent",
        CONTENTS,
        GENERATION,
        b"\n]",
        "/v1beta/models/gpt-4o:generateContent",
    ),
)
every_surface = pytest.mark.parametrize("surface", SURFACES, ids=str)


@asynccontextmanager
async def serving(
    tmp_path: Path, surface: Surface, provider: str, more: str
) -> AsyncIterator[tuple[FakeProvider, Gateway]]:
    """A gateway with two keys of one provider, which gives the surface's whole answer."""
    async with FakeProvider() as fake:
        base = f"{fake.origin}/v1beta" if surface.kind == "gemini" else fake.base_url
        config = configuration(base, provider=provider, more=more).replace('"openai"', f'"{surface.kind}"')
        for key in KEYS[:2]:
            fake.script(key, Answer(200, dict(surface.answer)))
        async with gateway(tmp_path, config, KEYS[:2]) as running:
            yield fake, running


async def ask(
    tmp_path: Path,
    surface: Surface,
    *behaviours: Behaviour,
    body: object = None,
    provider: str = "models = []",
    headers: Mapping[str, str] | None = None,
) -> Any:
    """What the client got, the requests that the provider saw, and the log line."""
    async with serving(tmp_path, surface, provider, DISABLED) as (fake, running):
        for key, behaviour in zip(KEYS, behaviours, strict=False):
            fake.script(key, behaviour)
        asked = surface.body if body is None else body
        got = await running.ask("POST", surface.path, asked, headers=headers or {})
        return got, fake.requests, await running.logged()


@every_surface
def test_a_stream_is_made_of_a_whole_answer(tmp_path: Path, surface: Surface) -> None:
    got, (seen,), line = run(ask(tmp_path, surface))
    assert (got.status, got.complete) == (200, True)
    content_type = "application/json" if surface.name == "array" else "text/event-stream; charset=utf-8"
    assert got.header("content-type") == content_type
    assert surface.end in got.body and b"word" in got.body
    assert got.body.endswith(b"\n]" if surface.name == "array" else b"\n")
    assert seen.path == (surface.asked or surface.path)
    assert seen.json == {**surface.body, **({"stream": False} if "stream" in surface.body else {})}
    assert (line["streamed"], line["input_tokens"], line["output_tokens"]) == (True, 3, 2)
    assert got.header("x-llmgateway-dropped") is None


@every_surface
@pytest.mark.parametrize(
    "behaviour",
    [
        Cut(60, Answer(200, CHAT_ANSWER)),
        Answer(200, b'{"choices": [', {"content-type": "application/json"}),
        Answer(200, b"<html>", {"content-type": "text/html"}),
        Answer(200, {"error": {"message": "it broke", "type": "server_error", "code": None}}),
        server_error(503),
        rate_limited(),
    ],
)
def test_a_failure_is_tried_again_whenever_it_comes(tmp_path: Path, surface: Surface, behaviour: Behaviour) -> None:
    got, requests, line = run(ask(tmp_path, surface, behaviour))
    assert (got.status, got.complete, len(requests), line["attempts"]) == (200, True, 2, 2)
    assert surface.end in got.body and b"it broke" not in got.body


@pytest.mark.parametrize(
    "failure",
    [
        Cut(60, Answer(200, CHAT_ANSWER)),
        Answer(200, b"{", {"content-type": "application/json"}),
        Stream(({"choices": [{"index": 0, "delta": {"content": "wo"}}]},)),
    ],
)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"stream": True, "messages": TURNS}),
        ("/v1/messages", {"stream": True, "max_tokens": 9, "messages": TURNS}),
        ("/v1/messages", {"max_tokens": 9, "messages": TURNS}),
    ],
)
def test_another_provider_answers_in_the_place_of_one_whose_answer_is_not_whole(
    tmp_path: Path, path: str, body: Mapping[str, Any], failure: Behaviour
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            spare = f'''
[providers.spare]
type = "openai"
base_url = "{fake.base_url}"
[routes.ours]
targets = [{{ provider = "main", model = "gpt-4o" }}, {{ provider = "spare", model = "gpt-4o" }}]
'''
            config = configuration(fake.base_url, more=DISABLED + spare)
            async with gateway(tmp_path, config, {"main": ["sk-1"], "spare": ["sk-2"]}) as running:
                fake.script("sk-1", failure)
                got = await running.ask("POST", path, {"model": "ours", **body})
                assert (got.status, got.complete) == (200, True)
                assert got.header("x-llmgateway-provider") == "spare"
                assert running.fallbacks == [("main", "server_error", "spare")]
                assert [seen.key for seen in fake.requests] == ["sk-1", "sk-1", "sk-1", "sk-2"]

    run(scenario())


@every_surface
def test_an_error_comes_as_it_is(tmp_path: Path, surface: Surface) -> None:
    got, (_,), line = run(ask(tmp_path, surface, bad_request("no such voice")))
    assert (got.status, got.header("content-type"), line["outcome"]) == (400, "application/json", "error")
    assert got.body == jsonlib.dumps(bad_request("no such voice").body)


@every_surface
def test_an_error_inside_a_200_becomes_a_status(tmp_path: Path, surface: Surface) -> None:
    broken = Answer(200, {"error": {"message": "it broke", "type": "server_error", "code": None}})
    got, requests, line = run(ask(tmp_path, surface, broken, broken))
    assert (got.status >= 500, got.header("content-type"), len(requests)) == (True, "application/json", 3)
    assert "it broke" in json.dumps(got.json["error"])
    assert line["outcome"] == "error"


@every_surface
def test_the_model_has_the_clients_name(tmp_path: Path, surface: Surface) -> None:
    named = {**surface.body, "model": "ours"} if "model" in surface.body else surface.body
    called = Surface(surface.name, surface.kind, surface.path.replace("gpt-4o", "ours"), named, surface.answer, b"")
    got, (seen,), _ = run(ask(tmp_path, called, provider='models = ["ours=gpt-4o"]'))
    assert "ours" not in seen.path and b"ours" not in seen.body
    assert b"gpt-4o" not in got.body and b'"ours"' in got.body


@pytest.mark.parametrize("surface", SURFACES[:2], ids=str)
@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("streams", [True, False])
def test_usage_is_for_those_who_ask_for_it(tmp_path: Path, surface: Surface, wanted: bool, streams: bool) -> None:
    body = {**surface.body, **({"stream_options": {"include_usage": True}} if wanted else {})}
    stubborn = [Stream(usage=True)] if streams else []
    got, (seen,), line = run(ask(tmp_path, surface, *stubborn, body=body))
    assert "stream_options" not in seen.json
    assert (b'"choices":[],"usage":{' in got.body.replace(b" ", b"")) is wanted
    assert got.body.endswith(b"data: [DONE]\n\n")
    assert line["output_tokens"] > 0


PIECE = {"candidates": [{"content": {"parts": [{"text": "a "}], "role": "model"}}]}
STUBBORN = {
    "messages": Stream(
        (
            {"type": "message_start", "message": {**MESSAGES_ANSWER, "content": []}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word"}},
            {"type": "message_stop"},
        )
    ),
    "responses": Stream(
        (
            {"type": "response.created", "response": {**RESPONSE, "output": []}},
            {"type": "response.output_text.delta", "delta": "word"},
            {"type": "response.completed", "response": RESPONSE},
        )
    ),
    "generate": Stream((GENERATION,)),
    "array": Stream((PIECE, GENERATION)),
}


@pytest.mark.parametrize("surface", SURFACES[2:], ids=str)
def test_a_provider_that_streams_whatever_it_is_asked_is_read_to_its_end_first(
    tmp_path: Path, surface: Surface
) -> None:
    whole = STUBBORN[surface.name]
    assert whole.events is not None
    got, requests, line = run(ask(tmp_path, surface, Stream(whole.events[:-1]), whole))
    assert (got.status, got.complete, len(requests)) == (200, True, 2)
    assert b"word" in got.body and surface.end in got.body.replace(b"}]", b"}\n]")
    assert (line["input_tokens"], line["output_tokens"]) == (3, 2)
    if surface.name == "array":
        assert got.json == [PIECE, GENERATION]


@every_surface
def test_a_stream_is_paid_for_before_its_first_byte(tmp_path: Path, surface: Surface) -> None:
    more = TOKENS + prices().replace("gpt-4o-mini", "gpt-4o") + DISABLED

    async def scenario() -> Any:
        async with serving(tmp_path, surface, "models = []", more) as (_, running):
            got = await running.ask("POST", surface.path, surface.body, AS_ANN)
            return got, await charges(running)

    got, charged = run(scenario())
    assert (got.status, got.header("x-llmgateway-cost")) == (200, "0.07")
    assert [each.entry.amount for each in charged] == [-7 * CENT]


@every_surface
def test_a_stream_is_given_again_from_the_cache(tmp_path: Path, surface: Surface) -> None:
    async def scenario() -> None:
        more = "[cache]\nenabled = true\n" + DISABLED
        async with serving(tmp_path, surface, "models = []", more) as (fake, running):
            kept = {"store": False} if surface.name == "responses" else {}
            body = {**surface.body, **kept}
            first = await running.ask("POST", surface.path, body)
            again = await running.ask("POST", surface.path, body)
            assert (again.header("x-llmgateway-cache"), len(fake.requests)) == ("hit", 1)
            assert (again.body, again.header("content-type")) == (first.body, first.header("content-type"))

    run(scenario())


def test_the_answer_of_a_response_is_found_again_by_its_key(tmp_path: Path) -> None:
    surface = SURFACES[2]

    async def scenario() -> list[str]:
        async with serving(tmp_path, surface, "models = []", DISABLED) as (fake, running):
            await running.ask("POST", surface.path, surface.body)
            for _ in range(3):
                again = {**surface.body, "previous_response_id": "resp_1"}
                assert (await running.ask("POST", surface.path, again)).status == 200
            return [seen.key for seen in fake.requests]

    assert len(set(run(scenario()))) == 1


def test_a_conversation_in_another_dialect_is_asked_for_whole_as_well(tmp_path: Path) -> None:
    surface = Surface("messages", "openai", "/v1/messages", SURFACES[3].body, CHAT_ANSWER, b"event: message_stop")
    body = {name: value for name, value in surface.body.items() if name != "new_field"}
    got, (seen,), line = run(ask(tmp_path, surface, body=body, headers={"accept": "text/event-stream"}))
    assert (got.status, got.header("content-type")) == (200, "text/event-stream; charset=utf-8")
    assert b'"text":"word"' in got.body and surface.end in got.body
    assert "stream" not in seen.json and "stream_options" not in seen.json
    assert seen.headers.get("accept") != "text/event-stream"
    assert line["output_tokens"] == 2


def test_what_another_provider_has_signed_is_taken_out_and_the_rest_is_asked_for_whole(tmp_path: Path) -> None:
    foreign = seal(Signature("c2lnbmVk", "anthropic", "claude"), "claude").rstrip("=")
    call = {"id": f"call_1__thought__{foreign}", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [
        *TURNS,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "1"},
    ]
    body = {"model": "gpt-4o", "stream": True, "stream_options": {"include_usage": True, "include_obfuscation": False}}
    got, (seen,), _ = run(ask(tmp_path, SURFACES[0], body={**body, "messages": turns}))
    assert (got.status, got.body.endswith(b"data: [DONE]\n\n")) == (200, True)
    assert foreign.encode() not in seen.body
    assert "stream" not in seen.json and "stream_options" not in seen.json
    assert b'"choices":[],"usage":{' in got.body


def test_a_client_that_wants_no_stream_gets_none(tmp_path: Path) -> None:
    got, (seen,), _ = run(ask(tmp_path, SURFACES[0], body=CHAT))
    assert (got.json, seen.json) == (CHAT_ANSWER, CHAT)


def test_what_passes_as_it_is_may_stream(tmp_path: Path) -> None:
    raw = Surface("raw", "openai", "/p/main/v1/chat/completions", SURFACES[0].body, CHAT_ANSWER, b"")
    got, (seen,), _ = run(ask(tmp_path, raw, Stream()))
    assert seen.json["stream"] is True
    assert got.header("content-type") == "text/event-stream"


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (b'{ "stream" : true , "x": 1.50 }', b'{ "stream" : false , "x": 1.50 }'),
        (b'{"x":1, "stream":true}', b'{"x":1, "stream":false}'),
        (b'{"stream":true,"stream_options":{"include_usage":true}}', b'{"stream":false}'),
        (b'{"stream_options": {"include_usage":true}, "stream":true}', b'{ "stream":false}'),
        (b'{"a":"x","stream_options":null,"stream":true,"b":"\\u00fc"}', b'{"a":"x","stream":false,"b":"\\u00fc"}'),
        (b'{"a":"\\"stream\\": true","stream":true}', b'{"a":"\\"stream\\": true","stream":false}'),
        (b'{"contents": []}', b'{"contents": []}'),
    ],
)
def test_a_request_keeps_its_bytes(body: bytes, asked: bytes) -> None:
    assert whole_body(body) == asked


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (b'{"tools":[{"stream": true}], "stream": true}', {"tools": [{"stream": True}], "stream": False}),
        (b'{"stream": true, "stream": true}', {"stream": False}),
        (b'{"m":{"stream": true}, "\\u0073tream": true}', {"m": {"stream": True}, "stream": False}),
        (b'{"stream":true,"stream_options":{"new":{"deep":"}"}}}', {"stream": False}),
        (
            b'{"m":{"stream_options":{}},"stream":true,"stream_options":{}}',
            {"m": {"stream_options": {}}, "stream": False},
        ),
    ],
)
def test_a_request_where_the_words_stand_elsewhere_too_is_written_anew(body: bytes, asked: dict[str, Any]) -> None:
    assert json.loads(whole_body(body)) == asked
