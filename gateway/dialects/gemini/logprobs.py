"""Log probabilities: Google's `logprobsResult` and OpenAI's `{"content": […]}`, both ways.

Source: https://ai.google.dev/api/generate-content#LogprobsResult
"""

from __future__ import annotations

from typing import Any

from gateway.dialects.gemini.protojson import camel
from gateway.dialects.names import Json


def read_logprobs(result: object) -> Json | None:
    """`logprobsResult` in OpenAI's shape; None where there is nothing in it."""
    if not isinstance(result, dict):
        return None
    fields = camel(result)
    chosen, top = _objects(fields.get("chosenCandidates")), _objects(fields.get("topCandidates"))
    tops = [[_read_token(each) for each in _objects(step.get("candidates"))] for step in top]
    content = [
        {**_read_token(token), "top_logprobs": tops[place] if place < len(tops) else []}
        for place, token in enumerate(chosen)
    ]
    return {"content": content} if content else None


def _objects(value: object) -> list[Json]:
    return [camel(each) for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _read_token(token: Json) -> Json:
    text = str(token.get("token", ""))
    return {"token": text, "logprob": token.get("logProbability", 0.0), "bytes": list(text.encode("utf-8", "replace"))}


def write_logprobs(logprobs: Json) -> Json:
    """OpenAI's shape as a `logprobsResult`. Refusals have no place of their own and are left out."""
    content = _objects(logprobs.get("content"))
    return {
        "chosenCandidates": [_write_token(token) for token in content],
        "topCandidates": [
            {"candidates": [_write_token(each) for each in _objects(token.get("topLogprobs"))]} for token in content
        ],
    }


def _write_token(token: Json) -> dict[str, Any]:
    return {"token": token.get("token", ""), "logProbability": token.get("logprob", 0.0)}
