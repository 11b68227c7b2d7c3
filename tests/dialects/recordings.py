"""Real exchanges with providers, where their folder is (`../shared/traffic`, or what `LLMGATEWAY_TRAFFIC` names).

They are not part of the project. With `LLMGATEWAY_ALL_RECORDINGS=1` every test takes all of them; otherwise the
expensive ones take every `STEP`th.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

Json = dict[str, Any]

TRAFFIC = Path(os.environ.get("LLMGATEWAY_TRAFFIC", Path(__file__).parents[3] / "shared" / "traffic"))
ALL = os.environ.get("LLMGATEWAY_ALL_RECORDINGS") == "1"
STEP = 1 if ALL else 6

DIALECT_OF = {
    "chat": "openai_chat",
    "responses": "openai_responses",
    "messages": "anthropic",
    "generateContent": "gemini",
}


@dataclass(frozen=True, slots=True)
class Recording:
    """`request` is None where none was recorded. `answer` is the bytes that the provider sent."""

    id: str
    dialect: str
    provider: str
    request: Json | None
    status: int
    answer: bytes
    stream: bool


@cache
def recordings() -> tuple[Recording, ...]:
    """All exchanges in one of the four dialects."""
    return tuple(_load()) if TRAFFIC.is_dir() else ()


def _load() -> Iterator[Recording]:
    for path in sorted(TRAFFIC.glob("*.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            record = json.loads(line)
            dialect = DIALECT_OF.get(record["endpoint"])
            if dialect is None:
                continue
            body = record["request_body"]
            yield Recording(
                record["id"],
                dialect,
                record["provider"],
                body if isinstance(body, dict) else None,
                record["status"],
                str(record.get("response_body") or "").encode("utf-8", "surrogatepass"),
                bool(record["stream"]),
            )


def requests() -> Iterator[Recording]:
    """Those whose request the provider took."""
    return (each for each in recordings() if each.request is not None and each.status < 400)


def answers() -> Iterator[tuple[Recording, object]]:
    """Whole answers, decoded."""
    for each in recordings():
        if each.status == 200 and not each.stream and each.answer:
            try:
                yield each, json.loads(each.answer)
            except ValueError:
                continue


def streams() -> Iterator[Recording]:
    """Streams of events; without `alt=sse` Gemini sends an array, which is no stream to the readers."""
    for each in recordings():
        if each.status == 200 and each.stream and each.answer and not each.answer.lstrip().startswith(b"["):
            yield each
