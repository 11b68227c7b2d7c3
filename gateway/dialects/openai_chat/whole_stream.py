"""A whole answer of Chat Completions or Completions as the stream that it would have been.

Field for field, those too that nobody here knows: who puts the chunks together has the answer. Text, thoughts and calls
come in one piece each.

Source: https://platform.openai.com/docs/api-reference/chat-streaming, the SDK's `types/completion.py`
"""

from __future__ import annotations

from gateway import jsonlib
from gateway.dialects.dialect import MalformedAnswerError
from gateway.dialects.names import Json

_DONE = b"data: [DONE]\n\n"


def stream_chat(answer: object, *, usage: bool) -> bytes:
    """`usage`: the client has asked for the chunk that has it. Raises MalformedAnswerError."""
    whole, choices = _parts(answer)
    head = {**whole, "object": "chat.completion.chunk"}
    chunks: list[Json] = []
    for place, choice in enumerate(choices):
        message = choice.get("message")
        if not isinstance(message, dict):
            raise MalformedAnswerError("a choice has no message")
        rest = {"index": place, **{name: value for name, value in choice.items() if name != "message"}}
        chunks.append({**head, "choices": [{**rest, "delta": _delta(message), "finish_reason": None}]})
        chunks.append({**head, "choices": [{**rest, "delta": {}, "logprobs": None}]})
    return _stream(chunks, head, answer, usage=usage)


def stream_completion(answer: object, *, usage: bool) -> bytes:
    """The same of Completions, whose chunks have the form of the whole."""
    head, choices = _parts(answer)
    return _stream([{**head, "choices": choices}], head, answer, usage=usage)


def _parts(answer: object) -> tuple[Json, list[Json]]:
    """What all chunks have, and the choices."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or not isinstance(choices, list):
        raise MalformedAnswerError("it has no choices")
    if not all(isinstance(choice, dict) for choice in choices):
        raise MalformedAnswerError("a choice is no object")
    return {name: value for name, value in answer.items() if name not in ("choices", "usage")}, choices


def _delta(message: Json) -> Json:
    """In a stream calls are numbered."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return {"role": "assistant", **message}
    numbered = [{"index": place, **call} for place, call in enumerate(calls) if isinstance(call, dict)]
    return {"role": "assistant", **message, "tool_calls": numbered}


def _stream(chunks: list[Json], head: Json, answer: object, *, usage: bool) -> bytes:
    reported = answer.get("usage") if isinstance(answer, dict) else None
    if usage and reported is not None:
        chunks.append({**head, "choices": [], "usage": reported})
    return b"".join(b"data: %b\n\n" % jsonlib.dumps(chunk) for chunk in chunks) + _DONE
