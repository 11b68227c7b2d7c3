"""What holds for all conversations, all JSON and all bytes."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway import jsonlib
from gateway.dialects.conversation import (
    Answer,
    Audio,
    Choice,
    Document,
    Ending,
    Finish,
    Image,
    Message,
    Opaque,
    Part,
    RedactedThinking,
    Request,
    Signature,
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gateway.dialects.deltas import Broken, Close, Delta, End, Finished, More, Open, Signed
from gateway.dialects.dialect import MalformedAnswerError, Plan, Target
from gateway.dialects.gemini.answer_reader import read_answer
from gateway.dialects.gemini.answer_writer import write_answer
from gateway.dialects.gemini.embeddings import (
    write_gemini_answer,
    write_gemini_request,
    write_openai_answer,
    write_openai_request,
)
from gateway.dialects.gemini.errors import carries_error, empty_answer, read_failure
from gateway.dialects.gemini.events import carried_error, classify_event
from gateway.dialects.gemini.request_reader import read_request
from gateway.dialects.gemini.request_writer import write_request
from gateway.dialects.gemini.results import read_response, write_response
from gateway.dialects.gemini.stream_reader import StreamReader
from gateway.dialects.gemini.stream_writer import StreamWriter
from gateway.dialects.gemini.usage import read_usage
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.dialects.turns import alternating
from gateway.dialects.whole import Collector, to_deltas
from gateway.errors import RequestError
from gateway.wire.sse import Event, EventReader
from tests.dialects.gemini.scenes import scene

WORDS = st.text(min_size=1, max_size=8)
DATA = st.binary(min_size=1, max_size=9).map(lambda data: base64.b64encode(data).decode())
OWN = st.none() | DATA.map(lambda data: Signature(data, "gemini", "google"))
FOREIGN = WORDS.map(lambda data: Signature(data, "anthropic", "claude"))
NAMES = st.text("abc_.:-XYZ", min_size=1, max_size=5).map(lambda name: f"n{name}")
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
OBJECTS = st.dictionaries(st.text(max_size=5), VALUES, max_size=3)
ARGUMENTS = OBJECTS.map(lambda value: jsonlib.dumps(value).decode())

MEDIA = st.one_of(
    st.builds(Image, DATA.map(lambda data: Source("base64", data, "image/png")), st.sampled_from(["", "low", "high"])),
    st.builds(Audio, DATA.map(lambda data: Source("base64", data, "audio/wav"))),
    st.builds(Document, DATA.map(lambda data: Source("base64", data, "application/pdf"))),
    st.builds(Document, WORDS.map(lambda text: Source("text", text, "text/plain"))),
)
SAID = st.one_of(
    st.builds(Text, WORDS, signature=OWN),
    st.builds(Thinking, WORDS, OWN),
    st.builds(Opaque, st.just("gemini"), st.just({"executableCode": {"code": "1"}})),
)


@st.composite
def conversations(draw: st.DrawFn) -> Request:
    """A conversation of a client of this dialect, with turns that alternate, and calls that have results."""
    messages: list[Message] = []
    if draw(st.booleans()):
        messages.append(Message("system", tuple(Text(text) for text in draw(st.lists(WORDS, min_size=1, max_size=2)))))
    prefix = draw(st.sampled_from(["place_", "call_"]))  # without ids or with
    calls = 0
    open_calls: list[ToolCall] = []
    for _ in range(draw(st.integers(1, 3))):
        results = [
            ToolResult(call.id, (Text(draw(WORDS | ARGUMENTS)),), draw(st.sampled_from([None, True])), call.name)
            for call in open_calls
        ]
        said: list[Part] = [*draw(st.lists(st.builds(Text, WORDS) | MEDIA, min_size=not results, max_size=2))]
        messages.append(Message("user", (*results, *said)))
        open_calls = []
        for _ in range(draw(st.integers(0, 2))):
            open_calls.append(ToolCall(f"{prefix}{calls}", draw(NAMES), draw(ARGUMENTS), signature=draw(OWN)))
            calls += 1
        parts = [*draw(st.lists(SAID, min_size=not open_calls, max_size=2)), *open_calls]
        messages.append(Message("assistant", tuple(parts)))
    return Request("gemini", "gemini-3-flash-preview", tuple(messages))


def bare(part: Any) -> Part:
    """A part as Google's form can say it: a signature does not say who made it."""
    signature = getattr(part, "signature", None)
    return part if signature is None else replace(part, signature=Signature(signature.data, "gemini"))  # type: ignore[no-any-return]


