"""A whole answer of Responses as the stream that it would have been.

Field for field, those too that nobody here knows: the last event repeats the answer as it is. What has pieces comes in
one each; items of other kinds come whole.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from typing import Any

from gateway.dialects.dialect import MalformedAnswerError
from gateway.dialects.names import Json
from gateway.dialects.openai_responses.stream_items import Output

_NOT_YET: Json = {
    "status": "in_progress", "output": [], "usage": None, "incomplete_details": None, "completed_at": None,
}  # fmt: skip
"""What an answer says of its end while it is made."""

_ARGUMENTS = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "mcp_call": ("arguments", "response.mcp_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
    "code_interpreter_call": ("code", "response.code_interpreter_call_code"),
}
"""Items with one text: its field, and what its events are called."""

_TEXTS = {
    "output_text": ("text", "response.output_text"),
    "refusal": ("refusal", "response.refusal"),
    "reasoning_text": ("text", "response.reasoning_text"),
    "summary_text": ("text", "response.reasoning_summary_text"),
}
"""The same of pieces of an item's `content` or `summary`."""


def stream_response(answer: object) -> bytes:
    """Raises MalformedAnswerError."""
    items = answer.get("output") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or not isinstance(items, list):
        raise MalformedAnswerError("it has no output")
    if not all(isinstance(item, dict) for item in items):
        raise MalformedAnswerError("an item is no object")
    out = Output()
    begun = {**answer, **{name: value for name, value in _NOT_YET.items() if name in answer or name == "output"}}
    out.emit("response.created", response=begun)
    out.emit("response.in_progress", response=begun)
    for item in items:
        _say(out, item)
    status = answer.get("status")
    out.emit(f"response.{status if isinstance(status, str) else 'completed'}", response=answer)
    return out.take()


def _say(out: Output, item: Json) -> None:
    opening = {**item, "status": "in_progress"} if "status" in item else dict(item)
    field, kind = _ARGUMENTS.get(str(item.get("type")), ("", ""))
    pieces = [name for name in ("summary", "content") if isinstance(item.get(name), list)]
    whole = item.get(field)
    if isinstance(whole, str):
        out.begin({**opening, field: ""})
        _emit(out, item, f"{kind}.delta", delta=whole)
        _emit(out, item, f"{kind}.done", **{field: whole})
    elif item.get("type") in ("message", "reasoning"):
        out.begin({**opening, **{name: [] for name in pieces}})
        for name in pieces:
            for place, piece in enumerate(item[name]):
                if isinstance(piece, dict):
                    _say_piece(out, item, name, place, piece)
    else:
        out.begin(opening)
    out.end(item)


def _say_piece(out: Output, item: Json, holder: str, place: int, piece: Json) -> None:
    """A text of a message, of thoughts, or of their summary; what is no text comes whole."""
    field, kind = _TEXTS.get(str(piece.get("type")), ("", ""))
    at = {"summary_index" if holder == "summary" else "content_index": place}
    part = "response.reasoning_summary_part" if holder == "summary" else "response.content_part"
    text, opening = piece.get(field), dict(piece)
    if isinstance(text, str):
        opening[field] = ""
        opening.update((name, []) for name in ("annotations", "logprobs") if isinstance(piece.get(name), list))
    _emit(out, item, f"{part}.added", **at, part=opening)
    if isinstance(text, str):
        probable = {"logprobs": piece.get("logprobs") or []} if kind == "response.output_text" else {}
        _emit(out, item, f"{kind}.delta", **at, delta=text, **probable)
        for number, annotation in enumerate(piece.get("annotations") or []):
            said = {"annotation_index": number, "annotation": annotation}
            _emit(out, item, "response.output_text.annotation.added", **at, **said)
        _emit(out, item, f"{kind}.done", **at, **{field: text}, **probable)
    _emit(out, item, f"{part}.done", **at, part=piece)


def _emit(out: Output, item: Json, kind: str, **fields: Any) -> None:
    """An event about an item that is not done; some servers give theirs no ids."""
    out.emit(kind, item_id=item.get("id") or "", output_index=len(out.items), **fields)
