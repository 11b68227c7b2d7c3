"""Why Gemini stopped: `finishReason` of a candidate and `blockReason` of a prompt, both ways.

Source: https://ai.google.dev/api/generate-content#FinishReason; the numbers are those of the protobuf enum, which
Google sends where a client asked for `enum-encoding=int`.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.dialects.conversation import Ending, Finish, Part, ToolCall
from gateway.dialects.gemini.protojson import camel
from gateway.dialects.names import Json

REASONS: dict[str, Finish] = {
    "STOP": Finish.STOP,
    "MAX_TOKENS": Finish.LENGTH,
    "SAFETY": Finish.CONTENT_FILTER,
    "RECITATION": Finish.CONTENT_FILTER,
    "LANGUAGE": Finish.CONTENT_FILTER,
    "BLOCKLIST": Finish.CONTENT_FILTER,
    "PROHIBITED_CONTENT": Finish.CONTENT_FILTER,
    "SPII": Finish.CONTENT_FILTER,
    "IMAGE_SAFETY": Finish.CONTENT_FILTER,
    "IMAGE_PROHIBITED_CONTENT": Finish.CONTENT_FILTER,
    "IMAGE_RECITATION": Finish.CONTENT_FILTER,
    "MODEL_ARMOR": Finish.CONTENT_FILTER,
    "CONTINUATION": Finish.PAUSE,
    "OTHER": Finish.ERROR,
    "MALFORMED_FUNCTION_CALL": Finish.ERROR,
    "MALFORMED_RESPONSE": Finish.ERROR,
    "UNEXPECTED_TOOL_CALL": Finish.ERROR,
    "TOO_MANY_TOOL_CALLS": Finish.ERROR,
    "MISSING_THOUGHT_SIGNATURE": Finish.ERROR,
    "NO_IMAGE": Finish.ERROR,
    "IMAGE_OTHER": Finish.ERROR,
}
"""A word that is not here counts as STOP: something was answered, and the word itself goes along."""

_NUMBERS = (
    "",
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
)

_WORDS: dict[Finish, str] = {
    Finish.STOP: "STOP",
    Finish.STOP_SEQUENCE: "STOP",
    Finish.TOOL_CALLS: "STOP",
    Finish.PAUSE: "STOP",
    Finish.LENGTH: "MAX_TOKENS",
    Finish.CONTENT_FILTER: "SAFETY",
    Finish.REFUSAL: "SAFETY",
    Finish.ERROR: "OTHER",
}


def finish_word(value: object) -> str:
    """The word of a `finishReason`, "" where there is none yet."""
    if type(value) is int:
        return _NUMBERS[value] if 0 <= value < len(_NUMBERS) else str(value)
    return value if isinstance(value, str) and value != "FINISH_REASON_UNSPECIFIED" else ""


def read_ending(word: str, message: object, has_calls: bool) -> Ending:
    """How a candidate ended. Google says STOP for calls, too."""
    finish = REASONS.get(word, Finish.STOP)
    if finish is Finish.STOP and has_calls:
        finish = Finish.TOOL_CALLS
    return Ending(finish, word, message=message if isinstance(message, str) else "")


def read_block(feedback: object) -> Ending | None:
    """How a prompt ended that Google did not answer: `promptFeedback`, if it says so."""
    if not isinstance(feedback, dict):
        return None
    fields = camel(feedback)
    reason, message = fields.get("blockReason"), fields.get("blockReasonMessage")
    word = reason if isinstance(reason, str) and reason != "BLOCKED_REASON_UNSPECIFIED" else ""
    if not word and message is None:
        return None
    return Ending(Finish.CONTENT_FILTER, word, message=message if isinstance(message, str) else "")


def write_ending(ending: Ending) -> Json:
    """`finishReason` and `finishMessage`. Google's own word stays."""
    word = ending.native if ending.native in REASONS else _WORDS[ending.finish]
    return {"finishReason": word, **({"finishMessage": ending.message} if ending.message else {})}


def calls_in(parts: Iterable[Part]) -> bool:
    return any(isinstance(part, ToolCall) for part in parts)
