"""A Chat Completions request, as a client sends it.

What other servers of the dialect know is read where it means the same: `top_k`, `reasoning` (OpenRouter), `thinking`
(DeepSeek, Moonshot, Z.ai), flat tools, schemas beside `json_object` (Together). Every other field stays `Extra`.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.dialects import reading
from gateway.dialects.conversation import (
    EFFORTS,
    Extra,
    Opaque,
    Reasoning,
    Request,
    ResponseFormat,
    Sampling,
    Tool,
    ToolChoice,
)
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.dialects.openai_chat import DIALECT
from gateway.dialects.openai_chat.content_reader import note_unknown, read_cache
from gateway.dialects.openai_chat.message_reader import read_messages

_READ = frozenset({
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p",
    "top_k", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "stop", "n",
    "tools", "tool_choice", "functions", "function_call", "parallel_tool_calls", "response_format", "reasoning_effort",
    "reasoning", "thinking", "verbosity", "user", "safety_identifier", "metadata", "service_tier", "store",
    "prompt_cache_key", "prompt_cache_retention",
})  # fmt: skip
"""Fields with a place of their own."""

CONTENT_FIELDS = frozenset({
    "audio", "modalities", "web_search_options", "plugins", "search_parameters", "grammar", "json_schema",
    "guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs", "response_format",
})  # fmt: skip
"""Further fields without which the answer would be to another question: other kinds of output, searches, forms."""


def read_request(body: Json, losses: Losses, *, model: str = "", stream: bool = False) -> Request:
    """What the client asks. `stream`: it asked by the path. Raises RequestError 400."""
    if not isinstance(body, dict):
        reading.refuse("", "The body must be a JSON object.")
    legacy = bool(body.get("functions"))
    reasoning, more = _read_reasoning(body)
    response_format, form = _read_format(body, losses)
    metadata, pairs = _read_metadata(body)
    options = reading.mapping(body, "stream_options") or {}
    limit = reading.integer(body, "max_completion_tokens")
    return Request(
        DIALECT,
        reading.text(body, "model") or model,
        read_messages(body, losses),
        _read_tools(body, losses),
        _read_choice(body),
        False if legacy else reading.boolean(body, "parallel_tool_calls"),
        response_format,
        _read_sampling(body),
        reading.integer(body, "max_tokens") if limit is None else limit,
        reading.texts(body, "stop"),
        reading.integer(body, "n"),
        reasoning,
        reading.text(body, "verbosity"),
        reading.text(body, "user"),
        reading.text(body, "safety_identifier"),
        metadata,
        reading.text(body, "service_tier"),
        reading.boolean(body, "store"),
        reading.text(body, "prompt_cache_key"),
        reading.text(body, "prompt_cache_retention"),
        stream or bool(reading.boolean(body, "stream")),
        reading.boolean(options, "include_usage", "stream_options") is True,
        legacy,
        (*more, *form, *pairs, *_read_extra(body, options)),
    )


def _read_extra(body: Json, options: Json) -> tuple[Extra, ...]:
    """All that has no place: fields that are `null` say nothing."""
    rest = {name: value for name, value in options.items() if name != "include_usage" and value is not None}
    extra = [_extra("stream_options", rest)] if rest else []
    return (*extra, *(_extra(name, value) for name, value in body.items() if name not in _READ and value is not None))


def _extra(name: str, value: Any) -> Extra:
    content = name in CONTENT_FIELDS and value not in (["text"], False, {}, [])
    return Extra(DIALECT, name, value, content or name == "web_search_options")


def _read_sampling(body: Json) -> Sampling:
    bias = reading.mapping(body, "logit_bias")
    return Sampling(
        reading.number(body, "temperature"),
        reading.number(body, "top_p"),
        reading.integer(body, "top_k"),
        reading.integer(body, "seed"),
        reading.number(body, "presence_penalty"),
        reading.number(body, "frequency_penalty"),
        None if bias is None else {token: reading.number(bias, token, "logit_bias") or 0 for token in bias},
        reading.boolean(body, "logprobs"),
        reading.integer(body, "top_logprobs"),
    )


def _read_metadata(body: Json) -> tuple[Mapping[str, str], tuple[Extra, ...]]:
    """OpenAI's pairs of texts. Other gateways put anything there, which stays as it is."""
    metadata = reading.mapping(body, "metadata") or {}
    if all(isinstance(value, str) for value in metadata.values()):
        return metadata, ()
    return {}, (_extra("metadata", metadata),)


# --- tools -----------------------------------------------------------------------------------------------------------


def _read_tools(body: Json, losses: Losses) -> tuple[Tool | Opaque, ...]:
    tools = [_read_tool(tool, path, losses) for path, tool in reading.objects(body, "tools")]
    return (*tools, *(_read_function(tool, path, losses) for path, tool in reading.objects(body, "functions")))


def _read_tool(tool: Json, path: str, losses: Losses) -> Tool | Opaque:
    kind = reading.text(tool, "type", path, "function")
    if kind == "function":
        note_unknown(tool, ("type", "function", "cache_control", *(tool if "name" in tool else ())), path, losses)
        flat = tool.get("function") is None and "name" in tool  # as the Responses API has it
        function = tool if flat else reading.mapping(tool, "function", path) or {}
        read = _read_function(function, path if flat else f"{path}.function", losses)
        return replace(read, cache=read_cache(tool, path, losses), where=path)
    custom = reading.mapping(tool, "custom", path)
    if kind != "custom" or custom is None:
        return Opaque(DIALECT, tool, where=path)
    here = f"{path}.custom"
    return Tool(
        reading.required_text(custom, "name", here),
        reading.text(custom, "description", here),
        custom=True,
        grammar=reading.mapping(custom, "format", here),
        cache=read_cache(tool, path, losses),
        where=path,
    )


