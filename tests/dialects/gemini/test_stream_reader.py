"""Reading streamGenerateContent."""

from __future__ import annotations

import pytest

from gateway import jsonlib
from gateway.dialects.conversation import (
    Answer,
    Choice,
    Citation,
    Ending,
    Finish,
    Image,
    Opaque,
    Signature,
    Source,
    Text,
    Thinking,
    ToolCall,
)
from gateway.dialects.deltas import Begin, Broken, Cited, Close, Delta, End, Finished, More, Open, Signed, Used
from gateway.dialects.dialect import Plan
from gateway.dialects.failure import FailureKind
from gateway.dialects.gemini.stream_reader import StreamReader
from gateway.dialects.names import Json
from gateway.dialects.whole import Collector
from gateway.usage import Usage
from gateway.wire.sse import Event
from tests.dialects.gemini.scenes import chunk, deltas_of, kinds

OWN = Signature("c2ln", "gemini", "google")
STOP = Ending(Finish.STOP, "STOP")


def collected(deltas: list[Delta]) -> Answer:
    collector = Collector()
    collector.feed(deltas)
    assert collector.failure is None
    return collector.answer


def event(payload: object) -> Event:
    return Event("message", jsonlib.dumps(payload).decode())


def test_words_are_one_block_until_the_stream_ends() -> None:
    first = {**chunk({"text": "Hel"}), "modelVersion": "gemini-x", "usageMetadata": {"promptTokenCount": 3}}
    last = {
        **chunk({"text": "lo"}, finishReason="STOP"),
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5},
    }
    assert deltas_of(first, last) == [
        Begin("r1", "gemini-x", 0, Usage(3)),
        Open(0, Text("")),
        More(0, "Hel"),
        Used(Usage(3)),
        More(0, "lo"),
        Used(Usage(3, output_text=2)),
        Close(0),
        Finished(STOP),
        End(),
    ]


def test_thoughts_words_and_calls_are_blocks_of_their_own() -> None:
    deltas = deltas_of(
        chunk({"text": "Hm", "thought": True}),
        chunk({"text": "m", "thought": True}, {"text": "I see."}),
        chunk({"functionCall": {"name": "a", "args": {"x": 1}}, "thoughtSignature": "c2ln"}),
        chunk({"functionCall": {"name": "b", "id": "given"}}, {"text": ""}, finishReason="STOP"),
    )
    assert deltas[1:] == [
        Open(0, Thinking("")),
        More(0, "Hm"),
        More(0, "m"),
        Close(0),
        Open(1, Text("")),
        More(1, "I see."),
        Close(1),
        Open(2, ToolCall("call_r1_0", "a", "", signature=OWN)),
        More(2, '{"x":1}'),
        Close(2),
        Open(3, ToolCall("given", "b", "")),
        More(3, "{}"),
        Close(3),
        Finished(Ending(Finish.TOOL_CALLS, "STOP")),
        End(),
    ]


def test_a_signature_belongs_to_the_words_before_it() -> None:
    deltas = deltas_of(
        chunk({"text": "a"}),
        chunk({"text": "", "thoughtSignature": "c2ln"}),
        chunk({"text": "b"}, finishReason="STOP"),
    )
    assert deltas[1:-2] == [
        Open(0, Text("")),
        More(0, "a"),
        Signed(0, OWN),
        Close(0),
        Open(1, Text("")),
        More(1, "b"),
        Close(1),
    ]


def test_a_signature_behind_thoughts_is_not_theirs() -> None:
    deltas = deltas_of(
        chunk({"text": "Hm", "thought": True}), chunk({"thoughtSignature": "c2ln", "text": ""}, finishReason="STOP")
    )
    assert collected(deltas).choices[0].parts == (Thinking("Hm"), Text("", signature=OWN))


def test_what_comes_whole_is_a_block_at_once() -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
    deltas = deltas_of(chunk({"text": "a"}, image, {"executableCode": {}}), chunk({"text": "b"}, finishReason="STOP"))
    assert collected(deltas).choices[0].parts == (
        Text("a"),
        Image(Source("base64", "aGk=", "image/png")),
        Opaque("gemini", {"executableCode": {}}),
        Text("b"),
    )


def test_a_reason_in_every_event_finishes_with_the_bytes() -> None:
    deltas = deltas_of(chunk({"text": "a"}, finishReason="STOP"), chunk({"text": "b"}, finishReason="MAX_TOKENS"))
    assert kinds(deltas) == ["Begin", "Open", "More", "More", "Close", "Finished", "End"]
    assert deltas[-2] == Finished(Ending(Finish.LENGTH, "MAX_TOKENS"))


