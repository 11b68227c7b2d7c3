"""A fake of OpenAI's Responses API, strict and scripted; `openai_api.py` serves it. It stores nothing.

Source: https://platform.openai.com/docs/api-reference/responses, https://platform.openai.com/docs/guides/reasoning
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openai.types.responses.response_create_params import (
    ResponseCreateParamsNonStreaming,
    ResponseCreateParamsStreaming,
)

from tests.fakes import script
from tests.fakes.answers import CREATED
from tests.fakes.api import RefusedError, encode
from tests.fakes.openai_rules import (
    check_for_reasoning,
    check_function,
    check_length,
    check_shape,
    check_strict,
    read_data_url,
    reasons,
)
from tests.fakes.script import Break, CallTool, Heard, Say, Think, Turn, pieces, sign

MAKER = "openai"
CALLS = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
SPOKEN_BY_MODEL = ("reasoning", *CALLS)
ID_PREFIXES = {"reasoning": "rs", "function_call": "fc", "message": "msg"}
OUTPUT_TEXT: dict[str, Any] = {"annotations": [], "logprobs": []}
SILENT_DEFAULTS: dict[str, dict[str, Any]] = {
    "input_image": {"detail": "auto"},
    "output_text": {"annotations": []},
    "function": {"strict": True, "parameters": {"type": "object", "properties": {}}},
    "reasoning": {"id": "rs_"},
}
"""What the SDK's types require and the API does not."""

UNDOCUMENTED = ("client_metadata",)
"""What Codex sends. https://github.com/openai/codex"""


def check_request(body: dict[str, Any]) -> None:
    """Raises RefusedError."""
    shape: Any = ResponseCreateParamsStreaming if body.get("stream") else ResponseCreateParamsNonStreaming
    tools = [{**SILENT_DEFAULTS.get(tool.get("type"), {}), **tool} for tool in body.get("tools") or ()]
    filled = {"input": _filled(body.get("input")), "tools": tools}
    shaped = {**body, **{name: filled[name] for name in filled if name in body}}
    check_shape(shape, {name: value for name, value in shaped.items() if name not in UNDOCUMENTED})
    if reasons(body["model"]):
        check_for_reasoning(body, ("temperature", "top_p", "top_logprobs"))
    elif body.get("reasoning"):
        name = f"reasoning.{next(iter(body['reasoning']))}"
        raise RefusedError(
            f"Unsupported parameter: '{name}' is not supported with this model.", "unsupported_parameter", name
        )
    if (body.get("max_output_tokens") or 16) < 16:
        raise RefusedError(
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16.",
            "integer_below_min_value",
            "max_output_tokens",
        )
    for place, tool in enumerate(body.get("tools", ())):
        if tool["type"] == "function":
            check_function(tool, f"tools[{place}]")
    form = (body.get("text") or {}).get("format") or {}
    if form.get("type") == "json_schema" and form.get("strict"):
        check_strict(form["schema"], f"response_format '{form['name']}'", "text.format.schema")
    if form.get("type") == "json_object" and "json" not in str(body["input"]).lower():
        raise RefusedError(
            "Response input messages must contain the word 'json' in some form to use 'text.format' of type "
            "'json_object'.",
            None,
            "input",
        )
    _check_items(items(body))


def _filled(value: Any) -> Any:
    """The input with what may be left out."""
    if not isinstance(value, list):
        return value
    return [_filled_item(item) if isinstance(item, dict) else item for item in value]


def _filled_item(item: dict[str, Any]) -> dict[str, Any]:
    item = {**SILENT_DEFAULTS.get(item.get("type", ""), {}), **item}
    content = item.get("content")
    if content is None:  # as Codex has it in thoughts
        item.pop("content", None)
    if isinstance(content, list):
        item = {**item, "content": [{**SILENT_DEFAULTS.get(part.get("type"), {}), **part} for part in content]}
        if item.get("role") == "assistant" and any(part["type"] == "output_text" for part in content):
            return {"id": "msg_", "status": "completed", "type": "message", **item}
    if "role" in item and isinstance(item.get("id"), str):  # which Codex gives to everybody's messages
        item = {name: value for name, value in item.items() if name != "id"}
    return item


def items(body: dict[str, Any]) -> list[dict[str, Any]]:
    given = body["input"]
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


def kind_of(item: dict[str, Any]) -> str:
    return str(item.get("type", "message"))


