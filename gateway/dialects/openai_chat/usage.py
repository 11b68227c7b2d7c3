"""Usage of OpenAI-shaped answers, in buckets that do not overlap.

By OpenAI's rule a detail is part of its whole: `prompt_tokens` includes cached and audio tokens,
`completion_tokens` includes reasoning and audio tokens. Not everyone who speaks the dialect keeps the rule:
xAI's and Vercel's completion tokens exclude reasoning, Mistral's prompt tokens exclude audio, Google's
compatible endpoint hides thinking in the total alone. The numbers themselves tell: details are beside their
whole when the total exceeds both wholes by just them, and so is reasoning larger than all completion tokens
(Vercel charges it). Cached tokens larger than the prompt (Mistral rounds up, Azure's Grok counts a prompt of its
own) are not charged beside it by anyone; they are cut to it.

Numbers nobody can mean (negative, fractional, beyond `MAX_TOKENS`) count as not reported; of the two wholes one that
is missing is what the other leaves of the total. Nothing raises.
Source: https://platform.openai.com/docs/api-reference/chat/object and each provider's page on usage.
"""

from __future__ import annotations

from typing import Any

from gateway.usage import Usage

MAX_TOKENS = 1 << 40
"""No request has more; larger numbers are another field's overflow and would overflow a database's sums."""


def read_usage(obj: object) -> Usage | None:
    """Usage of an answer or of one stream payload of any OpenAI endpoint but Responses; `None` if there is none."""
    if not isinstance(obj, dict):
        return None
    usage = obj.get("usage")
    if usage is None:
        usage = _dict(obj.get("x_groq")).get("usage")  # where Groq's streams had it at first
    return disjoint_usage(usage)


def disjoint_usage(usage: object) -> Usage | None:
    """A usage object, with the field names of Chat Completions or of Responses, in disjoint buckets."""
    if not isinstance(usage, dict):
        return None
    whole_in = _first(usage, "prompt_tokens", "input_tokens")
    whole_out = _first(usage, "completion_tokens", "output_tokens")
    total = _tokens(usage.get("total_tokens"))
    if len(usage) == 3 and whole_in is not None and whole_out is not None and total == whole_in + whole_out:
        return Usage(whole_in, output_text=whole_out)  # three plain counts, which is what most servers send
    if whole_in is None and whole_out is None:
        return None if total is None else Usage(input_uncached=total)  # embeddings that only count a total
    if total is not None and total > (whole_in or 0) + (whole_out or 0):
        whole_in = total - (whole_out or 0) if whole_in is None else whole_in
        whole_out = total - whole_in if whole_out is None else whole_out

    excess = 0 if total is None else total - (whole_in or 0) - (whole_out or 0)
    in_details = _dict(usage.get("prompt_tokens_details") or usage.get("input_tokens_details"))
    out_details = _dict(usage.get("completion_tokens_details") or usage.get("output_tokens_details"))
    write_5m, write_1h = _cache_writes(usage, in_details)
    audio_in, audio_out = _first(in_details, "audio_tokens"), _first(out_details, "audio_tokens")
    reasoning = _first(out_details, "reasoning_tokens")
    if reasoning is None:
        reasoning = _first(usage, "reasoning_tokens")  # GitHub Copilot

    ins, outs = (_cache_read(usage, in_details), write_5m, write_1h, audio_in), (reasoning, audio_out)
    beside = (whole_out is not None and _sum(outs) > whole_out) or 0 < excess == _sum(outs)
    rest_out, (reasoning, audio_out), beside_out = _split(whole_out, outs, beside)
    beside = not beside and 0 < excess == _sum(ins)
    rest_in, (read, write_5m, write_1h, audio_in), beside_in = _split(whole_in, ins, beside)
    hidden = excess - beside_in - beside_out
    if reasoning is None and whole_out is not None and hidden > 0:
        reasoning = hidden  # Google: thinking is billed but only shows in the total
    return Usage(rest_in, read, write_5m, write_1h, audio_in, rest_out, reasoning, audio_out)


_Tokens = int | None


def _split(whole: _Tokens, details: tuple[_Tokens, ...], beside: bool) -> tuple[_Tokens, tuple[_Tokens, ...], int]:
    """The rest of `whole` without its details, the details, and how many tokens of them stand beside it.

    Details inside the whole never take more than it has: cached audio is reported under both names.
    """
    if whole is None or beside:
        return whole, details, _sum(details)
    inside: list[_Tokens] = []
    for detail in details:
        part = None if detail is None else min(detail, whole)
        whole -= part or 0
        inside.append(part)
    return whole, tuple(inside), 0


def _sum(details: tuple[_Tokens, ...]) -> int:
    return sum(detail or 0 for detail in details)


def _cache_read(usage: dict[str, Any], details: dict[str, Any]) -> _Tokens:
    """Tokens read from a prompt cache: OpenAI; then DeepSeek, Together and Moonshot, Mistral, Databricks."""
    read = _first(details, "cached_tokens")
    if read is not None:
        return read
    return _first(usage, "prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens", "cache_read_input_tokens")


def _cache_writes(usage: dict[str, Any], details: dict[str, Any]) -> tuple[_Tokens, _Tokens]:
    """Tokens written to a prompt cache for five minutes and for an hour, where a provider of Claude models says so."""
    written = _first(details, "cache_write_tokens")
    if written is None:
        written = _first(usage, "cache_creation_input_tokens")
    hour = _first(_dict(usage.get("cache_creation")), "ephemeral_1h_input_tokens")
    if written is None or not hour:
        return written, None
    return max(written - hour, 0), hour


def _first(fields: dict[str, Any], *names: str) -> _Tokens:
    for name in names:
        value = _tokens(fields.get(name))
        if value is not None:
            return value
    return None


def _tokens(value: object) -> _Tokens:
    if type(value) is float and value.is_integer():  # JSON knows no whole numbers
        value = int(value)
    return value if type(value) is int and 0 <= value <= MAX_TOKENS else None


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def write_usage(usage: Usage) -> dict[str, Any]:
    """Usage as OpenAI reports it: details are parts of their wholes, the total is their sum. A detail that nobody
    reported is left out. What OpenAI has no detail for (results of a provider's own tools, images made) is in the
    whole."""
    written: dict[str, Any] = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
    }
    writes = _sum((usage.cache_write_5m, usage.cache_write_1h))
    inside = {
        "cached_tokens": usage.cache_read,
        "cache_write_tokens": None if usage.cache_write_5m is None and usage.cache_write_1h is None else writes,
        "audio_tokens": usage.input_audio,
        "image_tokens": usage.input_image,
    }
    outside = {"reasoning_tokens": usage.reasoning, "audio_tokens": usage.output_audio}
    for name, details in (("prompt_tokens_details", inside), ("completion_tokens_details", outside)):
        reported = {detail: value for detail, value in details.items() if value is not None}
        if reported:
            written[name] = reported
    if usage.cache_write_1h:  # as Anthropic has it, since its price is another
        written["cache_creation"] = {
            "ephemeral_5m_input_tokens": usage.cache_write_5m or 0,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        }
    return written
