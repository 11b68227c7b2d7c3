"""What the gateway asks a provider on its own account, in each dialect: which models there are, and a tiny request.

Sources: https://platform.openai.com/docs/api-reference/models/list, https://platform.claude.com/docs/en/api/models/list,
https://ai.google.dev/api/models#method:-models.list
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from gateway.providers.endpoints import ANTHROPIC, GEMINI, RESPONSES
from gateway.quick import dataclass

WORD = "hi"
"""What a tiny request says."""

LEAST_RESPONSE = 16
"""Tokens of a Responses answer at least ("Expected a value >= 16")."""

PAGE_QUERIES: Mapping[str, str] = {ANTHROPIC: "limit=1000", GEMINI: "pageSize=1000"}
"""The largest page of a list of models, where it comes in pages."""

LISTS: tuple[tuple[str, str], ...] = (("data", "id"), ("models", "name"), ("result", "name"), ("endpoints", "name"))
"""Where a list of models stands in its answer and what its entries are called by: with OpenAI and Anthropic; with
Google and Cohere; with Cloudflare; with Databricks."""


class ListedModel(NamedTuple):
    """One entry of a provider's list. `created` in unix seconds, 0 if unknown."""

    id: str
    created: int = 0


@dataclass(frozen=True, slots=True)
class TinyRequest:
    """A request that costs next to nothing. `shape` says how its answer is read, as in `upstream.exchange.Call`."""

    path: str
    shape: str
    body: dict[str, Any]


def tiny_request(dialect: str, model: str) -> TinyRequest:
    """The shortest question with the shortest answer that the dialect allows."""
    messages = [{"role": "user", "content": WORD}]
    if dialect == ANTHROPIC:
        return TinyRequest("/messages", "messages", {"model": model, "max_tokens": 1, "messages": messages})
    if dialect == GEMINI:
        contents = [{"role": "user", "parts": [{"text": WORD}]}]
        body: dict[str, Any] = {"contents": contents, "generationConfig": {"maxOutputTokens": 1}}
        return TinyRequest(f"/models/{quote(model, safe='')}:generateContent", "generate", body)
    if dialect == RESPONSES:
        body = {"model": model, "input": WORD, "max_output_tokens": LEAST_RESPONSE, "store": False}
        return TinyRequest("/responses", "responses", body)
    return TinyRequest("/chat/completions", "chat", {"model": model, "messages": messages, "max_tokens": 1})


def read_models(answer: object) -> tuple[ListedModel, ...] | None:
    """The models in a list, or in a bare array (Together, GitHub). None: it is no list."""
    entries, name = answer, "id"
    if isinstance(answer, dict):
        place, name = next((each for each in LISTS if isinstance(answer.get(each[0]), list)), LISTS[0])
        entries = answer.get(place)
    if not isinstance(entries, list):
        return None
    return tuple(
        ListedModel(entry[name].removeprefix("models/") if name == "name" else entry[name], _created(entry))
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get(name), str) and entry[name]
    )


def next_page(dialect: str, answer: object) -> str:
    """The query for what follows a page of models; empty: nothing does."""
    if not isinstance(answer, dict):
        return ""
    if dialect == ANTHROPIC:
        parameter, cursor = "after_id", answer.get("last_id") if answer.get("has_more") is True else None
    elif dialect == GEMINI:
        parameter, cursor = "pageToken", answer.get("nextPageToken")
    else:
        return ""
    return f"{PAGE_QUERIES[dialect]}&{parameter}={quote(cursor, safe='')}" if cursor and isinstance(cursor, str) else ""


def _created(entry: Mapping[str, Any]) -> int:
    """Unix seconds, of a number or of Anthropic's `created_at` (RFC 3339)."""
    created = entry.get("created")
    if type(created) is int:
        return created
    text = entry.get("created_at")
    if not isinstance(text, str):
        return 0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0
    return max(int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()), 0)
