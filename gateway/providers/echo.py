"""The provider type "echo": it answers by itself, in OpenAI's shape, without keys or network.

For trying the gateway out and for demonstrations: it repeats what it was told, streams word by word, counts
words as tokens, and has keys that fail on purpose. Pure: the same call at the same time gets the same answer.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Callable
from typing import Any

from gateway import jsonlib
from gateway.providers.echo_responses import build_response, response_events
from gateway.quick import dataclass

NAME = "echo"
MODELS = ("echo-1", "echo-embedding-1")

DEMO_KEYS = (
    "demo-key-one-7f3a9c51",
    "demo-key-two-b28e0d46",
    "demo-key-three-invalid-91c4",
    "demo-key-four-limited-5e77",
    "demo-key-five-c60a18f2",
)
"""Keys for a demonstration: the third is rejected, the fourth always over its limit."""

WORD_GAP = 0.03
"""Seconds between the words of a stream: as fast as a quick model, slow enough to watch."""

LIMITED_FOR = 20
"""Seconds that a "limited" key asks to be left alone."""

DEFAULT_DIMENSIONS = 16
MAX_NUMBERS = 1 << 16
"""Numbers in one embeddings answer: made while everybody else waits, in at most 50 ms."""


@dataclass(frozen=True, slots=True)
class LocalAnswer:
    """An answer: its body in pieces (one, or the events of a stream) with `gap` seconds between them."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    pieces: tuple[bytes, ...]
    gap: float = 0.0


@dataclass(frozen=True, slots=True)
class EchoCall:
    """A call, as the endpoints see it: `ident` makes its ids, `now` is in epoch seconds."""

    body: dict[str, Any]
    ident: str
    now: int

    @property
    def model(self) -> str:
        return str(self.body.get("model") or MODELS[0])

    @property
    def streams(self) -> bool:
        return self.body.get("stream") is True


def answer(path: str, body: dict[str, Any], key: str, now: float) -> LocalAnswer:
    """The answer to a call. `path` with or without a leading /v1; `body` its JSON, {} if it has none;
    `key` decides whether it fails: one with "invalid" in it is rejected, with "limited" over its limit."""
    if "invalid" in key:
        message = (
            "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys."
        )
        return _error(401, "invalid_api_key", message)
    if "limited" in key:
        message = f"Rate limit reached for requests. Please try again in {LIMITED_FOR}s."
        return _error(
            429, "rate_limit_exceeded", message, kind="requests", headers=((b"retry-after", b"%d" % LIMITED_FOR),)
        )
    path = path.partition("?")[0].strip("/").removeprefix("v1/")
    digest = hashlib.sha256(f"{path} {now!r} ".encode() + jsonlib.dumps(body)).hexdigest()
    call = EchoCall(body, digest[:24], int(now))
    if path == "models":
        return _json({"object": "list", "data": [_model(name) for name in MODELS]})
    if path.startswith("models/"):
        return _json(_model(path.removeprefix("models/")))
    endpoint = _ENDPOINTS.get(path)
    if endpoint is None:
        return _error(404, "unknown_url", f"The echo provider has no /v1/{path}.")
    return endpoint(call)


