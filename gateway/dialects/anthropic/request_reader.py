"""A client's Messages request as a neutral one.

What no other dialect knows becomes `Extra`: a field as it came, or (for `thinking`, `output_config` and `metadata`) the
rest of an object whose known fields were taken out; the writer puts the rest back into it. `max_tokens` may be missing,
which Anthropic would refuse: a request to count tokens has none, and other providers need none.
Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from typing import Any, Literal

from gateway.dialects import reading
from gateway.dialects.anthropic.block_reader import DIALECT, note_unknown, read_cache, read_content
from gateway.dialects.conversation import (
    EFFORTS,
    Extra,
    Message,
    Opaque,
    Reasoning,
    Request,
    ResponseFormat,
    Role,
    Sampling,
    Tool,
    ToolChoice,
)
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json

_KNOWN = frozenset({
    "model", "messages", "system", "max_tokens", "stop_sequences", "stream", "temperature", "top_p", "top_k", "tools",
    "tool_choice", "thinking", "output_config", "output_format", "metadata", "service_tier",
})  # fmt: skip

_CONTENT = frozenset({"mcp_servers", "container", "inference_geo", "fallbacks"})
"""Fields whose loss the client must hear of: tools and files it counts on, a place it may not leave."""

_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}
_CHOICES: dict[str, Literal["auto", "required", "none"]] = {
    "auto": "auto", "any": "required", "tool": "required", "none": "none"
}  # fmt: skip
_TIERS = {"standard_only": "default"}
_SHOWN = {"summarized": True, "omitted": False}


def read_request(body: Json, losses: Losses, *, model: str = "", stream: bool = False) -> Request:
    """Raises RequestError 400 with `param` for what is structurally wrong."""
    choice, parallel = _tool_choice(body)
    reasoning, rest = _reasoning(body)
    metadata = reading.mapping(body, "metadata") or {}
    tier = reading.text(body, "service_tier")
    return Request(
        dialect="anthropic",
        model=model or reading.required_text(body, "model"),
        messages=_messages(body, losses),
        tools=tuple(_tool(tool, path, losses) for path, tool in reading.objects(body, "tools")),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        response_format=_response_format(body),
        sampling=Sampling(
            temperature=reading.number(body, "temperature"),
            top_p=reading.number(body, "top_p"),
            top_k=reading.integer(body, "top_k"),
        ),
        max_tokens=reading.integer(body, "max_tokens"),
        stop=reading.texts(body, "stop_sequences"),
        reasoning=reasoning,
        user=reading.text(metadata, "user_id", "metadata"),
        service_tier=_TIERS.get(tier, tier),
        stream=bool(reading.boolean(body, "stream")) or stream,
        extra=(*rest, *_rest("metadata", metadata, {"user_id"}), *_extra(body)),
    )


def _messages(body: Json, losses: Losses) -> tuple[Message, ...]:
    """All messages, the system prompt first. A system message in a later place (newer models take them) stays there."""
    messages: list[Message] = []
    if body.get("system") is not None:
        messages.append(Message("system", read_content(body, "", losses, name="system"), where="system"))
    for path, message in reading.objects(body, "messages"):
        role = reading.one_of(message, "role", _ROLES, path)
        note_unknown(message, frozenset({"role", "content"}), path, losses)
        if not role:
            reading.refuse(f"{path}.role", "is missing.")
        if message.get("content") is None:
            reading.refuse(f"{path}.content", "is missing.")
        messages.append(Message(_ROLES[role], read_content(message, path, losses), where=path))
    if not body.get("messages"):
        reading.refuse("messages", "must have at least one message.")
    return tuple(messages)


def _tool(tool: Json, path: str, losses: Losses) -> Tool | Opaque:
    """A tool with a type of its own is one that Anthropic defines or runs."""
    if reading.text(tool, "type", path) not in ("", "custom"):
        return Opaque(DIALECT, tool, where=path)
    known = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control"})
    note_unknown(tool, known, path, losses)
    return Tool(
        reading.required_text(tool, "name", path),
        reading.text(tool, "description", path),
        reading.mapping(tool, "input_schema", path),
        reading.boolean(tool, "strict", path),
        cache=read_cache(tool, path),
        where=path,
    )


def _tool_choice(body: Json) -> tuple[ToolChoice | None, bool | None]:
    """Which tools may be called, and whether several at once."""
    choice = reading.mapping(body, "tool_choice")
    if choice is None:
        return None, None
    kind = reading.one_of(choice, "type", _CHOICES, "tool_choice")
    if not kind:
        reading.refuse("tool_choice.type", "is missing.")
    only = (reading.required_text(choice, "name", "tool_choice"),) if kind == "tool" else ()
    one_at_a_time = reading.boolean(choice, "disable_parallel_tool_use", "tool_choice")
    return ToolChoice(_CHOICES[kind], only), None if one_at_a_time is None else not one_at_a_time


def _response_format(body: Json) -> ResponseFormat | None:
    """`output_config.format`, or `output_format`, its name before it was generally available."""
    holder = reading.mapping(body, "output_config") or {}
    path, wanted = "output_config.format", reading.mapping(holder, "format", "output_config")
    if wanted is None:
        path, wanted = "output_format", reading.mapping(body, "output_format")
    if wanted is None:
        return None
    reading.one_of(wanted, "type", ("json_schema",), path)
    schema = reading.mapping(wanted, "schema", path)
    if schema is None:
        reading.refuse(f"{path}.schema", "is missing.")
    return ResponseFormat("schema", schema=schema)


def _reasoning(body: Json) -> tuple[Reasoning | None, tuple[Extra, ...]]:
    """How much to think: `thinking` and `output_config.effort`, and what else the two hold.

    A client that turns thinking off and still sets an effort (which then only bounds the answer) wants no thinking; the
    effort is Anthropic's alone.
    """
    thinking, config = reading.mapping(body, "thinking"), reading.mapping(body, "output_config") or {}
    effort = reading.text(config, "effort", "output_config")
    known = {"type", "budget_tokens"}
    taken = {"effort", "format"}
    if effort not in EFFORTS:
        effort = ""  # Anthropic's own, which its writer puts back
        taken.discard("effort")
    if thinking is None:
        return Reasoning(effort=effort) if effort else None, _rest("output_config", config, taken)
    kind = reading.required_text(thinking, "type", "thinking")
    shown = _SHOWN.get(reading.text(thinking, "display", "thinking"))
    if shown is not None:
        known.add("display")
    if kind == "enabled":
        budget = reading.integer(thinking, "budget_tokens", "thinking")
        reasoning = Reasoning(effort=effort, budget=budget, adaptive=budget is None, shown=shown)
    elif kind == "adaptive":
        reasoning = Reasoning(effort=effort, adaptive=True, shown=shown)
    else:
        reasoning = Reasoning(effort="none", shown=shown)
        taken.discard("effort")
        if kind != "disabled":
            known.discard("type")  # between_tools, which no other dialect knows
    return reasoning, (*_rest("thinking", thinking, known), *_rest("output_config", config, taken))


def _rest(name: str, obj: Json, known: set[str]) -> tuple[Extra, ...]:
    rest = {key: value for key, value in obj.items() if key not in known and value is not None}
    return (Extra(DIALECT, name, rest),) if rest else ()


def _extra(body: dict[str, Any]) -> list[Extra]:
    return [
        Extra(DIALECT, name, value, content=name in _CONTENT)
        for name, value in body.items()
        if name not in _KNOWN and value is not None
    ]
