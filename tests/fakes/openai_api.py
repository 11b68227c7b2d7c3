"""A fake of OpenAI's API: Chat Completions, Responses and Embeddings, strict and scripted."""

from __future__ import annotations

import base64
import struct
from typing import Any

from openai.types.embedding_create_params import EmbeddingCreateParams

from tests.fakes import openai_chat, openai_responses
from tests.fakes.api import EVENTS, JSON, Asked, RefusedError, Spoken, encode
from tests.fakes.openai_rules import check_shape
from tests.fakes.script import FailingError, Turn, play

FAILURES: dict[str, tuple[int, str, str, str | None]] = {
    "rate": (429, "Rate limit reached for gpt-5 on requests per min (RPM).", "requests", "rate_limit_exceeded"),
    "bad": (400, "Invalid value: 'wrong'.", "invalid_request_error", "invalid_value"),
    "server": (500, "The server had an error while processing your request.", "server_error", None),
    "overloaded": (503, "The engine is currently overloaded, please try again later", "server_error", None),
    "context": (
        400,
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 200016 tokens.",
        "invalid_request_error",
        "context_length_exceeded",
    ),
}


class OpenAIApi:
    """See the module."""

    def __init__(self) -> None:
        self.verified: list[str] = []

    def answer(self, asked: Asked) -> Spoken:
        try:
            match asked.method, asked.path:
                case "POST", "/v1/chat/completions":
                    openai_chat.check_request(asked.body)
                    return _speak(openai_chat, asked, play(openai_chat.hear(asked.body)))
                case "POST", "/v1/responses":
                    openai_responses.check_request(asked.body)
                    self.verified += [
                        item["encrypted_content"]
                        for item in openai_responses.items(asked.body)
                        if openai_responses.kind_of(item) == "reasoning"
                    ]
                    return _speak(openai_responses, asked, play(openai_responses.hear(asked.body)))
                case "POST", "/v1/embeddings":
                    check_shape(EmbeddingCreateParams, asked.body)
                    return Spoken(200, JSON, (encode(_embeddings(asked.body)),))
            return _failed(404, f"Invalid URL ({asked.method} {asked.path})", "invalid_request_error")
        except RefusedError as refused:
            return _failed(400, refused.message, "invalid_request_error", refused.code, refused.param)
        except FailingError as failing:
            return _failed(*FAILURES[failing.args[0]])


def _speak(api: Any, asked: Asked, turn: Turn) -> Spoken:
    if asked.body.get("stream"):
        return Spoken(200, EVENTS, tuple(api.events(asked.body, turn, asked.number)))
    if turn.breaks:
        raise FailingError("server")
    return Spoken(200, JSON, (encode(api.whole(asked.body, turn, asked.number)),))


def _embeddings(body: dict[str, Any]) -> dict[str, Any]:
    given = body["input"] if isinstance(body["input"], list) else [body["input"]]
    size = body.get("dimensions", 3)
    vectors = [[0.1 * len(text), *[-0.2] * (size - 1)] for text in given]
    packed = body.get("encoding_format") == "base64"  # what the SDK asks for unless told otherwise
    data = [
        {"object": "embedding", "index": n, "embedding": _packed(vector) if packed else vector}
        for n, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    return {"object": "list", "data": data, "model": body["model"], "usage": usage}


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _failed(status: int, message: str, kind: str, code: str | None = None, param: str | None = None) -> Spoken:
    error = {"message": message, "type": kind, "param": param, "code": code}
    headers = {"retry-after": "7"} if status == 429 else {}
    return Spoken(status, JSON, (encode({"error": error}),), headers)
