"""How thoughts and their signatures travel in this dialect, which has no official place for them.

- `reasoning_content` (DeepSeek, Moonshot, LiteLLM, …) or `reasoning` (OpenRouter, vLLM, Groq, Ollama): the text.
- `thinking_blocks` (LiteLLM): Anthropic's blocks, with signatures. Those of other dialects go out there, sealed.
- `reasoning_details` (OpenRouter): blocks that must come back unmodified. What they hold beside their text is the
  signature here, as JSON.
- `extra_content` (Google's OpenAI endpoints): `{"google" | "vertex": {"thought_signature"}}` on calls and messages.

So a `Signature` of this dialect is a bare text, a detail in JSON (which has a `type`), or an `extra_content` in JSON.

Sources: https://docs.litellm.ai/docs/reasoning_content, https://openrouter.ai/docs/use-cases/reasoning-tokens,
https://ai.google.dev/gemini-api/docs/thought-signatures (OpenAI), https://api-docs.deepseek.com/guides/thinking_mode
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from gateway import jsonlib
from gateway.dialects.conversation import Part, RedactedThinking, Signature, Thinking
from gateway.dialects.names import Json

Sign = Callable[[str], Signature]
"""Makes a signature of what was read: a client's, or a provider's."""

Show = Callable[[Signature], str]
"""What of a signature goes out; "" if it may not."""

_TEXT_OF_DETAIL = {"reasoning.text": "text", "reasoning.summary": "summary"}


def read_thoughts(message: Mapping[str, Any], sign: Sign, path: str = "") -> list[Part]:
    """The thoughts of a message, in the richest form that it has them in. What is malformed is left out. `path` is the
    message's, where a client sent it."""
    parts = read_blocks(message, sign) or read_details(message, sign)
    text = thought_text(message)
    if text and not any(isinstance(part, Thinking) and part.text for part in parts):
        parts.insert(0, Thinking(text))
    if (extra := read_extra(message, sign)) is not None:
        parts.append(RedactedThinking(extra))
    return [replace(part, where=path) for part in parts] if path else parts


def thought_text(message: Mapping[str, Any]) -> str:
    for name in ("reasoning_content", "reasoning"):
        value = message.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def read_blocks(message: Mapping[str, Any], sign: Sign) -> list[Part]:
    parts: list[Part] = []
    for block in _objects(message.get("thinking_blocks")):
        if block.get("type") == "redacted_thinking":
            if data := _text(block, "data"):
                parts.append(RedactedThinking(sign(data)))
            continue
        text, signature = _text(block, "thinking"), _text(block, "signature")
        if text or signature:
            parts.append(Thinking(text, sign(signature) if signature else None))
    return parts


def read_details(message: Mapping[str, Any], sign: Sign) -> list[Part]:
    return [read_detail(detail, sign) for detail in _objects(message.get("reasoning_details"))]


def read_detail(detail: Json, sign: Sign) -> Part:
    name = _TEXT_OF_DETAIL.get(_text(detail, "type"))
    if name is None:
        return RedactedThinking(sign(_dump(detail)))
    rest = {key: value for key, value in detail.items() if key != name}
    return Thinking(_text(detail, name), sign(_dump(rest)))


def read_extra(holder: Mapping[str, Any], sign: Sign) -> Signature | None:
    """The signature in `extra_content` of a call or a message."""
    extra = holder.get("extra_content")
    if not isinstance(extra, dict):
        return None
    for name, inner in extra.items():
        signature = _text(inner, "thought_signature") if isinstance(inner, dict) else ""
        if signature:
            alone = name == "google" and len(extra) == len(inner) == 1
            return sign(signature if alone else _dump(extra))
    return None


def write_extra(data: str) -> Json:
    """The `extra_content` for what `read_extra` gave."""
    return parsed(data) or {"google": {"thought_signature": data}}


def write_thoughts(parts: Iterable[Part], show: Show) -> Json:
    """The fields of a message for signed thoughts: `thinking_blocks`, `reasoning_details`, `extra_content`."""
    fields: Json = {}
    for part in parts:
        if not isinstance(part, Thinking | RedactedThinking) or part.signature is None:
            continue
        data = show(part.signature)
        if not data:
            continue
        text = part.text if isinstance(part, Thinking) else None
        inside = parsed(data)
        if inside is None:
            fields.setdefault("thinking_blocks", []).append(write_block(text, data))
        elif "type" in inside:
            fields.setdefault("reasoning_details", []).append(_detail(inside, text))
        else:
            fields["extra_content"] = inside
    return fields


def write_block(text: str | None, signature: str) -> Json:
    """One of LiteLLM's blocks; without a text it is a redacted one."""
    if text is None:
        return {"type": "redacted_thinking", "data": signature}
    return {"type": "thinking", "thinking": text, "signature": signature}


def plain_text(parts: Iterable[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Thinking))


def parsed(data: str) -> Json | None:
    """The JSON that a signature of this dialect holds, None where it is a bare text."""
    if not data.startswith("{"):
        return None
    try:
        value = jsonlib.loads(data)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _detail(inside: Json, text: str | None) -> Json:
    """A detail with its text back; one that had none gets none."""
    name = _TEXT_OF_DETAIL.get(_text(inside, "type"))
    return {**inside, name: text} if name and text else inside


def _objects(value: object) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(obj: Mapping[str, Any], name: str) -> str:
    value = obj.get(name)
    return value if isinstance(value, str) else ""


def _dump(value: Json) -> str:
    return jsonlib.dumps(value).decode()
