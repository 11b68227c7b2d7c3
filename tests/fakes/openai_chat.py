"""A fake of OpenAI's Chat Completions API, strict and scripted; `openai_api.py` serves it.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)

from tests.fakes import script
from tests.fakes.answers import CREATED
from tests.fakes.api import RefusedError, encode
from tests.fakes.openai_rules import (
    check_for_reasoning,
    check_function,
    check_length,
    check_shape,
    check_strict,
    read_data_url,
    reasons,
)
from tests.fakes.script import Break, CallTool, Heard, Say, Turn, pieces

STOPS = {"": "stop", "tools": "tool_calls", "length": "length", "filter": "content_filter", "stop_sequence": "stop"}
UNSUPPORTED = ("max_tokens", "temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "stop")
ALSO_TAKEN = {"assistant": ("annotations", "parsed"), "tool": ("name",)}
"""Fields of messages that the SDK's types have not got: what comes with an answer, or is made of it by its helper,
may go back with it."""


def check_request(body: dict[str, Any]) -> None:
    """Raises RefusedError."""
    shape: Any = CompletionCreateParamsStreaming if body.get("stream") else CompletionCreateParamsNonStreaming
    messages = [_without_extras(message) for message in body.get("messages", ())]
    check_shape(shape, {**body, **({"messages": messages} if messages else {})})
    if not messages:
        raise RefusedError(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            "empty_array",
            "messages",
        )
    if reasons(body["model"]):
        check_for_reasoning(body, UNSUPPORTED)
    elif "reasoning_effort" in body:
        raise RefusedError("Unrecognized request argument supplied: reasoning_effort")
    if "stream_options" in body and not body.get("stream"):
        raise RefusedError(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", None, "stream_options"
        )
    if len(body.get("stop") or ()) > 4 and isinstance(body["stop"], list):
        raise RefusedError(
            "Invalid 'stop': array too long. Expected an array with maximum length 4.", "array_above_max_length", "stop"
        )
    _check_tools(body)
    _check_format(body)
    _check_calls(body["messages"])


def _without_extras(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    bare = {name: value for name, value in message.items() if name not in ALSO_TAKEN.get(message.get("role", ""), ())}
    calls = bare.pop("tool_calls", None)
    return bare if calls is None else {**bare, "tool_calls": [_without_helps(call) for call in calls]}


def _without_helps(call: dict[str, Any]) -> dict[str, Any]:
    """A call without what the SDK's helper for streams puts into it."""
    function = {name: value for name, value in call.get("function", {}).items() if name != "parsed_arguments"}
    return {**{name: value for name, value in call.items() if name != "index"}, "function": function}


def _check_tools(body: dict[str, Any]) -> None:
    tools = body.get("tools")
    for place, tool in enumerate(tools or ()):
        if tool["type"] == "function":
            check_function(tool["function"], f"tools[{place}].function")
    if tools == []:
        raise RefusedError(
            "Invalid 'tools': empty array. Expected an array with minimum length 1.", "empty_array", "tools"
        )
    for name in ("tool_choice", "parallel_tool_calls"):
        if body.get(name) is not None and not tools and body[name] not in ("none", "auto"):
            raise RefusedError(
                f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.", None, name
            )


def _check_format(body: dict[str, Any]) -> None:
    form = body.get("response_format") or {}
    if form.get("type") == "json_object" and "json" not in json.dumps(body["messages"]).lower():
        raise RefusedError(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
            None,
            "messages",
        )
    if form.get("type") == "json_schema" and form["json_schema"].get("strict"):
        name = form["json_schema"]["name"]
        check_strict(form["json_schema"]["schema"], f"response_format '{name}'", "response_format")


def _check_calls(messages: list[dict[str, Any]]) -> None:
    """Every call is answered before anybody else speaks, and nothing else is answered."""
    waiting: list[str] = []
    for place, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                raise RefusedError(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    "'tool_calls'.",
                    None,
                    f"messages.[{place}].role",
                )
            waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            break
        waiting = [call["id"] for call in message.get("tool_calls") or ()]
        for number, call in enumerate(waiting):
            check_length(call, 40, f"messages[{place}].tool_calls[{number}].id")
        said = [message.get(name) for name in ("content", "refusal", "audio", "function_call")]
        if message["role"] == "assistant" and not waiting and all(each is None for each in said):
            raise RefusedError(
                "Invalid value for 'content': expected a string, got null.", None, f"messages.[{place}].content"
            )
    if waiting:
        raise RefusedError(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}",
            None,
            "messages",
        )


