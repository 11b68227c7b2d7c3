"""What the fake Anthropic API refuses, in the real one's words.

Sources: https://platform.claude.com/docs/en/api/messages, https://platform.claude.com/docs/en/build-with-claude/thinking,
https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls,
https://platform.claude.com/docs/en/build-with-claude/structured-outputs
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

from anthropic.types import message_create_params
from anthropic.types.beta import message_create_params as beta_params
from anthropic.types.message_count_tokens_params import MessageCountTokensParams

from tests.fakes.api import RefusedError
from tests.fakes.script import sign
from tests.fakes.shapes import dotted, find_mistake

MAKER = "anthropic"
REDACTED = "what nobody may see"
SAMPLING = {"temperature": (0, 1), "top_p": (0, 1), "top_k": (0, 1 << 30)}
"""Gone from the SDK's types, since the newest models have none; older ones take it still."""

TOOL_ID = re.compile(r"[a-zA-Z0-9_-]+")
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
BUDGETED = re.compile(r"claude-(3-7|(sonnet|opus)-4(-[0-5](?!\d)|-2025|$)|haiku-4)")
"""Models whose thinking has a budget; all newer ones are adaptive, EITHER take both."""

UNSHAPED = re.compile(r"claude-(3|(sonnet|opus)-4(-[01](?!\d)|-2025))")
"""Models that write JSON in no shape but that of a tool."""

EITHER = re.compile(r"claude-(sonnet|opus)-4-6")


def check_request(body: dict[str, Any], *, counting: bool = False, beta: bool = False) -> None:
    """Raises RefusedError. `beta`: the request names betas, whichever they are."""
    _check_shape({name: value for name, value in body.items() if name not in SAMPLING}, counting, beta)
    if not counting:
        _check_sampling(body)
        _check_thinking(body)
        _check_format(body)
    _check_tools(body)
    _check_messages(body)
    _check_caching(body)


def _check_shape(body: dict[str, Any], counting: bool, beta: bool) -> None:
    of = beta_params if beta else message_create_params
    shape: Any = of.MessageCreateParamsStreaming if body.get("stream") else of.MessageCreateParamsNonStreaming
    mistake = find_mistake(MessageCountTokensParams if counting else shape, body)
    if mistake is not None:
        raise RefusedError(f"{dotted(mistake.path)}: {mistake.message}")


