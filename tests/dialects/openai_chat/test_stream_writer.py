"""A stream as a client of Chat Completions gets it."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import ChatCompletionChunk

from gateway import jsonlib
from gateway.dialects.continuity import seal, split_id
from gateway.dialects.conversation import (
    Citation,
    Ending,
    Finish,
    Image,
    Message,
    Opaque,
    RedactedThinking,
    Refusal,
    Request,
    Signature,
    Source,
    Text,
    Thinking,
    ToolCall,
)
from gateway.dialects.deltas import Begin, Broken, Cited, Close, Delta, End, Finished, More, Open, Signed, Used
from gateway.dialects.dialect import Scene
from gateway.dialects.failure import Failure, FailureKind
from gateway.dialects.losses import Losses
from gateway.dialects.openai_chat.stream_writer import StreamWriter
from gateway.usage import Usage

GEMINI = Signature("sig", "gemini", "google")
CLAUDE = Signature("sig", "anthropic", "claude")
DETAIL = Signature('{"type":"reasoning.text","index":0}', "openai_chat", "theirs")
BEGIN = Begin("", "m")
STOP = Finished(Ending(Finish.STOP))
ROLE = {"role": "assistant", "content": "", "refusal": None}


def write(*deltas: Delta, legacy: bool = False, usage: bool = False, losses: Losses | None = None) -> list[Any]:
    """The payloads of the stream, each delta written by itself."""
    request = Request(
        "openai_chat", "alias", (Message("user", (Text("Hi"),)),), stream_usage=usage, legacy_calls=legacy
    )
    writer = StreamWriter(Scene(request, "alias", "google", 7, "abc"), losses or Losses())
    stream = b"".join(writer.write([delta]) for delta in deltas).decode()
    assert stream.endswith("\n\n") or not stream
    payloads = []
    for line in filter(None, stream.split("\n\n")):
        assert line.startswith("data: ")
        payload = line.removeprefix("data: ")
        payloads.append(payload if payload == "[DONE]" else jsonlib.loads(payload))
    return payloads


def deltas_of(*deltas: Delta, typed: bool = True, **fields: Any) -> list[Any]:
    """What the choices' deltas say, after the role and before the end. `typed`: the official SDK has a type for it."""
    payloads = write(BEGIN, *deltas, STOP, End(), **fields)
    for payload in payloads[:-1] if typed else ():
        ChatCompletionChunk.model_validate(payload)
    assert payloads[-1] == "[DONE]"
    assert payloads[0]["choices"][0]["delta"] == ROLE
    return [payload["choices"][0]["delta"] for payload in payloads[1:-2]]


def test_a_stream_has_a_role_text_an_end_and_done() -> None:
    head = {"id": "chatcmpl-abc", "object": "chat.completion.chunk", "created": 7, "model": "alias"}

    def payload(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

    assert write(BEGIN, Open(0, Text("")), More(0, "Hi"), Close(0), STOP, Used(Usage(1)), End()) == [
        payload(ROLE),
        payload({"content": "Hi"}),
        payload({}, "stop"),
        "[DONE]",
    ]


def test_usage_is_shown_if_asked_for_the_last_one_in_a_chunk_of_its_own() -> None:
    payloads = write(Begin("x", "m", 5, Usage(4)), STOP, Used(Usage(4, output_text=2)), End(), usage=True)
    assert [payload["usage"] for payload in payloads[:-1]] == [
        None,
        None,
        {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6},
    ]
    assert payloads[-2]["choices"] == []
    assert {payload["id"] for payload in payloads[:-1]} == {"x"}


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        ([Open(0, Text("a")), Close(0)], [{"content": "a"}]),
        ([Open(0, Refusal("")), More(0, "No"), Close(0)], [{"refusal": "No"}]),
        ([Open(0, Thinking("")), More(0, "Hm"), Close(0)], [{"reasoning_content": "Hm"}]),
        (
            [Open(0, Thinking("")), More(0, "H"), More(0, "m"), Signed(0, CLAUDE), Close(0)],
            [
                {"reasoning_content": "H"},
                {"reasoning_content": "m"},
                {"thinking_blocks": [{"type": "thinking", "thinking": "Hm", "signature": seal(CLAUDE, "")}]},
            ],
        ),
        (
            [Open(0, Thinking("")), Signed(0, CLAUDE), Close(0)],
            [{"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": seal(CLAUDE, "")}]}],
        ),
        (
            [Open(0, Thinking("")), More(0, "Hm"), Signed(0, DETAIL), Close(0)],
            [
                {"reasoning_content": "Hm"},
                {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "Hm"}]},
            ],
        ),
        (
            [Open(0, RedactedThinking(CLAUDE)), Close(0)],
            [{"thinking_blocks": [{"type": "redacted_thinking", "data": seal(CLAUDE, "")}]}],
        ),
        (
            [Open(0, Text("")), More(0, "4"), Signed(0, GEMINI), Close(0)],
            [
                {"content": "4"},
                {"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": seal(GEMINI, "")}]},
            ],
        ),
        (
            [
                *[Open(0, Text("")), More(0, "ab"), Close(0), Open(1, Text("")), More(1, "c")],
                Cited(1, Citation("u", start=0, end=1)),
            ],
            [
                {"content": "ab"},
                {"content": "c"},
                {
                    "annotations": [
                        {
                            "type": "url_citation",
                            "url_citation": {"url": "u", "title": "", "start_index": 2, "end_index": 3},
                        }
                    ]
                },
            ],
        ),
        (
            [Open(0, Image(Source("base64", "AA==", "image/png"))), Close(0)],
            [{"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}],
        ),
        ([Open(0, Opaque("openai_chat", {"audio": {"id": "a"}})), Close(0)], [{"audio": {"id": "a"}}]),
    ],
)  # fmt: skip
def test_blocks_have_their_places_in_the_delta(deltas: list[Delta], expected: list[Any]) -> None:
    assert deltas_of(*deltas) == expected


