"""`generationConfig` of a client's request.

Source: https://ai.google.dev/api/generate-content#v1beta.GenerationConfig
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.dialects.conversation import EFFORTS, Extra, Reasoning, ResponseFormat, Sampling
from gateway.dialects.gemini.part_reader import note_fields
from gateway.dialects.gemini.protojson import enum, message
from gateway.dialects.gemini.schema_reader import read_schema
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.dialects.reading import boolean, integer, mapping, number, refuse, text, texts

_PATH = "generationConfig"

_PENALTIES = {"presencePenalty", "frequencyPenalty"}
_SAMPLING = {"temperature", "topP", "topK", "seed", "responseLogprobs", "logprobs", *_PENALTIES}
_FORMAT = {"responseMimeType", "responseSchema", "responseJsonSchema"}
_READ = _SAMPLING | _FORMAT | {"candidateCount", "maxOutputTokens", "stopSequences", "thinkingConfig"}

_THINKING = frozenset({"includeThoughts", "thinkingBudget", "thinkingLevel"})
_CONTENT = frozenset({"responseFormat", "translationConfig", *_FORMAT})


class Config(NamedTuple):
    """What `generationConfig` says of a request, by the request's names for it."""

    sampling: Sampling
    max_tokens: int | None
    stop: tuple[str, ...]
    n: int | None
    reasoning: Reasoning | None
    response_format: ResponseFormat | None
    extra: tuple[Extra, ...]


def read_config(fields: Json, losses: Losses) -> Config:
    response_format, kept = _read_format(fields)
    kept += [name for name in fields if name not in _READ]
    return Config(
        _read_sampling(fields),
        integer(fields, "maxOutputTokens", _PATH),
        texts(fields, "stopSequences", _PATH),
        integer(fields, "candidateCount", _PATH),
        _read_thinking(message(fields, "thinkingConfig", _PATH), losses),
        response_format,
        tuple(Extra("gemini", f"{_PATH}.{name}", fields[name], _is_content(name, fields)) for name in kept),
    )


def _is_content(name: str, fields: Json) -> bool:
    """An answer in pictures or sound is another answer; one in text is what everybody gives."""
    if name == "responseModalities":
        modalities = texts(fields, name, _PATH)
        return any(modality.upper() != "TEXT" for modality in modalities)
    return name in _CONTENT


def _read_sampling(fields: Json) -> Sampling:
    return Sampling(
        temperature=number(fields, "temperature", _PATH),
        top_p=number(fields, "topP", _PATH),
        top_k=integer(fields, "topK", _PATH),
        seed=integer(fields, "seed", _PATH),
        presence_penalty=number(fields, "presencePenalty", _PATH),
        frequency_penalty=number(fields, "frequencyPenalty", _PATH),
        logprobs=boolean(fields, "responseLogprobs", _PATH),
        top_logprobs=integer(fields, "logprobs", _PATH),
    )


def _read_format(fields: Json) -> tuple[ResponseFormat | None, list[str]]:
    """The response format, and the names of fields that say something else: enums as plain text are Google's alone."""
    kind = text(fields, "responseMimeType", _PATH).lower()
    if kind not in ("", "text/plain", "application/json"):
        return None, [name for name in fields if name in _FORMAT]
    schema = mapping(fields, "responseJsonSchema", _PATH)
    if schema is None and (own := mapping(fields, "responseSchema", _PATH)) is not None:
        schema = read_schema(own, f"{_PATH}.responseSchema")
    if schema is not None:
        return ResponseFormat("schema", schema=schema), []
    if not kind:
        return None, []
    return ResponseFormat("text" if kind == "text/plain" else "json"), []


def _read_thinking(fields: Json, losses: Losses) -> Reasoning | None:
    """A budget of 0 is no thinking, one of -1 as much as the model likes."""
    path = f"{_PATH}.thinkingConfig"
    note_fields(fields, _THINKING, path, "thinking_field", losses)
    shown = boolean(fields, "includeThoughts", path)
    budget = integer(fields, "thinkingBudget", path)
    effort = enum(fields, "thinkingLevel", path).lower()
    if effort and effort not in EFFORTS:
        refuse(f"{path}.thinkingLevel", "must be MINIMAL, LOW, MEDIUM, HIGH or XHIGH.")
    if budget is not None and budget < -1:
        refuse(f"{path}.thinkingBudget", "must be -1, 0 or a number of tokens.")
    if budget == 0:
        return Reasoning("none", shown=shown)
    reasoning = Reasoning(effort, None if budget == -1 else budget, budget == -1, shown)
    return None if reasoning == Reasoning() else reasoning
