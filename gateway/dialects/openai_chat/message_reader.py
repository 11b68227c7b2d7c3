"""A client's messages, in the order in which they came.

Each message of a tool is a message of the user here, with one `ToolResult`. The functions of 2023 had no ids: their
calls get one by their place, and results find it by the name. `audio` of an assistant's message names an answer that
only its provider has, and stays `Opaque`.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway import jsonlib
from gateway.dialects import reading
from gateway.dialects.continuity import read_signature, split_id
from gateway.dialects.conversation import Image, Message, Opaque, Part, Refusal, Role, Signature, ToolCall, ToolResult
from gateway.dialects.losses import Losses
from gateway.dialects.media import read_url
from gateway.dialects.names import Json
from gateway.dialects.openai_chat import DIALECT
from gateway.dialects.openai_chat.content_reader import mark_last, note_unknown, read_cache, read_content
from gateway.dialects.openai_chat.thoughts import read_extra, read_thoughts

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
}
_FIELDS = ("role", "content", "name", "cache_control")
_THOUGHTS = ("reasoning_content", "reasoning", "thinking_blocks", "reasoning_details", "extra_content")
_ASSISTANT_FIELDS = (*_FIELDS, *_THOUGHTS, "refusal", "tool_calls", "function_call", "audio", "images")


def read_messages(body: Json, losses: Losses) -> tuple[Message, ...]:
    """All messages of a request. Raises RequestError for none, and for what is structurally wrong."""
    messages: list[Message] = []
    calls: dict[str, str] = {}  # the id of the last call of each function, which has none of its own
    for path, message in reading.objects(body, "messages"):
        role = reading.required_text(message, "role", path)
        if role in ("tool", "function"):
            messages.append(_read_result(message, path, calls, losses))
        elif role == "assistant":
            messages.append(_read_assistant(message, path, calls, losses))
        elif role in _ROLES:
            messages.append(_read_plain(message, _ROLES[role], path, losses))
        else:
            reading.refuse(f"{path}.role", f"must be one of {', '.join(_ROLES)}, tool, function.")
    if not messages:
        reading.refuse("messages", "must have at least one message.")
    return tuple(messages)


def _read_plain(message: Json, role: Role, path: str, losses: Losses) -> Message:
    note_unknown(message, _FIELDS, path, losses)
    parts = mark_last(read_content(message, path, losses), read_cache(message, path, losses))
    return Message(role, parts, reading.text(message, "name", path), where=path)


def _read_assistant(message: Json, path: str, calls: dict[str, str], losses: Losses) -> Message:
    note_unknown(message, _ASSISTANT_FIELDS, path, losses)
    parts: list[Part] = [*read_thoughts(message, _sign, path), *read_content(message, path, losses)]
    if refusal := reading.text(message, "refusal", path):
        parts.append(Refusal(refusal, where=f"{path}.refusal"))
    for here, image in reading.objects(message, "images", path):
        inner = reading.mapping(image, "image_url", here) or {}
        parts.append(Image(read_url(reading.required_text(inner, "url", f"{here}.image_url")), where=here))
    if audio := reading.mapping(message, "audio", path):
        parts.append(Opaque(DIALECT, {"audio": audio}, where=f"{path}.audio"))
    parts += [_read_call(call, here, losses) for here, call in reading.objects(message, "tool_calls", path)]
    function = reading.mapping(message, "function_call", path)
    if function:
        name = reading.required_text(function, "name", f"{path}.function_call")
        calls[name] = f"call_{path.rpartition('.')[2]}"
        parts.append(ToolCall(calls[name], name, read_arguments(function), where=f"{path}.function_call"))
    marked = mark_last(tuple(parts), read_cache(message, path, losses))
    return Message("assistant", marked, reading.text(message, "name", path), where=path)


def _read_call(call: Json, path: str, losses: Losses) -> ToolCall:
    """`arguments` is a text; some clients send the object itself."""
    note_unknown(call, ("id", "type", "index", "function", "custom", "extra_content", "cache_control"), path, losses)
    call_id, signature = split_id(reading.required_text(call, "id", path))
    signature = signature or read_extra(call, _sign)
    cache = read_cache(call, path, losses)
    custom = reading.mapping(call, "custom", path)
    if reading.text(call, "type", path) == "custom" and custom is not None:
        name = reading.required_text(custom, "name", f"{path}.custom")
        text = reading.text(custom, "input", f"{path}.custom")
        return ToolCall(call_id, name, text, True, signature, cache, where=path)
    function = reading.mapping(call, "function", path)
    if function is None:
        reading.refuse(f"{path}.function", "is missing.")
    name = reading.required_text(function, "name", f"{path}.function")
    return ToolCall(call_id, name, read_arguments(function), False, signature, cache, where=path)


def read_arguments(function: Mapping[str, Any]) -> str:
    """JSON text, "{}" for none. An object in the text's place is written down."""
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        return arguments or "{}"
    return "{}" if arguments is None else jsonlib.dumps(arguments).decode()


def _read_result(message: Json, path: str, calls: Mapping[str, str], losses: Losses) -> Message:
    note_unknown(message, (*_FIELDS, "tool_call_id"), path, losses)
    name = reading.text(message, "name", path)
    if message["role"] == "function":
        name = reading.required_text(message, "name", path)
        call_id = calls.get(name, name)
    else:
        call_id = split_id(reading.required_text(message, "tool_call_id", path))[0]
    parts, cache = read_content(message, path, losses), read_cache(message, path, losses)
    return Message("user", (ToolResult(call_id, parts, name=name, cache=cache, where=path),), where=path)


def _sign(text: str) -> Signature:
    return read_signature(text, DIALECT)