def call_chunk(index: int, call_id: str, name: str) -> dict[str, Any]:
    function = {"name": name, "arguments": ""}
    return {"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]}


def arguments(index: int, text: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}


def test_calls_are_numbered_by_their_own_order() -> None:
    deltas = (
        Open(0, Text("")), More(0, "x"), Close(0),
        Open(1, ToolCall("c", "f", "")), Open(2, ToolCall("d", "g", "")),
        More(1, '{"a'), More(2, "{}"), More(1, '":1}'), Close(1), Close(2),
    )  # fmt: skip
    assert deltas_of(*deltas) == [
        {"content": "x"},
        call_chunk(0, "c", "f"),
        arguments(0, '{"a'),
        call_chunk(1, "d", "g"),
        arguments(1, "{}"),
        arguments(0, '":1}'),
    ]


def test_a_call_without_arguments_has_an_empty_object() -> None:
    assert deltas_of(Open(0, ToolCall("c", "f", "")), Close(0)) == [call_chunk(0, "c", "f"), arguments(0, "{}")]


def test_a_custom_tools_call_has_an_input() -> None:
    deltas = (Open(0, ToolCall("c", "f", "", True)), More(0, "ls"), Close(0))
    assert deltas_of(*deltas, typed=False) == [
        {"tool_calls": [{"index": 0, "id": "c", "type": "custom", "custom": {"name": "f", "input": ""}}]},
        {"tool_calls": [{"index": 0, "custom": {"input": "ls"}}]},
    ]


@pytest.mark.parametrize(
    "deltas",
    [
        [Open(0, ToolCall("c", "f", "", signature=GEMINI)), More(0, "{}"), Close(0)],
        [Open(0, ToolCall("c", "f", "")), Signed(0, GEMINI), More(0, "{}"), Close(0)],
    ],
)
def test_a_calls_signature_goes_behind_its_id(deltas: list[Delta]) -> None:
    announced = deltas_of(*deltas)[0]["tool_calls"][0]
    assert split_id(announced["id"]) == ("c", GEMINI)


def test_a_calls_signature_that_comes_too_late_is_a_block_of_thoughts() -> None:
    written = deltas_of(Open(0, ToolCall("c", "f", "")), More(0, "{}"), Signed(0, GEMINI), Close(0))
    block = {"type": "thinking", "thinking": "", "signature": seal(GEMINI, "")}
    assert written == [call_chunk(0, "c", "f"), arguments(0, "{}"), {"thinking_blocks": [block]}]


def test_a_client_of_functions_gets_one_function_call() -> None:
    losses = Losses()
    deltas = (
        Open(0, ToolCall("c", "f", "")), More(0, "{}"), Close(0), Open(1, ToolCall("d", "g", "")), Close(1),
        Finished(Ending(Finish.TOOL_CALLS)), End(),
    )  # fmt: skip
    payloads = write(BEGIN, *deltas, legacy=True, losses=losses)
    assert [payload["choices"][0]["delta"] for payload in payloads[1:-1]] == [
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": "{}"}},
        {},
    ]
    assert payloads[-2]["choices"][0]["finish_reason"] == "function_call"
    assert [loss.name for loss in losses.entries] == ["parallel_call"]


def test_every_choice_begins_with_its_role() -> None:
    payloads = write(BEGIN, Open(0, Text("b"), 1), Close(0), Finished(Ending(Finish.LENGTH), 1), STOP, End())
    said = [(choice["index"], choice["delta"], choice["finish_reason"]) for payload in payloads[:-1]
            for choice in payload["choices"]]  # fmt: skip
    assert said == [(0, ROLE, None), (1, ROLE, None), (1, {"content": "b"}, None), (1, {}, "length"), (0, {}, "stop")]


def test_a_failure_is_the_last_event_and_no_done_follows() -> None:
    failure = Failure(529, FailureKind.OVERLOADED, "busy", "overloaded_error")
    assert write(BEGIN, Open(0, Text("a")), Broken(failure))[-1] == {
        "error": {"message": "busy", "type": "server_error", "param": None, "code": "overloaded_error"}
    }


def test_a_block_that_only_another_dialect_knows_is_noted() -> None:
    losses = Losses()
    assert deltas_of(Open(0, Opaque("anthropic", {"type": "server_tool_use"})), Close(0), losses=losses) == []
    assert [(loss.path, loss.name) for loss in losses.entries] == [("answer.server_tool_use", "opaque_part")]
