"""A fake of Anthropic's Messages API: `POST /v1/messages` and `/v1/messages/count_tokens`.

What it refuses is in `anthropic_rules.py`. Streams come as Anthropic frames them: `event:` lines, a `ping` behind the
first block's start, a first piece of arguments that is empty, usage in the first event and in the last but one.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tests.fakes import script
from tests.fakes.anthropic_rules import MAKER, REDACTED, blocks, check_request, shows_thoughts, thinks
from tests.fakes.api import EVENTS, JSON, Asked, RefusedError, Spoken, encode
from tests.fakes.script import Break, CallTool, FailingError, Heard, Redact, Say, Think, Turn, pieces, play, sign

FAILURES = {
    "rate": (429, "rate_limit_error", "This request would exceed your organization's rate limit."),
    "bad": (400, "invalid_request_error", "messages.0: something is wrong with this."),
    "server": (500, "api_error", "Internal server error"),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "context": (400, "invalid_request_error", "prompt is too long: 200016 tokens > 200000 maximum"),
}
STOPS = {
    "": "end_turn",
    "tools": "tool_use",
    "length": "max_tokens",
    "filter": "refusal",
    "stop_sequence": "stop_sequence",
}


class AnthropicApi:
    """See the module."""

    def __init__(self) -> None:
        self.verified: list[str] = []

    def answer(self, asked: Asked) -> Spoken:
        try:
            if "anthropic-version" not in asked.headers:
                raise RefusedError("anthropic-version: header is required")
            match asked.method, asked.path:
                case "POST", "/v1/messages":
                    return self._messages(asked)
                case "POST", "/v1/messages/count_tokens":
                    check_request(asked.body, counting=True)
                    return Spoken(200, JSON, (encode({"input_tokens": script.INPUT}),))
            return _failed(404, "not_found_error", "Not found")
        except RefusedError as refused:
            return _failed(400, "invalid_request_error", refused.message)
        except FailingError as failing:
            return _failed(*FAILURES[failing.args[0]])

    def _messages(self, asked: Asked) -> Spoken:
        body = asked.body
        check_request(body, beta="anthropic-beta" in asked.headers)
        self.verified += [
            block.get("signature") or block["data"]
            for message in body["messages"]
            for block in blocks(message)
            if block["type"] in ("thinking", "redacted_thinking")
        ]
        turn = play(hear(body))
        if not shows_thoughts(body):
            turn = replace(turn, parts=tuple(Think("") if isinstance(part, Think) else part for part in turn.parts))
        if body.get("stream"):
            return Spoken(200, EVENTS, tuple(_event(payload) for payload in _events(body, turn, asked.number)))
        if turn.breaks:
            raise FailingError("server")
        content = [_block(part, place, asked.number) for place, part in enumerate(turn.parts)]
        whole = {**_message(body, asked.number), "content": content, **_stop(turn, body), "usage": _usage(turn)}
        return Spoken(200, JSON, (encode(whole),))


def hear(body: dict[str, Any]) -> Heard:
    system = body.get("system") or ""
    choice, form = body.get("tool_choice", {}), body.get("output_config", {}).get("format")
    heard = Heard(
        system=system if isinstance(system, str) else "\n".join(block["text"] for block in system),
        tools=[tool["name"] for tool in body.get("tools", ())],
        choice={"any": "required", "tool": choice.get("name", "")}.get(choice.get("type", ""), choice.get("type", "")),
        format=form["schema"] if form else "",
        thinking=thinks(body),
        max_tokens=body["max_tokens"],
        temperature=body.get("temperature"),
        stop=body.get("stop_sequences", []),
    )
    names: dict[str, str] = {}
    for message in body["messages"]:
        text = ""
        for block in blocks(message):
            match block["type"]:
                case "text":
                    text += block["text"]
                case "image" | "document":
                    heard.media.append(_medium(block["source"]))
                case "tool_use":
                    names[block["id"]] = block["name"]
                case "tool_result":
                    inner = blocks({"content": block.get("content") or []})
                    said = "".join(each.get("text", "") for each in inner)
                    heard.results.append((names[block["tool_use_id"]], said, bool(block.get("is_error"))))
                    heard.media.extend(_medium(each["source"]) for each in inner if each["type"] != "text")
        heard.turns.append((message["role"], text))
    return heard


def _medium(source: dict[str, Any]) -> tuple[str, int]:
    if source["type"] == "base64":
        return source["media_type"], len(base64.b64decode(source["data"]))
    return source["type"], 0


def _message(body: dict[str, Any], number: int) -> dict[str, Any]:
    return {"id": f"msg_{number:024}", "type": "message", "role": "assistant", "model": body["model"]}


def _block(part: script.Part, place: int, number: int) -> dict[str, Any]:
    match part:
        case Say(text):
            return {"type": "text", "text": text}
        case Think(text):
            return {"type": "thinking", "thinking": text, "signature": sign(MAKER, text)}
        case Redact():
            return {"type": "redacted_thinking", "data": sign(MAKER, REDACTED)}
        case CallTool(name, arguments):
            return {"type": "tool_use", "id": f"toolu_{number:020}{place:02}", "name": name, "input": arguments}
    raise AssertionError(part)


def _stop(turn: Turn, body: dict[str, Any]) -> dict[str, Any]:
    sequence = body["stop_sequences"][0] if turn.stop == "stop_sequence" else None
    return {"stop_reason": STOPS[turn.stop], "stop_sequence": sequence}


def _usage(turn: Turn) -> dict[str, Any]:
    thoughts = {"output_tokens_details": {"thinking_tokens": turn.thought_tokens}} if turn.thought_tokens else {}
    return {
        "input_tokens": script.INPUT,
        "cache_creation_input_tokens": script.WRITTEN_5M + script.WRITTEN_1H,
        "cache_read_input_tokens": script.CACHED,
        "cache_creation": {
            "ephemeral_5m_input_tokens": script.WRITTEN_5M,
            "ephemeral_1h_input_tokens": script.WRITTEN_1H,
        },
        "output_tokens": script.TEXT_TOKENS + turn.thought_tokens,
        **thoughts,
        "service_tier": "standard",
    }


def _events(body: dict[str, Any], turn: Turn, number: int) -> Iterator[dict[str, Any]]:
    usage = _usage(turn)
    begun = {**usage, "output_tokens": 1}
    begun.pop("output_tokens_details", None)
    start = {**_message(body, number), "content": [], "stop_reason": None, "stop_sequence": None, "usage": begun}
    yield {"type": "message_start", "message": start}
    for place, part in enumerate(turn.parts):
        if isinstance(part, Break):
            _, kind, message = FAILURES["overloaded"]
            yield {"type": "error", "error": {"type": kind, "message": message}}
            return
        block = _block(part, place, number)
        empty: dict[str, dict[str, Any]]
        empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}
        yield {
            "type": "content_block_start",
            "index": place,
            "content_block": {**block, **empty.get(block["type"], {})},
        }
        if place == 0:
            yield {"type": "ping"}
        for delta in _deltas(part, block):
            yield {"type": "content_block_delta", "index": place, "delta": delta}
        if not isinstance((*turn.parts, None)[place + 1], Break):  # it breaks within a block
            yield {"type": "content_block_stop", "index": place}
    cumulative = {name: value for name, value in usage.items() if name not in ("cache_creation", "service_tier")}
    yield {"type": "message_delta", "delta": _stop(turn, body), "usage": cumulative}
    yield {"type": "message_stop"}


def _deltas(part: script.Part, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    match part:
        case Say(text):
            yield from ({"type": "text_delta", "text": piece} for piece in pieces(text))
        case Think(text):
            yield from ({"type": "thinking_delta", "thinking": piece} for piece in pieces(text))
            yield {"type": "signature_delta", "signature": block["signature"]}
        case CallTool(_, arguments):
            yield {"type": "input_json_delta", "partial_json": ""}
            if arguments:
                json = encode(arguments).decode()
                yield from ({"type": "input_json_delta", "partial_json": piece} for piece in pieces(json))


def _event(payload: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (payload["type"].encode(), encode(payload))


def _failed(status: int, kind: str, message: str) -> Spoken:
    headers = {"retry-after": "7"} if status == 429 else {}
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_fake"}
    return Spoken(status, JSON, (encode(body),), headers)
