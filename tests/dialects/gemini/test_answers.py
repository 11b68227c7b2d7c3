"""Whole answers: reading Google's, and writing them for its clients."""

from __future__ import annotations

import pytest

from gateway.dialects.conversation import (
    Answer,
    Audio,
    Choice,
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
    ToolResult,
)
from gateway.dialects.dialect import MalformedAnswerError, Plan
from gateway.dialects.gemini.answer_reader import read_answer
from gateway.dialects.gemini.answer_writer import write_answer
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.usage import Usage
from tests.dialects.gemini.scenes import answered, scene

PLAN = Plan("google")
OWN = Signature("c2ln", "gemini", "google")


def body(*parts: Json, **fields: object) -> Json:
    return {"candidates": [{"content": {"parts": list(parts), "role": "model"}, "finishReason": "STOP", **fields}]}


def parts_of(*parts: Json, plan: Plan = PLAN, **fields: object) -> tuple[Part, ...]:
    return read_answer({**body(*parts, **fields), "responseId": "r_1"}, plan).choices[0].parts


def test_an_answer_is_read_whole() -> None:
    answer = read_answer(
        {
            **body({"text": "Hi"}, finishMessage="Done."),
            "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "serviceTier": "standard"},
            "modelVersion": "gemini-x",
            "responseId": "r1",
            "createTime": "2026-05-27T16:53:45.443719Z",
        },
        PLAN,
    )
    choice = Choice((Text("Hi"),), Ending(Finish.STOP, "STOP", message="Done."))
    assert answer == Answer("r1", "gemini-x", (choice,), Usage(1, output_text=2), 1779900825, "default")


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"text": "Hi", "thoughtSignature": "c2ln"}, Text("Hi", signature=OWN)),
        ({"text": "Hm", "thought": True}, Thinking("Hm")),
        ({"text": "", "thoughtSignature": "c2ln"}, Text("", signature=OWN)),
        (
            {"inlineData": {"mimeType": "image/png", "data": "aGk="}, "thoughtSignature": "c2ln"},
            Image(Source("base64", "aGk=", "image/png"), signature=OWN),
        ),
        ({"inlineData": {"mimeType": "audio/L16", "data": "aGk="}}, Audio(Source("base64", "aGk=", "audio/l16"))),
        (
            {"inlineData": {"mimeType": "image/png", "data": "aGk="}, "thought": True},
            Opaque("gemini", {"inlineData": {"mimeType": "image/png", "data": "aGk="}, "thought": True}),
        ),
        ({"codeExecutionResult": {"outcome": "OK"}}, Opaque("gemini", {"codeExecutionResult": {"outcome": "OK"}})),
        ({"toolCall": {"id": "t"}}, Opaque("gemini", {"toolCall": {"id": "t"}})),
        (
            {"functionResponse": {"name": "a"}},
            Opaque("gemini", {"functionResponse": {"name": "a"}}),
        ),
    ],
)
def test_parts_of_an_answer(part: Json, expected: Part) -> None:
    assert parts_of(part) == (expected,)


def test_texts_that_say_nothing_are_left_out() -> None:
    assert parts_of({"text": "a"}, {"text": ""}, {"text": "", "thought": True}) == (Text("a"),)