def test_a_call_in_any_event_makes_the_stop_a_call() -> None:
    deltas = deltas_of(chunk({"functionCall": {"name": "a"}}), chunk({"text": "b"}), chunk(finishReason="STOP"))
    assert deltas[-2] == Finished(Ending(Finish.TOOL_CALLS, "STOP"))


def test_candidates_beside_each_other() -> None:
    both = [{"content": {"parts": [{"text": text}]}, "index": place} for place, text in enumerate("ab")]
    ends = [{"index": place, "finishReason": "STOP"} for place in range(2)]
    answer = collected(deltas_of({"candidates": both}, {"candidates": ends}))
    assert answer.choices == (Choice((Text("a"),), STOP), Choice((Text("b"),), STOP))


def test_citations_come_with_the_last_words() -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a/", "title": "A"}}],
        "groundingSupports": [{"segment": {"startIndex": 2, "endIndex": 4}, "groundingChunkIndices": [0]}],
    }
    citation = Citation("https://a/", "A", "", 1, 3)
    deltas = deltas_of(
        chunk({"text": "ü"}, groundingMetadata={}),
        chunk({"text": "bc"}, groundingMetadata=grounding),
        chunk(finishReason="STOP", groundingMetadata=grounding),
    )
    assert [delta for delta in deltas if isinstance(delta, Cited)] == [Cited(0, citation)]


def test_log_probabilities_come_with_their_words() -> None:
    result = {"chosenCandidates": [{"token": "a", "logProbability": -1.0}]}
    deltas = deltas_of(chunk({"text": "a"}, logprobsResult=result, finishReason="STOP"))
    (more,) = [delta for delta in deltas if isinstance(delta, More)]
    assert more.logprobs == {"content": [{"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": []}]}


def test_a_blocked_prompt_is_a_choice_that_was_filtered() -> None:
    deltas = deltas_of({"promptFeedback": {"blockReason": "SAFETY"}, "responseId": "r1"})
    assert deltas == [Begin("r1", ""), Finished(Ending(Finish.CONTENT_FILTER, "SAFETY")), End()]


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [chunk({"text": "a"})],
        [{"usageMetadata": {"promptTokenCount": 1}}],
        [{"candidates": [{"index": 0, "finishReason": "STOP"}, {"index": 1}]}],
    ],
)
def test_a_stream_that_ends_before_its_answer_is_broken(chunks: list[Json]) -> None:
    last = deltas_of(*chunks)[-1]
    assert isinstance(last, Broken) and last.failure.kind is FailureKind.SERVER


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ('{"error":{"code":503,"message":"Busy.","status":"UNAVAILABLE"}}', FailureKind.OVERLOADED),
        ('[{"error":{"code":429,"message":"Slow.","status":"RESOURCE_EXHAUSTED"}}]', FailureKind.RATE_LIMIT),
        ("not JSON", FailureKind.SERVER),
        ("[]", FailureKind.SERVER),
        ('{"candidates":[{"content":{"parts":[{"text":1}]}}]}', FailureKind.SERVER),
    ],
)
def test_what_breaks_a_stream_closes_what_is_open(data: str, kind: FailureKind) -> None:
    reader = StreamReader(Plan("google"))
    begun = reader.feed(event(chunk({"text": "a"})))
    broken = reader.feed(Event("message", data))
    assert kinds(begun) == ["Begin", "Open", "More"]
    assert kinds(broken) == ["Close", "Broken"]
    assert isinstance(broken[1], Broken) and broken[1].failure.kind is kind
    assert reader.feed(event(chunk({"text": "b"}))) == [] and reader.end() == []


def test_an_error_as_the_first_event_begins_a_stream_that_breaks() -> None:
    deltas = StreamReader(Plan("google")).feed(Event("message", '{"error":{"code":500,"message":"No."}}'))
    assert kinds(deltas) == ["Begin", "Broken"]


def test_a_server_may_end_as_openai_does() -> None:
    reader = StreamReader(Plan("google"))
    reader.feed(event(chunk({"text": "a"}, finishReason="STOP")))
    assert kinds(reader.feed(Event("message", "[DONE]"))) == ["Close", "Finished", "End"]
    assert reader.end() == []


def test_a_call_of_a_function_without_a_name_ends_the_stream_as_broken() -> None:
    call = {"candidates": [{"content": {"parts": [{"functionCall": {"name": "", "args": {}}}]}, "index": 0}]}
    last = StreamReader(Plan()).feed(event(call))[-1]
    assert isinstance(last, Broken)
    assert last.failure.kind is FailureKind.SERVER
