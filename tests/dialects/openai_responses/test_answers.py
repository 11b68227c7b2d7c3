"""Answers of providers read, and answers written for clients, which the official SDK's types judge."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import Response

from gateway.dialects.continuity import seal, unbind, unseal, unsigned
from gateway.dialects.conversation import (
    Answer,
    Audio,
    Choice,
    Citation,
    Ending,
    Finish,
    Image,
    Message,
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
from gateway.dialects.dialect import MalformedAnswerError, Plan, Scene
from gateway.dialects.losses import Losses
from gateway.dialects.openai_responses.answer_reader import read_answer
from gateway.dialects.openai_responses.answer_writer import write_answer
from gateway.dialects.openai_responses.request_reader import read_request
from gateway.usage import Usage

D = "openai_responses"
PLAN = Plan("main", names={"files_read": "files.read"})
STOP = Ending(Finish.STOP)


def response(*output: Any, **fields: Any) -> dict[str, Any]:
    head = {"id": "resp_1", "object": "response", "created_at": 1700000000.0, "model": "gpt-5", "status": "completed"}
    return {**head, "output": list(output), **fields}


def message(*content: Any) -> dict[str, Any]:
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": list(content)}


def text(said: str, **fields: Any) -> dict[str, Any]:
    return {"type": "output_text", "text": said, "annotations": [], **fields}


def scene(**fields: Any) -> Scene:
    return Scene(read_request({"model": "m", "input": "hi", **fields}, Losses()), "alias", "main", 1700000001, "ab12")


def write(*parts: Part, ending: Ending = STOP, **fields: Any) -> dict[str, Any]:
    answer = Answer("id-1", "claude", (Choice(parts, ending),), Usage(1, 2, output_text=3, reasoning=4))
    written = write_answer(answer, scene(**fields), Losses())
    Response.model_validate(written)
    return written


# --- reading ---------------------------------------------------------------------------------------------------------


def test_an_answer_has_the_parts_of_its_items_in_their_order() -> None:
    citation = {"type": "url_citation", "url": "https://a.b", "title": "T", "start_index": 0, "end_index": 2}
    searched = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {}}
    answer = read_answer(
        response(
            {"type": "reasoning", "id": "rs_1", "summary": [{"text": "s"}], "encrypted_content": "gAAA"},
            {"type": "reasoning", "id": "rs_2", "summary": []},
            searched,
            message(text("ab", annotations=[citation, {"type": "file_path"}]), {"type": "refusal", "refusal": "no"}),
            {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "files_read", "arguments": ""},
            {"type": "custom_tool_call", "id": "ctc_1", "call_id": "p", "name": "patch", "input": "x"},
            {"type": "image_generation_call", "id": "ig_1", "result": "QUJD", "output_format": "webp"},
            usage={"input_tokens": 3, "input_tokens_details": {"cached_tokens": 2}, "output_tokens": 1},
            service_tier="flex",
        ),
        PLAN,
    )
    assert answer.choices[0].parts == (
        Thinking("s", Signature("gAAA", D, "main")),
        Opaque(D, searched),
        Text("ab", citations=(Citation("https://a.b", "T", start=0, end=2),)),
        Refusal("no"),
        ToolCall("c", "files.read", "{}"),
        ToolCall("p", "patch", "x", custom=True),
        Image(Source("base64", "QUJD", "image/webp")),
    )
    assert (answer.id, answer.model, answer.created, answer.service_tier) == ("resp_1", "gpt-5", 1700000000, "flex")
    assert answer.usage == Usage(1, 2, output_text=1)
    assert answer.choices[0].ending == Ending(Finish.TOOL_CALLS, "completed")


def test_log_probabilities_are_in_the_form_of_chat_completions() -> None:
    said = [{"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}]
    assert read_answer(response(message(text("a", logprobs=said))), PLAN).choices[0].logprobs == {"content": said}


@pytest.mark.parametrize(
    ("body", "finish", "native"),
    [
        (response(message(text("a"))), Finish.STOP, "completed"),
        (response(), Finish.STOP, "completed"),
        (response(message({"type": "refusal", "refusal": "no"})), Finish.REFUSAL, "completed"),
        (
            response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            Finish.LENGTH,
            "max_output_tokens",
        ),
        (
            response(status="incomplete", incomplete_details={"reason": "content_filter"}),
            Finish.CONTENT_FILTER,
            "content_filter",
        ),
        (response(status="incomplete"), Finish.LENGTH, "incomplete"),
    ],
)
def test_the_status_says_why_it_ended(body: dict[str, Any], finish: Finish, native: str) -> None:
    assert read_answer(body, PLAN).choices[0].ending == Ending(finish, native)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"output": None},
        response(status="failed", error={"code": "server_error", "message": "no"}),
        response(status="in_progress"),
        response(status=["completed"]),
    ],
)
def test_what_is_no_answer_is_said_to_be_none(body: object) -> None:
    with pytest.raises(MalformedAnswerError):
        read_answer(body, PLAN)


# --- writing ---------------------------------------------------------------------------------------------------------


def test_an_answer_has_every_field_and_what_the_client_said() -> None:
    tools = [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}]
    written = write(
        Text("hello"),
        instructions="Be brief.",
        tools=tools,
        tool_choice="required",
        parallel_tool_calls=False,
        temperature=0,
        max_output_tokens=9,
        metadata={"a": "b"},
        reasoning={"effort": "low", "summary": "auto"},
        text={"verbosity": "low"},
        truncation="auto",
        store=True,
        user="u",
    )
    assert written == {
        "id": "resp_ab12",
        "object": "response",
        "created_at": 1700000001,
        "status": "completed",
        "background": False,
        "completed_at": 1700000001,
        "error": None,
        "incomplete_details": None,
        "instructions": "Be brief.",
        "max_output_tokens": 9,
        "max_tool_calls": None,
        "metadata": {"a": "b"},
        "model": "alias",
        "output": [
            {
                "type": "message",
                "id": "msg_ab1200",
                "status": "completed",
                "role": "assistant",
                "content": [{"annotations": [], "logprobs": [], "type": "output_text", "text": "hello"}],
            }
        ],
        "parallel_tool_calls": False,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "prompt_cache_retention": None,
        "reasoning": {"effort": "low", "summary": "auto"},
        "safety_identifier": None,
        "service_tier": "default",
        "store": False,
        "temperature": 0,
        "text": {"format": {"type": "text"}, "verbosity": "low"},
        "tool_choice": "required",
        "tools": tools,
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "auto",
        "usage": {
            "input_tokens": 3,
            "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
            "output_tokens": 7,
            "output_tokens_details": {"reasoning_tokens": 4},
            "total_tokens": 10,
        },
        "user": "u",
    }


def test_texts_in_a_row_are_one_message() -> None:
    (item,) = write(Text("a"), Text("b"), Refusal("c"))["output"]
    assert [part["type"] for part in item["content"]] == ["output_text", "output_text", "refusal"]


def test_thoughts_and_calls_are_items_of_their_own() -> None:
    output = write(
        Thinking("t", Signature("gAAA", D, "main")),
        Thinking("plain"),
        Thinking(""),
        ToolCall("c", "f", ""),
        ToolCall("p", "patch", "x", custom=True),
    )["output"]
    assert output == [
        {
            "type": "reasoning",
            "id": "rs_ab1200",
            "summary": [{"type": "summary_text", "text": "t"}],
            "encrypted_content": "gAAA",
        },
        {
            "type": "reasoning",
            "id": "rs_ab1201",
            "summary": [{"type": "summary_text", "text": "plain"}],
            "encrypted_content": seal(unsigned("main"), "main"),
        },
        {
            "type": "function_call",
            "id": "fc_ab1202",
            "status": "completed",
            "call_id": "c",
            "name": "f",
            "arguments": "{}",
        },
        {
            "type": "custom_tool_call",
            "id": "ctc_ab1203",
            "status": "completed",
            "call_id": "p",
            "name": "patch",
            "input": "x",
        },
    ]


def test_signatures_of_others_are_sealed_and_come_back() -> None:
    signature, google = Signature("sig", "anthropic", "main"), Signature("AAA=", "gemini", "main")
    thinking, empty, redacted = Thinking("t", signature), Thinking("", signature), RedactedThinking(signature)
    call = ToolCall("c", "f", "{}", signature=google)
    output = write(thinking, empty, redacted, call)["output"]
    assert unseal(output[0]["encrypted_content"]) == signature
    assert output[3]["summary"] == []
    assert unbind(output[3]["encrypted_content"]) == ("c", google)
    assert output[4]["call_id"] == "c"
    again = read_request({"model": "m", "input": output}, Losses())
    assert again.messages == (Message("assistant", (thinking, empty, redacted, call)),)


def test_a_seal_names_who_answered_where_the_signature_does_not() -> None:
    output = write(Thinking("t", Signature("sig", "anthropic")))["output"]
    assert output[0]["encrypted_content"] == seal(Signature("sig", "anthropic"), "main")


def test_calls_get_their_namespace_back() -> None:
    namespace = {"type": "namespace", "name": "ns", "description": "", "tools": [{"type": "function", "name": "x"}]}
    (call,) = write(ToolCall("c", "ns__x"), tools=[namespace])["output"]
    assert (call["name"], call["namespace"]) == ("x", "ns")


def test_images_are_made_by_the_tool_for_images() -> None:
    (item,) = write(Image(Source("base64", "QUJD", "image/png")))["output"]
    assert (item["type"], item["result"], item["output_format"]) == ("image_generation_call", "QUJD", "png")


@pytest.mark.parametrize(
    ("ending", "parts", "status", "reason", "of_message"),
    [
        (Ending(Finish.STOP), (Text("a"),), "completed", None, "completed"),
        (Ending(Finish.STOP_SEQUENCE), (Text("a"),), "completed", None, "completed"),
        (Ending(Finish.PAUSE), (Text("a"),), "completed", None, "completed"),
        (Ending(Finish.LENGTH), (Text("a"),), "incomplete", "max_output_tokens", "incomplete"),
        (Ending(Finish.CONTENT_FILTER), (Text("a"),), "incomplete", "content_filter", "incomplete"),
        (Ending(Finish.REFUSAL), (Text("a"),), "incomplete", "content_filter", "completed"),
        (Ending(Finish.REFUSAL), (Refusal("a"),), "completed", None, "completed"),
        (Ending(Finish.ERROR, "MALFORMED_FUNCTION_CALL"), (Text("a"),), "failed", None, "completed"),
    ],
)
def test_the_ending_is_a_status(
    ending: Ending, parts: tuple[Part, ...], status: str, reason: str | None, of_message: str
) -> None:
    written = write(*parts, ending=ending)
    assert written["status"] == status
    assert written["incomplete_details"] == (None if reason is None else {"reason": reason})
    assert (written["error"] is not None) == (status == "failed")
    assert written["output"][0]["status"] == of_message


def test_an_empty_answer_is_one() -> None:
    assert write()["output"] == []
    assert write_answer(Answer("", "", ()), scene(), Losses())["usage"] is None


def test_what_has_no_place_is_noted() -> None:
    losses = Losses()
    parts: tuple[Part, ...] = (
        Text("a", citations=(Citation("", "book"),)),
        Audio(Source("base64", "QUJD")),
        Image(Source("url", "https://a.b")),
        Opaque("anthropic", {}),
    )
    answer = Answer("", "", (Choice(parts, STOP), Choice((), STOP)))
    write_answer(answer, scene(), losses)
    assert [loss.name for loss in losses.entries] == [
        "choices",
        "citations",
        "audio_part",
        "image_part",
        "opaque_part",
    ]


def test_what_the_provider_says_is_written_as_it_was_said() -> None:
    answer = read_answer(
        response(
            {"type": "reasoning", "id": "rs_1", "summary": [{"text": "s"}], "encrypted_content": "gAAA"},
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {}},
            message(text("ab"), text("c")),
            {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": '{"x": 1}'},
            service_tier="priority",
        ),
        PLAN,
    )
    written = write_answer(answer, scene(), Losses())
    assert read_answer(written, PLAN).choices == answer.choices
    assert (written["id"], written["service_tier"], written["created_at"]) == ("resp_1", "priority", 1700000000)
