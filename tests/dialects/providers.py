"""Providers' answers, whole and streamed, in the shapes that their documentation shows.

A `Said` is what a model said; the functions here say it in each dialect, knowing nothing of the code under test.

Sources: https://platform.openai.com/docs/api-reference/chat/object and /chat-streaming,
https://platform.openai.com/docs/api-reference/responses/object and /responses-streaming,
https://platform.claude.com/docs/en/build-with-claude/streaming, https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.dialects.pairs import sse

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    id: str
    name: str
    arguments: Json


@dataclass(frozen=True, slots=True)
class Said:
    """`ending` is a key of `ENDINGS`. `usage` is input and output tokens. `signature` is of the thoughts."""

    text: str = ""
    thinking: str = ""
    signature: str = ""
    refusal: str = ""
    calls: tuple[Call, ...] = ()
    ending: str = "stop"
    stop_sequence: str | None = None
    usage: tuple[int, int] = (10, 5)


ENDINGS: dict[str, dict[str, str]] = {
    "stop": {"openai_chat": "stop", "openai_responses": "completed", "anthropic": "end_turn", "gemini": "STOP"},
    "stop_sequence": {
        "openai_chat": "stop", "openai_responses": "completed", "anthropic": "stop_sequence", "gemini": "STOP",
    },
    "length": {
        "openai_chat": "length", "openai_responses": "max_output_tokens", "anthropic": "max_tokens",
        "gemini": "MAX_TOKENS",
    },
    "tool_calls": {
        "openai_chat": "tool_calls", "openai_responses": "completed", "anthropic": "tool_use", "gemini": "STOP",
    },
    "refusal": {
        "openai_chat": "stop", "openai_responses": "completed", "anthropic": "refusal", "gemini": "SAFETY",
    },
    "content_filter": {
        "openai_chat": "content_filter", "openai_responses": "content_filter", "anthropic": "refusal",
        "gemini": "PROHIBITED_CONTENT",
    },
}  # fmt: skip
"""How each dialect says why the model stopped. Responses says "completed" where nothing was cut off."""


def _arguments(call: Call) -> str:
    return json.dumps(call.arguments, separators=(",", ":"))


def _halves(text: str) -> list[str]:
    """A text in two pieces, as streams have it; nothing for no text."""
    middle = len(text) // 2
    return [piece for piece in (text[:middle], text[middle:]) if piece]


# --- Chat Completions -------------------------------------------------------------------------------------------------


def _chat_usage(said: Said) -> Json:
    asked, told = said.usage
    return {"prompt_tokens": asked, "completion_tokens": told, "total_tokens": asked + told}


def chat_call(call: Call) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _arguments(call)}}


def chat_answer(said: Said) -> Json:
    message: Json = {"role": "assistant", "content": said.text or None, "refusal": said.refusal or None}
    if said.thinking:
        message["reasoning_content"] = said.thinking
    if said.calls:
        message["tool_calls"] = [chat_call(call) for call in said.calls]
    choice = {
        "index": 0, "message": message, "logprobs": None, "finish_reason": ENDINGS[said.ending]["openai_chat"],
    }  # fmt: skip
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "gpt-5.1",
        "choices": [choice], "usage": _chat_usage(said),
    }  # fmt: skip


def chat_stream(said: Said) -> bytes:
    def chunk(delta: Json, finish: str | None = None) -> Json:
        return {
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "gpt-5.1",
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}], "usage": None,
        }  # fmt: skip

    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    for name, text in (("reasoning_content", said.thinking), ("content", said.text), ("refusal", said.refusal)):
        deltas += [{name: piece} for piece in _halves(text)]
    for index, call in enumerate(said.calls):
        head = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        deltas.append({"tool_calls": [head]})
    pieces = [[(index, piece) for piece in _halves(_arguments(call))] for index, call in enumerate(said.calls)]
    for round_ in range(2):  # the arguments of parallel calls come interleaved
        for each in pieces:
            deltas += [
                {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
                for index, piece in each[round_ : round_ + 1]
            ]
    chunks = [chunk(delta) for delta in deltas]
    last = {**chunk({}), "choices": [], "usage": _chat_usage(said)}
    return sse(*chunks, chunk({}, ENDINGS[said.ending]["openai_chat"]), last, "[DONE]")


# --- Responses --------------------------------------------------------------------------------------------------------


def _items(said: Said) -> list[Json]:
    items: list[Json] = []
    if said.thinking or said.signature:
        summary = [{"type": "summary_text", "text": said.thinking}] if said.thinking else []
        sealed = {"encrypted_content": said.signature} if said.signature else {}
        items.append({"type": "reasoning", "id": "rs_1", "summary": summary, **sealed})
    content: list[Json] = []
    if said.text:
        content.append({"type": "output_text", "text": said.text, "annotations": [], "logprobs": []})
    if said.refusal:
        content.append({"type": "refusal", "refusal": said.refusal})
    if content:
        items.append({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content})
    for number, call in enumerate(said.calls):
        items.append(
            {
                "type": "function_call", "id": f"fc_{number}", "call_id": call.id, "name": call.name,
                "arguments": _arguments(call), "status": "completed",
            }
        )  # fmt: skip
    return items


def responses_answer(said: Said) -> Json:
    asked, told = said.usage
    cut = ENDINGS[said.ending]["openai_responses"]
    return {
        "id": "resp_1", "object": "response", "created_at": 1_700_000_000, "model": "gpt-5.1", "error": None,
        "status": "completed" if cut == "completed" else "incomplete",
        "incomplete_details": None if cut == "completed" else {"reason": cut},
        "output": _items(said), "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
        "instructions": None, "metadata": {}, "temperature": 1.0, "top_p": 1.0,
        "usage": {
            "input_tokens": asked, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": told,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": asked + told,
        },
    }  # fmt: skip


def responses_stream(said: Said) -> bytes:
    whole = responses_answer(said)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    events: list[Json] = [{"type": "response.created", "response": begun}]
    events.append({"type": "response.in_progress", "response": begun})
    for index, item in enumerate(whole["output"]):
        events += _item_events(index, item)
    events.append({"type": f"response.{whole['status']}", "response": whole})
    return sse(*({**event, "sequence_number": number} for number, event in enumerate(events)), named=True)


def _item_events(index: int, item: Json) -> list[Json]:
    place = {"output_index": index, "item_id": item["id"]}
    empty: dict[str, Json]
    empty = {"reasoning": {"summary": []}, "message": {"content": []}, "function_call": {"arguments": ""}}
    head = {**item, "status": "in_progress", **empty[item["type"]]}
    events: list[Json] = [{"type": "response.output_item.added", "output_index": index, "item": head}]
    if item["type"] == "function_call":
        name = "response.function_call_arguments"
        events += [{"type": f"{name}.delta", **place, "delta": piece} for piece in _halves(item["arguments"])]
        events.append({"type": f"{name}.done", **place, "arguments": item["arguments"], "name": item["name"]})
    for number, part in enumerate(item.get("summary", [])):
        inside = {**place, "summary_index": number}
        name = "response.reasoning_summary"
        events.append({"type": f"{name}_part.added", **inside, "part": {"type": "summary_text", "text": ""}})
        events += [{"type": f"{name}_text.delta", **inside, "delta": piece} for piece in _halves(part["text"])]
        events.append({"type": f"{name}_text.done", **inside, "text": part["text"]})
        events.append({"type": f"{name}_part.done", **inside, "part": part})
    for number, part in enumerate(item.get("content", [])):
        inside = {**place, "content_index": number}
        field = "text" if part["type"] == "output_text" else "refusal"
        events.append({"type": "response.content_part.added", **inside, "part": {**part, field: ""}})
        name = f"response.{part['type']}"
        events += [{"type": f"{name}.delta", **inside, "delta": piece} for piece in _halves(part[field])]
        events.append({"type": f"{name}.done", **inside, field: part[field]})
        events.append({"type": "response.content_part.done", **inside, "part": part})
    events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    return events


# --- Messages ---------------------------------------------------------------------------------------------------------


def anthropic_answer(said: Said) -> Json:
    content: list[Json] = []
    if said.thinking or said.signature:
        content.append({"type": "thinking", "thinking": said.thinking, "signature": said.signature})
    if said.text or said.refusal:
        content.append({"type": "text", "text": said.text or said.refusal})
    content += [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in said.calls]
    asked, told = said.usage
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": content,
        "stop_reason": ENDINGS[said.ending]["anthropic"], "stop_sequence": said.stop_sequence,
        "usage": {"input_tokens": asked, "output_tokens": told},
    }  # fmt: skip


def anthropic_stream(said: Said) -> bytes:
    whole = anthropic_answer(said)
    begun = {**whole, "content": [], "stop_reason": None, "stop_sequence": None}
    begun["usage"] = {**whole["usage"], "output_tokens": 1}
    events: list[Json] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, block in enumerate(whole["content"]):
        empty: dict[str, Json] = {
            "thinking": {"thinking": "", "signature": ""}, "text": {"text": ""}, "tool_use": {"input": {}},
        }  # fmt: skip
        head = {**block, **empty[block["type"]]}
        deltas: list[Json] = []
        if block["type"] == "thinking":
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _halves(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        elif block["type"] == "text":
            deltas = [{"type": "text_delta", "text": piece} for piece in _halves(block["text"])]
        else:
            arguments = ["", *_halves(json.dumps(block["input"]))] if block["input"] else [""]
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in arguments]
        events.append({"type": "content_block_start", "index": index, "content_block": head})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    stop = {"stop_reason": whole["stop_reason"], "stop_sequence": whole["stop_sequence"]}
    events.append({"type": "message_delta", "delta": stop, "usage": {"output_tokens": said.usage[1]}})
    events.append({"type": "message_stop"})
    return sse(*events, named=True)


# --- generateContent --------------------------------------------------------------------------------------------------


def _gemini_parts(said: Said) -> list[Json]:
    parts: list[Json] = []
    if said.thinking:
        parts.append({"text": said.thinking, "thought": True})
    if said.text or said.refusal:
        parts.append({"text": said.text or said.refusal})
    parts += [{"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}} for call in said.calls]
    if said.signature and parts:  # on the first call, or else on the last text
        first_call = next((part for part in parts if "functionCall" in part), parts[-1])
        first_call["thoughtSignature"] = base64.b64encode(said.signature.encode()).decode()
    return parts


def _gemini(parts: list[Json], said: Said, finish: str | None) -> Json:
    asked, told = said.usage
    candidate: Json = {"content": {"parts": parts, "role": "model"} if parts else {"role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {
        "candidates": [candidate], "modelVersion": "gemini-2.5-flash", "responseId": "r1",
        "usageMetadata": {"promptTokenCount": asked, "candidatesTokenCount": told, "totalTokenCount": asked + told},
    }  # fmt: skip


def gemini_answer(said: Said) -> Json:
    return _gemini(_gemini_parts(said), said, ENDINGS[said.ending]["gemini"])


def gemini_stream(said: Said) -> bytes:
    chunks: list[Json] = []
    for part in _gemini_parts(said):
        pieces = _halves(part.get("text", ""))
        split = [{**part, "text": piece} for piece in pieces] or [part]
        for each in split[:-1]:
            each.pop("thoughtSignature", None)
        chunks += [_gemini([each], said, None) for each in split]
    chunks.append(_gemini([], said, ENDINGS[said.ending]["gemini"]))
    return sse(*chunks).replace(b"\n", b"\r\n")


ANSWERS: dict[str, Callable[[Said], Json]] = {
    "openai_chat": chat_answer,
    "openai_responses": responses_answer,
    "anthropic": anthropic_answer,
    "gemini": gemini_answer,
}

STREAMS: dict[str, Callable[[Said], bytes]] = {
    "openai_chat": chat_stream,
    "openai_responses": responses_stream,
    "anthropic": anthropic_stream,
    "gemini": gemini_stream,
}

ROME, OSLO = Call("call_1", "get_weather", {"city": "Rome"}), Call("call_2", "get_weather", {"city": "Oslo"})

SAID: dict[str, Said] = {
    "text": Said("Hello, wörld 😀!"),
    "tools": Said("Let me see.", calls=(ROME,), ending="tool_calls"),
    "parallel_tools": Said(calls=(ROME, OSLO), ending="tool_calls"),
    "a_tool_without_arguments": Said(calls=(Call("call_1", "now", {}),), ending="tool_calls"),
    "thinking": Said("Yes.", thinking="Is it? It is.", signature="sig-1"),
    "thinking_and_tools": Said(thinking="I must look.", signature="sig-2", calls=(ROME,), ending="tool_calls"),
    "structured_output": Said('{"city":"Rome"}'),
    "refusal": Said(refusal="I will not.", ending="refusal"),
    "content_filter": Said("I wi", ending="content_filter"),
    "max_tokens": Said("Once upon a", ending="length"),
    "stop": Said("1 2 3", ending="stop_sequence", stop_sequence="END"),
    "empty": Said(usage=(10, 0)),
}
