"""Embeddings between OpenAI's `/v1/embeddings` and Gemini's embedContent and batchEmbedContents, both ways.

JSON in, JSON out: there is no conversation in it. To Google everything goes as batchEmbedContents, which takes one text
as well as many. Vectors are asked for as numbers; base64, which OpenAI's SDKs ask for, is made and read here: 32-bit
floats, little-endian. A task type is Google's alone; a client of OpenAI's dialect may say it as `task_type`, as other
gateways have it.

Sources: https://ai.google.dev/api/embeddings, https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterable, Sequence
from typing import Any

from gateway.dialects.dialect import MalformedAnswerError
from gateway.dialects.gemini.protojson import camel, message, messages
from gateway.dialects.gemini.usage import read_usage
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.dialects.openai_chat.usage import disjoint_usage
from gateway.dialects.reading import integer, join, one_of, refuse, text, texts

_OPENAI = frozenset({"model", "input", "dimensions", "encoding_format", "task_type", "user"})
_GEMINI = frozenset({"model", "content", "taskType", "title", "outputDimensionality", "embedContentConfig"})


# --- requests --------------------------------------------------------------------------------------------------------


def write_gemini_request(body: Json, model: str, losses: Losses) -> Json:
    """OpenAI's request as the body of `models/MODEL:batchEmbedContents`. Raises RequestError 400, also for inputs that
    are tokens: another model's numbers mean nothing to this one."""
    inputs = _read_inputs(body)
    one_of(body, "encoding_format", ("float", "base64"))
    shared: Json = {"model": f"models/{model.removeprefix('models/')}"}
    if (dimensions := integer(body, "dimensions")) is not None:
        shared["outputDimensionality"] = dimensions
    if task := text(body, "task_type"):
        shared["taskType"] = task
    if body.get("user") is not None:
        losses.hint("user", "user", "Gemini does not ask for the end user.")
    for name in body:
        if name not in _OPENAI:
            losses.hint(name, "extra_field", "Gemini's embeddings have no such field.")
    return {"requests": [{**shared, "content": {"parts": [{"text": each}]}} for each in inputs]}


def _read_inputs(body: Json) -> Sequence[str]:
    value = body.get("input")
    if value is None or value in ("", []):
        refuse("input", "is missing.")
    if isinstance(value, list) and any(isinstance(each, int | list) for each in value):
        refuse("input", "must be text: tokens of one model mean nothing to another.")
    return texts(body, "input")


def wants_base64(body: Json) -> bool:
    """Whether a request of OpenAI's dialect asks for vectors in base64."""
    return body.get("encoding_format") == "base64"


def write_openai_request(body: Json, model: str, losses: Losses) -> Json:
    """Gemini's embedContent or batchEmbedContents as OpenAI's request. All texts of a batch go in one call, so that
    they must agree in their dimensions. Raises RequestError 400."""
    fields = camel(body)
    batch = list(messages(fields, "requests")) if "requests" in fields else [("", fields)]
    inputs, dimensions = [], set()
    for path, request in batch:
        inputs.append(_text_of(request, path))
        config, inside = message(request, "embedContentConfig", path), join(path, "embedContentConfig")
        size = integer(config, "outputDimensionality", inside)
        dimensions.add(integer(request, "outputDimensionality", path) if size is None else size)
        _note_lost(request, path, losses)
        _note_lost(config, inside, losses)
    if not inputs:
        refuse("requests", "is empty.")
    if len(dimensions) > 1:
        refuse("requests", "must all have the same outputDimensionality for this model.")
    size = dimensions.pop()
    written: Json = {"model": model, "input": inputs, "encoding_format": "float"}
    return written if size is None else {**written, "dimensions": size}


def _text_of(request: Json, path: str) -> str:
    here = f"{path}.content" if path else "content"
    words = []
    for part_path, part in messages(message(request, "content", path), "parts", here):
        if "text" not in part:
            refuse(part_path, "must be text for this model.")
        words.append(text(part, "text", part_path))
    return "".join(words) or refuse(here, "is missing.")


def _note_lost(config: Json, path: str, losses: Losses) -> None:
    for name in config:
        if name in ("taskType", "title"):
            losses.hint(join(path, name), "task_type" if name == "taskType" else "title", "OpenAI has none.")
        elif name not in _GEMINI:
            losses.hint(join(path, name), "extra_field", "OpenAI's embeddings have no such field.")


# --- answers ---------------------------------------------------------------------------------------------------------


def write_openai_answer(body: object, model: str, *, as_base64: bool = False) -> Json:
    """Gemini's answer, of one or of a batch, as OpenAI's. Usage is 0 where Google said none: OpenAI's SDKs want it.
    Raises MalformedAnswerError."""
    fields = camel(body) if isinstance(body, dict) else {}
    found = fields.get("embeddings", [fields["embedding"]] if "embedding" in fields else None)
    vectors = [_read_values(each.get("values") if isinstance(each, dict) else None) for each in _list(found)]
    data = [
        {"object": "embedding", "index": place, "embedding": write_base64(vector) if as_base64 else vector}
        for place, vector in enumerate(vectors)
    ]
    usage = read_usage(fields)
    tokens = usage.input if usage is not None else 0
    counts = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": model, "usage": counts}


def write_gemini_answer(body: object, *, single: bool) -> Json:
    """OpenAI's answer as Gemini's: of embedContent if `single`, else of batchEmbedContents. Raises
    MalformedAnswerError."""
    fields = body if isinstance(body, dict) else {}
    entries = [each for each in _list(fields.get("data")) if isinstance(each, dict)]
    entries.sort(key=lambda entry: entry["index"] if type(entry.get("index")) is int else 0)
    vectors = [{"values": _read_values(entry.get("embedding"))} for entry in entries]
    if single and len(vectors) != 1:
        raise MalformedAnswerError("not the one vector that was asked for")
    answer: Json = {"embedding": vectors[0]} if single else {"embeddings": vectors}
    usage = disjoint_usage(fields.get("usage"))
    if usage is not None:
        answer["usageMetadata"] = {"promptTokenCount": usage.input, "totalTokenCount": usage.input}
    return answer


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise MalformedAnswerError("no vectors")
    return value


def _read_values(value: object) -> list[float]:
    if isinstance(value, str):
        return read_base64(value)
    if not isinstance(value, list) or not all(type(each) in (int, float) for each in value):
        raise MalformedAnswerError("a vector that has no numbers")
    return value


def write_base64(vector: Iterable[float]) -> str:
    """A vector as OpenAI's `encoding_format: "base64"`. Raises MalformedAnswerError for numbers beyond 32 bits."""
    values = list(vector)
    try:
        return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
    except (struct.error, OverflowError) as exc:
        raise MalformedAnswerError("a vector with numbers that are no 32-bit floats") from exc


def read_base64(data: str) -> list[float]:
    """The vector in base64. Raises MalformedAnswerError."""
    try:
        raw = base64.b64decode(data, validate=True)
        return list(struct.unpack(f"<{len(raw) // 4}f", raw))
    except (binascii.Error, ValueError, struct.error) as exc:
        raise MalformedAnswerError("a vector that is no base64 of floats") from exc
