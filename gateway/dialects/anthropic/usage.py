"""Usage of Messages, in buckets that do not overlap.

Anthropic's `input_tokens` exclude what was read from or written to the cache; `output_tokens` include thinking. A
stream reports twice: `message_start` the input, `message_delta` totals so far, in which some servers leave the input
out. So two reports are put together by `later_usage`, in which what was said later counts.

Numbers nobody can mean (negative, fractional, beyond `MAX_TOKENS`) count as not reported. Nothing raises.
Source: https://platform.claude.com/docs/en/api/messages,
https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from typing import Any

from gateway.dialects.names import Json
from gateway.dialects.openai_chat.usage import MAX_TOKENS
from gateway.usage import Usage

_TIERS = {"standard": "default"}
_TIERS_BACK = {"default": "standard", "priority": "priority", "batch": "batch"}


def read_usage(obj: object) -> Usage | None:
    """Usage of an answer, or of one payload of a stream (`message_start`, `message_delta`); None if there is none."""
    usage = _usage_object(obj)
    if not usage:
        return None
    output, thinking = _tokens(usage.get("output_tokens")), None
    if output is not None:
        thinking = _tokens(_dict(usage.get("output_tokens_details")).get("thinking_tokens"))
    write_5m, write_1h = _cache_writes(usage)
    read = Usage(
        input_uncached=_tokens(usage.get("input_tokens")),
        cache_read=_tokens(usage.get("cache_read_input_tokens")),
        cache_write_5m=write_5m,
        cache_write_1h=write_1h,
        output_text=None if output is None else max(output - (thinking or 0), 0),
        reasoning=thinking,
    )
    return None if read == Usage() else read


def read_service_tier(obj: object) -> str:
    """The tier that served an answer, in OpenAI's words; "" where not said."""
    tier = _usage_object(obj).get("service_tier")
    return _TIERS.get(tier, tier) if isinstance(tier, str) else ""


def later_usage(earlier: Usage | None, later: Usage | None) -> Usage | None:
    """Two reports of one stream as one. A later total of cache writes that is not told apart by duration keeps the
    earlier report's."""
    if earlier is None or later is None:
        return later or earlier
    merged = Usage(*(old if new is None else new for old, new in zip(earlier, later, strict=True)))
    hour = earlier.cache_write_1h
    if hour and later.cache_write_1h is None and later.cache_write_5m is not None:
        merged = merged._replace(cache_write_5m=max(later.cache_write_5m - hour, 0))
    return merged


def write_usage(usage: Usage | None, service_tier: str = "") -> Json:
    """`usage` of an answer or of `message_start`. What Anthropic has no count for (audio, images) is input or output
    like any other. The two totals are required; caches are null where nobody reported them."""
    known = usage or Usage()
    written: Json = {
        "input_tokens": _input_tokens(known),
        "cache_creation_input_tokens": _cache_written(known),
        "cache_read_input_tokens": known.cache_read,
        "output_tokens": known.output,
    }
    if known.cache_write_1h is not None:
        written["cache_creation"] = {
            "ephemeral_5m_input_tokens": known.cache_write_5m or 0,
            "ephemeral_1h_input_tokens": known.cache_write_1h,
        }
    if known.reasoning is not None:
        written["output_tokens_details"] = {"thinking_tokens": known.reasoning}
    if service_tier in _TIERS_BACK:
        written["service_tier"] = _TIERS_BACK[service_tier]
    return written


def write_delta_usage(usage: Usage | None) -> Json:
    """`usage` of `message_delta`: totals, without what is not known, since the client keeps what `message_start`
    said."""
    written = {name: value for name, value in write_usage(usage).items() if value is not None}
    if usage is None or usage.input_uncached is None:
        written.pop("input_tokens")
    return written


def _input_tokens(usage: Usage) -> int:
    return usage.input - (_cache_written(usage) or 0) - (usage.cache_read or 0)


def _cache_written(usage: Usage) -> int | None:
    if usage.cache_write_5m is None and usage.cache_write_1h is None:
        return None
    return (usage.cache_write_5m or 0) + (usage.cache_write_1h or 0)


def _cache_writes(usage: Json) -> tuple[int | None, int | None]:
    """Tokens written for five minutes and for an hour. What only their sum has (all of it with some servers) counts for
    the shorter, which is Anthropic's default."""
    creation = _dict(usage.get("cache_creation"))
    short = _tokens(creation.get("ephemeral_5m_input_tokens"))
    hour = _tokens(creation.get("ephemeral_1h_input_tokens"))
    total = _tokens(usage.get("cache_creation_input_tokens"))
    if total is not None:
        short = max(total - (hour or 0), short or 0)
    return short, hour


def _usage_object(obj: object) -> Json:
    """`usage` of an answer or payload, or of the message in a `message_start`."""
    holder = _dict(obj)
    return _dict(holder.get("usage")) or _dict(_dict(holder.get("message")).get("usage"))


def _tokens(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= MAX_TOKENS else None


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
