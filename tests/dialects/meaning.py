"""What a request or an answer means, apart from how one dialect says it; and what a translation has kept of it.

Left out is what translation may change without losing anything: ids of calls, where one text ends and the next begins,
whether an instruction is the system's or the developer's, what was not said and has a default.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import Any

from gateway import jsonlib
from gateway.dialects.conversation import (
    Answer,
    Audio,
    Document,
    Finish,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    Request,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from gateway.dialects.deltas import Delta
from gateway.dialects.dialect import Plan
from gateway.dialects.failure import Failure
from gateway.dialects.json_schema import for_gemini
from gateway.dialects.losses import Losses
from gateway.dialects.whole import Collector

Said = tuple[str, Any]
"""A path in the neutral request, and what it says there."""


def arguments_of(call: ToolCall) -> Any:
    """What a tool is given. Where a dialect has only objects, a free text is the member `input` of one, and what is no
    object stands in the member that Anthropic's documentation names for it."""
    if call.custom:
        return call.arguments
    try:
        arguments = jsonlib.loads(call.arguments or "{}")
    except ValueError:
        return call.arguments
    if isinstance(arguments, dict) and len(arguments) == 1:
        arguments = arguments.get("input", arguments)
    if isinstance(arguments, dict) and len(arguments) == 1:
        arguments = arguments.get("INVALID_JSON", arguments)
    return arguments if isinstance(arguments, dict | str) else jsonlib.dumps(arguments).decode()


class _Calls:
    """Tool calls by their place in the conversation, since ids may change."""

    def __init__(self, messages: tuple[Message, ...]) -> None:
        calls = [part for message in messages for part in message.parts if isinstance(part, ToolCall)]
        self._places: dict[str, list[int]] = {}
        for place, call in enumerate(calls):
            self._places.setdefault(call.id, []).append(place)

    def place(self, call_id: str) -> int | None:
        return next(iter(self._places.get(call_id, [])), None)


def _parts(messages: tuple[Message, ...]) -> Iterator[tuple[str, Part]]:
    for number, message in enumerate(messages):
        for place, part in enumerate(message.parts):
            yield f"messages.{number}.parts.{place}", part


def _media(parts: tuple[Part, ...]) -> Iterator[str]:
    """Data, addresses and names of all media, those in results too."""
    for part in parts:
        if isinstance(part, ToolResult):
            yield from _media(part.parts)
        elif isinstance(part, Image | Document | Audio):
            yield _data(part.source)


def _data(source: Source) -> str:
    """Plain text stays comparable where a dialect has files in base64 alone."""
    if source.kind == "base64" and source.media_type.startswith("text/"):
        return base64.b64decode(source.value).decode("utf-8", "replace").strip()
    return source.value.strip()


def _essence(part: Part, calls: _Calls, plan: Plan) -> Any:
    """Calls and results in a form that two translations of them share; `plan` says what has to be undone."""
    match part:
        case ToolCall():
            return "call", plan.names.get(part.name, part.name), repr(arguments_of(part))
        case ToolResult():
            return "result", calls.place(part.call_id)
        case Opaque():
            return "opaque", repr(part.value)
    return None


def _texts(part: Part) -> list[str]:
    if isinstance(part, ToolResult):
        return [text for each in part.parts for text in _texts(each)]
    if isinstance(part, Text | Refusal | Thinking):
        return [part.text.strip()] if part.text.strip() else []
    return [_data(part.source)] if isinstance(part, Document) and part.source.kind == "text" else []


def _lost_parts(before: Request, after: Request, plan: Plan) -> Iterator[str]:
    parts = list(_parts(after.messages))
    calls = _Calls(after.messages)
    essences = [_essence(part, calls, plan) for _, part in parts]
    media = [each for _, part in parts for each in _media((part,))]
    opaque = [repr(part.value) for _, part in parts if isinstance(part, Opaque)]
    said = "\n".join([text for _, part in parts for text in _texts(part)] + media + opaque)
    calls = _Calls(before.messages)
    for path, part in _parts(before.messages):
        essence = _essence(part, calls, Plan())
        kept = essence is None or essence in essences
        if essence in essences:
            essences.remove(essence)
        if not kept or not all(text in said for text in _texts(part)):
            yield path
            continue
        inner = part.parts if isinstance(part, ToolResult) else ()
        for place, each in [(path, part)] if not inner else [(f"{path}.parts.{n}", p) for n, p in enumerate(inner)]:
            if not all(value in media or value in said for value in _media((each,))):
                yield place


# --- fields -----------------------------------------------------------------------------------------------------------


def _schema(schema: Any) -> Any:
    """A schema in the form that all dialects can say."""
    return None if schema is None else for_gemini(_lower(schema))[0]


