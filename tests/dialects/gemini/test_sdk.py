"""Google's own SDK reads what is written for clients of this dialect, and what it sends is read."""

from __future__ import annotations

import base64

import pytest
from google.genai import errors, types

from gateway import jsonlib
from gateway.dialects.continuity import unseal
from gateway.dialects.conversation import (
    Answer,
    Citation,
    Finish,
    Image,
    RedactedThinking,
    Signature,
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gateway.dialects.deltas import Begin, Broken, More, Open
from gateway.dialects.failure import Failure, FailureKind
from gateway.dialects.gemini.answer_writer import write_answer
from gateway.dialects.gemini.embeddings import write_gemini_answer
from gateway.dialects.gemini.errors import error_body, write_failure
from gateway.dialects.gemini.listing import write_model
from gateway.dialects.gemini.request_reader import read_request
from gateway.dialects.gemini.stream_writer import StreamWriter
from gateway.dialects.losses import Losses
from gateway.dialects.whole import to_deltas
from gateway.errors import RequestError
from gateway.usage import Usage
from tests.dialects.gemini.loopback import Sent, loopback
from tests.dialects.gemini.scenes import answered, read, scene

SEALED = Signature("sig+/==", "anthropic", "claude")

WHOLE = answered(
    Thinking("Let me look.", SEALED),
    RedactedThinking(Signature("hidden", "anthropic", "claude")),
    Text("Paris is nice.", citations=(Citation("https://example.com/", "Example", start=0, end=5),)),
    ToolCall("call_1", "look", '{"city":"Paris"}', signature=SEALED),
    ToolCall("call_2", "look", "not JSON"),
    Image(Source("base64", "aGk=", "image/png")),
    finish=Finish.TOOL_CALLS,
    usage=Usage(10, cache_read=4, output_text=5, reasoning=7),
)


def whole(answer: Answer) -> Sent:
    return Sent(jsonlib.dumps(write_answer(answer, scene(), Losses())))


def streamed(answer: Answer) -> Sent:
    """One event per delta: every cut that a writer can make."""
    writer = StreamWriter(scene(), Losses())
    return Sent(b"".join(writer.write([delta]) for delta in to_deltas(answer)), content_type="text/event-stream")


def check_usage(usage: types.GenerateContentResponseUsageMetadata | None) -> None:
    assert usage is not None
    assert (usage.prompt_token_count, usage.cached_content_token_count) == (14, 4)
    assert (usage.candidates_token_count, usage.thoughts_token_count, usage.total_token_count) == (5, 7, 26)


def test_the_sdk_reads_a_whole_answer() -> None:
    with loopback(whole(WHOLE)) as server:
        response = server.client.models.generate_content(model="m", contents="Hi")
    assert response.model_version == "their-model"
    assert response.candidates is not None
    candidate = response.candidates[0]
    assert candidate.finish_reason is types.FinishReason.STOP
    assert candidate.content is not None and candidate.content.parts is not None
    thought, redacted, text, call, broken, image = candidate.content.parts
    assert (thought.text, thought.thought) == ("Let me look.", True)
    assert redacted.text == "" and redacted.thought_signature
    assert text.text == "Paris is nice."
    assert call.function_call is not None and broken.function_call is not None and image.inline_data is not None
    assert (call.function_call.id, call.function_call.name) == ("call_1", "look")
    assert call.function_call.args == {"city": "Paris"}
    assert broken.function_call.args == {"INVALID_JSON": "not JSON"}
    assert image.inline_data.data == b"hi"
    assert candidate.grounding_metadata is not None and candidate.grounding_metadata.grounding_chunks
    web = candidate.grounding_metadata.grounding_chunks[0].web
    assert web is not None and (web.uri, web.title) == ("https://example.com/", "Example")
    check_usage(response.usage_metadata)


def test_the_sdk_reads_a_stream() -> None:
    with loopback(streamed(WHOLE)) as server:
        chunks = list(server.client.models.generate_content_stream(model="m", contents="Hi"))
        assert server.asked[0].path.endswith("/models/m:streamGenerateContent?alt=sse")
    parts = [
        part
        for response in chunks
        for candidate in response.candidates or ()
        for part in (candidate.content.parts if candidate.content else None) or ()
    ]
    assert "".join(part.text or "" for part in parts if part.thought) == "Let me look."
    assert "".join(part.text or "" for part in parts if not part.thought) == "Paris is nice."
    calls = [part.function_call for part in parts if part.function_call]
    assert [(call.id, call.args) for call in calls] == [
        ("call_1", {"city": "Paris"}),
        ("call_2", {"INVALID_JSON": "not JSON"}),
    ]
    last = chunks[-1]
    assert last.candidates and last.candidates[0].finish_reason is types.FinishReason.STOP
    assert last.candidates[0].grounding_metadata is not None
    check_usage(last.usage_metadata)


@pytest.mark.parametrize("stream", [False, True])
def test_signatures_of_another_provider_come_back_through_a_chat_of_the_sdk(stream: bool) -> None:
    """Three turns of a tool loop: the SDK keeps the history and sends it again."""
    first = answered(
        Thinking("Let me look.", SEALED),
        RedactedThinking(Signature("hidden", "anthropic", "claude")),
        ToolCall("call_1", "look", '{"city":"Paris"}'),
        finish=Finish.TOOL_CALLS,
    )
    second = answered(Thinking("Again.", SEALED), ToolCall("call_2", "look", "{}"), finish=Finish.TOOL_CALLS)
    answers = [streamed(each) if stream else whole(each) for each in (first, second, answered(Text("Done.")))]
    with loopback(*answers) as server:
        chat = server.client.chats.create(model="m")

        def say(message: types.Part | str) -> None:
            if stream:
                list(chat.send_message_stream(message))
            else:
                chat.send_message(message)

        say("Hi")
        result = types.FunctionResponse(id="call_1", name="look", response={"output": "rain"})
        say(types.Part(function_response=result))
        say(types.Part(function_response=types.FunctionResponse(id="call_2", name="look", response={"error": "no"})))
        request = read(server.asked[-1].body, "m")
    assert [message.role for message in request.messages] == ["user", "assistant", "user", "assistant", "user"]
    assert request.messages[1].parts == (
        Thinking("Let me look.", SEALED),
        RedactedThinking(Signature("hidden", "anthropic", "claude")),
        ToolCall("call_1", "look", '{"city":"Paris"}'),
    )
    assert request.messages[2].parts == (ToolResult("call_1", (Text("rain"),), name="look"),)
    assert request.messages[3].parts == (Thinking("Again.", SEALED), ToolCall("call_2", "look"))
    assert request.messages[4].parts == (ToolResult("call_2", (Text("no"),), True, "look"),)


def test_a_seal_survives_that_the_sdk_decodes_signatures() -> None:
    sealed = answered(ToolCall("call_1", "look", signature=SEALED), finish=Finish.TOOL_CALLS)
    with loopback(whole(sealed)) as server:
        response = server.client.models.generate_content(model="m", contents="Hi")
    assert response.candidates and response.candidates[0].content and response.candidates[0].content.parts
    signature = response.candidates[0].content.parts[0].thought_signature
    assert signature is not None
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert unseal(encode(signature).decode()) == SEALED


def test_the_sdk_raises_what_an_error_says() -> None:
    error = RequestError(429, "rate_limited", "Slow down.", retry_after=3.2)
    with loopback(Sent(error_body(error), 429)) as server, pytest.raises(errors.ClientError) as caught:
        server.client.models.generate_content(model="m", contents="Hi")
    assert (caught.value.code, caught.value.status, caught.value.message) == (429, "RESOURCE_EXHAUSTED", "Slow down.")


def test_the_sdk_raises_an_error_inside_a_stream() -> None:

    writer = StreamWriter(scene(), Losses())
    failure = Failure(0, FailureKind.OVERLOADED, "Too many people.")
    data = writer.write([Begin("r", "m"), Open(0, Text("")), More(0, "Hel"), Broken(failure)])
    assert write_failure(failure)["error"]["status"] == "UNAVAILABLE"
    said = ""
    with loopback(Sent(data, content_type="text/event-stream")) as server, pytest.raises(errors.ServerError) as caught:
        for response in server.client.models.generate_content_stream(model="m", contents="Hi"):
            said += response.text or ""
    assert said == "Hel"
    assert (caught.value.code, caught.value.message) == (503, "Too many people.")


def test_what_the_sdk_asks_is_read() -> None:
    def get_weather(city: str) -> str:
        """Weather of a city."""
        return city

    config = types.GenerateContentConfig(
        system_instruction="Be terse.",
        temperature=0.5,
        top_k=40,
        max_output_tokens=100,
        stop_sequences=["END"],
        response_mime_type="application/json",
        response_schema={"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True}}},
        thinking_config=types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW, include_thoughts=True),
        tools=[get_weather, types.Tool(google_search=types.GoogleSearch())],
        tool_config=types.ToolConfig(
            function_calling_config=types.FunctionCallingConfig(
                mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["get_weather"]
            )
        ),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    image = types.Part.from_bytes(data=b"\x89PNG\xff", mime_type="image/png")
    with loopback(whole(answered(Text("{}")))) as server:
        server.client.models.generate_content(model="m", contents=[image, "What is this?"], config=config)
        losses = Losses()
        request = read_request(server.asked[0].body, losses, model="m")
    assert [loss.path for loss in losses.entries] == ["tools.1.functionDeclarations.0.responseJsonSchema"]
    assert [message.role for message in request.messages] == ["system", "user"]
    assert request.messages[0].parts == (Text("Be terse."),)
    picture, question = request.messages[1].parts
    assert isinstance(picture, Image) and question == Text("What is this?")
    assert base64.b64decode(picture.source.value, validate=True) == b"\x89PNG\xff"
    assert (request.sampling.temperature, request.sampling.top_k, request.max_tokens) == (0.5, 40, 100)
    assert request.stop == ("END",)
    assert request.response_format is not None and request.response_format.schema is not None
    assert request.response_format.schema["properties"]["a"]["type"] == ["string", "null"]
    assert request.reasoning is not None and (request.reasoning.effort, request.reasoning.shown) == ("low", True)
    assert request.tool_choice is not None and request.tool_choice.only == ("get_weather",)


@pytest.mark.parametrize("count", [1, 2])
def test_the_sdk_reads_embeddings(count: int) -> None:
    data = [{"object": "embedding", "index": place, "embedding": [0.5, -1]} for place in range(count)]
    answer = write_gemini_answer({"data": data, "usage": {"prompt_tokens": 3, "total_tokens": 3}}, single=False)
    with loopback(Sent(jsonlib.dumps(answer))) as server:
        response = server.client.models.embed_content(model="e", contents=["a", "b"][:count])
    assert [embedding.values for embedding in response.embeddings or ()] == [[0.5, -1.0]] * count


def test_the_sdk_reads_the_list_of_models() -> None:
    pages = [
        {"models": [write_model("gpt-5", display_name="GPT", input_limit=1000)], "nextPageToken": "more"},
        {"models": [write_model("claude")]},
    ]
    with loopback(*(Sent(jsonlib.dumps(page)) for page in pages), Sent(jsonlib.dumps(write_model("gpt-5")))) as server:
        listed = list(server.client.models.list())
        one = server.client.models.get(model="gpt-5")
    assert [model.name for model in listed] == ["models/gpt-5", "models/claude"]
    assert (listed[0].display_name, listed[0].input_token_limit) == ("GPT", 1000)
    assert one.supported_actions == ["generateContent", "streamGenerateContent", "countTokens"]
