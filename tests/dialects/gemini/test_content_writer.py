"""Writing messages for Google."""

from __future__ import annotations

import pytest

from gateway.dialects.continuity import unsigned
from gateway.dialects.conversation import (
    Audio,
    Cache,
    Citation,
    Document,
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
    ToolResult,
)
from gateway.dialects.gemini.content_writer import SENTINEL
from gateway.dialects.names import Json
from gateway.errors import RequestError
from tests.dialects.gemini.scenes import MODEL, NEWER, ask, assistant, user, written, written_with_losses

OWN = Signature("b3du", "gemini", "google")
FROM_CLIENT = Signature("b3du", "gemini")
OTHER_GOOGLE = Signature("b3du", "gemini", "another")
FOREIGN = Signature("sig", "anthropic", "claude")
PNG = Source("base64", "aGk=", "image/png")


def contents(*messages: Message, model: str = MODEL) -> list[Json]:
    found: list[Json] = written(ask(*messages), model)["contents"]
    return found


def parts(*given: Part, model: str = MODEL) -> list[Json]:
    """The parts of a user's message, behind one that is not empty."""
    found: list[Json] = contents(user("?", *given), model=model)[0]["parts"]
    return found[1:]


def lost(*messages: Message, model: str = MODEL) -> list[tuple[str, str]]:
    return written_with_losses(ask(*messages), model)[1]


def test_instructions_go_to_the_front() -> None:
    messages = Message("system", (Text("A"), Text("B"))), user("Hi"), Message("developer", (Text("C"),)), user("Bye")
    body, noted = written_with_losses(ask(*messages))
    assert body["systemInstruction"] == {"parts": [{"text": "A"}, {"text": "B"}, {"text": "C"}]}
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Hi"}, {"text": "Bye"}]}]
    assert noted == [("messages.2", "system_position")]


def test_instructions_are_text() -> None:
    assert lost(Message("system", (Image(PNG),)), user("Hi")) == [("messages.0.parts.0", "!system_media")]


def test_neighbours_of_the_same_role_are_one_turn() -> None:
    assert contents(user("a"), user("b"), assistant("c"), assistant("d"), user("e")) == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "model", "parts": [{"text": "c"}, {"text": "d"}]},
        {"role": "user", "parts": [{"text": "e"}]},
    ]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Text("Hi", signature=OWN), [{"text": "Hi", "thoughtSignature": "b3du"}]),
        (Text("Hi", signature=FROM_CLIENT), [{"text": "Hi", "thoughtSignature": "b3du"}]),
        (Text("Hi", signature=OTHER_GOOGLE), [{"text": "Hi"}]),
        (Text("", signature=OWN), [{"text": "", "thoughtSignature": "b3du"}]),
        (Refusal("No."), [{"text": "No."}]),
        (Thinking("Hm", OWN), [{"text": "Hm", "thought": True, "thoughtSignature": "b3du"}]),
        (Opaque("gemini", {"executableCode": {"code": "1"}}), [{"executableCode": {"code": "1"}}]),
        (
            Image(PNG, signature=OWN),
            [{"inlineData": {"mimeType": "image/png", "data": "aGk="}, "thoughtSignature": "b3du"}],
        ),
        (
            Image(Source("base64", "iVBORw0KGgoAAAA=")),
            [{"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgoAAAA="}}],
        ),
        (
            Image(Source("base64", "aGk=", "image/jpg")),
            [{"inlineData": {"mimeType": "image/jpeg", "data": "aGk="}}],
        ),
        (
            Audio(Source("base64", "aGk=", "audio/wav")),
            [{"inlineData": {"mimeType": "audio/wav", "data": "aGk="}}],
        ),
        (
            Document(Source("base64", "aGk=", "application/pdf")),
            [{"inlineData": {"mimeType": "application/pdf", "data": "aGk="}}],
        ),
        (Document(Source("text", "ü")), [{"inlineData": {"mimeType": "text/plain", "data": "w7w="}}]),
        (
            Document(Source("file", "files/1", "application/pdf", "gemini")),
            [{"fileData": {"mimeType": "application/pdf", "fileUri": "files/1"}}],
        ),
        (
            Image(Source("url", "https://example.com/a.PNG?b=.pdf")),
            [{"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a.PNG?b=.pdf"}}],
        ),
        (Image(Source("url", "gs://bucket/a")), [{"fileData": {"fileUri": "gs://bucket/a"}}]),
        (
            Image(Source("url", "https://www.youtube.com/watch?v=1")),
            [{"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}}],
        ),
    ],
)
def test_parts_are_written(part: Part, expected: list[Json]) -> None:
    assert parts(part) == expected