def _read_function(function: Json, path: str, losses: Losses) -> Tool:
    known = ("type", "name", "description", "parameters", "strict", "cache_control")
    note_unknown(function, known, path, losses)
    return Tool(
        reading.required_text(function, "name", path),
        reading.text(function, "description", path),
        reading.mapping(function, "parameters", path),
        reading.boolean(function, "strict", path),
        where=path,
    )


_MODES: Mapping[str, ToolChoice] = {
    "auto": ToolChoice("auto"),
    "none": ToolChoice("none"),
    "required": ToolChoice("required"),
    "any": ToolChoice("required"),  # Mistral
}


def _read_choice(body: Json) -> ToolChoice | None:
    """`tool_choice`, or `function_call` of 2023."""
    field = "tool_choice" if body.get("tool_choice") is not None else "function_call"
    choice = body.get(field)
    if choice is None:
        return None
    if isinstance(choice, str) and choice in _MODES:
        return _MODES[choice]
    if not isinstance(choice, dict):
        reading.refuse(field, f"must be one of {', '.join(_MODES)}, or an object.")
    kind = reading.text(choice, "type", field, "function")
    if kind in _MODES:
        return _MODES[kind]
    if kind == "allowed_tools":
        return _read_allowed(choice)
    named = reading.mapping(choice, kind, field)  # {"type": "function", "function": {"name"}}
    if named is not None:
        return ToolChoice("required", (reading.required_text(named, "name", f"{field}.{kind}"),))
    return ToolChoice("required", (reading.required_text(choice, "name", field),))


def _read_allowed(choice: Json) -> ToolChoice:
    path = "tool_choice.allowed_tools"
    allowed = reading.mapping(choice, "allowed_tools", "tool_choice") or {}
    mode = _MODES[reading.one_of(allowed, "mode", ("auto", "required"), path) or "auto"].mode
    names = []
    for here, tool in reading.objects(allowed, "tools", path):
        kind = reading.text(tool, "type", here, "function")
        names.append(reading.required_text(reading.mapping(tool, kind, here) or tool, "name", here))
    return ToolChoice(mode, tuple(names))


# --- forms and thoughts ----------------------------------------------------------------------------------------------


def _read_format(body: Json, losses: Losses) -> tuple[ResponseFormat | None, tuple[Extra, ...]]:
    form = reading.mapping(body, "response_format")
    if form is None:
        return None, ()
    path = "response_format"
    kind = reading.required_text(form, "type", path)
    if kind == "text":
        return ResponseFormat("text"), ()
    if kind == "json_object":
        schema = reading.mapping(form, "schema", path)
        return (ResponseFormat("schema", schema=schema) if schema else ResponseFormat("json")), ()
    if kind != "json_schema":
        return None, (_extra(path, form),)
    path = "response_format.json_schema"
    inner = reading.mapping(form, "json_schema", "response_format") or {}
    note_unknown(inner, ("name", "schema", "strict", "description"), path, losses)
    return ResponseFormat(
        "schema",
        reading.text(inner, "name", path),
        reading.mapping(inner, "schema", path),
        reading.boolean(inner, "strict", path),
        reading.text(inner, "description", path),
    ), ()


def _read_reasoning(body: Json) -> tuple[Reasoning | None, tuple[Extra, ...]]:
    """Three fields, of which `reasoning_effort` says most. What does not fit stays as it is."""
    extra: list[Extra] = []
    reasoning = Reasoning()
    for name, read in (("thinking", _read_switch), ("reasoning", _read_object), ("reasoning_effort", _read_effort)):
        value = body.get(name)
        if value is None:
            continue
        found = read(reasoning, value)
        if found is None:
            extra.append(_extra(name, value))
        else:
            reasoning = found
    return (None if reasoning == Reasoning() else reasoning), tuple(extra)


def _read_switch(reasoning: Reasoning, value: Any) -> Reasoning | None:
    """`{"type": "enabled" | "disabled" | "adaptive" | "auto", "budget_tokens"}`."""
    if not isinstance(value, dict) or value.keys() - {"type", "budget_tokens"}:
        return None
    budget = value.get("budget_tokens")
    if value.get("type") == "disabled":
        return replace(reasoning, effort="none")
    if value.get("type") not in ("enabled", "adaptive", "auto") or not (budget is None or type(budget) is int):
        return None
    return replace(reasoning, budget=budget, adaptive=budget is None)


def _read_object(reasoning: Reasoning, value: Any) -> Reasoning | None:
    """`{"effort", "max_tokens", "enabled", "exclude"}`."""
    if not isinstance(value, dict) or value.keys() - {"effort", "max_tokens", "enabled", "exclude"}:
        return None
    effort, budget, enabled, exclude = map(value.get, ("effort", "max_tokens", "enabled", "exclude"))
    if effort not in (None, *EFFORTS) or not (budget is None or type(budget) is int):
        return None
    if effort is None and enabled is False:
        effort = "none"
    return replace(
        reasoning,
        effort=effort or reasoning.effort,
        budget=reasoning.budget if budget is None else budget,
        adaptive=reasoning.adaptive or (enabled is True and effort is None and budget is None),
        shown=(not exclude) if isinstance(exclude, bool) else reasoning.shown,
    )


def _read_effort(reasoning: Reasoning, value: Any) -> Reasoning | None:
    """One of EFFORTS; other words are a server's own ("default", Groq)."""
    return replace(reasoning, effort=value) if isinstance(value, str) and value in EFFORTS else None