def _lower(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_lower(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    lowered = {name: _lower(value) for name, value in schema.items()}
    return {**lowered, "type": kind.lower()} if isinstance(kind, str) else lowered


_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "parallel_tool_calls": (True,),
    "store": (False,),
    "service_tier": ("auto", "default"),
    "sampling.temperature": (1, 1.0),
    "sampling.top_p": (1, 1.0),
    "sampling.presence_penalty": (0, 0.0),
    "sampling.frequency_penalty": (0, 0.0),
    "sampling.logprobs": (False,),
    "sampling.top_logprobs": (0,),
    "verbosity": ("medium",),
}
"""To say these is to say nothing: each dialect that has the field does so by itself."""


def _fields(request: Request, plan: Plan) -> Iterator[Said]:
    """What is said beside the messages."""
    choice = request.tool_choice
    mode = choice.mode if choice is not None else "auto"
    for number, tool in enumerate(request.tools if mode != "none" else ()):
        name = plan.names.get(tool.name, tool.name) if isinstance(tool, Tool) else ""
        if isinstance(tool, Opaque):
            yield f"tools.{number}", repr(tool.value)
        elif tool.custom or tool.name in plan.custom:
            yield f"tools.{number}", name
        else:
            yield f"tools.{number}", (name, _schema(tool.parameters) or {"type": "object"})
    if request.tools and mode == "required":
        yield "tool_choice", mode
    if request.tools and mode != "none":
        yield "parallel_tool_calls", request.parallel_tool_calls
    form = request.response_format
    if form is not None and form.kind != "text":
        yield "response_format", (form.kind, _schema(form.schema))
    for name in request.sampling.__slots__:
        yield f"sampling.{name}", getattr(request.sampling, name)
    reasoning = request.reasoning
    if reasoning is not None and (reasoning.budget or reasoning.effort not in ("", "none")):
        yield "reasoning", True  # how much, in tokens or in words, is for the golden cases
    yield "user", request.user if len(request.user) <= 64 else "long"  # OpenAI takes 64 characters, or their hash
    for name in (
        "max_tokens", "stop", "n", "verbosity", "safety_identifier", "metadata",
        "service_tier", "store", "cache_key", "cache_retention",
    ):  # fmt: skip
        yield name, getattr(request, name)
    for extra in request.extra:
        yield extra.name, repr(extra.value)


def _said(request: Request, plan: Plan) -> dict[str, Any]:
    return {
        path: value
        for path, value in _fields(request, plan)
        if value not in (None, "", (), {}) and value not in _DEFAULTS.get(path, ())
    }


def _told(path: str, losses: Losses) -> bool:
    return any(
        loss.path == path or loss.path.startswith(f"{path}.") or path.startswith(f"{loss.path}.")
        for loss in losses.entries
    )


def lost_in_silence(before: Request, after: Request, plan: Plan, losses: Losses) -> list[str]:
    """Paths of `before` that `after` does not say, although no loss is noted for them. `plan` is how `after` came to
    be."""
    kept = _said(after, plan)
    if plan.forced_tool:
        kept["response_format"] = ("json", None)  # a schema is not kept: the model is not held to it
    tools = [value for path, value in kept.items() if path.startswith("tools.")]
    missing = [
        path
        for path, value in _said(before, Plan()).items()
        if (value not in tools if path.startswith("tools.") else kept.get(path) != value and value != "long")
    ]
    return [path for path in [*_lost_parts(before, after, plan), *missing] if not _told(path, losses)]


# --- answers ----------------------------------------------------------------------------------------------------------

_ENDINGS = {
    Finish.STOP_SEQUENCE: Finish.STOP,  # half of the dialects have one word for both
    Finish.REFUSAL: Finish.CONTENT_FILTER,
}


def answer_meaning(answer: Answer) -> list[dict[str, Any]]:
    """What each choice says, why it ended, and what it cost."""
    return [
        {
            "text": "".join(part.text for part in choice.parts if isinstance(part, Text | Refusal)),
            "thinking": "".join(part.text for part in choice.parts if isinstance(part, Thinking)),
            "calls": [(part.name, arguments_of(part)) for part in choice.parts if isinstance(part, ToolCall)],
            "images": [part.source.value for part in choice.parts if isinstance(part, Image)],
            "citations": _addresses(choice.parts),
            "ending": _ENDINGS.get(choice.ending.finish, choice.ending.finish),
            "tokens": None if answer.usage is None else (answer.usage.input or None, answer.usage.output or None),
        }
        for choice in answer.choices
    ]


def _addresses(parts: Iterable[Part]) -> list[str]:
    """What a text rests on, where it has an address."""
    texts = [part for part in parts if isinstance(part, Text)]
    return sorted({citation.url for text in texts for citation in text.citations if citation.url})


def stream_meaning(deltas: Iterable[Delta]) -> list[dict[str, Any]] | Failure:
    """The same of a stream; the failure of one that broke."""
    collector = Collector()
    collector.feed(deltas)
    return collector.failure or answer_meaning(collector.answer)
