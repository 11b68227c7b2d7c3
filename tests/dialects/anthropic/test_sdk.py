"""Anthropic's own SDK reads what is written here, over real HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anthropic
import pytest
from anthropic.types import MessageParam, TextBlock, ThinkingBlock, ToolUseBlock

from gateway import jsonlib
from gateway.dialects.anthropic.answer_writer import write_answer
from gateway.dialects.anthropic.errors import error_body, write_failure
from gateway.dialects.anthropic.stream_writer import StreamWriter
from gateway.dialects.conversation import (
    Answer,
    Choice,
    Citation,
    Ending,
    Finish,
    Part,
    RedactedThinking,
    Signature,
    Text,
    Thinking,
    ToolCall,
)
from gateway.dialects.deltas import Begin, Broken, Close, Delta, End, Finished, More, Open, Used
from gateway.dialects.failure import Failure, FailureKind
from gateway.dialects.losses import Losses
from gateway.dialects.whole import to_deltas
from gateway.errors import RequestError
from gateway.usage import Usage
from tests.dialects.anthropic.making import ask, scene, user

GEMINI = Signature("CiQB", "gemini", "google")
ASKED: list[MessageParam] = [{"role": "user", "content": "What is the weather in Paris and Rome?"}]


@contextmanager
def answering(body: bytes, status: int = 200, kind: str = "application/json") -> Iterator[anthropic.Anthropic]:
    """A client of a server that gives every call this answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.01}, name="answering", daemon=True
        )
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        try:
            with anthropic.Anthropic(base_url=address, api_key="x", max_retries=0) as client:
                yield client
        finally:
            server.shutdown()
            thread.join()


def answer(*parts: Part, finish: Finish = Finish.STOP) -> Answer:
    usage = Usage(11, 5, 2, 1, output_text=7, reasoning=3)
    return Answer("id_1", "theirs", (Choice(parts, Ending(finish)),), usage)


PARTS: tuple[Part, ...] = (
    Thinking("Two cities.", GEMINI),
    RedactedThinking(Signature("Emw", "anthropic", "main")),
    Text("Let me see.", citations=(Citation("https://example.com", "T", "q"),)),
    ToolCall("call_1", "weather", '{"city": "Paris"}', signature=GEMINI),
    ToolCall("call_2", "weather", '{"city": "Rome"}'),
    ToolCall("call_3", "time", "{}"),
)


def check(message: anthropic.types.Message) -> None:
    """What an SDK makes of PARTS, streamed or not."""
    thinking, redacted, text, paris, rome, time = message.content
    assert isinstance(thinking, ThinkingBlock)
    assert (thinking.thinking, bool(thinking.signature)) == ("Two cities.", True)
    assert (redacted.type, redacted.to_dict()["data"]) == ("redacted_thinking", "Emw")
    assert isinstance(text, TextBlock)
    assert text.text == "Let me see."
    assert [citation.url for citation in text.citations or [] if citation.type == "web_search_result_location"] == [
        "https://example.com"
    ]
    assert isinstance(paris, ToolUseBlock)
    assert isinstance(rome, ToolUseBlock)
    assert isinstance(time, ToolUseBlock)
    assert (paris.id.startswith("call_1__thought__"), paris.input) == (True, {"city": "Paris"})
    assert (rome.id, rome.input, time.input) == ("call_2", {"city": "Rome"}, {})
    assert (message.stop_reason, message.model, message.role) == ("tool_use", "alias", "assistant")
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (11, 5, 3)
    assert usage.output_tokens == 10
    assert usage.output_tokens_details is not None
    assert usage.output_tokens_details.thinking_tokens == 3


def test_an_answer() -> None:
    body = write_answer(answer(*PARTS, finish=Finish.TOOL_CALLS), scene(), Losses())
    with answering(jsonlib.dumps(body)) as client:
        check(client.messages.create(model="claude-opus-5", max_tokens=9, messages=ASKED))


def test_a_stream() -> None:
    raw = StreamWriter(scene(), Losses()).write(to_deltas(answer(*PARTS, finish=Finish.TOOL_CALLS)))
    with answering(raw, kind="text/event-stream") as client:  # noqa: SIM117
        with client.messages.stream(model="claude-opus-5", max_tokens=9, messages=ASKED) as stream:
            kinds = [event.type for event in stream]
            message = stream.get_final_message()
    check(message)
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    assert kinds.count("message_start") == kinds.count("message_stop") == kinds.count("message_delta") == 1