@given(conversations())
def test_a_conversation_that_is_written_is_read_again(request: Request) -> None:
    request = replace(request, messages=tuple(alternating(request.messages)))
    losses = Losses()
    body = write_request(request, Target("google", "gemini-2.5-flash"), losses).body
    again = read_request(body, Losses(), model=request.model)
    hints = {loss.name for loss in losses.entries}
    assert hints <= {"image_detail"}
    expected = [
        Message(message.role, tuple(without_detail(bare(part)) for part in message.parts))
        for message in request.messages
    ]
    assert list(alternating(again.messages)) == expected


def without_detail(part: Part) -> Part:
    return replace(part, detail="") if isinstance(part, Image) else part


ANSWERS = st.builds(
    Answer,
    WORDS,
    st.just("their-model"),
    st.lists(
        st.builds(
            Choice,
            st.lists(
                st.one_of(
                    SAID,
                    st.builds(Thinking, WORDS, FOREIGN),
                    st.builds(RedactedThinking, FOREIGN),
                    st.builds(ToolCall, WORDS, NAMES, ARGUMENTS, signature=OWN | FOREIGN),
                ),
                max_size=4,
            ).map(tuple),
            st.sampled_from(Finish).map(Ending),
        ),
        min_size=1,
        max_size=2,
    ).map(tuple),
)


@given(ANSWERS, st.booleans())
def test_an_answer_that_is_written_can_be_asked_on_with(answer: Answer, stream: bool) -> None:
    """What a client of this dialect keeps of an answer is what it was: signatures are for the provider again."""
    if stream:
        data = StreamWriter(scene(), Losses()).write(to_deltas(answer))
        chunks = [jsonlib.loads(event.data) for event in EventReader().feed(data)]
    else:
        chunks = [write_answer(answer, scene(), Losses())]
    contents = [chunk["candidates"][0]["content"] for chunk in chunks if chunk["candidates"][0]["index"] == 0]
    history = read_request({"contents": contents}, Losses()).messages
    parts = history[0].parts if history else ()
    first = answer.choices[0].parts
    assert said(parts, ToolCall) == [signed(part) for part in said(first, ToolCall)]
    assert said(parts, RedactedThinking) == [signed(part) for part in said(first, RedactedThinking)]
    for kind in (Text, Thinking):
        assert "".join(part.text for part in said(parts, kind)) == "".join(part.text for part in said(first, kind))
    foreign = [
        part.signature.data for part in said(first, Thinking) if part.signature and part.signature.dialect != "gemini"
    ]
    assert [
        part.signature.data for part in said(parts, Thinking) if part.signature and part.signature.dialect != "gemini"
    ] == foreign


def said(parts: tuple[Part, ...], kind: type[Any]) -> list[Any]:
    return [part for part in parts if isinstance(part, kind)]


def signed(part: Any) -> Any:
    """As the gateway sees it again: who made a signature of its own dialect nobody says."""
    if part.signature is None or part.signature.dialect != "gemini":
        return part
    return replace(part, signature=Signature(part.signature.data, "gemini"))


@given(WORDS | ARGUMENTS | st.text(), st.sampled_from([None, True]))
def test_the_text_of_a_result_survives(text: str, is_error: bool | None) -> None:
    assert read_response(write_response(text, is_error), "p") == (text, is_error)


# --- nothing raises what it should not -------------------------------------------------------------------------------

