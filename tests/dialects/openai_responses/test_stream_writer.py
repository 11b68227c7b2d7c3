"""Streams as clients of the Responses API get them: deltas on the left, events on the right."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from gateway.dialects.continuity import seal, unbind
from gateway.dialects.conversation import (
    Audio,
    Citation,
    Ending,
    Finish,
    Image,
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Signature,
    Source,
    Text,
    Thinking,
    ToolCall,
)
from gateway.dialects.deltas import Begin, Broken, Cited, Close, Delta, End, Finished, More, Open, Signed, Used
from gateway.dialects.dialect import Plan, Scene
from gateway.dialects.failure import Failure, FailureKind
from gateway.dialects.losses import Losses
from gateway.dialects.openai_responses.answer_writer import write_answer
from gateway.dialects.openai_responses.request_reader import read_request
from gateway.dialects.openai_responses.stream_reader import StreamReader
from gateway.dialects.openai_responses.stream_writer import StreamWriter
from gateway.dialects.whole import Collector
from gateway.usage import Usage
from gateway.wire.sse import EventReader
from tests.dialects.openai_responses.sdk import accumulated, client_of

D = "openai_responses"
STOP = Finished(Ending(Finish.STOP))
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def scene(**fields: Any) -> Scene:
    return Scene(read_request({"model": "m", "input": "hi", **fields}, Losses()), "alias", "main", 1700000001, "ab12")


def write(*deltas: Delta, losses: Losses | None = None, **fields: Any) -> bytes:
    """The stream of these deltas, each written for itself, with a beginning and an end."""
    writer = StreamWriter(scene(**fields), losses or Losses())
    return b"".join(writer.write([delta]) for delta in (Begin("id", "m"), *deltas, End()))


def events(written: bytes) -> list[dict[str, Any]]:
    """The events' payloads, each of which the SDK's types take."""
    payloads = []
    for event in EventReader().feed(written):
        payload = json.loads(event.data)
        assert payload["type"] == event.event
        if event.event not in ("error", "response.failed"):  # whose codes are more than the types say
            EVENT.validate_python(payload)
        payloads.append(payload)
    assert [payload["sequence_number"] for payload in payloads] == list(range(len(payloads)))
    return payloads


def kinds(written: bytes) -> list[str]:
    return [payload["type"].removeprefix("response.") for payload in events(written)]


def block(number: int, opening: Part, *pieces: str) -> list[Delta]:
    return [Open(number, opening), *(More(number, piece) for piece in pieces), Close(number)]


def test_a_text_is_a_message_with_one_piece_of_content() -> None:
    written = write(*block(0, Text(""), "he", "llo"), STOP, Used(Usage(3, output_text=2)))
    assert kinds(written) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    created, *_, done, completed = events(written)
    assert created["response"]["status"] == "in_progress"
    assert completed["response"]["output"] == [done["item"]]
    assert completed["response"]["usage"]["total_tokens"] == 5
    assert (completed["response"]["id"], completed["response"]["model"]) == ("resp_ab12", "alias")


def test_events_name_the_item_and_the_places_they_are_about() -> None:
    written = write(*block(0, Text(""), "a"), *block(1, Text(""), "b"), *block(2, ToolCall("c", "f", ""), "{}"), STOP)
    places = [
        (payload["type"], payload["output_index"], payload.get("content_index"), payload.get("item_id"))
        for payload in events(written)
        if payload["type"].endswith(".delta")
    ]
    assert places == [
        ("response.output_text.delta", 0, 0, "msg_ab1200"),
        ("response.output_text.delta", 0, 1, "msg_ab1200"),
        ("response.function_call_arguments.delta", 1, None, "fc_ab1201"),
    ]


def test_a_call_is_said_by_deltas_and_again_when_it_is_done() -> None:
    written = write(*block(0, ToolCall("c", "f", ""), '{"a"', ":1}"), Finished(Ending(Finish.TOOL_CALLS)))
    assert kinds(written)[2:-1] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ]
    assert events(written)[5]["arguments"] == '{"a":1}'
    assert events(written)[6]["item"] == {
        "type": "function_call",
        "id": "fc_ab1200",
        "status": "completed",
        "call_id": "c",
        "name": "f",
        "arguments": '{"a":1}',
    }


def test_a_call_without_arguments_has_an_empty_object() -> None:
    final = accumulated(write(*block(0, ToolCall("c", "f", "")), STOP))
    assert final.output[0].arguments == "{}"


def test_a_custom_tool_is_called_with_free_text() -> None:
    written = write(*block(0, ToolCall("p", "patch", "", custom=True), "***", " Begin"), STOP)
    assert kinds(written)[3:6] == [
        "custom_tool_call_input.delta",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
    ]
    assert accumulated(written).output[0].input == "*** Begin"


def test_thoughts_are_a_summary_and_what_is_encrypted_comes_when_they_are_done() -> None:
    signature = Signature("gAAA", D, "main")
    deltas: list[Delta] = [Open(0, Thinking("")), More(0, "t"), Signed(0, signature), Close(0)]
    written = write(*deltas, STOP)
    assert kinds(written)[2:-1] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    (item,) = accumulated(written).output
    assert (item.type, item.summary[0].text, item.encrypted_content) == ("reasoning", "t", "gAAA")


@pytest.mark.parametrize(
    ("part", "summary"),
    [
        (Thinking("", Signature("x", D)), []),
        (Thinking("", Signature("x", "anthropic")), [{"type": "summary_text", "text": ""}]),
        (RedactedThinking(Signature("x", "anthropic")), []),
    ],
)
def test_thoughts_of_which_only_the_signature_is_shown_are_an_item(part: Part, summary: list[Any]) -> None:
    item = events(write(*block(0, part), STOP))[-2]["item"]
    assert item["summary"] == summary
    assert item["encrypted_content"]


def test_thoughts_that_say_nothing_are_none() -> None:
    assert kinds(write(*block(0, Thinking("")), STOP)) == ["created", "in_progress", "completed"]


@pytest.mark.parametrize("together", [True, False])
def test_the_signature_of_a_call_is_an_item_before_it(together: bool) -> None:
    google = Signature("AAA=", "gemini", "google")
    deltas: list[Delta] = [Begin("", ""), Open(0, ToolCall("c", "f", "")), More(0, "{}"), Signed(0, google), Close(0)]
    if not together:
        deltas[2:4] = [deltas[3], deltas[2]]
    losses = Losses()
    writer = StreamWriter(scene(), losses)
    written = writer.write(deltas) if together else b"".join(writer.write([delta]) for delta in deltas)
    begun, signed, added, *_, done = events(written)[2:]
    assert begun["type"].endswith("item.added")
    assert signed["type"].endswith("item.done")
    assert (signed["output_index"], added["output_index"], done["output_index"]) == (0, 1, 1)
    assert (signed["item"]["type"], signed["item"]["summary"]) == ("reasoning", [])
    assert unbind(signed["item"]["encrypted_content"]) == ("c", google)
    assert added["item"]["call_id"] == done["item"]["call_id"] == "c"
    assert losses.entries == []


def test_a_signature_that_comes_after_the_call_has_begun_is_lost() -> None:
    losses = Losses()
    google = Signature("AAA=", "gemini", "google")
    write(Open(0, ToolCall("c", "f", "")), More(0, "{}"), Signed(0, google), Close(0), STOP, losses=losses)
    assert [loss.name for loss in losses.entries] == ["late_signature"]


def test_the_sdk_has_the_signatures_of_parallel_calls_each_before_its_call() -> None:
    one, two = Signature("AAA=", "gemini", "google"), Signature("BBB=", "gemini", "google")
    written = write(
        *block(0, ToolCall("a", "f", "", signature=one), "{}"),
        *block(1, ToolCall("b", "f", "", signature=two), "{}"),
        STOP,
    )
    final = accumulated(written)
    assert [item.type for item in final.output] == ["reasoning", "function_call"] * 2
    assert [unbind(item.encrypted_content) for item in final.output[::2]] == [("a", one), ("b", two)]
    assert [item.call_id for item in final.output[1::2]] == ["a", "b"]


def test_calls_beside_each_other_are_written_one_after_the_other() -> None:
    written = write(
        Open(0, ToolCall("a", "f", "")),
        Open(1, ToolCall("b", "g", "")),
        More(1, '{"y"'),
        More(0, '{"x"'),
        More(1, ":2}"),
        More(0, ":1}"),
        Close(1),
        Close(0),
        Finished(Ending(Finish.TOOL_CALLS)),
    )
    assert [(item.call_id, item.arguments) for item in accumulated(written).output] == [
        ("a", '{"x":1}'),
        ("b", '{"y":2}'),
    ]


def test_the_sdk_puts_a_whole_turn_together() -> None:
    written = write(
        *block(0, Thinking(""), "t"),
        *block(1, Text(""), "a", "b"),
        *block(2, Text(""), "c"),
        *block(3, Refusal(""), "no"),
        *block(4, ToolCall("c", "f", ""), '{"x":', "1}"),
        *block(5, Opaque(D, {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {}})),
        *block(6, Image(Source("base64", "QUJD", "image/png"))),
        Used(Usage(1, 2, output_text=3, reasoning=4)),
        Finished(Ending(Finish.TOOL_CALLS)),
        tools=[{"type": "function", "name": "f", "parameters": {"type": "object"}}],
    )
    final = accumulated(written)
    assert [item.type for item in final.output] == [
        "reasoning",
        "message",
        "function_call",
        "web_search_call",
        "image_generation_call",
    ]
    assert final.output_text == "abc"
    assert final.output[1].content[2].refusal == "no"
    assert final.output[2].arguments == '{"x":1}'
    assert (final.usage.input_tokens, final.usage.output_tokens_details.reasoning_tokens) == (3, 4)
    assert final.tools[0].name == "f"


def test_citations_and_log_probabilities_come_with_their_text() -> None:
    said = {"content": [{"token": "ab", "logprob": -0.5, "bytes": [97, 98], "top_logprobs": []}]}
    written = write(
        Open(0, Text("")),
        More(0, "ab", said),
        Cited(0, Citation("https://a.b", "T")),
        Cited(0, Citation("", "book")),
        Close(0),
        STOP,
    )
    annotation = {"type": "url_citation", "start_index": 0, "end_index": 2, "url": "https://a.b", "title": "T"}
    assert events(written)[5]["annotation"] == annotation
    (part,) = events(written)[-1]["response"]["output"][0]["content"]
    assert (part["text"], part["annotations"], part["logprobs"]) == ("ab", [annotation], said["content"])


@pytest.mark.parametrize(
    ("ending", "last", "of_message"),
    [
        (Ending(Finish.STOP), "completed", "completed"),
        (Ending(Finish.LENGTH), "incomplete", "incomplete"),
        (Ending(Finish.CONTENT_FILTER), "incomplete", "incomplete"),
        (Ending(Finish.ERROR, "MALFORMED_FUNCTION_CALL"), "failed", "completed"),
    ],
)
def test_the_last_event_says_how_it_ended(ending: Ending, last: str, of_message: str) -> None:
    *_, done, end = events(write(*block(0, Text(""), "a"), Finished(ending)))
    assert end["type"] == f"response.{last}"
    assert end["response"]["status"] == last
    assert done["item"]["status"] == of_message


def test_an_empty_answer_has_a_beginning_and_an_end() -> None:
    assert accumulated(write(STOP)).output == []
    assert kinds(StreamWriter(scene(), Losses()).write([End()])) == ["created", "in_progress", "completed"]


def test_blocks_that_were_left_open_are_ended() -> None:
    assert accumulated(write(Open(0, Text("")), More(0, "a"))).output_text == "a"


def test_usage_that_was_known_before_is_replaced_by_the_last() -> None:
    writer = StreamWriter(scene(), Losses())
    deltas: list[Delta] = [
        Begin("", "", usage=Usage(1)),
        Used(Usage(1, output_text=1)),
        Used(Usage(1, output_text=5)),
        End(),
    ]
    assert events(writer.write(deltas))[-1]["response"]["usage"]["output_tokens"] == 5


FAILURE = Failure(0, FailureKind.CONTEXT_LENGTH, "too long", "prompt_too_long")


def test_a_failure_is_an_error_event_and_a_failed_response() -> None:
    writer = StreamWriter(scene(), Losses())
    written = writer.write([Begin("", ""), Open(0, Text("")), More(0, "a"), Broken(FAILURE)])
    assert kinds(written)[-2:] == ["error", "failed"]
    error, failed = events(written)[-2:]
    assert (error["code"], error["message"]) == ("context_length_exceeded", "too long")
    assert error["error"]["code"] == "context_length_exceeded"
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": "context_length_exceeded", "message": "too long"}
    assert writer.write([More(0, "b"), End()]) == b""


def test_the_sdk_raises_at_a_failure() -> None:
    written = StreamWriter(scene(), Losses()).write([Broken(FAILURE)])
    with client_of(written) as client, pytest.raises(openai.APIError, match="too long"):
        list(client.responses.create(model="m", input="hi", stream=True))


def test_further_choices_are_noted_and_left_out() -> None:
    losses = Losses()
    written = write(
        Open(0, Text("")),
        Open(1, Text(""), 1),
        More(1, "b"),
        More(0, "a"),
        Close(1),
        Close(0),
        STOP,
        Finished(Ending(Finish.LENGTH), 1),
        losses=losses,
    )
    assert accumulated(written).output_text == "a"
    assert {loss.path for loss in losses.entries} == {"answer.choices"}


def test_parts_without_a_place_are_noted() -> None:
    losses = Losses()
    parts: list[Part]
    parts = [Audio(Source("base64", "QUJD")), Opaque("anthropic", {}), Image(Source("url", "https://a.b"))]
    written = write(*(delta for number, part in enumerate(parts) for delta in block(number, part)), losses=losses)
    assert kinds(written) == ["created", "in_progress", "completed"]
    assert [loss.name for loss in losses.entries] == ["audio_part", "opaque_part", "image_part"]


def test_a_stream_and_a_whole_answer_say_the_same() -> None:
    signature = Signature("sig", "anthropic", "main")
    written = write(
        Open(0, Thinking("")),
        More(0, "t"),
        Signed(0, signature),
        Close(0),
        *block(1, Text(""), "a"),
        *block(2, ToolCall("c", "f", ""), "{}"),
        Finished(Ending(Finish.TOOL_CALLS)),
        Used(Usage(1, output_text=2)),
    )
    reader, collector = StreamReader(Plan()), Collector()
    for event in EventReader().feed(written):
        collector.feed(reader.feed(event))
    thought, *rest = collector.answer.choices[0].parts
    assert thought == Thinking("t", Signature(seal(signature, ""), D))
    assert rest == [Text("a"), ToolCall("c", "f", "{}")]
    choice = collector.answer.choices[0]
    whole = write_answer(collector.answer, scene(), Losses())
    streamed = events(written)[-1]["response"]
    assert choice.ending.finish is Finish.TOOL_CALLS
    assert whole["output"] == streamed["output"]
    assert whole.keys() == streamed.keys()
