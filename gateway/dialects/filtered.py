"""Whether a provider's filter took an answer, by the shape of the call: what comes with status 200 and has no words.

https://platform.openai.com/docs/api-reference/chat/object (finish_reason), …/responses/object (incomplete_details),
https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons#refusal,
https://ai.google.dev/api/generate-content#FinishReason and #BlockReason
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

FILTERED = frozenset(
    {"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT"}
)


def is_filtered(shape: str, payload: object) -> bool:
    """Of a whole answer or of one event of a stream, as decoded JSON."""
    ends = ENDS.get(shape)
    return ends is not None and isinstance(payload, dict) and ends(payload)


def _chat(payload: dict[str, Any]) -> bool:
    choices = _items(payload.get("choices"))
    return bool(choices) and all(choice.get("finish_reason") == "content_filter" for choice in choices)


def _messages(payload: dict[str, Any]) -> bool:
    delta = payload.get("delta")
    said = delta if isinstance(delta, dict) else payload
    return said.get("stop_reason") == "refusal"


def _generate(payload: dict[str, Any]) -> bool:
    feedback = payload.get("promptFeedback")
    if isinstance(feedback, dict) and feedback.get("blockReason"):
        return True
    candidates = _items(payload.get("candidates"))
    return bool(candidates) and all(str(one.get("finishReason")) in FILTERED for one in candidates)


def _responses(payload: dict[str, Any]) -> bool:
    inner = payload.get("response")
    said = inner if isinstance(inner, dict) else payload
    details = said.get("incomplete_details")
    if not isinstance(details, dict) or details.get("reason") != "content_filter":
        return False
    return all(item.get("type") == "reasoning" for item in _items(said.get("output")))


def _items(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


ENDS: Mapping[str, Callable[[dict[str, Any]], bool]] = {
    "chat": _chat,
    "completions": _chat,
    "responses": _responses,
    "messages": _messages,
    "generate": _generate,
}
