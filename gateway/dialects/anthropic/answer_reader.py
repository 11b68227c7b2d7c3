"""A Claude's answer as a neutral one.

What the request's writer changed is undone by its `Plan`: tools get the client's names back, the tool that stood for a
response format becomes the answer's text, and with it "tool_use" an ordinary end.
Source: https://platform.claude.com/docs/en/api/messages,
https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.dialects.anthropic.block_reader import answer_part
from gateway.dialects.anthropic.errors import carries_error
from gateway.dialects.anthropic.usage import read_service_tier, read_usage
from gateway.dialects.conversation import Answer, Choice, Ending, Finish, Part, ToolCall
from gateway.dialects.dialect import MalformedAnswerError, Plan
from gateway.dialects.names import Json

FINISHES = {
    "end_turn": Finish.STOP,
    "stop_sequence": Finish.STOP_SEQUENCE,
    "max_tokens": Finish.LENGTH,
    "model_context_window_exceeded": Finish.LENGTH,
    "tool_use": Finish.TOOL_CALLS,
    "refusal": Finish.REFUSAL,
    "pause_turn": Finish.PAUSE,
    "compaction": Finish.PAUSE,
}


def read_answer(body: object, plan: Plan) -> Answer:
    """Raises MalformedAnswerError for what is no message."""
    if not isinstance(body, dict) or carries_error(body):
        raise MalformedAnswerError("no message")
    content = body.get("content")
    if not isinstance(content, list):
        raise MalformedAnswerError("a message without content")
    parts = tuple(answer_part(block, plan) for block in content)
    return Answer(
        id=text(body, "id"),
        model=text(body, "model"),
        choices=(Choice(parts, read_ending(body, has_calls=any_calls(parts))),),
        usage=read_usage(body),
        service_tier=read_service_tier(body),
    )


def read_ending(obj: Json, *, has_calls: bool) -> Ending:
    """Why the model stopped, by a message or the delta of a `message_delta`. `has_calls`: there are calls for the
    client, without which "tool_use" was for a tool that stood for the answer's format."""
    native = text(obj, "stop_reason")
    finish = FINISHES.get(native, Finish.TOOL_CALLS if has_calls else Finish.STOP)
    if finish is Finish.TOOL_CALLS and not has_calls:
        finish = Finish.STOP
    details = obj.get("stop_details")
    message = text(details, "explanation") if isinstance(details, dict) else ""
    stop = obj.get("stop_sequence")
    return Ending(finish, native, stop if isinstance(stop, str) else None, message)


def any_calls(parts: Iterable[Part]) -> bool:
    return any(isinstance(part, ToolCall) for part in parts)


def text(obj: Json, name: str) -> str:
    """A text of the provider's, "" for anything else."""
    value = obj.get(name)
    return value if isinstance(value, str) else ""
