"""Estimates of input tokens: always the same, and more for more."""

from __future__ import annotations

import pytest

from gateway.dialects.anthropic.count_tokens import IMAGE, estimate_tokens
from gateway.dialects.anthropic.request_reader import read_request
from gateway.dialects.conversation import (
    Document,
    Image,
    Message,
    Opaque,
    Part,
    ResponseFormat,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from gateway.dialects.losses import Losses
from tests.dialects.anthropic.making import ask, user


def test_a_request_to_count_needs_no_bound() -> None:
    body = {"model": "m", "system": "Be brief.", "messages": [{"role": "user", "content": "How are you?"}]}
    assert estimate_tokens(read_request(body, Losses())) == 4 + 3 + 4 + 3


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("word", 1),
        ("words", 2),
        ("a" * 400, 100),
        ("größer!!", 2),
        ("漢字かな", 4),
        ("пять", 1),
        ("ok 漢字", 3),
    ],
)
def test_scripts_without_letters_have_a_token_for_each_character(text: str, tokens: int) -> None:
    assert estimate_tokens(ask(user(text))) == 4 + tokens


@pytest.mark.parametrize(
    "part",
    [
        Text("more"),
        Thinking("more"),
        Image(Source("url", "https://example.com/a.png")),
        Document(Source("base64", "QUJD" * 10, "application/pdf")),
        Document(Source("text", "many words", "text/plain")),
        ToolCall("c", "f", '{"a":1}'),
        ToolResult("c", (Text("result"),)),
        ToolResult("c", (Image(Source("base64", "AA==", "image/png")),)),
        Opaque("anthropic", {"type": "search_result", "title": "t"}),
    ],
)
def test_whatever_is_added_counts(part: Part) -> None:
    assert estimate_tokens(ask(user("Hi", part))) > estimate_tokens(ask(user("Hi")))


def test_tools_and_a_schema_count() -> None:
    plain = estimate_tokens(ask())
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    with_tool = estimate_tokens(ask(tools=(Tool("weather", "Tells it.", schema),)))
    with_server_tool = estimate_tokens(ask(tools=(Opaque("anthropic", {"type": "web_search_20250305"}),)))
    with_format = estimate_tokens(ask(response_format=ResponseFormat("schema", schema=schema)))
    assert with_tool > with_server_tool > with_format > plain


def test_an_image_counts_by_its_size_on_screen_and_not_in_bytes() -> None:
    large = Image(Source("base64", "A" * 1_000_000, "image/png"))
    assert estimate_tokens(ask(Message("user", (large,)))) == 4 + IMAGE