def _check_items(given: list[dict[str, Any]]) -> None:
    if not given:
        raise RefusedError("Missing required parameter: 'input'.", "missing_required_parameter", "input")
    called: list[str] = []
    waiting: list[str] = []
    for place, item in enumerate(given):
        kind, where = kind_of(item), f"input[{place}]"
        prefix = ID_PREFIXES.get(kind, "")
        if item.get("id") is not None and not item["id"].startswith(prefix):
            raise RefusedError(
                f"Invalid '{where}.id': '{item['id']}'. Expected an ID that begins with '{prefix}'.",
                "invalid_value",
                f"{where}.id",
            )
        if kind == "reasoning":
            _check_reasoning(item, given[place + 1 :])
        elif kind in CALLS:
            check_length(item["call_id"], 64, f"{where}.call_id")
            called.append(item["call_id"])
            waiting.append(item["call_id"])
        elif kind in CALLS.values():
            if item["call_id"] not in called:
                raise RefusedError(
                    f"No tool call found for function call output with call_id {item['call_id']}.", None, "input"
                )
            waiting.remove(item["call_id"])
    if waiting:
        raise RefusedError(f"No tool output found for function call {waiting[0]}.", None, "input")


def _check_reasoning(item: dict[str, Any], after: list[dict[str, Any]]) -> None:
    encrypted = item.get("encrypted_content")
    if not encrypted:
        raise RefusedError(
            f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false. "
            "Try again with `store` set to true, or remove this item from your input.",
            None,
            "input",
        )
    made_for, _, _ = encrypted.partition("~")
    if encrypted != _encrypted(made_for) or item.get("id", made_for) != made_for:
        raise RefusedError(
            f"The encrypted content for item {item.get('id')} could not be verified. Reason: Encrypted content could "
            "not be decrypted or parsed.",
            "invalid_encrypted_content",
        )
    if not after or not (kind_of(after[0]) in SPOKEN_BY_MODEL or after[0].get("role") == "assistant"):
        raise RefusedError(
            f"Item '{made_for}' of type 'reasoning' was provided without its required following item.", None, "input"
        )


def _encrypted(item_id: str) -> str:
    """Thoughts that know which item they belong to."""
    return f"{item_id}~{sign(MAKER, item_id)}"


def hear(body: dict[str, Any]) -> Heard:
    choice, form = body.get("tool_choice") or "", (body.get("text") or {}).get("format") or {}
    heard = Heard(
        system="\n".join(
            [body.get("instructions") or ""] * bool(body.get("instructions"))
            + [_text(item["content"]) for item in items(body) if item.get("role") in ("system", "developer")]
        ),
        tools=[tool["name"] for tool in body.get("tools", ()) if tool["type"] == "function"],
        choice=choice if isinstance(choice, str) else choice["name"],
        format={"json_object": "json"}.get(form.get("type", ""), form.get("schema", "")),
        thinking=reasons(body["model"]) and (body.get("reasoning") or {}).get("effort") != "none",
        max_tokens=body.get("max_output_tokens"),
        temperature=body.get("temperature"),
    )
    names: dict[str, str] = {}
    for item in items(body):
        kind = kind_of(item)
        said = "assistant" if kind in SPOKEN_BY_MODEL else item.get("role", "user")
        if kind in CALLS:
            names[item["call_id"]] = item["name"]
        elif kind in CALLS.values():
            heard.results.append((names[item["call_id"]], _text(item["output"]), False))
            heard.media.extend(_media(item["output"]))
        if said not in ("user", "assistant"):
            continue
        text = _text(item.get("content")) if kind == "message" else ""
        if said == "assistant" and heard.turns and heard.turns[-1][0] == "assistant":  # items of one turn
            text = heard.turns.pop()[1] + text
        heard.turns.append((said, text))
        heard.media.extend(_media(item.get("content")))
    return heard


def _text(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part.get("text", "") for part in content)


def _media(content: Any) -> Iterator[tuple[str, int]]:
    for part in content if isinstance(content, list) else ():
        if part["type"] == "input_image":
            yield read_data_url(part["image_url"], "image_url")
        elif part["type"] == "input_file":
            yield read_data_url(part["file_data"], "file_data")