def test_calls_whose_arguments_come_interleaved() -> None:
    deltas: list[Delta] = [
        Begin("id_1", "theirs"),
        Open(0, ToolCall("a", "weather", "")), Open(1, ToolCall("b", "weather", "")),
        More(0, '{"city":'), More(1, '{"city":'), More(0, ' "Paris"}'), More(1, ' "Rome"}'), Close(0), Close(1),
        Finished(Ending(Finish.TOOL_CALLS)), Used(Usage(20, output_text=4)), End(),
    ]  # fmt: skip
    writer = StreamWriter(scene(ask(user("Hi"), dialect="anthropic")), Losses())
    raw = b"".join(writer.write([delta]) for delta in deltas)
    with answering(raw, kind="text/event-stream") as client:  # noqa: SIM117
        with client.messages.stream(model="claude-opus-5", max_tokens=9, messages=ASKED) as stream:
            message = stream.get_final_message()
    assert [block.input for block in message.content if isinstance(block, ToolUseBlock)] == [
        {"city": "Paris"}, {"city": "Rome"},
    ]  # fmt: skip
    assert (message.usage.input_tokens, message.usage.output_tokens) == (20, 4)


def test_arguments_that_are_no_object_reach_the_client() -> None:
    call = ToolCall("a", "weather", "Paris")
    raw = StreamWriter(scene(), Losses()).write(to_deltas(answer(call)))
    with answering(raw, kind="text/event-stream") as client:  # noqa: SIM117
        with client.messages.stream(model="claude-opus-5", max_tokens=9, messages=ASKED) as stream:
            (block,) = stream.get_final_message().content
    assert isinstance(block, ToolUseBlock)
    assert block.input == {"INVALID_JSON": "Paris"}


def test_an_empty_answer() -> None:
    with answering(jsonlib.dumps(write_answer(answer(), scene(), Losses()))) as client:
        assert client.messages.create(model="claude-opus-5", max_tokens=9, messages=ASKED).content == []
    raw = StreamWriter(scene(), Losses()).write([End()])
    with answering(raw, kind="text/event-stream") as client:  # noqa: SIM117
        with client.messages.stream(model="claude-opus-5", max_tokens=9, messages=ASKED) as stream:
            message = stream.get_final_message()
    assert (message.content, message.stop_reason) == ([], "end_turn")


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (503, anthropic.InternalServerError, "overloaded_error"),
        (529, anthropic.InternalServerError, "overloaded_error"),
    ],
)
def test_an_error_of_ours(status: int, error: type[anthropic.APIStatusError], kind: str) -> None:
    body = error_body(RequestError(status, "the_code", "what happened", param="messages"))
    with answering(body, status) as client, pytest.raises(error) as caught:
        client.messages.create(model="claude-opus-5", max_tokens=9, messages=ASKED)
    told = caught.value
    assert (told.status_code, told.type, told.error_code) == (status, kind, "the_code")
    assert told.api_message == "what happened"


def test_an_error_of_a_provider() -> None:
    failure = Failure(400, FailureKind.CONTEXT_LENGTH, "maximum context length is 128000", "context_length_exceeded")
    with answering(jsonlib.dumps(write_failure(failure)), 400) as client:  # noqa: SIM117
        with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
            client.messages.create(model="claude-opus-5", max_tokens=9, messages=ASKED)


def test_an_error_inside_a_stream() -> None:
    failure = Failure(0, FailureKind.OVERLOADED, "Overloaded")
    deltas: list[Delta] = [Begin("id_1", "theirs"), Open(0, Text("")), More(0, "Hi"), Broken(failure)]
    raw = StreamWriter(scene(), Losses()).write(deltas)
    with answering(raw, kind="text/event-stream") as client:  # noqa: SIM117
        with client.messages.stream(model="claude-opus-5", max_tokens=9, messages=ASKED) as stream:
            with pytest.raises(anthropic.APIStatusError) as caught:
                stream.until_done()
    assert caught.value.type == "overloaded_error"