def _chat(call: EchoCall) -> LocalAnswer:
    messages = call.body.get("messages")
    if not isinstance(messages, list):
        return _missing("messages")
    asked, reply = _words_of(messages), _reply(last_user_text(messages))
    usage = _chat_usage(asked, len(reply.split()))
    head = {"id": f"chatcmpl-{call.ident}", "object": "chat.completion", "created": call.now, "model": call.model}
    if call.streams:
        parts: list[dict[str, Any]] = [{"delta": {"role": "assistant", "content": ""}}]
        parts += [{"delta": {"content": word}} for word in split_words(reply)]
        return _chunks(call, {**head, "object": "chat.completion.chunk"}, parts, {"delta": {}}, usage)
    message = {"role": "assistant", "content": reply, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _json({**head, "choices": [choice], "usage": usage})


def _completions(call: EchoCall) -> LocalAnswer:
    prompt = call.body.get("prompt")
    if prompt is None:
        return _missing("prompt")
    text = prompt if isinstance(prompt, str) else text_of(prompt)
    reply = _reply(text)
    usage = _chat_usage(len(text.split()), len(reply.split()))
    head = {"id": f"cmpl-{call.ident}", "object": "text_completion", "created": call.now, "model": call.model}
    if call.streams:
        return _chunks(call, head, [{"text": word} for word in split_words(reply)], {"text": ""}, usage)
    choice = {"index": 0, "text": reply, "logprobs": None, "finish_reason": "stop"}
    return _json({**head, "choices": [choice], "usage": usage})


def _chunks(
    call: EchoCall, head: dict[str, Any], parts: list[dict[str, Any]], end: dict[str, Any], usage: dict[str, int]
) -> LocalAnswer:
    """A stream of chunks: each part, the end, usage if it was asked for, [DONE]."""
    options = call.body.get("stream_options")
    asked = isinstance(options, dict) and options.get("include_usage") is True
    choices = [{"index": 0, **part, "finish_reason": None} for part in parts] + [
        {"index": 0, **end, "finish_reason": "stop"}
    ]
    chunks: list[dict[str, Any]] = [{**head, "choices": [choice]} for choice in choices]
    if asked:
        chunks = [{**chunk, "usage": None} for chunk in chunks] + [{**head, "choices": [], "usage": usage}]
    return _stream([b"data: " + jsonlib.dumps(chunk) + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"])


def _responses(call: EchoCall) -> LocalAnswer:
    given = call.body.get("input")
    if given is None:
        return _missing("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list):
        return _missing("input")
    reply = _reply(last_user_text(items))
    response = build_response(call.ident, call.model, call.now, call.body, reply, _words_of(items))
    if not call.streams:
        return _json(response)
    events = response_events(response, split_words(reply))
    return _stream([f"event: {event['type']}\ndata: ".encode() + jsonlib.dumps(event) + b"\n\n" for event in events])


def _embeddings(call: EchoCall) -> LocalAnswer:
    given = call.body.get("input")
    texts = given if isinstance(given, list) and not all(isinstance(each, int) for each in given) else [given]
    if not given:
        return _missing("input")
    dimensions = call.body.get("dimensions", DEFAULT_DIMENSIONS)
    if type(dimensions) is not int or not 1 <= dimensions <= MAX_NUMBERS // len(texts):
        message = f"The echo provider makes 1 to {MAX_NUMBERS // len(texts)} dimensions of {len(texts)} texts."
        return _error(400, "invalid_value", message, param="dimensions")
    as_text = call.body.get("encoding_format") == "base64"
    vectors = [_vector(str(text), dimensions) for text in texts]
    data = [
        {"object": "embedding", "index": index, "embedding": _base64(vector) if as_text else vector}
        for index, vector in enumerate(vectors)
    ]
    words = sum(len(text) if isinstance(text, list) else len(str(text).split()) for text in texts)
    usage = {"prompt_tokens": words, "total_tokens": words}
    return _json({"object": "list", "data": data, "model": call.model, "usage": usage})


def _vector(text: str, dimensions: int) -> list[float]:
    """A vector of length 1 that depends on the text alone."""
    raw = hashlib.shake_256(text.encode("utf-8", "replace")).digest(2 * dimensions)
    values = [number / 32768 for number in struct.unpack(f"<{dimensions}h", raw)]
    length = sum(value * value for value in values) ** 0.5 or 1.0
    return [round(value / length, 8) for value in values]


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


_CATEGORIES = ("harassment", "hate", "self-harm", "sexual", "violence")


def _moderations(call: EchoCall) -> LocalAnswer:
    given = call.body.get("input")
    if given is None:
        return _missing("input")
    result = {
        "flagged": False,
        "categories": dict.fromkeys(_CATEGORIES, False),
        "category_scores": dict.fromkeys(_CATEGORIES, 0.0),
    }
    count = len(given) if isinstance(given, list) else 1
    return _json({"id": f"modr-{call.ident}", "model": call.model, "results": [result] * count})


_ENDPOINTS: dict[str, Callable[[EchoCall], LocalAnswer]] = {
    "chat/completions": _chat,
    "completions": _completions,
    "responses": _responses,
    "embeddings": _embeddings,
    "moderations": _moderations,
}


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "llmgateway"}


def _reply(said: str) -> str:
    return f"You said: {said}" if said else "You said nothing, and I heard it."


def split_words(text: str) -> list[str]:
    """Pieces that join to the text again, a word and what is before it each."""
    first, *rest = text.split(" ")
    return [first, *(f" {word}" for word in rest)]


def last_user_text(messages: list[Any]) -> str:
    """What the user said last, of chat messages or of a Responses input."""
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            return text_of(message.get("content"))
    return ""


def text_of(content: object) -> str:
    """The text in a message's content: a text, or a list of parts of which some are texts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return " ".join(text for text in texts if isinstance(text, str))


def _words_of(messages: list[Any]) -> int:
    return sum(len(text_of(message.get("content")).split()) for message in messages if isinstance(message, dict))


def _chat_usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


_JSON = (b"content-type", b"application/json")


def _json(value: dict[str, Any]) -> LocalAnswer:
    return LocalAnswer(200, (_JSON,), (jsonlib.dumps(value),))


def _stream(events: list[bytes]) -> LocalAnswer:
    return LocalAnswer(200, ((b"content-type", b"text/event-stream"),), tuple(events), WORD_GAP)


def _missing(param: str) -> LocalAnswer:
    return _error(400, "missing_required_parameter", f"Missing required parameter: '{param}'.", param=param)


def _error(
    status: int,
    code: str,
    message: str,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> LocalAnswer:
    error = {"message": message, "type": kind, "param": param, "code": code}
    return LocalAnswer(status, (_JSON, *headers), (jsonlib.dumps({"error": error}),))