@pytest.mark.parametrize(
    ("part", "model", "expected"),
    [
        (Text(""), MODEL, [("messages.0.parts.1", "blank_text")]),
        (Text("a", cache=Cache()), MODEL, [("messages.0.parts.1.cache", "cache_control")]),
        (Text("a", citations=(Citation("https://a/"),)), MODEL, [("messages.0.parts.1.citations", "citations")]),
        (Opaque("anthropic", {"type": "x"}), MODEL, [("messages.0.parts.1", "!opaque_part")]),
        (Image(Source("file", "file-1", dialect="openai_chat")), MODEL, [("messages.0.parts.1", "!file")]),
        (Image(Source("base64", "aGk=")), MODEL, [("messages.0.parts.1", "!media_type")]),
        (Image(Source("url", "http://example.com/a.png")), MODEL, [("messages.0.parts.1", "!media_url")]),
        (Image(Source("url", "https://a/b.png")), "gemini-2.0-flash", [("messages.0.parts.1", "!media_url")]),
        (Image(PNG, "high"), MODEL, [("messages.0.parts.1.detail", "image_detail")]),
        (Image(PNG, "auto"), MODEL, []),
        (
            Document(PNG, "a.pdf", "ctx", True),
            MODEL,
            [
                ("messages.0.parts.1.name", "document_name"),
                ("messages.0.parts.1.context", "document_context"),
                ("messages.0.parts.1.citations", "document_citations"),
            ],
        ),
    ],
)
def test_what_google_is_not_told_is_noted(part: Part, model: str, expected: list[tuple[str, str]]) -> None:
    assert lost(user("?", part), model=model) == expected


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Thinking("Hm", FOREIGN), [{"text": "Hm", "thought": True}]),
        (Thinking("", FOREIGN), []),
        (RedactedThinking(FOREIGN), []),
    ],
)
def test_what_another_provider_has_thought_and_signed_is_noted(part: Part, expected: list[Json]) -> None:
    body, noted = written_with_losses(ask(user("?", part)))
    assert (body["contents"][0]["parts"][1:], noted) == (expected, [("messages.0.parts.1", "thinking")])


def test_thoughts_that_nobody_has_signed_are_told_whole() -> None:
    assert parts(Thinking("Hm", unsigned("claude"))) == [{"text": "Hm", "thought": True}]


def test_names_of_participants_are_noted() -> None:
    assert lost(Message("user", (Text("Hi"),), "ann")) == [("messages.0.name", "message_name")]


@pytest.mark.parametrize(("detail", "level"), [("low", "LOW"), ("high", "HIGH"), ("original", "ULTRA_HIGH")])
def test_newer_models_have_a_resolution_for_single_images(detail: str, level: str) -> None:
    (part,) = parts(Image(PNG, detail), model=NEWER)
    assert part["mediaResolution"] == {"level": f"MEDIA_RESOLUTION_{level}"}


# --- calls and results -----------------------------------------------------------------------------------------------

CALLS = assistant(ToolCall("c1", "look", '{"a":1}'), ToolCall("c2", "find", ""))


def test_results_follow_in_the_order_of_their_calls_and_alone() -> None:
    found = contents(
        user("Hi"),
        CALLS,
        user("And?", ToolResult("c2", (Text("two"),))),
        user(ToolResult("c1", (Text("one"),), True), "Well?"),
    )
    assert found[1]["parts"] == [
        {"functionCall": {"id": "c1", "name": "look", "args": {"a": 1}}},
        {"functionCall": {"id": "c2", "name": "find", "args": {}}},
    ]
    assert found[2:] == [
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "c1", "name": "look", "response": {"error": "one"}}},
                {"functionResponse": {"id": "c2", "name": "find", "response": {"output": "two"}}},
            ],
        },
        {"role": "user", "parts": [{"text": "And?"}, {"text": "Well?"}]},
    ]