def hear(body: dict[str, Any]) -> Heard:
    choice, form = body.get("tool_choice") or "", body.get("response_format") or {}
    stop = body.get("stop") or []
    system = [_text(each["content"]) for each in body["messages"] if each["role"] in ("system", "developer")]
    heard = Heard(
        system="\n".join(system),
        tools=[tool["function"]["name"] for tool in body.get("tools", ()) if tool["type"] == "function"],
        choice=choice if isinstance(choice, str) else choice["function"]["name"],
        format={"json_object": "json"}.get(form.get("type", ""), form.get("json_schema", {}).get("schema", "")),
        thinking=reasons(body["model"]) and body.get("reasoning_effort") != "none",
        max_tokens=body.get("max_completion_tokens", body.get("max_tokens")),
        temperature=body.get("temperature"),
        stop=[stop] if isinstance(stop, str) else stop,
    )
    names: dict[str, str] = {}
    for message in body["messages"]:
        for call in message.get("tool_calls") or ():
            names[call["id"]] = call["function"]["name"]
        if message["role"] == "tool":
            heard.results.append((names[message["tool_call_id"]], _text(message["content"]), False))
        elif message["role"] in ("user", "assistant"):
            heard.turns.append((message["role"], _text(message.get("content"))))
            heard.media.extend(_media(message.get("content")))
    return heard


def _text(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part.get("text", "") for part in content)


def _media(content: Any) -> Iterator[tuple[str, int]]:
    for part in content if isinstance(content, list) else ():
        if part["type"] == "image_url":
            yield read_data_url(part["image_url"]["url"], "image_url")
        elif part["type"] == "file":
            yield read_data_url(part["file"]["file_data"], "file_data")


def whole(body: dict[str, Any], turn: Turn, number: int) -> dict[str, Any]:
    calls = [_call(part, place, number) for place, part in enumerate(_calls(turn))]
    message: dict[str, Any] = {"role": "assistant", "content": turn.text or None, "refusal": None, "annotations": []}
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": STOPS[turn.stop]}
    return {**_head(body, number, "chat.completion"), "choices": [choice], "usage": usage(turn)}


def events(body: dict[str, Any], turn: Turn, number: int) -> Iterator[bytes]:
    head = _head(body, number, "chat.completion.chunk")
    asked = (body.get("stream_options") or {}).get("include_usage")
    for delta, stop in _deltas(turn, number):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": stop}
        yield _event({**head, "choices": [choice], **({"usage": None} if asked else {})})
    if turn.breaks:
        error = {
            "message": "The server had an error while processing your request.",
            "type": "server_error",
            "param": None,
            "code": None,
        }
        yield _event({"error": error})
        return
    if asked:
        yield _event({**head, "choices": [], "usage": usage(turn)})
    yield b"data: [DONE]\n\n"


def _deltas(turn: Turn, number: int) -> Iterator[tuple[dict[str, Any], str | None]]:
    yield {"role": "assistant", "content": None if turn.stop == "tools" else "", "refusal": None}, None
    place = 0
    for part in turn.parts:
        match part:
            case Say(text):
                yield from (({"content": piece}, None) for piece in pieces(text))
            case CallTool():
                call = _call(part, place, number)
                arguments = call["function"]["arguments"]
                begun = {**call, "function": {**call["function"], "arguments": ""}}
                yield {"tool_calls": [{"index": place, **begun}]}, None
                for piece in pieces(arguments):
                    yield {"tool_calls": [{"index": place, "function": {"arguments": piece}}]}, None
                place += 1
            case Break():
                return
    yield {}, STOPS[turn.stop]


def _calls(turn: Turn) -> list[CallTool]:
    return [part for part in turn.parts if isinstance(part, CallTool)]


def _call(part: CallTool, place: int, number: int) -> dict[str, Any]:
    function = {"name": part.name, "arguments": encode(part.arguments).decode()}
    return {"id": f"call_{number:020}{place:04}", "type": "function", "function": function}


def _head(body: dict[str, Any], number: int, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{number:08}",
        "object": kind,
        "created": CREATED,
        "model": f"{body['model']}-2025-08-07",
        "service_tier": "default",
        "system_fingerprint": None,
    }


def usage(turn: Turn) -> dict[str, Any]:
    given, made = script.INPUT + script.CACHED, script.TEXT_TOKENS + turn.thought_tokens
    return {
        "prompt_tokens": given,
        "completion_tokens": made,
        "total_tokens": given + made,
        "prompt_tokens_details": {"cached_tokens": script.CACHED, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": turn.thought_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _event(payload: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % encode(payload)
