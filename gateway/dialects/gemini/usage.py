"""Usage of Gemini, in buckets that do not overlap, and back.

`promptTokenCount` includes cached tokens, `candidatesTokenCount` excludes thoughts, and what Google's own tools fed
back stands beside both; the total is the sum of the four. Audio and images are told apart by `…TokensDetails`, which
count by modality; a modality's cached tokens are cached ones. Documents and videos count as text, since no other
dialect knows them.

Google leaves out counts of zero. A total that the others add up to without it tells so: what is missing is 0 then, and
unknown otherwise. Numbers nobody can mean count as not reported. Nothing raises.

Source: https://ai.google.dev/api/generate-content#UsageMetadata
"""

from __future__ import annotations

from typing import Any

from gateway.dialects.gemini.protojson import camel
from gateway.dialects.names import Json
from gateway.dialects.openai_chat.usage import MAX_TOKENS
from gateway.usage import Usage

_Tokens = int | None


def read_usage(obj: object) -> Usage | None:
    """Usage of an answer or of one stream payload; None if there is none."""
    if not isinstance(obj, dict):
        return None
    metadata = obj.get("usageMetadata") or obj.get("usage_metadata")
    if not isinstance(metadata, dict):
        return None
    fields = camel(metadata)
    counts = {name: value for name, value in fields.items() if type(value) is int and 0 <= value <= MAX_TOKENS}
    prompt, answer = counts.get("promptTokenCount"), counts.get("candidatesTokenCount")
    thoughts, tools = counts.get("thoughtsTokenCount"), counts.get("toolUsePromptTokenCount")
    total = counts.get("totalTokenCount")
    if total is not None and answer is None:
        answer = max(total - (prompt or 0) - (thoughts or 0) - (tools or 0), 0)
    if prompt is None and answer is None:
        return None
    cached = _within(counts.get("cachedContentTokenCount"), prompt)
    ins, outs = _modalities(fields, "promptTokensDetails"), _modalities(fields, "candidatesTokensDetails")
    if not ins and not outs:  # text alone, which every event of most streams says
        uncached = _rest(prompt, cached)
        return Usage(uncached, cached, output_text=answer, reasoning=thoughts, tool_prompt=tools)
    cached_ins = _modalities(fields, "cacheTokensDetails") if ins and cached else {}
    audio_in, image_in = _beside_cache(ins, cached_ins, "AUDIO"), _beside_cache(ins, cached_ins, "IMAGE")
    audio_out, image_out = outs.get("AUDIO"), outs.get("IMAGE")
    return Usage(
        input_uncached=_rest(prompt, cached, audio_in, image_in),
        cache_read=cached,
        input_audio=audio_in,
        output_text=_rest(answer, audio_out, image_out),
        reasoning=thoughts,
        output_audio=audio_out,
        input_image=image_in,
        output_image=image_out,
        tool_prompt=tools,
    )


def _count(value: object) -> int:
    return value if type(value) is int and 0 <= value <= MAX_TOKENS else 0


def _within(part: _Tokens, whole: _Tokens) -> _Tokens:
    return part if part is None or whole is None else min(part, whole)


def _rest(whole: _Tokens, *parts: _Tokens) -> _Tokens:
    if whole is None:
        return None
    for part in parts:
        whole -= part or 0
    return max(whole, 0)


def _modalities(fields: Json, name: str) -> dict[str, int]:
    """Tokens of audio and images, where the details name them; every event of a stream has them."""
    details = fields.get(name)
    found: dict[str, int] = {}
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and (modality := detail.get("modality")) in ("AUDIO", "IMAGE"):
            found[modality] = found.get(modality, 0) + _count(camel(detail).get("tokenCount"))
    return found


def _beside_cache(ins: dict[str, int], cached: dict[str, int], modality: str) -> _Tokens:
    whole = ins.get(modality)
    return None if whole is None else max(whole - cached.get(modality, 0), 0)


def write_usage(usage: Usage) -> dict[str, Any]:
    """The value of `usageMetadata`. Written caches are a part of the prompt."""
    prompt = usage.input - (usage.tool_prompt or 0)
    answer = usage.output - (usage.reasoning or 0)
    counts = {
        "promptTokenCount": prompt if prompt or usage.input_uncached is not None else None,
        "candidatesTokenCount": answer if answer or usage.output_text is not None else None,
        "totalTokenCount": usage.input + usage.output,
        "cachedContentTokenCount": usage.cache_read,
        "thoughtsTokenCount": usage.reasoning,
        "toolUsePromptTokenCount": usage.tool_prompt,
    }
    ins, outs = (usage.input_audio, usage.input_image), (usage.output_audio, usage.output_image)
    details = {
        "promptTokensDetails": _details(prompt, *ins),
        "candidatesTokensDetails": _details(answer, *outs),
    }
    return {name: value for name, value in {**counts, **details}.items() if value is not None}


def _details(whole: int, audio: _Tokens, image: _Tokens) -> list[dict[str, Any]] | None:
    if audio is None and image is None:
        return None
    by_modality = {"TEXT": whole - (audio or 0) - (image or 0), "AUDIO": audio, "IMAGE": image}
    return [{"modality": name, "tokenCount": count} for name, count in by_modality.items() if count is not None]
