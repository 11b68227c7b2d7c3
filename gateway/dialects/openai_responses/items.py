"""The items of a client's `input`, read as messages.

A turn of the model is several items: thoughts, messages, calls. They become one assistant's message, until something of
another role comes or a second message follows the first at once; the results that follow become one user's message.
Thoughts that only carry a call's signature (see `continuity.bind`) are no part: the next call with that id gets it.
Tools that stand among the items, as Codex has its own, are added to the request's. Ids of items are not kept: they name
what the provider has stored, and it takes every item without one. What only this API knows (calls of built-in tools,
references, compaction) is an Opaque part in its place.

Source: https://platform.openai.com/docs/api-reference/responses/create (input), the SDK's
`types/responses/response_input_item_param.py`
"""

from __future__ import annotations

from dataclasses import replace

from gateway.dialects import reading
from gateway.dialects.continuity import read_signature, split_id, unbind
from gateway.dialects.conversation import (
    Image,
    Message,
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Role,
    Signature,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.dialects.openai_responses import DIALECT
from gateway.dialects.openai_responses.content import is_content, note_unknown, read_content
from gateway.dialects.openai_responses.tools import Namespaces, read_tools

ROLES: tuple[Role, ...] = ("user", "assistant", "system", "developer")

_OF_CLIENT = frozenset({"item_reference", "mcp_approval_response", "compaction_trigger"})
"""Opaque items that the client makes, beside everything named `…_output`."""


class ItemReader:
    """Reads one request's items in order; `messages` grows, and `tools` by those that items add."""

    def __init__(self, namespaces: Namespaces, losses: Losses) -> None:
        self.messages: list[Message] = []
        self.tools: list[Tool | Opaque] = []
        self._namespaces = namespaces
        self._losses = losses
        self._signatures: dict[str, Signature] = {}  # by the ids of calls that are still to come

    def read(self, item: Json, path: str) -> None:
        """One item. Raises RequestError."""
        kind = reading.text(item, "type", path)
        if not kind:
            kind = "message" if "role" in item else "item_reference"
        if kind == "message":
            self._message(item, path)
        elif kind == "reasoning":
            self._add("assistant", self._reasoning(item, path), path)
        elif kind in ("function_call", "custom_tool_call"):
            self._add("assistant", self._call(item, path, custom=kind == "custom_tool_call"), path)
        elif kind in ("function_call_output", "custom_tool_call_output"):
            self._add("user", self._result(item, path, custom=kind == "custom_tool_call_output"), path)
        elif kind == "additional_tools":
            note_unknown(item, frozenset({"role", "tools"}), path, "item_field", self._losses)
            self.tools += read_tools(item, path, self._namespaces, self._losses)
        elif kind == "image_generation_call" and isinstance(item.get("result"), str):
            note_unknown(item, frozenset({"result", "output_format"}), path, "item_field", self._losses)
            self._add("assistant", read_generated_image(item), path)
        else:
            self._opaque(item, kind, path)

    def _add(self, role: Role, part: Part | None, path: str) -> None:
        """An item that is one part: to the last message, if it is of the same turn."""
        if part is None:
            return
        part = replace(part, where=path)
        last = self.messages[-1] if self.messages else None
        if last is not None and last.role == role and (role == "assistant" or all(map(_is_item, last.parts))):
            self.messages[-1] = Message(role, (*last.parts, part), where=last.where)
        else:
            self.messages.append(Message(role, (part,), where=path))

    def _message(self, item: Json, path: str) -> None:
        note_unknown(item, frozenset({"role", "content"}), path, "item_field", self._losses)
        role = reading.required_text(item, "role", path)
        if role not in ROLES:
            reading.refuse(reading.join(path, "role"), f"must be one of {', '.join(ROLES)}.")
        parts = read_content(item, "content", path, self._losses)
        if not parts:
            return
        last = self.messages[-1] if self.messages else None
        if last is not None and role == last.role == "assistant" and not isinstance(last.parts[-1], Text | Refusal):
            self.messages[-1] = Message("assistant", (*last.parts, *parts), where=last.where)
        else:
            self.messages.append(Message(role, parts, where=path))

    def _reasoning(self, item: Json, path: str) -> Part | None:
        note_unknown(item, _REASONING_FIELDS, path, "item_field", self._losses)
        thoughts = read_thoughts(item)
        encrypted = reading.text(item, "encrypted_content", path)
        if (bound := unbind(encrypted)) is not None:
            call_id, self._signatures[call_id] = bound
            return None
        signature = read_signature(encrypted, DIALECT) if encrypted else None
        if signature is not None and signature.dialect != DIALECT and thoughts is None:
            return RedactedThinking(signature)
        if thoughts or signature is not None:
            return Thinking(thoughts or "", signature)
        self._losses.hint(path, "stored_thoughts", "these thoughts are known to the provider alone that stored them.")
        return None

    def _call(self, item: Json, path: str, *, custom: bool) -> ToolCall:
        note_unknown(item, _CALL_FIELDS, path, "item_field", self._losses)
        call_id, signature = split_id(reading.required_text(item, "call_id", path))
        signature = self._signatures.pop(call_id, signature)
        name = reading.required_text(item, "name", path)
        flat = self._namespaces.flatten(reading.text(item, "namespace", path), name)
        if custom:
            return ToolCall(call_id, flat, reading.text(item, "input", path), custom=True, signature=signature)
        return ToolCall(call_id, flat, reading.text(item, "arguments", path) or "{}", signature=signature)

    def _result(self, item: Json, path: str, *, custom: bool) -> ToolResult:
        note_unknown(item, _RESULT_FIELDS, path, "item_field", self._losses)
        call_id, _ = split_id(reading.required_text(item, "call_id", path))
        parts = read_content(item, "output", path, self._losses)
        name = reading.text(item, "name", path)
        flat = self._namespaces.flatten(reading.text(item, "namespace", path), name) if name else ""
        return ToolResult(call_id, parts, name=flat, custom=custom)

    def _opaque(self, item: Json, kind: str, path: str) -> None:
        if kind == "item_reference":
            reading.required_text(item, "id", path)
        of_client = kind in _OF_CLIENT or kind.endswith("_output")
        self._add("user" if of_client else "assistant", Opaque(DIALECT, item), path)


_REASONING_FIELDS = frozenset({"summary", "content", "encrypted_content"})
_CALL_FIELDS = frozenset({"call_id", "name", "arguments", "input", "namespace"})
_RESULT_FIELDS = frozenset({"call_id", "output", "name", "namespace"})


def _is_item(part: Part) -> bool:
    return isinstance(part, ToolResult) or (isinstance(part, Opaque) and not is_content(part.value))


def read_thoughts(item: Json) -> str | None:
    """The text of a reasoning item: its summary, else the thoughts themselves; None where it has neither. Never raises.

    A summary in several pieces reads as paragraphs.
    """
    summary, content = _texts(item.get("summary")), _texts(item.get("content"))
    if summary:
        return PARAGRAPH.join(summary)
    return "".join(content) if content else None


PARAGRAPH = "\n\n"
"""Between the pieces of a summary, each of which begins with a heading of its own."""


def _texts(value: object) -> list[str]:
    if not isinstance(value, list):
        return []
    texts = (each.get("text") for each in value if isinstance(each, dict))
    return [text for text in texts if isinstance(text, str)]


def read_generated_image(item: Json) -> Image:
    """The image that an `image_generation_call` with a result made."""
    kind = item.get("output_format")
    return Image(Source("base64", item["result"], f"image/{kind if isinstance(kind, str) else 'png'}"))
