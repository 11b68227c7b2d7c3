"""No request can have more tokens than are reserved for it, if it limits its answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.conductor.ask import Ask
from gateway.conductor.auth import Identity
from gateway.conductor.upperbound import (
    FRAME_TOKENS,
    GEMINI_TOKENS,
    KEPT_TOKENS,
    PART_TOKENS,
    TOOLS_TOKENS,
    at_most,
    referred,
)
from gateway.policy.pricing import MILLION, Price, price_of

PRICE = price_of({"input": MILLION, "output": 10 * MILLION})


def ask(fields: dict[str, Any], shape: str = "chat") -> Ask:
    body = json.dumps(fields, separators=(",", ":")).encode()
    return Ask(b"POST", None, "/", "", (), body, "m", shape, Identity("ann"), fields=fields)


@pytest.mark.parametrize(
    ("fields", "shape", "beside", "out"),
    [
        ({"messages": []}, "chat", 0, 99),
        ({"max_tokens": 5, "n": 3}, "chat", 0, 15),
        ({"max_tokens": 5, "best_of": 4, "n": 2}, "completions", 0, 20),
        ({"max_tokens": 5, "tools": []}, "chat", TOOLS_TOKENS, 5),
        ({"max_tokens": 5, "image_url": {"url": "https://a/b.png"}}, "chat", PART_TOKENS, 5),
        ({"max_tokens": 5, "image_url": {"url": "data:image/png;base64,AA"}}, "chat", PART_TOKENS, 5),
        ({"max_tokens": 5, "content": [{"type": "file", "file": {"file_data": "AA"}}] * 2}, "chat", 2 * PART_TOKENS, 5),
        ({"max_tokens": 5, "source": {"type": "base64", "data": "AA"}}, "messages", PART_TOKENS, 5),
        ({"contents": [{"inlineData": {"data": "AA"}}, {"inline_data": {}}]}, "generate", 2 * PART_TOKENS, 99),
        ({"max_tokens": 5, "parameters": {"url": {"type": "string"}}}, "chat", 0, 5),
        ({"max_tokens": 5, "text": 'my "url": "https://a"'}, "chat", 0, 5),
        ({"max_output_tokens": 5, "previous_response_id": "resp_1"}, "responses", KEPT_TOKENS, 5),
        ({"max_output_tokens": 5, "previous_response_id": None}, "responses", 0, 5),
        ({"max_output_tokens": 5, "conversation": {"id": "conv_1"}}, "responses", KEPT_TOKENS, 5),
        ({"contents": [], "cachedContent": "cachedContents/a"}, "generate", GEMINI_TOKENS, 99),
        ({"max_tokens": 5, "source": {"type": "file", "file_id": "file_1"}}, "messages", KEPT_TOKENS, 5),
        ({"max_tokens": 5, "parameters": {"file_id": 3}, "text": 'a "file_id": "b"'}, "messages", 0, 5),
        ({"contents": [{"parts": [{"fileData": {"fileUri": "gs://a"}}]}]}, "generate", GEMINI_TOKENS, 99),
        ({"max_tokens": 5, "extra_body": {"google": {"cached_content": "cachedContents/a"}}}, "chat", GEMINI_TOKENS, 5),
        ({"max_tokens": 5, "providerOptions": {"google": {"cachedContent": "c/a"}}}, "chat", GEMINI_TOKENS, 5),
        ({"max_tokens": 5, "extra_body": {"google": {"thinking_config": {}}}}, "chat", 0, 5),
        ({"max_tokens": 5, "tool": {"cached_content": "a", "conversation": {}}}, "chat", 0, 5),
        ({"max_output_tokens": 5, "prompt": {"id": "pmpt_1"}}, "responses", KEPT_TOKENS, 5),
        ({"max_output_tokens": 5, "input": [{"type": "item_reference", "id": "a"}]}, "responses", KEPT_TOKENS, 5),
        ({"input": [{"type": "item_reference", "id": "a", "role": "user"}]}, "responses", KEPT_TOKENS, 99),
        ({"max_output_tokens": 5, "input": [{"id": "msg_1"}]}, "responses", KEPT_TOKENS, 5),
        ({"input": [{"type": "image_generation_call", "id": "ig_1"}]}, "responses", KEPT_TOKENS, 99),
        ({"max_output_tokens": 5, "input": [{"id": "msg_1", "role": "user"}]}, "responses", 0, 5),
        ({"input": "text"}, "embeddings", 0, 0),
    ],
)
def test_bytes_links_and_the_longest_answer_count(fields: dict[str, Any], shape: str, beside: int, out: int) -> None:
    asked = ask(fields, shape)
    into = len(asked.body) + FRAME_TOKENS + beside
    assert at_most(asked, PRICE, 99) == (into, out, into + 10 * out)


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({"messages": []}, 0),
        (
            {"image_url": {"url": "https://a/b.png"}, "n": {"image_url": {"url": "data:image/png;base64,AA"}}},
            PART_TOKENS,
        ),
        ({"previous_response_id": "resp_1", "image_url": "https://a/b.png"}, KEPT_TOKENS + PART_TOKENS),
        ({"input": [{"type": "input_file", "file_id": "file_1"}]}, KEPT_TOKENS),
        ({"extra_body": {"google": {"cached_content": "cachedContents/a"}}}, GEMINI_TOKENS),
    ],
)
def test_what_is_only_referred_to_is_known_apart(fields: dict[str, Any], tokens: int) -> None:
    assert referred(ask(fields, "responses"), PRICE) == tokens


def test_what_fits_into_the_model_is_the_most() -> None:
    price = Price(PRICE.rates, max_input=50, max_output=7)
    assert at_most(ask({"previous_response_id": "resp_1"}, "responses"), price, 99) == (50, 7, 120)
    assert at_most(ask({"max_tokens": 5, "n": 2}), price, 99) == (50, 10, 150)
    assert at_most(ask({"max_tokens": 50, "n": 2}), price, 99).output == 100  # the request's own word


def test_names_that_are_hidden_in_escapes_may_be_any() -> None:
    price = price_of({"input": MILLION, "input_audio": 3 * MILLION}, max_input=10**6)
    fields = {"max_output_tokens": 5}
    for hidden in (rb"previous_response_\u0069d", rb"\\\u0061udio", rb"\u006Dodel"):
        body = b'{"max_output_tokens":5,"%b":"x"}' % hidden
        asked = Ask(b"POST", None, "/", "", (), body, "m", "responses", Identity("ann"), fields=fields)
        assert at_most(asked, price, 99) == (10**6, 5, 3 * 10**6)
    for plain in (rb"\\u0069d", rb"\u003cb\u003e", rb"\u00e9", rb"\u001b[0m"):
        body = b'{"max_output_tokens":5,"x":"%b"}' % plain
        asked = Ask(b"POST", None, "/", "", (), body, "m", "responses", Identity("ann"), fields=fields)
        assert at_most(asked, price, 99).input == len(body) + FRAME_TOKENS


def test_dearer_buckets_count_where_the_request_may_fill_them() -> None:
    price = price_of({"input": 1, "output": 1, "cache_write": MILLION, "input_audio": 2 * MILLION})
    plain: dict[str, Any] = {}
    cached, heard = {"cache_control": plain}, {"input_audio": plain}
    assert at_most(ask(plain, "embeddings"), price, 0).amount == 0
    for fields, rate in ((cached, 1), (heard, 2)):
        most = at_most(ask(fields, "embeddings"), price, 0)
        assert most.amount == rate * most.input


def test_an_answer_that_was_spoken_before_is_kept_by_the_provider() -> None:
    price = price_of({"input": MILLION, "input_audio": 3 * MILLION}, max_input=10**6)
    asked = ask({"max_tokens": 5, "messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]})
    assert at_most(asked, price, 99)[:2] == (10**6, 5)
    assert at_most(asked, PRICE, 99).input == len(asked.body) + FRAME_TOKENS  # nobody speaks at that price


def test_types_of_pictures_are_known_in_any_letters() -> None:
    price = price_of({"input": 1, "input_image": MILLION})
    most = at_most(ask({"contents": [{"inlineData": {"mimeType": "Image/PNG"}}]}, "generate"), price, 0)
    assert most.amount == most.input


@pytest.mark.parametrize(
    ("part", "sounds"),
    [
        ({"inlineData": {"mimeType": "audio/wav", "data": "AA"}}, True),
        ({"inlineData": {"mimeType": "Video/MP4", "data": "AA"}}, True),
        ({"inlineData": {"mimeType": "AUDIO/wav", "data": "AA"}}, True),
        ({"inlineData": {"mimeType": "image/png", "data": "AA"}}, False),
        ({"fileData": {"fileUri": "https://youtu.be/a"}}, True),
        ({"text": "AA"}, False),
    ],
)
def test_films_and_what_the_provider_keeps_may_have_sound(part: dict[str, Any], sounds: bool) -> None:
    price = price_of({"input": MILLION, "input_audio": 3 * MILLION}, max_input=10**6)
    most = at_most(ask({"contents": [{"parts": [part]}]}, "generate"), price, 0)
    assert most.amount == most.input * (3 if sounds else 1)


@pytest.mark.parametrize("modality", ["AUDIO", 3])
def test_gemini_may_be_asked_for_sound_by_a_number(modality: object) -> None:
    price = price_of({"input": 1, "output": MILLION, "output_audio": 6 * MILLION})
    config = {"maxOutputTokens": 5, "responseModalities": [modality]}
    assert at_most(ask({"contents": [], "generationConfig": config}, "generate"), price, 0).amount == 30
    assert at_most(ask({"max_tokens": 5, "messages": []}), price, 0).amount == 5


@pytest.mark.parametrize("bucket", ["output_audio", "output_image"])
def test_so_it_may_where_only_a_tier_has_a_price_for_it(bucket: str) -> None:
    price = price_of({"output": MILLION}, [(10, {bucket: 6 * MILLION})])
    config = {"maxOutputTokens": 5, "responseModalities": [3]}
    assert at_most(ask({"contents": [], "generationConfig": config}, "generate"), price, 0).amount == 30
