"""A client's Responses request in the neutral form.

`instructions` is a system message before all others. What speaks of something that the provider has stored (an earlier
answer, a conversation, a prompt) or does later (`background`) is an Extra of content, and noted as a loss right here
with its reason: a translated answer is made from what stands in the request, and is not kept.

Not losses, because translation sees to them itself: `include: ["reasoning.encrypted_content"]` (thoughts always come
with what their provider has signed), and words that only say a default.

Source: https://platform.openai.com/docs/api-reference/responses/create, the SDK's
`types/responses/response_create_params.py`
"""

from __future__ import annotations

from typing import Any

from gateway.dialects import reading
from gateway.dialects.conversation import (
    EFFORTS,
    Extra,
    Message,
    Opaque,
    Reasoning,
    Request,
    ResponseFormat,
    Sampling,
    Text,
    Tool,
    ToolChoice,
)
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.dialects.openai_responses import DIALECT
from gateway.dialects.openai_responses.items import ItemReader
from gateway.dialects.openai_responses.tools import Namespaces, read_tool_choice, read_tools

INCLUDE_THOUGHTS = "reasoning.encrypted_content"
INCLUDE_LOGPROBS = "message.output_text.logprobs"

_STORED = {
    "previous_response_id": "answers made through translation are not stored; send the whole conversation as `input`.",
    "conversation": "conversations are stored by their provider alone; send the whole conversation as `input`.",
    "prompt": "prompts are stored by their provider alone; send the text as `input` and `instructions`.",
    "background": "answers made through translation are not stored, so that nobody could fetch them later.",
}
"""Fields without which the answer would be to another question, and why translation has no use for them."""

_DEFAULTS: Json = {"background": False, "truncation": "disabled"}
"""Fields that say nothing with these values."""

_READ = frozenset(
    (
        "model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "text", "temperature", "top_p",
        "top_logprobs", "max_output_tokens", "reasoning", "include", "metadata", "user", "safety_identifier",
        "service_tier", "store", "prompt_cache_key", "prompt_cache_retention", "stream",
    )
)  # fmt: skip
"""Fields with a place in the neutral form; all others are Extras."""


def read_request(body: Json, losses: Losses, *, model: str = "", stream: bool = False) -> Request:
    namespaces = Namespaces()
    tools = read_tools(body, "", namespaces, losses)
    choice = read_tool_choice(body, namespaces)
    messages, added = _messages(body, namespaces, losses)
    include = reading.texts(body, "include")
    response_format, verbosity, text_extra = _text(body)
    reasoning, reasoning_extra = _reasoning(body)
    if reading.boolean(body, "store"):
        losses.hint("store", "store", "answers made through translation are not stored here.")
    return Request(
        DIALECT,
        model or (reading.text if body.get("prompt") else reading.required_text)(body, "model"),
        messages,
        (*tools, *added),
        choice if isinstance(choice, ToolChoice) else None,
        reading.boolean(body, "parallel_tool_calls"),
        response_format,
        _sampling(body, include),
        reading.integer(body, "max_output_tokens"),
        reasoning=reasoning,
        verbosity=verbosity,
        user=reading.text(body, "user"),
        safety_identifier=reading.text(body, "safety_identifier"),
        metadata=_metadata(body),
        service_tier=reading.text(body, "service_tier"),
        store=reading.boolean(body, "store"),
        cache_key=reading.text(body, "prompt_cache_key"),
        cache_retention=reading.text(body, "prompt_cache_retention"),
        stream=stream or bool(reading.boolean(body, "stream")),
        extra=(
            *([choice] if isinstance(choice, Extra) else ()),
            *namespaces.extra(),
            *_include_extra(include),
            *text_extra,
            *reasoning_extra,
            *_other_fields(body, losses),
        ),
    )


def _messages(body: Json, namespaces: Namespaces, losses: Losses) -> tuple[tuple[Message, ...], list[Tool | Opaque]]:
    """The messages, and the tools that stand among them."""
    messages: list[Message] = []
    if body.get("instructions") is not None:
        said = Text(reading.text(body, "instructions"), where="instructions")
        messages.append(Message("system", (said,), where="instructions"))
    given = body.get("input")
    if isinstance(given, str):
        return (*messages, Message("user", (Text(given, where="input"),), where="input")), []
    if given is None and not any(body.get(name) for name in ("previous_response_id", "conversation", "prompt")):
        reading.refuse("input", "is missing.")
    items = ItemReader(namespaces, losses)
    for path, item in reading.objects(body, "input"):
        items.read(item, path)
    return (*messages, *items.messages), items.tools


def _sampling(body: Json, include: tuple[str, ...]) -> Sampling:
    return Sampling(
        temperature=reading.number(body, "temperature"),
        top_p=reading.number(body, "top_p"),
        logprobs=True if INCLUDE_LOGPROBS in include else None,
        top_logprobs=reading.integer(body, "top_logprobs"),
    )


def _text(body: Json) -> tuple[ResponseFormat | None, str, list[Extra]]:
    text = reading.mapping(body, "text") or {}
    return _format(text), reading.text(text, "verbosity", "text"), _rest(text, "text", {"format", "verbosity"})


_FORMATS = ("text", "json_object", "json_schema")


def _format(text: Json) -> ResponseFormat | None:
    given = reading.mapping(text, "format", "text")
    if given is None:
        return None
    path = "text.format"
    kind = reading.one_of(given, "type", _FORMATS, path)
    if kind != "json_schema":
        return ResponseFormat("json" if kind == "json_object" else "text")
    return ResponseFormat(
        "schema",
        reading.text(given, "name", path),
        reading.mapping(given, "schema", path),
        reading.boolean(given, "strict", path),
        reading.text(given, "description", path),
    )


def _reasoning(body: Json) -> tuple[Reasoning | None, list[Extra]]:
    given = reading.mapping(body, "reasoning")
    if given is None:
        return None, []
    effort = reading.one_of(given, "effort", EFFORTS, "reasoning")
    summary = reading.text(given, "summary", "reasoning") or reading.text(given, "generate_summary", "reasoning")
    rest = _rest(given, "reasoning", {"effort", "summary", "generate_summary"})
    return Reasoning(effort, shown=True if summary else None, summary=summary), rest


def _rest(obj: Json, path: str, known: set[str]) -> list[Extra]:
    """What else stands in an object, under dotted names."""
    return [
        Extra(DIALECT, f"{path}.{name}", value)
        for name, value in obj.items()
        if name not in known and value is not None
    ]


def _metadata(body: Json) -> dict[str, str]:
    metadata = reading.mapping(body, "metadata") or {}
    return {name: reading.text(metadata, name, "metadata") for name in metadata}


def _include_extra(include: tuple[str, ...]) -> list[Extra]:
    rest = [word for word in include if word not in (INCLUDE_THOUGHTS, INCLUDE_LOGPROBS)]
    return [Extra(DIALECT, "include", rest)] if rest else []


def _other_fields(body: Json, losses: Losses) -> list[Extra]:
    extras: list[Extra] = []
    for name, value in body.items():
        if name in _READ or value is None or _says_default(name, value):
            continue
        why = _STORED.get(name)
        if why:
            losses.content(name, name, why)
        extras.append(Extra(DIALECT, name, value, content=why is not None))
    return extras


def _says_default(name: str, value: Any) -> bool:
    return name in _DEFAULTS and value == _DEFAULTS[name] and type(value) is type(_DEFAULTS[name])