def whole(body: dict[str, Any], turn: Turn, number: int, status: str = "") -> dict[str, Any]:
    """The response; `status` "in_progress" is how it begins."""
    reason = {"length": "max_output_tokens", "filter": "content_filter"}.get(turn.stop)
    done = status != "in_progress"
    return {
        "id": f"resp_{number:032}",
        "object": "response",
        "created_at": CREATED,
        "status": status or ("incomplete" if reason else "completed"),
        "background": False,
        "error": None,
        "incomplete_details": {"reason": reason} if reason and done else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        "model": f"{body['model']}-2025-08-07",
        "output": [_item(part, place, number, body) for place, part in enumerate(turn.parts)] if done else [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": body.get("store", True),
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage(turn) if done else None,
        "user": None,
    }


def _item(part: script.Part, place: int, number: int, body: dict[str, Any]) -> dict[str, Any]:
    tail = f"{number:040}{place:04}"
    match part:
        case Think(text):
            shown = (body.get("reasoning") or {}).get("summary")
            summary = [{"type": "summary_text", "text": text}] if shown else []
            item: dict[str, Any] = {"id": f"rs_{tail}", "type": "reasoning", "summary": summary}
            return {**item, "encrypted_content": _encrypted(item["id"])}
        case CallTool(name, arguments):
            call = {"call_id": f"call_{number:020}{place:04}", "name": name, "arguments": encode(arguments).decode()}
            return {"id": f"fc_{tail}", "type": "function_call", "status": "completed", **call}
        case Say(text):
            content = [{"type": "output_text", "text": text, **OUTPUT_TEXT}]
            return {
                "id": f"msg_{tail}",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": content,
            }
    raise AssertionError(part)


def usage(turn: Turn) -> dict[str, Any]:
    given, made = script.INPUT + script.CACHED, script.TEXT_TOKENS + turn.thought_tokens
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": script.CACHED},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": turn.thought_tokens},
        "total_tokens": given + made,
    }


def events(body: dict[str, Any], turn: Turn, number: int) -> Iterator[bytes]:
    for sequence, payload in enumerate(_payloads(body, turn, number)):
        numbered = {**payload, "sequence_number": sequence}
        yield b"event: %b\ndata: %b\n\n" % (payload["type"].encode(), encode(numbered))


def _payloads(body: dict[str, Any], turn: Turn, number: int) -> Iterator[dict[str, Any]]:
    begun = whole(body, turn, number, "in_progress")
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for place, part in enumerate(turn.parts):
        if isinstance(part, Break):
            error = {"code": "server_error", "message": "The server had an error while processing your request."}
            yield {"type": "response.failed", "response": {**begun, "status": "failed", "error": error}}
            return
        item = _item(part, place, number, body)
        empty: dict[str, dict[str, Any]]
        empty = {"reasoning": {"summary": []}, "message": {"content": []}, "function_call": {"arguments": ""}}
        opened = {**item, **empty[item["type"]], "status": "in_progress"}
        if item["type"] == "reasoning":
            opened.pop("status")
        yield {"type": "response.output_item.added", "output_index": place, "item": opened}
        yield from _growing(item, place)
        yield {"type": "response.output_item.done", "output_index": place, "item": item}
    last = whole(body, turn, number)
    yield {"type": f"response.{last['status']}", "response": last}


def _growing(item: dict[str, Any], place: int) -> Iterator[dict[str, Any]]:
    here = {"item_id": item["id"], "output_index": place}
    match item["type"]:
        case "message":
            yield from _part("content_part", "output_text", item["content"][0], {**here, "content_index": 0})
        case "reasoning":
            for number, summary in enumerate(item["summary"]):
                at = {**here, "summary_index": number}
                yield from _part("reasoning_summary_part", "reasoning_summary_text", summary, at)
        case "function_call":
            name = "response.function_call_arguments"
            yield from ({"type": f"{name}.delta", **here, "delta": piece} for piece in pieces(item["arguments"]))
            yield {"type": f"{name}.done", **here, "name": item["name"], "arguments": item["arguments"]}


def _part(outer: str, inner: str, part: dict[str, Any], at: dict[str, Any]) -> Iterator[dict[str, Any]]:
    more: dict[str, Any] = {"logprobs": []} if inner == "output_text" else {}
    yield {"type": f"response.{outer}.added", **at, "part": {**part, "text": ""}}
    yield from ({"type": f"response.{inner}.delta", **at, "delta": piece, **more} for piece in pieces(part["text"]))
    yield {"type": f"response.{inner}.done", **at, "text": part["text"], **more}
    yield {"type": f"response.{outer}.done", **at, "part": part}