def test_calls_get_ids_and_the_names_that_the_client_gave() -> None:
    plan = Plan("google", {"my_tool": "my tool"}, custom=frozenset({"patch"}))
    assert parts_of(
        {"functionCall": {"name": "my_tool", "args": {"b": 1, "a": None}}, "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "look", "id": "given"}},
        {"functionCall": {"name": "patch", "args": {"input": "*** Begin"}}},
        {"functionCall": {"name": "patch", "args": {"x": 1}}},
        plan=plan,
    ) == (
        ToolCall("call_r-1_0", "my tool", '{"b":1,"a":null}', signature=OWN),
        ToolCall("given", "look", "{}"),
        ToolCall("call_r-1_2", "patch", "*** Begin", custom=True),
        ToolCall("call_r-1_3", "patch", '{"x":1}', custom=True),
    )


def test_ids_are_unique_over_candidates_and_over_answers_that_have_no_id() -> None:
    part = {"functionCall": {"name": "look"}}
    candidate = body(part)["candidates"][0]
    ids = set()
    for prompt in (10, 20):
        answer = read_answer(
            {"candidates": [candidate, candidate], "usageMetadata": {"promptTokenCount": prompt}}, PLAN
        )
        ids |= {each.id for choice in answer.choices for each in choice.parts if isinstance(each, ToolCall)}
    assert len(ids) == 4


def test_candidates_are_in_their_order() -> None:
    candidates = [{**body({"text": text})["candidates"][0], "index": 1 - n} for n, text in enumerate("ab")]
    answer = read_answer({"candidates": candidates}, PLAN)
    assert [choice.parts for choice in answer.choices] == [(Text("b"),), (Text("a"),)]


@pytest.mark.parametrize(
    ("word", "finish", "native"),
    [
        ("STOP", Finish.STOP, "STOP"),
        ("MAX_TOKENS", Finish.LENGTH, "MAX_TOKENS"),
        ("SAFETY", Finish.CONTENT_FILTER, "SAFETY"),
        ("RECITATION", Finish.CONTENT_FILTER, "RECITATION"),
        ("MALFORMED_FUNCTION_CALL", Finish.ERROR, "MALFORMED_FUNCTION_CALL"),
        ("SOMETHING_NEW", Finish.STOP, "SOMETHING_NEW"),
        (2, Finish.LENGTH, "MAX_TOKENS"),
        (99, Finish.STOP, "99"),
        (None, Finish.STOP, ""),
    ],
)
def test_reasons_of_the_end(word: object, finish: Finish, native: str) -> None:
    answer = read_answer(body({"text": "a"}, finishReason=word), PLAN)
    assert answer.choices[0].ending == Ending(finish, native)


def test_stopping_at_a_call_is_to_call() -> None:
    call = {"functionCall": {"name": "look"}}
    assert read_answer(body(call), PLAN).choices[0].ending.finish is Finish.TOOL_CALLS
    assert read_answer(body(call, finishReason="MAX_TOKENS"), PLAN).choices[0].ending.finish is Finish.LENGTH


def test_a_blocked_prompt_is_one_choice_that_was_filtered() -> None:
    feedback = {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": "No."}
    answer = read_answer({"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 3}}, PLAN)
    assert answer.choices == (Choice((), Ending(Finish.CONTENT_FILTER, "PROHIBITED_CONTENT", message="No.")),)
    assert answer.usage == Usage(3)


def test_citations_stand_on_their_text() -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a/", "title": "A"}}, {"retrievedContext": {"text": "q"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 3, "endIndex": 6, "text": "b c"}, "groundingChunkIndices": [0, 1, 7]}
        ],
    }
    (text,) = parts_of({"text": "ü b c"}, groundingMetadata=grounding)
    assert isinstance(text, Text)
    assert text.citations == (Citation("https://a/", "A", "", 2, 5), Citation("", "", "q", 2, 5))


def test_log_probabilities_have_the_shape_that_all_know() -> None:
    result = {
        "chosenCandidates": [{"token": "ü", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "u", "logProbability": -1.5}]}],
    }
    answer = read_answer(body({"text": "ü"}, logprobsResult=result), PLAN)
    assert answer.choices[0].logprobs == {
        "content": [
            {
                "token": "ü",
                "logprob": -0.5,
                "bytes": [195, 188],
                "top_logprobs": [{"token": "u", "logprob": -1.5, "bytes": [117]}],
            }
        ]
    }
    assert write_answer(answer, scene(), Losses())["candidates"][0]["logprobsResult"] == result


@pytest.mark.parametrize(
    "bad",
    [
        None,
        [],
        "text",
        {},
        {"error": {"code": 500}},
        {"candidates": []},
        {"candidates": "x"},
        {"candidates": ["x"]},
        {"candidates": [], "promptFeedback": {"safetyRatings": []}},
        {"candidates": [{"content": "x"}]},
        {"candidates": [{"content": {"parts": [{"text": 1}]}}]},
        {"candidates": [{"content": {"parts": [{"functionCall": {}}]}}]},
    ],
)
def test_what_is_no_answer_is_said_to_be_none(bad: object) -> None:
    with pytest.raises(MalformedAnswerError):
        read_answer(bad, PLAN)


# --- writing ---------------------------------------------------------------------------------------------------------


def write(answer: Answer) -> tuple[Json, list[str]]:
    losses = Losses()
    return write_answer(answer, scene(), losses), [loss.name for loss in losses.entries]


def test_an_answer_is_written_with_the_name_that_the_client_used() -> None:
    answer = answered(Text("Hi"), usage=Usage(1, output_text=2), service_tier="flex")
    assert write(answer) == (
        {
            "candidates": [
                {"content": {"parts": [{"text": "Hi"}], "role": "model"}, "finishReason": "STOP", "index": 0}
            ],
            "usageMetadata": {
                "promptTokenCount": 1,
                "candidatesTokenCount": 2,
                "totalTokenCount": 3,
                "serviceTier": "flex",
            },
            "modelVersion": "their-model",
            "responseId": "id_1",
        },
        [],
    )


