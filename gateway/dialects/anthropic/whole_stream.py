"""A whole answer of Messages as the stream that it would have been.

Field for field, those too that nobody here knows: who puts the events together has the answer. Text, thoughts and
arguments come in one piece each; blocks that have no pieces come whole when they begin.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from gateway import jsonlib
from gateway.dialects.anthropic.events import write_event
from gateway.dialects.dialect import MalformedAnswerError
from gateway.dialects.names import Json

_AT_END = ("stop_reason", "stop_sequence", "stop_details", "container")
"""Fields of the answer that `message_delta` tells, and in `message_start` are null."""

_BESIDE = "context_management"
"""The same, but beside the `delta`."""


def stream_message(answer: object) -> bytes:
    """Raises MalformedAnswerError."""
    content = answer.get("content") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or not isinstance(content, list):
        raise MalformedAnswerError("it has no content")
    if not all(isinstance(block, dict) for block in content):
        raise MalformedAnswerError("a block is no object")
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    told = {name: answer[name] for name in _AT_END if name in answer}
    beside = {_BESIDE: answer[_BESIDE]} if _BESIDE in answer else {}
    begun = {**answer, **dict.fromkeys((*told, *beside)), "content": [], "usage": {**usage, "output_tokens": 0}}
    events: list[Json] = [{"type": "message_start", "message": begun}]
    for index, block in enumerate(content):
        opening, deltas = _cut(block)
        events.append({"type": "content_block_start", "index": index, "content_block": opening})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    events.append({"type": "message_delta", "delta": told, "usage": usage, **beside})
    events.append({"type": "message_stop"})
    return b"".join(map(write_event, events))


def _cut(block: Json) -> tuple[Json, list[Json]]:
    """A block as it begins, and what then comes."""
    match block:
        case {"type": "text", "text": str(text)}:
            opening: Json = {**block, "text": ""}
            deltas: list[Json] = [{"type": "text_delta", "text": text}]
            if isinstance(citations := block.get("citations"), list):
                opening["citations"] = []
                deltas += [{"type": "citations_delta", "citation": citation} for citation in citations]
            return opening, deltas
        case {"type": "thinking", "thinking": str(text)}:
            deltas = [{"type": "thinking_delta", "thinking": text}] if text else []
            if signature := block.get("signature"):
                deltas.append({"type": "signature_delta", "signature": signature})
            return {**block, "thinking": "", "signature": ""}, deltas
        case {"input": dict(arguments)}:
            said = jsonlib.dumps(arguments).decode()
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": said}]
        case _:
            return block, []
