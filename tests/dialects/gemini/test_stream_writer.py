"""Writing streams for clients of this dialect."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import jsonlib
from gateway.dialects.continuity import unseal
from gateway.dialects.conversation import (
    Citation,
    Ending,
    Finish,
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Signature,
    Text,
    Thinking,
    ToolCall,
)
from gateway.dialects.deltas import Begin, Broken, Cited, Close, Delta, End, Finished, More, Open, Signed, Used
from gateway.dialects.failure import Failure, FailureKind
from gateway.dialects.gemini.stream_writer import StreamWriter
from gateway.dialects.losses import Losses
from gateway.usage import Usage
from tests.dialects.gemini.scenes import payloads, scene

FOREIGN = Signature("sig", "anthropic", "claude")
OWN = Signature("c2ln", "gemini", "google")
STOP = Finished(Ending(Finish.STOP, "stop"))


def written(*deltas: Delta) -> list[Any]:
    """The payloads of a stream that is written delta by delta."""
    writer = StreamWriter(scene(), Losses())
    return payloads(b"".join(writer.write([delta]) for delta in deltas))


def parts_of(*deltas: Delta) -> list[Any]:
    """The parts of all events but the last."""
    found = written(Begin("r", "m"), *deltas, STOP, End())
    return [part for payload in found[:-1] for part in payload["candidates"][0]["content"]["parts"]]


def test_a_stream_says_words_at_once_and_the_rest_at_its_end() -> None:
    assert written(
        Begin("r", "m", usage=Usage(3), service_tier="default"),
        Open(0, Text("")),
        More(0, "Hel"),
        More(0, "lo"),
        Close(0),
        STOP,
        Used(Usage(3, output_text=2)),
        End(),
    ) == [
        {
            "candidates": [{"content": {"parts": [{"text": "Hel"}], "role": "model"}, "index": 0}],
            "modelVersion": "their-model",
            "responseId": "r",
        },
        {
            "candidates": [{"content": {"parts": [{"text": "lo"}], "role": "model"}, "index": 0}],
            "modelVersion": "their-model",
            "responseId": "r",
        },
        {
            "candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}, "index": 0, "finishReason": "STOP"}],
            "usageMetadata": {
                "promptTokenCount": 3,
                "candidatesTokenCount": 2,
                "totalTokenCount": 5,
                "serviceTier": "standard",
            },
            "modelVersion": "their-model",
            "responseId": "r",
        },
    ]


def test_what_is_new_goes_out_in_one_event() -> None:
    writer = StreamWriter(scene(), Losses())
    data = writer.write(
        [Begin("", "m"), Open(0, Text("a")), More(0, "b"), Close(0), Open(1, Refusal("")), More(1, "c")]
    )
    (payload,) = payloads(data)
    assert payload["candidates"][0]["content"]["parts"] == [{"text": "a"}, {"text": "b"}, {"text": "c"}]
    assert payload["responseId"] == "0123abcd"
    (last,) = payloads(writer.write([Close(1), STOP, End()]))
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert writer.write([More(1, "d")]) == b""


@pytest.mark.parametrize("signature_first", [True, False])
def test_calls_go_out_whole_with_their_signature(signature_first: bool) -> None:
    opened = ToolCall("c", "look", "", signature=OWN if signature_first else None)
    signed: list[Delta] = [] if signature_first else [Signed(0, OWN)]
    parts = parts_of(Open(0, opened), More(0, '{"a"'), More(0, ":1}"), *signed, Close(0))
    assert parts == [
        {"functionCall": {"id": "c", "name": "look", "args": {"a": 1}}, "thoughtSignature": "c2ln"},
    ]


def test_calls_beside_each_other_go_out_as_they_close() -> None:
    parts = parts_of(
        Open(0, ToolCall("a", "x", "")),
        Open(1, ToolCall("b", "y", "")),
        More(0, "{}"),
        More(1, "half a"),
        Close(1),
        Close(0),
    )
    assert parts == [
        {"functionCall": {"id": "b", "name": "y", "args": {"INVALID_JSON": "half a"}}},
        {"functionCall": {"id": "a", "name": "x", "args": {}}},
    ]


def test_a_signature_behind_thoughts_goes_out_sealed_on_an_empty_one() -> None:
    thought, signed = parts_of(Open(0, Thinking("")), More(0, "Hm"), Signed(0, FOREIGN), Close(0))
    assert thought == {"text": "Hm", "thought": True}
    assert (signed["text"], signed["thought"]) == ("", True)
    assert unseal(signed["thoughtSignature"]) == FOREIGN


def test_whole_blocks_and_what_nobody_knows() -> None:
    losses = Losses()
    writer = StreamWriter(scene(), losses)
    deltas: list[Delta] = []
    parts: list[Part] = [RedactedThinking(FOREIGN), Opaque("gemini", {"x": {}}), Opaque("anthropic", {})]
    for block, part in enumerate(parts):
        deltas += [Open(block, part), Close(block)]
    (payload,) = payloads(writer.write([Begin("r", "m"), *deltas]))
    redacted, own = payload["candidates"][0]["content"]["parts"]
    assert unseal(redacted["thoughtSignature"]) == FOREIGN and own == {"x": {}}
    assert [loss.name for loss in losses.entries] == ["opaque_part"]


def test_citations_count_bytes_of_all_that_was_said() -> None:
    found = written(
        Begin("r", "m"),
        Open(0, Text("")),
        More(0, "ü "),
        Close(0),
        Open(1, Text("")),
        More(1, "bc"),
        Cited(1, Citation("https://a/", "A", start=0, end=2)),
        Close(1),
        STOP,
        End(),
    )
    assert found[-1]["candidates"][0]["groundingMetadata"] == {
        "groundingChunks": [{"web": {"uri": "https://a/", "title": "A"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 3, "endIndex": 5, "text": "bc"}, "groundingChunkIndices": [0]}
        ],
    }


def test_choices_are_candidates() -> None:
    found = written(
        Begin("r", "m"),
        Open(0, Text(""), 1),
        More(0, "b"),
        Close(0),
        Finished(Ending(Finish.LENGTH), 1),
        STOP,
        End(),
    )
    assert found[0]["candidates"][0]["index"] == 1
    ends = {candidate["index"]: candidate["finishReason"] for candidate in found[-1]["candidates"]}
    assert ends == {0: "STOP", 1: "MAX_TOKENS"}


def test_log_probabilities_go_out_with_their_words() -> None:
    logprobs = {"content": [{"token": "a", "logprob": -1.0, "top_logprobs": []}]}
    found = written(Begin("r", "m"), Open(0, Text("")), More(0, "a", logprobs), Close(0), STOP, End())
    assert found[0]["candidates"][0]["logprobsResult"]["chosenCandidates"] == [{"token": "a", "logProbability": -1.0}]
    assert "logprobsResult" not in found[1]["candidates"][0]


BROKEN = Broken(Failure(0, FailureKind.OVERLOADED, "Busy."))


def test_a_failure_is_the_last_event() -> None:
    found = written(Begin("r", "m"), Open(0, Text("")), More(0, "a"), BROKEN, More(0, "b"), End())
    assert len(found) == 2
    assert (found[1]["error"]["code"], found[1]["error"]["status"]) == (503, "UNAVAILABLE")


def array(*writes: list[Delta]) -> bytes:
    writer = StreamWriter(scene(), Losses(), array=True)
    return b"".join(map(writer.write, writes))


def test_without_sse_a_stream_is_one_array() -> None:
    first: list[Delta] = [Begin("r", "m"), Open(0, Text("")), More(0, "a")]
    data = array(first, [More(0, "b")], [Close(0), STOP], [End()])
    assert data.startswith(b'[{\n  "candidates": [') and data.endswith(b"}\n]")
    assert data.count(b"}\n,\r\n{") == 2
    said = [payload["candidates"][0]["content"]["parts"][0]["text"] for payload in jsonlib.loads(data)]
    assert said == ["a", "b", ""]


@pytest.mark.parametrize("begun", [[], [Open(0, Text("")), More(0, "a")]])
def test_a_failure_is_the_last_of_the_array(begun: list[Delta]) -> None:
    *said, last = jsonlib.loads(array([Begin("r", "m"), *begun], [BROKEN], [End()]))
    assert last["error"]["message"] == "Busy."
    assert len(said) == bool(begun)


def test_an_event_is_one_line_that_ends_as_googles_do() -> None:
    data = StreamWriter(scene(), Losses()).write([Begin("r", "m"), Open(0, Text("a\n\u2028"))])
    assert data.startswith(b"data: {") and data.endswith(b"}\r\n\r\n")
    assert data.count(b"\n") == 2