@pytest.mark.parametrize(
    ("texts", "response"),
    [
        (("rain",), {"output": "rain"}),
        (("a", "b"), {"output": "a\nb"}),
        ((), {"output": ""}),
        (('{"a":{"b":[1.5,null]}}',), {"a": {"b": [1.5, None]}}),
        (('{"a": 1}',), {"output": '{"a": 1}'}),
        (('{"output":"a"}',), {"output": '{"output":"a"}'}),
        (('{"id":12345678901234567890}',), {"output": '{"id":12345678901234567890}'}),
        (('{"a":[{"$ref":"#/b"}]}',), {"output": '{"a":[{"$ref":"#/b"}]}'}),
        (("{}",), {}),
        (("{",), {"output": "{"}),
        (("[1]",), {"output": "[1]"}),
    ],
)
def test_texts_of_results(texts: tuple[str, ...], response: Json) -> None:
    result = ToolResult("c1", tuple(map(Text, texts)))
    (part,) = contents(user("Hi"), assistant(ToolCall("c1", "look")), user(result))[2]["parts"]
    assert part["functionResponse"]["response"] == response


def test_newer_models_see_media_inside_a_result() -> None:
    result = ToolResult("c1", (Text("one"), Image(PNG), Document(Source("text", "hi"))))
    found = contents(user("Hi"), assistant(ToolCall("c1", "look", signature=OWN)), user(result), model=NEWER)
    assert found[2]["parts"][0]["functionResponse"]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
        {"inlineData": {"mimeType": "text/plain", "data": "aGk="}},
    ]


@pytest.mark.parametrize(("model", "medium"), [(MODEL, Image(PNG)), (NEWER, Audio(PNG))])
def test_others_see_media_behind_it(model: str, medium: Part) -> None:
    messages = user("Hi"), assistant(ToolCall("c1", "look", signature=OWN)), user(ToolResult("c1", (medium,)), "?")
    body, noted = written_with_losses(ask(*messages), model)
    assert body["contents"][3] == {
        "role": "user",
        "parts": [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}, {"text": "?"}],
    }
    assert noted == [("messages.2.parts.0.parts.0", "result_media")]


def test_ids_are_left_out_where_nobody_gave_any() -> None:
    found = contents(user("Hi"), assistant(ToolCall("place_0", "look")), user(ToolResult("place_0")))
    assert found[1]["parts"] == [{"functionCall": {"name": "look", "args": {}}}]
    assert found[2]["parts"] == [{"functionResponse": {"name": "look", "response": {"output": ""}}}]


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ((user(ToolResult("c9", (Text("a"),))),), "messages.0.parts.0.call_id"),
        ((user("Hi"), assistant(ToolCall("c", "look", "not JSON"))), "messages.1.parts.0.arguments"),
        ((user("Hi"), assistant(ToolCall("c", "look", "[1]"))), "messages.1.parts.0.arguments"),
    ],
)
def test_what_google_cannot_be_asked_is_refused(messages: tuple[Message, ...], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        contents(*messages)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_a_result_without_a_call_may_name_its_function_itself() -> None:
    (part,) = contents(user(ToolResult("c9", (Text("a"),), name="look")))[0]["parts"]
    assert part["functionResponse"] == {"id": "c9", "name": "look", "response": {"output": "a"}}


# --- signatures of calls ---------------------------------------------------------------------------------------------


def signatures(*messages: Message, model: str = NEWER) -> list[list[str | None]]:
    """The signatures of the calls, by turn of the model."""
    return [
        [part.get("thoughtSignature") for part in content["parts"] if "functionCall" in part]
        for content in contents(*messages, model=model)
        if content["role"] == "model"
    ]


def call(call_id: str, signature: Signature | None = None) -> ToolCall:
    return ToolCall(call_id, "look", signature=signature)


def test_signatures_go_back_to_the_provider_that_made_them() -> None:
    messages = user("Hi"), assistant(call("a", OWN), call("b")), user(ToolResult("a"), ToolResult("b"))
    for model in (MODEL, NEWER):
        assert signatures(*messages, model=model) == [["b3du", None]]


def test_newer_models_get_the_sentinel_where_a_step_of_the_turn_is_not_signed() -> None:
    assert signatures(
        user("Hi"),
        assistant(call("a", FOREIGN), call("b")),
        user(ToolResult("a"), ToolResult("b")),
        assistant("Well,", call("c", OTHER_GOOGLE)),
        user(ToolResult("c")),
        assistant(call("d", OWN)),
    ) == [[SENTINEL, None], [SENTINEL], ["b3du"]]


def test_earlier_turns_and_older_models_need_none() -> None:
    messages = user("Hi"), assistant(call("a")), user(ToolResult("a")), assistant("Done."), user("Bye")
    assert signatures(*messages) == [[None], []]
    assert signatures(*messages[:3], model=MODEL) == [[None]]
