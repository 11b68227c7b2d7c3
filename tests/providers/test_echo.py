"""The echo provider, read with the official SDK's own types."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from openai.types import Completion, CreateEmbeddingResponse, Model, ModerationCreateResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from gateway.dialects.openai_chat.events import classify_event as classify_chat
from gateway.dialects.openai_responses.events import classify_event as classify_response
from gateway.providers.echo import DEMO_KEYS, MAX_NUMBERS, WORD_GAP, LocalAnswer, answer
from gateway.wire.sse import Event, EventReader

NOW = 1_760_000_000.25
MESSAGES = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "good morning"}]


def ask(path: str, key: str = "any", **body: Any) -> LocalAnswer:
    return answer(path, body, key, NOW)


def decoded(found: LocalAnswer) -> Any:
    (piece,) = found.pieces
    assert dict(found.headers)[b"content-type"] == b"application/json"
    return json.loads(piece)


def events(found: LocalAnswer) -> list[Event]:
    """Every piece of a stream is one event."""
    assert (found.status, found.gap) == (200, WORD_GAP)
    assert dict(found.headers)[b"content-type"] == b"text/event-stream"
    return [event for piece in found.pieces for event in EventReader().feed(piece)]


def test_chat_repeats_the_last_user_message_and_counts_words() -> None:
    reply = ChatCompletion.model_validate(
        decoded(ask("/v1/chat/completions", model="m", messages=MESSAGES)), strict=True
    )
    assert reply.choices[0].message.content == "You said: good morning"
    assert (reply.model, reply.created) == ("m", int(NOW))
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (4, 4)


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([{"role": "user", "content": [{"type": "text", "text": "a b"}, {"type": "image_url"}]}], "You said: a b"),
        ([{"role": "user", "content": "old"}, {"role": "assistant", "content": "x"}], "You said: old"),
        ([{"role": "user", "content": None}, "?"], "You said nothing, and I heard it."),
        ([], "You said nothing, and I heard it."),
    ],
)
def test_any_shape_of_messages_gets_an_answer(messages: list[Any], text: str) -> None:
    assert decoded(ask("chat/completions", messages=messages))["choices"][0]["message"]["content"] == text


def test_chat_streams_word_by_word_and_ends_with_usage_if_asked() -> None:
    found = ask("chat/completions", messages=MESSAGES, stream=True, stream_options={"include_usage": True})
    *payloads, done = events(found)
    chunks = [ChatCompletionChunk.model_validate_json(event.data) for event in payloads]
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "You said: good morning"
    )
    assert (classify_chat(payloads[0]), classify_chat(payloads[1]), classify_chat(done)) == (
        "preamble",
        "meaningful",
        "done",
    )
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 8
    assert all(chunk.usage is None for chunk in chunks[:-1])
    plain = events(ask("chat/completions", messages=MESSAGES, stream=True))
    assert not any("usage" in event.data for event in plain)


def test_completions_answer_plain_and_streamed() -> None:
    reply = Completion.model_validate(decoded(ask("completions", prompt="hi there")), strict=True)
    assert reply.choices[0].text == "You said: hi there"
    *payloads, _ = events(ask("completions", prompt=["hi", "there"], stream=True))
    texts = [json.loads(event.data)["choices"][0]["text"] for event in payloads]
    assert "".join(texts) == "You said: hi there"


@pytest.mark.parametrize(
    "given", ["good morning", [{"role": "user", "content": [{"type": "input_text", "text": "good morning"}]}]]
)
def test_responses_answer(given: Any) -> None:
    reply = Response.model_validate(decoded(ask("responses", model="m", input=given)), strict=True)
    assert reply.output_text == "You said: good morning"
    assert reply.usage is not None
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (2, 4)


def test_responses_stream_by_the_grammar() -> None:
    found = events(ask("responses", input="hi", stream=True))
    payloads = [json.loads(event.data) for event in found]
    assert [payload["type"] for payload in payloads] == [event.event for event in found]
    assert [payload["sequence_number"] for payload in payloads] == list(range(len(payloads)))
    kinds = [event.event.removeprefix("response.") for event in found]
    assert kinds[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert kinds[4:-4] == ["output_text.delta"] * 3
    assert kinds[-4:] == ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert [classify_response(event) for event in found[:3]] == ["preamble", "preamble", "meaningful"]
    assert Response.model_validate(payloads[-1]["response"], strict=True).output_text == "You said: hi"


def test_embeddings_depend_on_the_text_and_honour_dimensions_and_encoding() -> None:
    body = decoded(ask("embeddings", model="m", input=["a", "b b"], dimensions=8))
    reply = CreateEmbeddingResponse.model_validate(body, strict=True)
    first, second = (each.embedding for each in reply.data)
    assert len(first) == 8
    assert first != second
    assert sum(value * value for value in first) == pytest.approx(1)
    assert reply.usage.prompt_tokens == 3
    again = decoded(ask("embeddings", input="a", dimensions=8, encoding_format="base64"))
    assert struct.unpack("<8f", base64.b64decode(again["data"][0]["embedding"])) == pytest.approx(first)
    assert len(decoded(ask("embeddings", input=[1, 2, 3]))["data"]) == 1


def test_models_and_moderations_answer() -> None:
    listed = [Model.model_validate(each, strict=True).id for each in decoded(ask("/v1/models"))["data"]]
    assert listed == ["echo-1", "echo-embedding-1"]
    assert decoded(ask("models/echo-1"))["id"] == "echo-1"
    reply = decoded(ask("moderations", input=["a", "b"]))
    assert [result["flagged"] for result in reply["results"]] == [False, False]
    assert ModerationCreateResponse.model_validate(reply | {"results": []}).id


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "param"),
    [
        ("chat/completions", {}, 400, "missing_required_parameter", "messages"),
        ("chat/completions", {"messages": "hi"}, 400, "missing_required_parameter", "messages"),
        ("completions", {}, 400, "missing_required_parameter", "prompt"),
        ("responses", {}, 400, "missing_required_parameter", "input"),
        ("responses", {"input": 7}, 400, "missing_required_parameter", "input"),
        ("embeddings", {"input": []}, 400, "missing_required_parameter", "input"),
        ("embeddings", {"input": "a", "dimensions": "8"}, 400, "invalid_value", "dimensions"),
        ("embeddings", {"input": ["a", "b"], "dimensions": MAX_NUMBERS}, 400, "invalid_value", "dimensions"),
        ("moderations", {}, 400, "missing_required_parameter", "input"),
        ("/v1/images/generations", {"prompt": "a cat"}, 404, "unknown_url", None),
        ("/v1/audio/speech", {"stream": True}, 404, "unknown_url", None),
    ],
)
def test_mistakes_get_errors_in_openais_shape(
    path: str, body: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    found = answer(path, body, "any", NOW)
    error = decoded(found)["error"]
    assert (found.status, error["code"], error["param"]) == (status, code, param)
    assert error["message"]


def test_what_it_has_not_it_says() -> None:
    assert decoded(ask("/v1/audio/speech"))["error"]["message"] == "The echo provider has no /v1/audio/speech."


def test_two_of_the_demo_keys_fail_on_purpose() -> None:
    found = [ask("chat/completions", key=key, messages=MESSAGES, stream=True) for key in DEMO_KEYS]
    assert sorted(each.status for each in found) == [200, 200, 200, 401, 429]
    rejected, limited = (next(each for each in found if each.status == status) for status in (401, 429))
    assert decoded(rejected)["error"]["code"] == "invalid_api_key"
    assert decoded(limited)["error"]["code"] == "rate_limit_exceeded"
    assert dict(limited.headers)[b"retry-after"] == b"20"


def test_the_same_call_at_the_same_time_gets_the_same_answer() -> None:
    assert ask("completions", prompt="a") == ask("completions", prompt="a")
    assert ask("completions", prompt="a") != answer("completions", {"prompt": "a"}, "any", NOW + 1)