FIELD_NAMES = """
contents role parts text thought thoughtSignature inlineData inline_data mimeType data fileData fileUri
functionCall functionResponse id name args response output error systemInstruction tools functionDeclarations
parameters type properties items anyOf nullable enum propertyOrdering toolConfig functionCallingConfig mode
allowedFunctionNames generationConfig temperature topK maxOutputTokens stopSequences responseMimeType
responseSchema responseJsonSchema thinkingConfig thinkingBudget thinkingLevel includeThoughts candidates content
finishReason index promptFeedback blockReason usageMetadata promptTokenCount candidatesTokensDetails modality
tokenCount groundingMetadata groundingChunks groundingSupports segment startIndex endIndex groundingChunkIndices
web uri logprobsResult chosenCandidates topCandidates responseId modelVersion createTime code message status
details retryDelay violations requests input embedding embeddings values dimensions encoding_format usage
mediaResolution level
"""

FIELDS = st.sampled_from(FIELD_NAMES.split())
ODD = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.sampled_from(
        [
            "",
            "user",
            "model",
            "STOP",
            "OBJECT",
            "image/png",
            "text/plain",
            "aGk=",
            "gs://a",
            "application/json",
            "ANY",
            "34s",
        ]
    )
    | st.text(max_size=3)
)
JUNK = st.recursive(
    ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=5), max_leaves=20
)
JUNK_OBJECTS = st.dictionaries(FIELDS, JUNK, max_size=6)


@given(JUNK_OBJECTS)
def test_any_json_is_a_request_or_refused(body: Json) -> None:
    for whole in (body, {"contents": [{"parts": [body]}]}, {"contents": [], "generationConfig": body}):
        try:
            request = read_request(whole, Losses())
            write_request(request, Target("google", "gemini-2.5-flash"), Losses())
        except RequestError as error:
            assert error.status == 400


@given(JUNK | JUNK_OBJECTS)
def test_any_json_is_an_answer_or_malformed(body: Any) -> None:
    for whole in (body, {"candidates": [body]}, {"candidates": [{"content": {"parts": [body]}}]}):
        try:
            answer = read_answer(whole, Plan("google"))
        except MalformedAnswerError:
            continue
        write_answer(answer, scene(), Losses())


def grammatical(deltas: list[Delta]) -> bool:
    """Whether a stream keeps the grammar of `deltas.py`."""
    open_blocks: set[int] = set()
    for delta in deltas:
        if isinstance(delta, Open):
            open_blocks.add(delta.block)
        elif isinstance(delta, More | Signed):
            assert delta.block in open_blocks
        elif isinstance(delta, Close):
            open_blocks.remove(delta.block)
        elif isinstance(delta, Finished | End | Broken):
            assert not open_blocks
    return type(deltas[0]).__name__ == "Begin" and isinstance(deltas[-1], End | Broken)


@given(st.lists(JUNK_OBJECTS | JUNK, max_size=4))
def test_any_events_are_a_stream(bodies: list[Any]) -> None:
    reader = StreamReader(Plan("google"))
    deltas: list[Delta] = []
    for body in bodies:
        for whole in (body, {"candidates": [body]}, {"candidates": [{"content": {"parts": [body]}}]}):
            event = Event("message", jsonlib.dumps(whole).decode())
            classify_event(event)
            carried_error(event)
            deltas += reader.feed(event)
    deltas += reader.end()
    assert grammatical(deltas)
    Collector().feed(deltas)
    writer = StreamWriter(scene(), Losses(), array=True)
    jsonlib.loads(writer.write(deltas))


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_any_bytes_are_a_stream(pieces: list[bytes]) -> None:
    events, reader = EventReader(), StreamReader(Plan("google"))
    deltas = [delta for piece in pieces for event in events.feed(b"data: " + piece) for delta in reader.feed(event)]
    assert grammatical([*deltas, *reader.end()])


@given(JUNK | JUNK_OBJECTS)
def test_any_json_is_an_error_usage_or_embedding_or_none(body: Any) -> None:
    for whole in (body, {"error": body}, {"usageMetadata": body}):
        read_failure(0, whole)
        carries_error(whole)
        empty_answer(whole)
        read_usage(whole)
    for write in (write_openai_answer, lambda obj, _: write_gemini_answer(obj, single=False)):
        try:
            write(body, "m")
        except MalformedAnswerError:
            pass
    if isinstance(body, dict):
        for ask in (write_gemini_request, write_openai_request):
            try:
                ask(body, "m", Losses())
            except RequestError as error:
                assert error.status == 400
