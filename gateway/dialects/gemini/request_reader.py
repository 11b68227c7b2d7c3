"""A client's generateContent or streamGenerateContent.

Contents become messages, `systemInstruction` the first of them. Calls without an id get one by their place, and results
find theirs by id, else by name, in the order of the calls. What no other dialect has a word for stays as it came:
fields as `Extra` (those inside `generationConfig` and `toolConfig` under dotted names), tools and parts as `Opaque`.

Source: https://ai.google.dev/api/generate-content#method:-models.generatecontent
"""

from __future__ import annotations

from dataclasses import replace

from gateway.dialects.continuity import read_signature, split_id
from gateway.dialects.conversation import (
    Extra,
    Message,
    Opaque,
    Part,
    Request,
    Role,
    Signature,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from gateway.dialects.gemini.callids import is_place_id, place_id
from gateway.dialects.gemini.config_reader import read_config
from gateway.dialects.gemini.media import read_medium
from gateway.dialects.gemini.part_reader import is_void, note_fields, read_arguments, read_part
from gateway.dialects.gemini.protojson import camel, enum, message, messages
from gateway.dialects.gemini.results import read_response
from gateway.dialects.gemini.schema_reader import read_schema
from gateway.dialects.gemini.tiers import read_tier
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.dialects.reading import boolean, mapping, refuse, required_text, text, texts

_ROLES: dict[str, Role] = {"": "user", "USER": "user", "FUNCTION": "user", "MODEL": "assistant"}

_READ = frozenset(
    {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "model", "serviceTier", "store"}
)
_CONTENT = frozenset({"cachedContent", "continuationToken"})
"""Fields without which the answer would be to another question."""

_FUNCTION = frozenset({"name", "description", "parameters", "parametersJsonSchema"})
_CHOICES = frozenset({"mode", "allowedFunctionNames"})


def read_request(body: Json, losses: Losses, *, model: str = "", stream: bool = False) -> Request:
    """`model` and `stream` are the path's: `models/MODEL:streamGenerateContent`. Raises RequestError 400 with `param`
    for what is structurally wrong."""
    fields = camel(body)
    config = read_config(message(fields, "generationConfig"), losses)
    choice, tool_extra = _read_tool_config(message(fields, "toolConfig"), losses)
    extra = [Extra("gemini", name, fields[name], name in _CONTENT) for name in fields if name not in _READ]
    return Request(
        dialect="gemini",
        model=model or text(fields, "model").removeprefix("models/"),
        messages=(*_read_system(fields, losses), *_read_contents(fields, losses)),
        tools=_read_tools(fields, losses),
        tool_choice=choice,
        response_format=config.response_format,
        sampling=config.sampling,
        max_tokens=config.max_tokens,
        stop=config.stop,
        n=config.n,
        reasoning=config.reasoning,
        service_tier=read_tier(enum(fields, "serviceTier")),
        store=boolean(fields, "store"),
        stream=stream,
        extra=(*extra, *tool_extra, *config.extra),
    )


# --- messages --------------------------------------------------------------------------------------------------------


def _sign(data: str) -> Signature:
    return read_signature(data, "gemini")


def _read_system(fields: Json, losses: Losses) -> list[Message]:
    content = message(fields, "systemInstruction")
    parts = _read_parts(content, "systemInstruction", _ClientCalls(), losses)
    said = tuple(part for part in parts if not is_void(part))
    return [Message("system", said, where="systemInstruction")] if said else []


def _read_contents(fields: Json, losses: Losses) -> list[Message]:
    if fields.get("contents") is None:
        refuse("contents", "is missing.")
    calls = _ClientCalls()
    read: list[Message] = []
    for path, content in messages(fields, "contents"):
        role = _ROLES.get(enum(content, "role", path))
        if role is None:
            refuse(f"{path}.role", "must be 'user' or 'model'.")
        parts = _read_parts(content, path, calls, losses)
        if role == "assistant":
            parts = _rejoined(read.pop().parts if read and read[-1].role == role else (), parts)
        if parts:
            read.append(Message(role, parts, where=path))
    return read


def _rejoined(before: tuple[Part, ...], content: tuple[Part, ...]) -> tuple[Part, ...]:
    """A turn of the model with its next content. Google's SDK keeps what it streamed in many of them: words go on where
    the last one ended, and another provider's signature, which came behind its thoughts, is put on them again."""
    parts = list(before)
    for place, part in enumerate(part for part in content if not is_void(part)):
        last = parts[-1] if parts else None
        if isinstance(last, Text | Thinking) and type(last) is type(part) and last.signature is None:
            assert isinstance(part, Text | Thinking)
            behind = part.signature is not None and part.signature.dialect != "gemini" and not part.text
            if behind or (place == 0 and before and part.signature is None):
                parts[-1] = replace(last, text=last.text + part.text, signature=part.signature)
                continue
        parts.append(part)
    return tuple(parts)


def _read_parts(content: Json, path: str, calls: _ClientCalls, losses: Losses) -> tuple[Part, ...]:
    given = messages(content, "parts", path)
    return tuple(replace(read_part(part, here, calls, _sign, losses), where=here) for here, part in given)


class _ClientCalls:
    """The calls of a conversation so far, and which of them have no result yet."""

    __slots__ = ("_count", "_open")

    def __init__(self) -> None:
        self._open: list[tuple[str, str]] = []
        self._count = 0

    def call(self, fields: Json, path: str, signature: Signature | None) -> ToolCall:
        name = required_text(fields, "name", path)
        given, sealed = split_id(text(fields, "id", path))
        call_id = given or self._next_id()
        self._open.append((call_id, name))
        return ToolCall(call_id, name, read_arguments(fields, path), signature=signature or sealed)

    def result(self, fields: Json, path: str, losses: Losses) -> ToolResult:
        name = text(fields, "name", path)
        given, _ = split_id(text(fields, "id", path))
        words, is_error = read_response(mapping(fields, "response", path) or {}, f"{path}.response")
        parts: list[Part] = [Text(words, where=f"{path}.response")]
        for here, part in messages(fields, "parts", path):
            note_fields(part, frozenset({"inlineData", "fileData", "mediaResolution"}), here, "part_field", losses)
            has_medium = "inlineData" in part or "fileData" in part
            medium = read_medium(part, here) if has_medium else None
            parts.append(Opaque("gemini", part, where=here) if medium is None else replace(medium, where=here))
        known = frozenset({"id", "name", "response", "parts"})
        note_fields(fields, known, path, "function_response_field", losses)
        return ToolResult(self._find(given, name), tuple(parts), is_error, name)

    def _find(self, given: str, name: str) -> str:
        """The id of the call that a result belongs to."""
        for place, (call_id, called) in enumerate(self._open):
            if call_id == given or (called == name and (not given or is_place_id(call_id))):
                del self._open[place]
                return call_id
        return given or self._next_id()

    def _next_id(self) -> str:
        self._count += 1
        return place_id(self._count - 1)


# --- tools -----------------------------------------------------------------------------------------------------------


def _read_tools(fields: Json, losses: Losses) -> tuple[Tool | Opaque, ...]:
    tools: list[Tool | Opaque] = []
    for path, tool in messages(fields, "tools"):
        for name, value in tool.items():
            if name == "functionDeclarations":
                tools += [_read_function(each, here, losses) for here, each in messages(tool, name, path)]
            else:
                tools.append(Opaque("gemini", {name: value}, where=f"{path}.{name}"))
    return tuple(tools)


def _read_function(fields: Json, path: str, losses: Losses) -> Tool:
    note_fields(fields, _FUNCTION, path, "function_field", losses)
    parameters = mapping(fields, "parametersJsonSchema", path)
    if parameters is None and (schema := mapping(fields, "parameters", path)) is not None:
        parameters = read_schema(schema, f"{path}.parameters")
    return Tool(required_text(fields, "name", path), text(fields, "description", path), parameters, where=path)


def _read_tool_config(fields: Json, losses: Losses) -> tuple[ToolChoice | None, list[Extra]]:
    path = "toolConfig.functionCallingConfig"
    calling = message(fields, "functionCallingConfig", "toolConfig")
    note_fields(calling, _CHOICES, path, "function_calling_field", losses)
    mode, only = enum(calling, "mode", path), texts(calling, "allowedFunctionNames", path)
    others = [name for name in fields if name != "functionCallingConfig"]
    extra = [Extra("gemini", f"toolConfig.{name}", fields[name]) for name in others]
    if mode == "VALIDATED" and not only:
        losses.hint(f"{path}.mode", "function_calling_validated", "no other provider's API has it.")
    if mode not in ("", "AUTO", "ANY", "NONE", "VALIDATED"):
        refuse(f"{path}.mode", "must be AUTO, ANY, NONE or VALIDATED.")
    if not mode:
        return None, extra
    word = {"ANY": "required", "NONE": "none"}.get(mode, "auto")
    return ToolChoice(word, only if mode in ("ANY", "VALIDATED") else ()), extra  # type: ignore[arg-type]