def _check_sampling(body: dict[str, Any]) -> None:
    for name, (low, high) in SAMPLING.items():
        if name in body and (type(body[name]) not in (int, float) or not low <= body[name] <= high):
            raise RefusedError(f"{name}: range: {low}..{high}")
    if "temperature" in body and "top_p" in body:
        raise RefusedError("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    if body["max_tokens"] < 1:
        raise RefusedError("max_tokens: Input should be greater than or equal to 1")
    if any(not text.strip() for text in body.get("stop_sequences", ())):
        raise RefusedError("stop_sequences: each stop sequence must contain non-whitespace")


def shows_thoughts(body: dict[str, Any]) -> bool:
    """Else their text is empty, and the signature alone stands for it; so by default with the newer models."""
    default = "summarized" if BUDGETED.match(body["model"]) or EITHER.match(body["model"]) else "omitted"
    return (body.get("thinking", {}).get("display") or default) == "summarized"


def thinks(body: dict[str, Any]) -> bool:
    return body.get("thinking", {}).get("type") in ("enabled", "adaptive")


def _check_thinking(body: dict[str, Any]) -> None:
    thinking = body.get("thinking", {})
    budgeted = BUDGETED.match(body["model"]) is not None
    if thinking.get("type") == "enabled":
        if not budgeted and not EITHER.match(body["model"]):
            raise RefusedError(
                '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
                '"output_config.effort" to control thinking behavior.'
            )
        if thinking["budget_tokens"] < 1024:
            raise RefusedError("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if thinking["budget_tokens"] >= body["max_tokens"]:
            raise RefusedError("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if thinking.get("type") == "adaptive" and budgeted:
        raise RefusedError("adaptive thinking is not supported on this model")
    if "effort" in body.get("output_config", {}) and budgeted and "opus-4-5" not in body["model"]:
        raise RefusedError("This model does not support the effort parameter.")
    if not thinks(body):
        return
    if body.get("temperature", 1) != 1:
        raise RefusedError("`temperature` may only be set to 1 when thinking is enabled.")
    if "top_k" in body:
        raise RefusedError("`top_k` must be unset when thinking is enabled.")
    if budgeted and body.get("tool_choice", {}).get("type") in ("any", "tool"):
        raise RefusedError("Thinking may not be enabled when tool_choice forces tool use.")


def _check_format(body: dict[str, Any]) -> None:
    form = body.get("output_config", {}).get("format")
    if form is not None and UNSHAPED.match(body["model"]):
        raise RefusedError("output_config.format: structured outputs are not supported with this model.")
    if form is not None:
        for schema in _schemas(form["schema"]):
            if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
                raise RefusedError(
                    "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to "
                    "false"
                )


def _schemas(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from _schemas(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _schemas(value)


def _check_tools(body: dict[str, Any]) -> None:
    names = []
    for place, tool in enumerate(body.get("tools", ())):
        names.append(tool["name"])
        if not TOOL_NAME.fullmatch(tool["name"]):
            raise RefusedError(f"tools.{place}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        if "input_schema" in tool and tool["input_schema"].get("type") != "object":
            raise RefusedError(f"tools.{place}.custom.input_schema.type: Field required")
    if len(set(names)) < len(names):
        raise RefusedError("tools: Tool names must be unique.")
    choice = body.get("tool_choice", {})
    if choice and not names:
        raise RefusedError("tool_choice may only be specified while providing tools.")
    if choice.get("type") == "tool" and choice["name"] not in names:
        raise RefusedError(f"Tool '{choice['name']}' not found in provided tools")


def blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _check_messages(body: dict[str, Any]) -> None:
    messages = body["messages"]
    if not messages:
        raise RefusedError("messages: at least one message is required")
    for place, message in enumerate(messages):
        last = place == len(messages) - 1
        if not message["content"] and not (last and message["role"] == "assistant"):
            raise RefusedError(
                f"messages.{place}: all messages must have non-empty content except for the optional final assistant "
                "message"
            )
        for number, block in enumerate(blocks(message)):
            _check_block(block, f"messages.{place}.content.{number}", message["role"])
    if messages[-1]["role"] == "assistant":
        text = blocks(messages[-1])[-1:]
        if text and text[0]["type"] == "text" and text[0]["text"].rstrip() != text[0]["text"]:
            raise RefusedError("messages: final assistant content cannot end with trailing whitespace")
    for block in blocks({"content": body.get("system") or []}):
        _check_block(block, "system", "system")
    _check_calls(messages)
    if body.get("thinking", {}).get("type") == "enabled":
        _check_thoughts_are_there(messages)


def _check_block(block: dict[str, Any], path: str, role: str) -> None:
    kind = block["type"]
    if kind == "text" and not block["text"].strip():
        raise RefusedError(
            "messages: text content blocks must contain non-whitespace text"
            if block["text"]
            else "messages: text content blocks must be non-empty"
        )
    if kind in ("tool_use", "thinking", "redacted_thinking") and role != "assistant":
        raise RefusedError(f"{path}: `{kind}` blocks can only be in `assistant` messages")
    if kind == "tool_use" and not TOOL_ID.fullmatch(block["id"]):
        raise RefusedError(f"{path}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
    if kind == "thinking" and block["signature"] != sign(MAKER, block["thinking"]):
        raise RefusedError(f"{path}: Invalid `signature` in `thinking` block")
    if kind == "redacted_thinking" and block["data"] != sign(MAKER, REDACTED):
        raise RefusedError(f"{path}: Invalid `data` in `redacted_thinking` block")
    if kind == "image" and block["source"]["type"] == "base64":
        _check_image(block["source"], path)
    if kind == "tool_result":
        if role != "user":
            raise RefusedError(f"{path}: `tool_result` blocks can only be in `user` messages")
        for number, inner in enumerate(blocks({"content": block.get("content") or []})):
            _check_block(inner, f"{path}.tool_result.content.{number}", role)


def _check_image(source: dict[str, Any], path: str) -> None:
    if source["media_type"] not in IMAGES:
        raise RefusedError(f"{path}.image.source.base64.media_type: Input should be {', '.join(map(repr, IMAGES))}")
    try:
        base64.b64decode(source["data"], validate=True)
    except binascii.Error:
        raise RefusedError(f"{path}.image.source.base64.data: Input should be valid base64") from None


def _check_calls(messages: list[dict[str, Any]]) -> None:
    """Each call has its result in the next message, each result its call in the one before. Neighbours of one role are
    one turn, as the API has it."""
    turns: list[tuple[str, list[dict[str, Any]]]] = []
    for message in messages:
        if turns and turns[-1][0] == message["role"]:
            turns[-1][1].extend(blocks(message))
        else:
            turns.append((message["role"], list(blocks(message))))
    seen: set[str] = set()
    for place, (_, turn) in enumerate(turns):
        calls = [block["id"] for block in turn if block["type"] == "tool_use"]
        if seen & set(calls) or len(set(calls)) < len(calls):
            raise RefusedError(f"messages.{place}.content: `tool_use` ids must be unique")
        seen |= set(calls)
        after = turns[place + 1][1] if place + 1 < len(turns) else []
        results = [block["tool_use_id"] for block in after if block["type"] == "tool_result"]
        missing = [call for call in calls if call not in results]
        if missing:
            raise RefusedError(
                f"messages.{place}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
                "next message."
            )
        if calls and [block["type"] for block in after[: len(results)]] != ["tool_result"] * len(results):
            raise RefusedError(
                f"messages.{place + 1}: `tool_result` blocks must come before all other content of their message"
            )
        before = turns[place - 1][1] if place else []
        for block in turn:
            if block["type"] == "tool_result" and block["tool_use_id"] not in [call.get("id") for call in before]:
                raise RefusedError(
                    f"messages.{place}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: "
                    f"{block['tool_use_id']}. Each `tool_result` block must have a corresponding `tool_use` block in "
                    "the previous message."
                )


def _check_thoughts_are_there(messages: list[dict[str, Any]]) -> None:
    """With a budget, the turn that still waits for its tools' results begins with its thoughts."""
    if not any(block["type"] == "tool_result" for block in blocks(messages[-1])):
        return
    place = max(place for place, message in enumerate(messages) if message["role"] == "assistant")
    first = blocks(messages[place])[0]["type"]
    if first not in ("thinking", "redacted_thinking"):
        raise RefusedError(
            f"messages.{place}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{first}`. When "
            "`thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the "
            "lastmost set of `tool_use` and `tool_result` blocks)."
        )


def _check_caching(body: dict[str, Any]) -> None:
    marked = [block for message in body["messages"] for block in blocks(message) if block.get("cache_control")]
    marked += [tool for tool in body.get("tools", ()) if tool.get("cache_control")]
    marked += [block for block in blocks({"content": body.get("system") or []}) if block.get("cache_control")]
    if len(marked) > 4:
        raise RefusedError(f"A maximum of 4 blocks with cache_control may be provided. Found {len(marked)}.")
