"""What every client may rely on in a stream of its dialect, checked on the bytes alone.

Each function takes a stream that ended well and raises AssertionError where it breaks a rule of its documentation.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from gateway.wire.sse import Event, EventReader

Json = dict[str, Any]


def events_of(stream: bytes) -> list[Event]:
    reader = EventReader()
    events = reader.feed(stream)
    assert reader.rest() is None, "the stream ends within an event"
    return events


def chat(stream: bytes) -> None:
    events = events_of(stream)
    assert events[-1].data == "[DONE]"
    chunks = [json.loads(event.data) for event in events[:-1]]
    assert all(event.event == "message" for event in events)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    for name in ("id", "model", "created"):
        assert len({chunk[name] for chunk in chunks}) == 1, f"{name} changes within the stream"
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert choices[0]["delta"]["role"] == "assistant"
    for index in {choice["index"] for choice in choices}:
        mine = [choice for choice in choices if choice["index"] == index]
        assert [bool(choice.get("finish_reason")) for choice in mine] == [False] * (len(mine) - 1) + [True]
        _chat_calls([call for choice in mine for call in choice["delta"].get("tool_calls") or []])
    usages = [place for place, chunk in enumerate(chunks) if chunk.get("usage")]
    assert usages in ([], [len(chunks) - 1]), "usage does not stand in the last chunk alone"


def _chat_calls(calls: list[Json]) -> None:
    begun: dict[int, Json] = {}
    for call in calls:
        if call["index"] not in begun:
            assert call["index"] == len(begun), "calls are not counted from 0"
            assert call["id"]
            assert call[call["type"]]["name"]
            begun[call["index"]] = call
        else:
            assert "id" not in call or call["id"] == begun[call["index"]]["id"]


def responses(stream: bytes) -> None:
    events = [json.loads(event.data) for event in events_of(stream)]
    assert [event.event for event in events_of(stream)] == [event["type"] for event in events]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[0]["type"] == "response.created"
    assert events[-1]["type"] in ("response.completed", "response.incomplete")
    assert len({event["response"]["id"] for event in events if "response" in event}) == 1
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert events[-1]["response"]["output"] == done
    opened: dict[int, str] = {}
    texts: dict[tuple[Any, ...], str] = {}
    for event in events:
        kind, index = event["type"], event.get("output_index")
        place = (index, event.get("content_index"), event.get("summary_index"), kind.rpartition(".")[0])
        if kind == "response.output_item.added":
            assert index == len(opened), "items are not counted from 0"
            opened[index] = event["item"]["id"]
        elif index is not None:
            assert event.get("item_id", opened[index]) == opened[index]
        if kind.endswith(".delta"):
            texts[place] = texts.get(place, "") + event["delta"]
        elif kind.endswith((".done",)) and place in texts:
            whole = next(event[name] for name in ("text", "arguments", "refusal", "input") if name in event)
            assert texts.pop(place) == whole, "what is done differs from its deltas"
    assert not texts, "deltas that nothing has ended"
    assert [item["id"] for item in done] == list(opened.values())


def anthropic(stream: bytes) -> None:
    events = [json.loads(event.data) for event in events_of(stream)]
    assert [event.event for event in events_of(stream)] == [event["type"] for event in events]
    kinds = [event["type"] for event in events if event["type"] != "ping"]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert kinds.count("message_start") == kinds.count("message_delta") == kinds.count("message_stop") == 1
    begun = events[0]["message"]
    assert (begun["role"], begun["content"], begun["stop_reason"]) == ("assistant", [], None)
    assert begun["usage"]["input_tokens"] is not None
    now, count, arguments = None, 0, ""
    for event in events:
        if event["type"] == "content_block_start":
            assert now is None, "a block opens within another one"
            assert event["index"] == count, "blocks are not counted from 0"
            now, count, arguments = event["content_block"], count + 1, ""
        elif event["type"] == "content_block_delta":
            assert now is not None
            wanted = {"text": "text_delta", "tool_use": "input_json_delta"}.get(now["type"])
            assert wanted is None or event["delta"]["type"] in (wanted, "citations_delta")
            arguments += event["delta"].get("partial_json", "")
        elif event["type"] == "content_block_stop":
            assert now is not None
            if now["type"] == "tool_use" and events[-2]["delta"]["stop_reason"] == "tool_use":
                assert isinstance(json.loads(arguments or "{}"), dict)
            now = None
    assert now is None
    assert events[-2]["delta"]["stop_reason"]
    assert events[-2]["usage"]["output_tokens"] is not None


def gemini(stream: bytes) -> None:
    events = events_of(stream)
    assert all(event.event == "message" for event in events)
    chunks = [json.loads(event.data) for event in events]
    assert len({chunk["responseId"] for chunk in chunks}) == 1
    candidates = [candidate for chunk in chunks for candidate in chunk.get("candidates", [])]
    finished = [candidate.get("index", 0) for candidate in candidates if "finishReason" in candidate]
    blocked = [chunk for chunk in chunks if chunk.get("promptFeedback", {}).get("blockReason")]
    assert blocked or sorted(finished) == sorted({candidate.get("index", 0) for candidate in candidates})
    for part in (
        part
        for chunk in chunks
        for candidate in chunk.get("candidates", [])
        for part in candidate.get("content", {}).get("parts", [])
    ):
        kinds = part.keys() & {"text", "functionCall", "inlineData", "executableCode", "codeExecutionResult"}
        assert len(kinds) == 1
        assert "functionCall" not in part or isinstance(part["functionCall"]["args"], dict)


GRAMMARS: dict[str, Callable[[bytes], None]] = {
    "openai_chat": chat,
    "openai_responses": responses,
    "anthropic": anthropic,
    "gemini": gemini,
}
