"""Embeddings between OpenAI's shape and Gemini's."""

from __future__ import annotations

import base64
import struct

import pytest

from gateway.dialects.dialect import MalformedAnswerError
from gateway.dialects.gemini.embeddings import (
    read_base64,
    wants_base64,
    write_base64,
    write_gemini_answer,
    write_gemini_request,
    write_openai_answer,
    write_openai_request,
)
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.errors import RequestError

VECTOR = [0.5, -1.0, 3.0]
ENCODED = base64.b64encode(struct.pack("<3f", *VECTOR)).decode()


def text(words: str) -> Json:
    return {"parts": [{"text": words}]}


@pytest.mark.parametrize(("given", "contents"), [("a", ["a"]), (["a", "b"], ["a", "b"]), ([""], [""])])
def test_openais_request_is_a_batch(given: object, contents: list[str]) -> None:
    losses = Losses()
    body = {
        "model": "theirs",
        "input": given,
        "dimensions": 256,
        "encoding_format": "base64",
        "task_type": "SEMANTIC_SIMILARITY",
    }
    assert write_gemini_request(body, "gemini-embedding-001", losses) == {
        "requests": [
            {
                "model": "models/gemini-embedding-001",
                "outputDimensionality": 256,
                "taskType": "SEMANTIC_SIMILARITY",
                "content": text(words),
            }
            for words in contents
        ]
    }
    assert losses.entries == []
    assert wants_base64(body) and not wants_base64({})


def test_what_google_has_no_field_for_is_noted() -> None:
    losses = Losses()
    write_gemini_request({"input": "a", "user": "u", "input_type": "query"}, "m", losses)
    assert [(loss.path, loss.name) for loss in losses.entries] == [("user", "user"), ("input_type", "extra_field")]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [1, 2]}, "input"),
        ({"input": [[1, 2]]}, "input"),
        ({"input": {"a": 1}}, "input"),
        ({"input": "a", "dimensions": "many"}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
    ],
)
def test_openais_requests_that_cannot_be_passed_on(body: Json, param: str) -> None:
    with pytest.raises(RequestError) as caught:
        write_gemini_request(body, "m", Losses())
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"content": text("a")}, {"input": ["a"]}),
        (
            {"content": {"parts": [{"text": "a"}, {"text": "b"}]}, "output_dimensionality": 9},
            {"input": ["ab"], "dimensions": 9},
        ),
        ({"content": text("a"), "embedContentConfig": {"outputDimensionality": 9}}, {"input": ["a"], "dimensions": 9}),
        (
            {"requests": [{"model": "models/x", "content": text("a")}, {"content": text("b")}]},
            {"input": ["a", "b"]},
        ),
    ],
)
def test_googles_request_is_one_call(body: Json, expected: Json) -> None:
    losses = Losses()
    written = write_openai_request(body, "text-embedding-3-small", losses)
    assert written == {"model": "text-embedding-3-small", "encoding_format": "float", **expected}
    assert losses.entries == []


def test_what_openai_has_no_field_for_is_noted() -> None:
    losses = Losses()
    requests = [
        {"content": text("a"), "taskType": "X", "title": "T"},
        {"content": text("b"), "autoTruncate": True},
        {"content": text("c"), "embedContentConfig": {"taskType": "X", "autoTruncate": True}},
    ]
    write_openai_request({"requests": requests}, "m", losses)
    write_openai_request({"content": text("d"), "embed_content_config": {"title": "T"}}, "m", losses)
    assert [(loss.path, loss.name) for loss in losses.entries] == [
        ("requests.0.taskType", "task_type"),
        ("requests.0.title", "title"),
        ("requests.1.autoTruncate", "extra_field"),
        ("requests.2.embedContentConfig.taskType", "task_type"),
        ("requests.2.embedContentConfig.autoTruncate", "extra_field"),
        ("embedContentConfig.title", "title"),
    ]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "content"),
        ({"content": "a"}, "content"),
        ({"content": {"parts": [{"inlineData": {}}]}}, "content.parts.0"),
        ({"content": text("")}, "content"),
        ({"requests": []}, "requests"),
        (
            {"content": text("a"), "embedContentConfig": {"outputDimensionality": "9"}},
            "embedContentConfig.outputDimensionality",
        ),
        ({"requests": "a"}, "requests"),
        ({"requests": [{"content": text("a"), "outputDimensionality": 1}, {"content": text("b")}]}, "requests"),
    ],
)
def test_googles_requests_that_cannot_be_passed_on(body: Json, param: str) -> None:
    with pytest.raises(RequestError) as caught:
        write_openai_request(body, "m", Losses())
    assert (caught.value.status, caught.value.param) == (400, param)


def test_googles_answers_are_openais_list() -> None:
    batch = {"embeddings": [{"values": VECTOR}, {"values": [0.0]}], "usageMetadata": {"promptTokenCount": 7}}
    assert write_openai_answer(batch, "theirs") == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": VECTOR},
            {"object": "embedding", "index": 1, "embedding": [0.0]},
        ],
        "model": "theirs",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }
    single = write_openai_answer({"embedding": {"values": VECTOR}}, "theirs", as_base64=True)
    assert single["data"] == [{"object": "embedding", "index": 0, "embedding": ENCODED}]
    assert single["usage"] == {"prompt_tokens": 0, "total_tokens": 0}


def test_openais_answers_are_googles() -> None:
    data = [{"index": 1, "embedding": [0.0]}, {"index": 0, "embedding": ENCODED}]
    answer = {"data": data, "usage": {"prompt_tokens": 7, "total_tokens": 7}}
    assert write_gemini_answer(answer, single=False) == {
        "embeddings": [{"values": VECTOR}, {"values": [0.0]}],
        "usageMetadata": {"promptTokenCount": 7, "totalTokenCount": 7},
    }
    assert write_gemini_answer({"data": data[:1]}, single=True) == {"embedding": {"values": [0.0]}}


@pytest.mark.parametrize(
    "body",
    [None, [], {}, {"embeddings": None}, {"embeddings": [1]}, {"embeddings": [{}]}, {"embedding": {"values": ["a"]}}],
)
def test_what_is_no_answer_of_google(body: object) -> None:
    with pytest.raises(MalformedAnswerError):
        write_openai_answer(body, "m")


@pytest.mark.parametrize(
    "body",
    [None, {}, {"data": [{"embedding": "!"}]}, {"data": [{"embedding": "YWI="}]}, {"data": [{}]}, {"data": []}],
)
def test_what_is_no_answer_of_openai(body: object) -> None:
    with pytest.raises(MalformedAnswerError):
        write_gemini_answer(body, single=True)


def test_base64_is_of_32_bit_floats() -> None:
    assert write_base64(VECTOR) == ENCODED
    assert read_base64(ENCODED) == VECTOR
    with pytest.raises(MalformedAnswerError):
        write_base64([1e300])
