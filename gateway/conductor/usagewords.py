"""How the usage of an answer or of a stream is read, by the shape of the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gateway.dialects.openai_chat.usage import read_usage as read_chat_usage
from gateway.dialects.openai_responses.usage import read_usage as read_responses_usage
from gateway.usage import Usage
from gateway.wire.sse import UsageTap
from gateway.wire.usage_tail import UsageAround, UsageTail


class UsageWords(NamedTuple):
    """How a shape's usage is read, and what a later report in a stream makes of an earlier one."""

    read: Callable[[Any], Usage | None]
    later: Callable[[Usage | None, Usage | None], Usage | None] = lambda earlier, later: later or earlier


def usage_words(shape: str) -> UsageWords:
    """For answers and stream payloads of a shape. Dialects are loaded when they are first needed."""
    if shape == "messages":
        from gateway.dialects.anthropic.usage import later_usage
        from gateway.dialects.anthropic.usage import read_usage as read_anthropic_usage

        return UsageWords(read_anthropic_usage, later_usage)
    if shape in ("generate", "array", "embed"):
        from gateway.dialects.gemini.usage import read_usage as read_gemini_usage

        return UsageWords(read_gemini_usage)
    return UsageWords(read_responses_usage if shape in ("responses", "stored") else read_chat_usage)


def tapped_usage(tap: UsageTap | UsageTail | UsageAround, words: UsageWords) -> Usage | None:
    """The usage of a stream, by its first report and its last."""
    usage = None
    for payload in tap.payloads:
        usage = words.later(usage, words.read(payload))
    return usage
