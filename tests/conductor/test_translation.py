"""Calls whose client speaks another dialect than the provider: what goes where, and what follows when it breaks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.dialects.continuity import seal
from gateway.dialects.conversation import Signature
from tests.api.harness import configuration, gateway
from tests.conftest import run
from tests.fakes.behaviours import (
    Answer,
    Behaviour,
    Cut,
    HangAfter,
    SlowBytes,
    Stream,
    bad_request,
    rate_limited,
    server_error,
    unauthorized,
)
from tests.fakes.provider import FakeProvider

MESSAGES: dict[str, Any] = {"model": "gpt-4o", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
CONTENTS: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
GENERATE = "/v1beta/models/gpt-4o:generateContent"
STREAM_GENERATE = "/v1beta/models/gpt-4o:streamGenerateContent"
RESPONSE: dict[str, Any] = {"model": "gpt-4o", "input": "hi"}

CHAT_ONLY = 'dialects = ["openai_chat"]'
WORD = {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"content": "word"}}]}
ERROR = {"error": {"message": "it broke", "type": "server_error", "code": None}}
SHORT = "[providers.main.timeouts]\nidle = 0.2"

PLAIN = [
    ("/v1/messages", MESSAGES),
    (GENERATE, CONTENTS),
    ("/v1/responses", RESPONSE),
]
STREAMED = [
    ("/v1/messages", {**MESSAGES, "stream": True}, b"event: message_stop"),
    (f"{STREAM_GENERATE}?alt=sse", CONTENTS, b'"finishReason":"STOP"'),
    (STREAM_GENERATE, CONTENTS, b"]"),
    ("/v1/responses", {**RESPONSE, "stream": True}, b"event: response.completed"),
]


async def ask(tmp_path: Path, path: str, body: object, *behaviours: Behaviour, more: str = "") -> Any:
    """What the client got, the requests that the provider saw, and the log line."""
    async with FakeProvider() as fake:
        config = configuration(fake.base_url, provider=CHAT_ONLY, more=more)
        async with gateway(tmp_path, config, ["sk-1", "sk-2"]) as running:
            for key, behaviour in zip(("sk-1", "sk-2"), behaviours, strict=False):
                fake.script(key, behaviour)
            got = await running.ask("POST", path, body)
            return got, fake.requests, await running.logged()


@pytest.mark.parametrize(("path", "body"), PLAIN)
def test_a_request_is_asked_in_the_providers_dialect_and_answered_in_the_clients(
    tmp_path: Path, path: str, body: dict[str, Any]
) -> None:
    got, (seen,), line = run(ask(tmp_path, path, body))
    assert (got.status, got.header("content-type"), seen.path) == (200, "application/json", "/v1/chat/completions")
    assert seen.json["messages"] == [{"role": "user", "content": "hi"}]
    assert seen.json["model"] == "gpt-4o"
    assert not seen.json.get("stream")
    text = json.dumps(got.json)
    assert "chat.completion" not in text
    assert (line["input_tokens"], line["output_tokens"]) != (0, 0)
    assert got.header("x-llmgateway-dropped") is None


@pytest.mark.parametrize(("path", "body", "end"), STREAMED)
def test_a_stream_is_translated_as_it_comes(tmp_path: Path, path: str, body: dict[str, Any], end: bytes) -> None:
    got, (seen,), line = run(ask(tmp_path, path, body, SlowBytes(50, 0.001, Stream())))
    array = path == STREAM_GENERATE
    content_type = "application/json" if array else "text/event-stream; charset=utf-8"
    assert (got.status, got.complete, got.header("content-type")) == (200, True, content_type)
    assert end in got.body and b"[DONE]" not in got.body
    assert seen.json["stream"] is True
    assert seen.json["stream_options"] == {"include_usage": True}
    assert not array or isinstance(got.json, list)
    assert line["streamed"] and line["output_tokens"] > 0


@pytest.mark.parametrize(("path", "body", "end"), STREAMED)
def test_a_failure_before_the_first_meaningful_event_is_tried_elsewhere(
    tmp_path: Path, path: str, body: dict[str, Any], end: bytes
) -> None:
    got, requests, _ = run(ask(tmp_path, path, body, Stream((ERROR,))))
    assert (got.status, [seen.key for seen in requests]) == (200, ["sk-1", "sk-2"])
    assert end in got.body and b"it broke" not in got.body


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/v1/messages", {**MESSAGES, "stream": True}, b'event: error\ndata: {"type":"error"'),
        (f"{STREAM_GENERATE}?alt=sse", CONTENTS, b'{"error":{"code":'),
        ("/v1/responses", {**RESPONSE, "stream": True}, b"event: response.failed"),
    ],
)
@pytest.mark.parametrize(
    "behaviour",
    [
        Cut(220, Stream((WORD, WORD, WORD, WORD))),
        HangAfter(220, Stream((WORD, WORD, WORD, WORD))),
        Stream((WORD, ERROR)),
    ],
)
def test_a_stream_that_breaks_ends_with_the_clients_error_event(
    tmp_path: Path, path: str, body: object, word: bytes, behaviour: Behaviour
) -> None:
    got, requests, line = run(ask(tmp_path, path, body, behaviour, more=SHORT))
    assert (got.status, got.complete, len(requests)) == (200, False, 1)
    assert word in got.body
    assert got.body.endswith((b"\n\n", b"\r\n\r\n"))
    assert (line["outcome"], line["error"]) == ("error", "stream_disconnect")


@pytest.mark.parametrize(
    ("path", "body", "form"),
    [
        ("/v1/messages", {**MESSAGES, "stream": True}, '"error_code":"{}"'),
        (f"{STREAM_GENERATE}?alt=sse", CONTENTS, '"reason":"{}"'),
        ("/v1/responses", {**RESPONSE, "stream": True}, '"code":"{}"'),
    ],
)
@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (Cut(220, Stream((WORD, WORD, WORD, WORD))), "upstream_error"),
        (HangAfter(220, Stream((WORD, WORD, WORD, WORD))), "upstream_timeout"),
        (Stream((WORD, WORD)), "stream_incomplete"),
        (Stream((WORD, {"choices": "nonsense", "error": {"message": "it broke"}})), "upstream_error"),
    ],
)
def test_a_break_has_the_same_code_in_every_dialect(
    tmp_path: Path, path: str, body: object, form: str, behaviour: Behaviour, code: str
) -> None:
    got, _, line = run(ask(tmp_path, path, body, behaviour, more=SHORT))
    assert form.format(code.upper() if "reason" in form else code) in got.body.decode()
    assert '"code":500' not in got.body.decode()
    assert line["error"] == (code if code == "stream_incomplete" else "stream_disconnect")


def test_an_array_that_breaks_ends_with_an_error(tmp_path: Path) -> None:
    got, _, _ = run(ask(tmp_path, STREAM_GENERATE, CONTENTS, Stream((WORD, ERROR))))
    assert not got.complete
    assert json.loads(got.body)[-1]["error"]["message"] == "it broke"


@pytest.mark.parametrize(
    ("behaviour", "status", "anthropic", "google"),
    [
        (bad_request(), 400, "invalid_request_error", "INVALID_ARGUMENT"),
        (server_error(529), 529, "overloaded_error", "UNAVAILABLE"),
        (unauthorized(), 502, "api_error", None),
        (Answer(400, b"<html>nonsense</html>", {"content-type": "text/html"}), 400, "invalid_request_error", None),
    ],
)
def test_errors_of_the_provider_have_the_clients_shape(
    tmp_path: Path, behaviour: Behaviour, status: int, anthropic: str, google: str | None
) -> None:
    got, _, _ = run(ask(tmp_path, "/v1/messages", MESSAGES, behaviour, behaviour))
    assert (got.status, got.json["type"], got.json["error"]["type"]) == (status, "error", anthropic)
    got, _, _ = run(ask(tmp_path, GENERATE, CONTENTS, behaviour, behaviour))
    assert got.status == (503 if status == 529 else status) == got.json["error"]["code"]
    assert google is None or got.json["error"]["status"] == google


def test_a_limit_of_all_keys_is_told_with_its_end(tmp_path: Path) -> None:
    got, _, _ = run(ask(tmp_path, "/v1/messages", MESSAGES, rate_limited(30), rate_limited(30)))
    assert (got.status, got.json["error"]["type"]) == (429, "rate_limit_error")
    assert 0 < int(got.header("retry-after")) <= 30


IMAGE_BY_FILE = {"type": "image", "source": {"type": "file", "file_id": "file_1"}}


@pytest.mark.parametrize(("on_loss", "hint", "content"), [("warn", 200, 400), ("reject", 400, 400), ("drop", 200, 200)])
def test_losses_are_refused_or_named(tmp_path: Path, on_loss: str, hint: int, content: int) -> None:
    more = f'[translation]\non_loss = "{on_loss}"'
    got, requests, _ = run(ask(tmp_path, "/v1/messages", {**MESSAGES, "top_k": 5}, more=more))
    assert (got.status, len(requests)) == (hint, int(hint == 200))
    assert got.header("x-llmgateway-dropped") == ("top_k" if hint == 200 else None)
    asked = {**MESSAGES, "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}, IMAGE_BY_FILE]}]}
    got, requests, _ = run(ask(tmp_path, "/v1/messages", asked, more=more))
    assert (got.status, len(requests)) == (content, int(content == 200))
    if content == 200:
        assert got.header("x-llmgateway-dropped") == "messages.0.content.1"
        return
    error = got.json["error"]
    assert (error["type"], error["details"]["param"]) == ("invalid_request_error", "messages.0.content.1")
    assert error["message"].startswith("'messages.0.content.1' cannot be passed on to the provider of this model: ")
    assert 'type anthropic, or have it dropped by translation.on_loss = "drop".' in error["message"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (
            "/v1/messages",
            {**MESSAGES, "messages": [{"role": "user", "content": [IMAGE_BY_FILE]}]},
            "messages.0.content.0",
        ),
        (
            GENERATE,
            {"contents": [{"parts": [{"fileData": {"mimeType": "image/png", "fileUri": "files/1"}}]}]},
            "contents.0.parts.0",
        ),
        (
            GENERATE,
            {**CONTENTS, "generationConfig": {"responseModalities": ["IMAGE"]}},
            "generationConfig.responseModalities",
        ),
        ("/v1/responses", {**RESPONSE, "input": []}, "input"),
        ("/v1/responses", {**RESPONSE, "background": True}, "background"),
    ],
)
def test_what_is_refused_is_named_as_the_client_calls_it(
    tmp_path: Path, path: str, body: dict[str, Any], param: str
) -> None:
    got, requests, _ = run(ask(tmp_path, path, body))
    assert (got.status, requests) == (400, [])
    error = got.json["error"]
    assert param in (error.get("param"), error["message"].split("'")[1])
    if path == GENERATE:
        (violations,) = [each["fieldViolations"] for each in error["details"] if "fieldViolations" in each]
        assert [violation["field"] for violation in violations] == [param]


def test_what_is_missing_because_it_was_lost_is_told_as_lost(tmp_path: Path) -> None:
    """With nothing else in it the message is empty, which would say less."""
    file = {"type": "file", "file": {"file_id": "file-1"}}
    body = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": [file]}]}

    async def scenario(on_loss: str) -> Any:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, provider="models = []", more=f'[translation]\non_loss = "{on_loss}"')
            async with gateway(tmp_path, config.replace('"openai"', '"anthropic"'), ["sk-1"]) as running:
                got = await running.ask("POST", "/v1/chat/completions", body)
                return got.status, got.json["error"]["param"]

    assert run(scenario("warn")) == (400, "messages.0.content.0")
    assert run(scenario("drop")) == (400, "messages")


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
PICTURE = {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"images": [IMAGE]}}]}
STOPPED = {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
PAINTED = Stream((WORD, PICTURE, STOPPED, "[DONE]"))
SHOWN = {"role": "assistant", "content": "word", "images": [IMAGE]}
PAINTED_WHOLE = Answer(200, {"choices": [{"index": 0, "message": SHOWN, "finish_reason": "stop"}]})
COMMENT = b": x-llmgateway-dropped: answer.image\n\n"


@pytest.mark.parametrize("on_loss", ["warn", "drop"])
def test_content_that_a_streams_client_cannot_be_shown_is_told_in_a_comment_and_the_log(
    tmp_path: Path, on_loss: str
) -> None:
    more = f'[translation]\non_loss = "{on_loss}"'
    got, _, line = run(ask(tmp_path, "/v1/messages", {**MESSAGES, "stream": True}, PAINTED, more=more))
    assert (got.status, got.complete, line["dropped"]) == (200, True, "answer.image")
    assert got.body.count(COMMENT) == 1
    assert b'"text":"word"' in got.body and b"event: message_stop" in got.body


def test_content_that_must_not_be_lost_ends_a_stream(tmp_path: Path) -> None:
    more = '[translation]\non_loss = "reject"'
    got, requests, line = run(ask(tmp_path, "/v1/messages", {**MESSAGES, "stream": True}, PAINTED, more=more))
    assert (got.status, got.complete, len(requests)) == (200, False, 1)
    assert b'"text":"word"' in got.body and b"message_stop" not in got.body
    event = got.body.rpartition(b"event: error\ndata: ")[2]
    assert "answer.image" in json.loads(event)["error"]["message"]
    assert (line["outcome"], line["dropped"]) == ("error", "answer.image")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("behaviour", [PAINTED_WHOLE, PAINTED])
def test_content_that_a_whole_answer_loses_is_refused_or_named(
    tmp_path: Path, stream: bool, behaviour: Behaviour
) -> None:
    if stream and behaviour is PAINTED:
        return  # the stream of the tests above
    body = {**MESSAGES, "stream": stream}
    got, _, line = run(ask(tmp_path, "/v1/messages", body, behaviour))
    assert (got.status, got.header("x-llmgateway-dropped"), line["dropped"]) == (200, "answer.image", "answer.image")
    got, _, _ = run(ask(tmp_path, "/v1/messages", body, behaviour, more='[translation]\non_loss = "reject"'))
    assert (got.status, got.json["error"]["type"]) == (400, "invalid_request_error")
    assert "answer.image" in got.json["error"]["message"]


@pytest.mark.parametrize("path", [f"{STREAM_GENERATE}?alt=sse", "/v1/responses"])
def test_clients_that_can_be_shown_it_lose_nothing(tmp_path: Path, path: str) -> None:
    body = CONTENTS if "models" in path else {**RESPONSE, "stream": True}
    got, _, line = run(ask(tmp_path, path, body, PAINTED, more='[translation]\non_loss = "reject"'))
    assert (got.status, got.complete) == (200, True)
    assert b"iVBORw0KGgo=" in got.body and b"x-llmgateway-dropped" not in got.body
    assert "dropped" not in line


def test_a_model_that_answers_in_images_is_refused_to_clients_that_cannot_be_shown_them(tmp_path: Path) -> None:
    async def scenario(path: str, body: dict[str, Any]) -> Any:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, provider="models = []").replace('"openai"', '"gemini"')
            async with gateway(tmp_path, config, ["sk-1"]) as running:
                got = await running.ask("POST", path, {**body, "model": "gemini-2.5-flash-image"})
                return got.status, len(fake.requests), got.body

    status, asked, body = run(scenario("/v1/messages", MESSAGES))
    assert (status, asked, b"'model'" in body) == (400, 0, True)
    status, asked, _ = run(scenario("/v1/chat/completions", {"messages": MESSAGES["messages"]}))
    assert asked == 1


def test_a_whole_answer_to_a_request_for_a_stream_is_streamed(tmp_path: Path) -> None:
    whole = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "word"}, "finish_reason": "stop"}]}
    got, _, _ = run(ask(tmp_path, "/v1/messages", {**MESSAGES, "stream": True}, Answer(200, whole)))
    assert (got.status, got.complete) == (200, True)
    assert b'"text":"word"' in got.body and got.body.count(b"event: message_stop") == 1


def test_a_stream_that_was_not_asked_for_is_one_answer(tmp_path: Path) -> None:
    got, _, line = run(ask(tmp_path, "/v1/messages", MESSAGES, Stream(usage=True)))
    assert (got.status, got.json["type"], got.json["stop_reason"]) == (200, "message", "end_turn")
    assert got.json["content"][0]["text"]
    assert line["output_tokens"] == got.json["usage"]["output_tokens"] > 0


UNREADABLE = [
    Stream((WORD, ERROR)),
    Stream((WORD, WORD)),
    Stream((WORD, {"choices": [{"index": 0, "delta": {"tool_calls": [{"id": "1"}]}}]}, "[DONE]")),
    Stream(("[DONE]",)),
    Cut(150, Stream((WORD, WORD, WORD))),
    Cut(150),
    Answer(200, b'{"choices": [{"index": 0, "mess', {"content-type": "application/json"}),
    Answer(200, {"choices": [{"index": 0, "message": {"tool_calls": [{"id": "1"}]}, "finish_reason": "stop"}]}),
    Answer(200, b"<html>", {"content-type": "text/html"}),
    Answer(200, b"{}", {"content-type": "application/json", "content-encoding": "br"}),
]
"""What is no answer, though it came with a 200."""


@pytest.mark.parametrize("behaviour", UNREADABLE)
@pytest.mark.parametrize(("path", "body"), PLAIN)
def test_an_answer_that_breaks_or_cannot_be_read_is_asked_for_again(
    tmp_path: Path, path: str, body: object, behaviour: Behaviour
) -> None:
    got, requests, line = run(ask(tmp_path, path, body, behaviour))
    assert (got.status, len(requests), line["attempts"], line["outcome"]) == (200, 2, 2, "ok")
    assert "it broke" not in json.dumps(got.json)
    assert line["output_tokens"] > 0


@pytest.mark.parametrize("behaviour", UNREADABLE)
def test_an_answer_that_never_can_be_read_is_an_error_and_speaks_against_the_provider(
    tmp_path: Path, behaviour: Behaviour
) -> None:
    async def scenario() -> Any:
        async with FakeProvider() as fake:
            more = "[providers.main.circuit_breaker]\nfailure_threshold = 1\n"
            once = "on_server_error = {attempts = 0}"
            config = configuration(fake.base_url, provider=CHAT_ONLY, retry=once, more=more)
            async with gateway(tmp_path, config, ["sk-1"]) as running:
                fake.script("sk-1", behaviour)
                first = await running.ask("POST", "/v1/messages", MESSAGES)
                return first, await running.ask("POST", "/v1/messages", MESSAGES), len(fake.requests)

    first, second, asked = run(scenario())
    assert first.status in (500, 502)  # what the provider itself called an error, or what is none of its words
    assert first.json["error"]["type"] == "api_error"
    assert (second.status, second.json["error"]["details"]["error_code"]) == (503, "circuit_open")
    assert asked == 1


@pytest.mark.parametrize("body", [{"choices": "none"}, {"choices": [7]}, b"[]"])
def test_an_answer_that_is_none_is_told_as_such(tmp_path: Path, body: Any) -> None:
    answer = Answer(200, body, {"content-type": "application/json"})
    got, _, _ = run(ask(tmp_path, "/v1/messages", MESSAGES, answer, answer))
    assert got.status >= 500 and got.json["type"] == "error"


def test_what_another_provider_has_signed_is_taken_out_where_the_dialect_is_the_same(tmp_path: Path) -> None:
    foreign = seal(Signature("c2lnbmVk", "gemini", "google"), "google").rstrip("=")
    call = {"id": f"call_1__thought__{foreign}", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    asked = {
        "model": "gpt-4o",
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": "42"},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "metadata": {"kept": "yes"},
    }
    got, (seen,), _ = run(ask(tmp_path, "/v1/chat/completions", asked))
    assert got.status == 200
    assert foreign not in json.dumps(seen.json)
    assert seen.json["messages"][1]["tool_calls"][0]["id"] == seen.json["messages"][2]["tool_call_id"] == "call_1"
    assert seen.json["metadata"] == {"kept": "yes"}


@pytest.mark.parametrize(
    ("model", "signature", "kept"),
    [
        ("claude-opus-4-8", "", False),
        ("claude-opus-4-8", "91cfbb94-554b-4136-8e21-fa02280d56ed", False),  # DeepSeek's
        ("claude-opus-4-8", "x" * 99, False),
        ("claude-opus-4-8", "x" * 100, True),
        ("kimi-k2", "", True),
        ("deepseek-v4-pro", "91cfbb94-554b-4136-8e21-fa02280d56ed", True),
    ],
)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_thoughts_that_claude_cannot_have_signed_are_taken_out_for_claude_alone(
    tmp_path: Path, model: str, signature: str, kept: bool, separators: tuple[str, str]
) -> None:
    thoughts = {"type": "thinking", "thinking": "Hm", "signature": signature}
    asked = {
        "model": model,
        "max_tokens": 50,
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [thoughts, {"type": "text", "text": "ho"}]},
            {"role": "user", "content": "so?"},
        ],
        "context_management": {"edits": []},
    }

    async def scenario() -> Any:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, provider="models = []").replace('"openai"', '"anthropic"')
            async with gateway(tmp_path, config, ["sk-1"]) as running:
                fake.script("sk-1", Answer(200, b"{}"))
                await running.ask("POST", "/v1/messages", json.dumps(asked, separators=separators).encode())
                return fake.requests[0]

    seen = run(scenario())
    assert seen.json["messages"][1]["content"] == [*([thoughts] if kept else []), {"type": "text", "text": "ho"}]
    assert seen.json["context_management"] == {"edits": []}


@pytest.mark.parametrize(
    ("kind", "dialects", "model", "tools", "asked"),
    [
        ("azure", "", "gpt-5.4", True, "/v1/responses"),
        ("azure", "", "openai/gpt-5.6-terra", True, "/v1/responses"),
        ("azure", "", "gpt-5.4", False, "/v1/chat/completions"),
        ("azure", "", "gpt-5.2", True, "/v1/chat/completions"),
        ("azure", CHAT_ONLY, "gpt-5.4", True, "/v1/chat/completions"),
        ("openai", "", "gpt-5.4", True, "/v1/chat/completions"),  # at another's address
    ],
)
@pytest.mark.parametrize("client", ["anthropic", "gemini"])
def test_models_that_do_not_think_beside_tools_in_chat_are_asked_in_responses(
    tmp_path: Path, kind: str, dialects: str, model: str, tools: bool, asked: str, client: str
) -> None:
    tool: dict[str, Any]
    path, body, tool = "/v1/messages", {**MESSAGES, "model": model}, {"name": "f", "input_schema": {"type": "object"}}
    if client == "gemini":
        path, body, tool = (
            f"/v1beta/models/{model}:generateContent",
            CONTENTS,
            {"functionDeclarations": [{"name": "f"}]},
        )

    async def scenario() -> Any:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, provider=f"models = []\n{dialects}")
            config = config.replace('type = "openai"', f'type = "{kind}"')
            async with gateway(tmp_path, config, ["sk-1"]) as running:
                await running.ask("POST", path, {**body, "tools": [tool]} if tools else body)
                return fake.requests[0]

    assert run(scenario()).path.endswith(asked)


def test_a_quiet_stream_is_kept_alive_with_the_clients_own_word(tmp_path: Path) -> None:
    more = "[providers.main.streaming]\nkeepalive = 0.02"
    slow = SlowBytes(220, 0.2, Stream((WORD, WORD, WORD, "[DONE]")))
    got, _, _ = run(ask(tmp_path, "/v1/messages", {**MESSAGES, "stream": True}, slow, more=more))
    assert got.body.count(b'event: ping\ndata: {"type": "ping"}\n\n') >= 2
    assert b": keepalive" not in got.body
    got, _, _ = run(ask(tmp_path, f"{STREAM_GENERATE}?alt=sse", CONTENTS, slow, more=more))
    assert b"ping" not in got.body and b"keepalive" not in got.body


def test_a_client_that_leaves_cancels_a_translated_call(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, provider=CHAT_ONLY)
            async with gateway(tmp_path, config, ["sk-1"]) as running:
                fake.script("sk-1", HangAfter(300, Stream((WORD, WORD, WORD, WORD, WORD))))
                async with running.talk() as talk:
                    await talk.send("POST", "/v1/messages", {**MESSAGES, "stream": True})
                    assert (await talk.head()).status == 200
                    assert await talk.piece()
                await fake.wait_aborted()
                assert running.key("sk-1").standing.usable

    run(scenario())


def test_connections_are_used_again_after_translated_streams(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, provider=CHAT_ONLY)
            async with gateway(tmp_path, config, ["sk-1"]) as running:
                for _ in range(3):
                    got = await running.ask("POST", "/v1/messages", {**MESSAGES, "stream": True})
                    assert got.complete
                assert (len(fake.requests), fake.connections) == (3, 1)

    run(scenario())


def test_a_previous_response_is_refused_where_answers_are_not_stored(tmp_path: Path) -> None:
    got, requests, _ = run(ask(tmp_path, "/v1/responses", {**RESPONSE, "previous_response_id": "resp_1"}))
    assert (got.status, got.code, got.json["error"]["param"]) == (
        404, "previous_response_not_found", "previous_response_id",
    )  # fmt: skip
    assert not requests


EMBED = {"content": {"parts": [{"text": "hi"}]}}


def test_vectors_are_asked_for_and_told_in_each_sides_words(tmp_path: Path) -> None:
    got, (seen,), _ = run(ask(tmp_path, "/v1beta/models/gpt-4o:embedContent", EMBED))
    assert (got.status, seen.path, seen.json["input"]) == (200, "/v1/embeddings", ["hi"])
    assert got.json["embedding"]["values"]
    batch = {"requests": [{"model": "models/gpt-4o", **EMBED}, {"model": "models/gpt-4o", **EMBED}]}
    got, (seen,), _ = run(ask(tmp_path, "/v1beta/models/gpt-4o:batchEmbedContents", batch))
    assert (got.status, len(seen.json["input"]), len(got.json["embeddings"])) == (200, 2, 2)
    got, _, _ = run(ask(tmp_path, "/v1beta/models/gpt-4o:embedContent", EMBED, bad_request(), bad_request()))
    assert (got.status, got.json["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_a_provider_that_has_nothing_alike_is_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, provider='dialects = ["openai_chat"]').replace(
                'type = "openai"', 'type = "anthropic"'
            )
            async with gateway(tmp_path, config.replace(CHAT_ONLY, ""), ["sk-1"]) as running:
                got = await running.ask("POST", "/v1/images/generations", {"model": "gpt-4o", "prompt": "x"})
                assert (got.status, got.code) == (400, "invalid_request_error")
                assert "/images/generations" in got.json["error"]["message"]

    run(scenario())


def test_a_providers_error_keeps_its_message_and_code(tmp_path: Path) -> None:
    got, _, _ = run(ask(tmp_path, "/v1/messages", MESSAGES, bad_request("No such thing.")))
    assert got.json["error"]["message"] == "No such thing."
    assert "invalid_value" in json.dumps(got.json)


@pytest.mark.parametrize(("path", "body"), PLAIN)
def test_a_body_that_is_nested_too_deeply_is_the_clients_mistake(tmp_path: Path, path: str, body: Any) -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(300):
        schema = {"type": "object", "properties": {"a": schema}}
    tools: dict[str, dict[str, Any]] = {
        "/v1/messages": {"tools": [{"name": "f", "input_schema": schema}]},
        GENERATE: {"tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": schema}]}]},
        "/v1/responses": {"tools": [{"type": "function", "name": "f", "parameters": schema}]},
    }
    got, requests, _ = run(ask(tmp_path, path, {**body, **tools[path]}))
    assert got.status == 400 and not requests


@pytest.mark.parametrize("model", ["..", "%2e%2e", "a/../b", "x/.."])
def test_no_model_in_a_path_leads_elsewhere(tmp_path: Path, model: str) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, provider='api_version = "2024-10-21"')
            async with gateway(tmp_path, config.replace('type = "openai"', 'type = "azure"'), ["sk-1"]) as running:
                got = await running.ask("POST", "/v1/messages", {**MESSAGES, "model": f"main/{model}"})
                assert (got.status, got.json["error"]["type"]) == (404, "not_found_error")
                assert not fake.requests

    run(scenario())


SECRET = "sk-proj-0123456789abcdef"
LEAK = {"error": {"message": f"It failed for {SECRET}.", "type": "server_error", "code": None}}


@pytest.mark.parametrize(
    "behaviour",
    [
        Answer(200, LEAK),
        Answer(400, LEAK),
        Stream((LEAK,)),
        Stream((WORD, LEAK)),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_key_that_the_provider_repeats_goes_no_further(tmp_path: Path, behaviour: Behaviour, stream: bool) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, provider=CHAT_ONLY)
            async with gateway(tmp_path, config, [SECRET]) as running:
                fake.script(SECRET, behaviour)
                got = await running.ask("POST", "/v1/messages", {**MESSAGES, "stream": stream})
                assert b"It failed for" in got.body
                assert SECRET.encode() not in got.body
                await running.logged()
                assert SECRET not in json.dumps(running.lines)

    run(scenario())


def test_what_is_dropped_is_logged(tmp_path: Path) -> None:
    _, _, line = run(ask(tmp_path, "/v1/messages", {**MESSAGES, "top_k": 5, "stream": True}))
    assert "top_k" in line["dropped"]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_a_request_without_a_model_gets_the_default(tmp_path: Path, path: str) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, provider=f'{CHAT_ONLY}\ndefault_model = "gpt-4o"')
            async with gateway(tmp_path, config, ["sk-1"]) as running:
                body = {name: value for name, value in MESSAGES.items() if name != "model"}
                assert (await running.ask("POST", path, body)).status == 200
                assert [seen.json["model"] for seen in fake.requests if seen.body] in (["gpt-4o"], [])

    run(scenario())
