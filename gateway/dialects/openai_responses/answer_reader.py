"""A provider's answer: a `response` object.

Its output items are the parts of the one choice. Items of tools that the provider has run itself are Opaque: nobody
else may take them for calls. A response that failed, was cancelled or goes on in the background is no answer.

Source: https://platform.openai.com/docs/api-reference/responses/object, the SDK's `types/responses/response.py`
"""

from __future__ import annotations

from typing import Any

from gateway.dialects.conversation import (
    Answer,
    Choice,
    Ending,
    Finish,
    Opaque,
    Part,
    Refusal,
    Signature,
    Text,
    Thinking,
    ToolCall,
)
from gateway.dialects.dialect import MalformedAnswerError, Plan
from gateway.dialects.names import Json
from gateway.dialects.openai_chat.answer_reader import NAMELESS
from gateway.dialects.openai_responses import DIALECT
from gateway.dialects.openai_responses.content import read_citation
from gateway.dialects.openai_responses.items import read_generated_image, read_thoughts
from gateway.dialects.openai_responses.usage import read_usage


def read_answer(body: object, plan: Plan) -> Answer:
    if not isinstance(body, dict) or not isinstance(body.get("output"), list):
        raise MalformedAnswerError("the answer is no response object with an output")
    status = body.get("status", "completed")
    if status not in ("completed", "incomplete"):
        raise MalformedAnswerError("the response is neither completed nor incomplete")
    items = [item for item in body["output"] if isinstance(item, dict)]
    parts = tuple(part for item in items for part in read_item(item, plan))
    choice = Choice(parts, read_ending(body, parts), _logprobs(items))
    begin = read_head(body)
    return Answer(begin["id"], begin["model"], (choice,), read_usage(body), begin["created"], begin["service_tier"])


def read_head(response: Json) -> dict[str, Any]:
    """`id`, `model`, `created` and `service_tier` of a response object. Never raises."""
    created = response.get("created_at")
    return {
        "id": _text(response, "id"),
        "model": _text(response, "model"),
        "created": int(created) if isinstance(created, int | float) and 0 <= created < 1 << 53 else 0,
        "service_tier": _text(response, "service_tier"),
    }


_INCOMPLETE = {
    "max_output_tokens": Finish.LENGTH,
    "max_messages": Finish.LENGTH,
    "content_filter": Finish.CONTENT_FILTER,
    "steered": Finish.PAUSE,
}


def read_ending(response: Json, parts: tuple[Part, ...]) -> Ending:
    """Why a response that did not fail ended. `parts` are those of its output."""
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = _text(details, "reason") if isinstance(details, dict) else ""
        return Ending(_INCOMPLETE.get(reason, Finish.LENGTH), reason or "incomplete")
    if any(isinstance(part, ToolCall) for part in parts):
        finish = Finish.TOOL_CALLS
    elif any(isinstance(part, Refusal) for part in parts):
        finish = Finish.REFUSAL
    else:
        finish = Finish.STOP
    return Ending(finish, "completed")


def read_item(item: Json, plan: Plan) -> list[Part]:
    """The parts that an item of the output is. Never raises; what is malformed is left out."""
    kind = item.get("type")
    if kind == "message":
        return _read_message(item)
    if kind == "reasoning":
        return _read_reasoning(item, plan)
    if kind in ("function_call", "custom_tool_call"):
        return [read_call(item, plan)]
    if kind == "image_generation_call" and isinstance(item.get("result"), str):
        return [read_generated_image(item)]
    return [Opaque(DIALECT, item)]


def _read_message(item: Json) -> list[Part]:
    parts: list[Part] = []
    for content in _objects(item.get("content")):
        part = read_output_part(content)
        if part is not None:
            parts.append(part)
    return parts


def read_output_part(content: Json) -> Text | Refusal | None:
    """A piece of a message's content; None for what is none."""
    if content.get("type") == "refusal":
        return Refusal(_text(content, "refusal"))
    if content.get("type") not in ("output_text", "text"):
        return None
    annotations = _objects(content.get("annotations"))
    citations = tuple(read_citation(each) for each in annotations if each.get("type") == "url_citation")
    return Text(_text(content, "text"), citations=citations)


def _read_reasoning(item: Json, plan: Plan) -> list[Part]:
    thoughts, signature = read_thoughts(item), read_item_signature(item, plan)
    return [Thinking(thoughts or "", signature)] if thoughts or signature is not None else []


def read_item_signature(item: Json, plan: Plan) -> Signature | None:
    """What a reasoning item carries for the next turn."""
    encrypted = _text(item, "encrypted_content")
    return Signature(encrypted, DIALECT, plan.provider) if encrypted else None


def read_call(item: Json, plan: Plan) -> ToolCall:
    """A call with its arguments. One without `call_id` is known by its item. Raises MalformedAnswerError for a call of
    nobody knows what."""
    name = _text(item, "name")
    if not name:
        raise MalformedAnswerError(NAMELESS)
    call_id = _text(item, "call_id") or _text(item, "id")
    name = plan.names.get(name, name)
    if item.get("type") == "custom_tool_call":
        return ToolCall(call_id, name, _text(item, "input"), custom=True)
    return ToolCall(call_id, name, _text(item, "arguments") or "{}")


def _logprobs(items: list[Json]) -> Json | None:
    """Those of all texts, in the form of Chat Completions."""
    said: list[Any] = []
    for item in items:
        if item.get("type") == "message":
            for content in _objects(item.get("content")):
                logprobs = content.get("logprobs")
                said += logprobs if isinstance(logprobs, list) else []
    return {"content": said} if said else None


def _objects(value: object) -> list[Json]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(obj: Json, name: str) -> str:
    value = obj.get(name)
    return value if isinstance(value, str) else ""