def test_an_answer_without_an_id_gets_one() -> None:
    assert write(Answer("", "m", ()))[0]["responseId"] == "0123abcd"


@pytest.mark.parametrize(
    ("part", "expected", "lost"),
    [
        (Refusal("No."), [{"text": "No."}], []),
        (ToolCall("c", "a", ""), [{"functionCall": {"id": "c", "name": "a", "args": {}}}], []),
        (
            ToolCall("c", "a", "[1]"),
            [{"functionCall": {"id": "c", "name": "a", "args": {"INVALID_JSON": "[1]"}}}],
            [],
        ),
        (
            ToolCall("c", "a", "free", custom=True),
            [{"functionCall": {"id": "c", "name": "a", "args": {"input": "free"}}}],
            [],
        ),
        (Thinking("Hm", OWN), [{"text": "Hm", "thought": True, "thoughtSignature": "c2ln"}], []),
        (Opaque("gemini", {"executableCode": {}}), [{"executableCode": {}}], []),
        (Opaque("anthropic", {"type": "x"}), [], ["opaque_part"]),
        (ToolResult("c"), [], ["toolresult_part"]),
        (
            Image(Source("url", "https://a/b.png")),
            [{"fileData": {"mimeType": "image/png", "fileUri": "https://a/b.png"}}],
            [],
        ),
        (Image(Source("file", "file-1", dialect="openai_chat")), [], ["image_part"]),
    ],
)
def test_parts_for_a_client(part: Part, expected: list[Json], lost: list[str]) -> None:
    body, noted = write(answered(part))
    assert body["candidates"][0]["content"]["parts"] == expected
    assert noted == lost


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (Ending(Finish.TOOL_CALLS, "tool_use"), {"finishReason": "STOP"}),
        (Ending(Finish.STOP_SEQUENCE, stop_sequence="END"), {"finishReason": "STOP"}),
        (Ending(Finish.LENGTH, "length"), {"finishReason": "MAX_TOKENS"}),
        (Ending(Finish.REFUSAL, message="No."), {"finishReason": "SAFETY", "finishMessage": "No."}),
        (Ending(Finish.CONTENT_FILTER, "SPII"), {"finishReason": "SPII"}),
        (Ending(Finish.ERROR), {"finishReason": "OTHER"}),
    ],
)
def test_endings_for_a_client(ending: Ending, expected: Json) -> None:
    (candidate,) = write(Answer("r", "m", (Choice((), ending),)))[0]["candidates"]
    assert candidate == {"content": {"parts": [], "role": "model"}, "index": 0, **expected}


def test_citations_for_a_client_count_bytes_of_their_part() -> None:
    cited = Text("ü b", citations=(Citation("https://a/", "A", start=2, end=3), Citation("", "F", "quote")))
    (candidate,) = write(answered(Thinking("Hm"), cited))[0]["candidates"]
    assert candidate["groundingMetadata"] == {
        "groundingChunks": [
            {"web": {"uri": "https://a/", "title": "A"}},
            {"retrievedContext": {"title": "F", "text": "quote"}},
        ],
        "groundingSupports": [
            {"segment": {"partIndex": 1, "startIndex": 3, "endIndex": 4, "text": "b"}, "groundingChunkIndices": [0]}
        ],
    }


def test_what_is_written_is_read_again() -> None:
    answer = Answer(
        "r1",
        "their-model",
        (
            Choice(
                (
                    Thinking("Hm", OWN),
                    Text("ü b c", citations=(Citation("https://a/", "A", "", 2, 5),), signature=OWN),
                    ToolCall("c", "look", '{"a":1}', signature=OWN),
                    Image(Source("base64", "aGk=", "image/png"), signature=OWN),
                    Opaque("gemini", {"executableCode": {"code": "1"}}),
                ),
                Ending(Finish.TOOL_CALLS, "STOP", message="Called."),
            ),
            Choice((Text("b"),), Ending(Finish.LENGTH, "MAX_TOKENS")),
        ),
        Usage(10, 4, input_audio=1, output_text=5, reasoning=0, output_image=2, tool_prompt=3),
        service_tier="priority",
    )
    assert read_answer(write(answer)[0], PLAN) == answer


def test_a_seal_is_only_put_on_what_others_have_signed() -> None:
    foreign = Signature("sig", "anthropic")
    body, _ = write(answered(RedactedThinking(foreign), Text("a", signature=OWN)))
    sealed, own = body["candidates"][0]["content"]["parts"]
    assert sealed["text"] == "" and sealed["thoughtSignature"] != "sig"
    assert own["thoughtSignature"] == "c2ln"
