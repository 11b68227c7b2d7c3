"""What a request is expected to use, before anybody knows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.conductor.ask import Ask
from gateway.conductor.auth import Identity
from gateway.conductor.estimate import (
    DATA,
    OUTPUT_LIMIT,
    UNSAID_OUTPUT,
    estimate_tokens,
    longest_answer,
    prompt_bytes,
)
from gateway.errors import RequestError
from gateway.usage import tokens_of

PROMPT = {"messages": [{"role": "user", "content": "x" * 353}]}
"""400 bytes as JSON."""

SHAPES = {"max_output_tokens": "responses", "generationConfig": "generate", "generation_config": "array"}

IMAGE = "data:image/png;base64," + "iVBORw0KGgoA" * 50_000


def ask(fields: dict[str, Any] | None, shape: str = "chat", body: bytes | None = None) -> Ask:
    data = json.dumps(fields, ensure_ascii=False).encode() if body is None else body
    return Ask(b"POST", None, "/", "", (), data, "m", shape, Identity("ann"), fields=fields)


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({}, UNSAID_OUTPUT),
        ({"max_tokens": 50}, 50),
        ({"max_completion_tokens": 60, "max_tokens": 50}, 60),
        ({"max_output_tokens": 70}, 70),
        ({"generationConfig": {"maxOutputTokens": 80, "candidateCount": 2}}, 160),
        ({"generationConfig": {"temperature": 0}}, UNSAID_OUTPUT),
        ({"generationConfig": "nonsense"}, UNSAID_OUTPUT),
        ({"max_tokens": 50, "n": 4}, 200),
        ({"max_tokens": 0}, UNSAID_OUTPUT),
        ({"max_tokens": -5}, UNSAID_OUTPUT),
        ({"max_tokens": -5, "max_completion_tokens": 5}, UNSAID_OUTPUT),
        ({"max_tokens": None, "n": None}, UNSAID_OUTPUT),
        ({"max_tokens": 60000.0, "n": 2.0}, 120_000),
        ({"max_tokens": "60000", "n": "-1"}, 60_000),
        ({"max_tokens": " 5.0 "}, 5),
        ({"max_tokens": "9" * 50}, OUTPUT_LIMIT),
        ({"generation_config": {"max_output_tokens": 80, "candidate_count": "2"}}, 160),
        ({"generationConfig": {"maxOutputTokens": 1, "max_output_tokens": 80}}, 80),
        ({"generationConfig": {"maxOutputTokens": 1}, "generation_config": {"maxOutputTokens": 80}}, 80),
        ({"max_tokens": 10**30, "n": 10**30}, OUTPUT_LIMIT),
    ],
)
def test_the_longest_answer_that_a_request_allows_counts(fields: dict[str, Any], output: int) -> None:
    shape = next((SHAPES[name] for name in SHAPES if name in fields), "chat")
    asked = ask({**PROMPT, **fields}, shape)
    assert estimate_tokens(asked) == tokens_of(len(asked.body)) + output


@pytest.mark.parametrize(
    "text", ["if(a){b('c');}" * 5_000, '{"a":[1,2]}' * 5_000, "a.b,c;" * 9_000, "x " * 20_000, "ж" * 20_000]
)
def test_code_without_a_space_is_text_and_no_image(text: str) -> None:
    asked = ask({"messages": [{"role": "user", "content": text}]})
    assert prompt_bytes(asked) == len(asked.body)


@pytest.mark.parametrize("data", [IMAGE, IMAGE.partition(",")[2], "QUJD-_A=\r\n" * 9_000])
def test_base64_counts_as_an_image(data: str) -> None:
    asked = ask({"messages": [{"role": "user", "content": data}]})
    assert prompt_bytes(asked) == len(asked.body) - len(data) + DATA


@pytest.mark.parametrize("value", [True, "two", "", 5.5, "5.5", "nan", "inf", [5], {}, "9" * 5000 + "x"])
@pytest.mark.parametrize("name", ["max_tokens", "n"])
def test_a_limit_that_nobody_can_read_is_refused(name: str, value: Any) -> None:
    with pytest.raises(RequestError) as refused:
        estimate_tokens(ask({**PROMPT, name: value}))
    assert (refused.value.status, refused.value.param) == (400, name)


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        ({"max_completion_tokens": 1}, 9),
        ({"max_completion_tokens": 50}, 50),
        ({"max_completion_tokens": 1, "max_tokens": 5}, 5),
        ({"max_completion_tokens": 1, "max_tokens": None}, 9),
    ],
)
def test_the_newer_name_alone_limits_nothing_at_who_may_not_know_it(fields: dict[str, Any], length: int) -> None:
    assert longest_answer(ask(fields), 9, long_name=False) == (length, 1)


def test_a_length_in_another_dialect_limits_nothing() -> None:
    assert longest_answer(ask({"max_output_tokens": 5}), 9) == (9, 1)
    assert longest_answer(ask({"max_tokens": 5}, "responses"), 9) == (9, 1)
    assert longest_answer(ask({"max_tokens": 5}, "messages"), 9) == (5, 1)


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        ({"max_tokens": 5, "n_predict": 50}, 50),
        ({"max_tokens": 5, "n_predict": 3}, 5),
        ({"max_tokens": 5, "n_predict": -1}, 9),
        ({"n_predict": 3}, 9),
        ({"max_tokens": 5, "n": 1, "n_cmpl": 3}, 5),
    ],
)
@pytest.mark.parametrize("shape", ["chat", "completions", "messages"])
def test_what_counts_at_some_servers_alone_can_only_add(fields: dict[str, Any], length: int, shape: str) -> None:
    assert longest_answer(ask(fields, shape), 9) == (length, fields.get("n_cmpl", 1))


@pytest.mark.parametrize("shape", ["chat", "completions", "messages"])
def test_settings_of_another_dialect_hide_no_limit(shape: str) -> None:
    asked = ask({"max_tokens": 50, "n": 2, "generationConfig": {"maxOutputTokens": 1, "max_tokens": 1}}, shape)
    assert longest_answer(asked, 9) == (50, 2)


@pytest.mark.parametrize(
    ("prompt", "answers"),
    [("a", 3), (["a", "b"], 6), ([[1, 2], [3], [4]], 9), ([1, 2, 3], 3), ([], 3), (["a", 1], 6), (None, 3)],
)
def test_each_of_several_prompts_is_answered(prompt: Any, answers: int) -> None:
    assert longest_answer(ask({"prompt": prompt, "n": 3, "max_tokens": 5}, "completions"), 9) == (5, answers)
    assert longest_answer(ask({"prompt": prompt, "n": 3, "max_tokens": 5}), 9) == (5, 3)


@pytest.mark.parametrize(
    ("asked", "tokens"),
    [
        (ask(PROMPT, "embeddings"), 100),
        (ask(PROMPT, "embed"), 100),
        (ask(PROMPT, "count_tokens"), 0),
        (ask(PROMPT, "count"), 0),
        (ask(None, "stored", b""), 0),
        (ask(None, "raw", b"x" * 400), 100 + UNSAID_OUTPUT),
        (ask(None, "other", b"x" * 4_000_000), UNSAID_OUTPUT),  # a form with a file
    ],
)
def test_a_call_counts_for_what_it_is(asked: Ask, tokens: int) -> None:
    assert len(json.dumps(PROMPT)) == 400
    assert estimate_tokens(asked) == tokens


@pytest.mark.parametrize(
    ("content", "low", "high"),
    [
        ([{"type": "image_url", "image_url": {"url": IMAGE}}], 2000, 2100),
        ([{"type": "image_url", "image_url": {"url": IMAGE}}] * 3, 6000, 6200),
        ("word " * 20_000, 25_000, 25_100),
        ("語" * 20_000, 15_000, 15_100),
    ],
)
def test_an_image_counts_as_one_and_a_long_text_as_it_is(content: Any, low: int, high: int) -> None:
    fields = {"messages": [{"role": "user", "content": content}], "max_tokens": 1}
    assert low <= estimate_tokens(ask(fields)) <= high


def test_a_deep_request_is_no_trouble() -> None:
    deep: Any = "x"
    for _ in range(50_000):
        deep = [deep]
    fields = {"tools": deep, "max_tokens": 1}
    assert estimate_tokens(ask(fields, body=b"x" * 40_000)) == 10_001
