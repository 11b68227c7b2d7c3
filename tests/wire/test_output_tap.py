"""Text in streams is counted without reading them."""

from __future__ import annotations

import json

import pytest

from gateway.wire.output_tap import CARRY_LIMIT, OutputTap, text_size


@pytest.mark.parametrize(
    ("shape", "event", "size"),
    [
        ("chat", b'data: {"choices":[{"delta":{"role":"assistant","content":"Hello"}}]}\n\n', 5),
        ("chat", b'data: {"choices":[{"delta":{"reasoning_content":"Hm"}},{"delta":{"content" : "a\\"b"}}]}\n\n', 6),
        ("chat", b'data: {"choices":[{"delta":{"content":null}}]}\n\n', 0),
        ("completions", b'data: {"choices":[{"text":"Hello"}]}\n\n', 5),
        ("messages", b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"Hello"}}\n\n', 5),
        ("messages", b'data: {"delta":{"type":"input_json_delta","partial_json":"{}"}}\n\n', 2),
        ("responses", b'data: {"type":"response.output_text.delta","delta":"Hello"}\n\n', 5),
        ("responses", b'data: {"type":"response.output_text.done","text":"Hello"}\n\n', 0),
        ("generate", b'data: {"candidates":[{"content":{"parts":[{"text":"Hello"}]}}]}\n\n', 5),
        ("chat", b'data: {"choices":[{"delta":{"content":[{"type":"text","text":"Hello"}]}}]}\n\n', 5),
        ("chat", b'data: {"choices":[{"delta":{"content":[{"thinking":[{"text":"Hm"}]}]}}]}\n\n', 2),
        ("messages", b'data: {"content_block":{"type":"text","text":"Hello"}}\n\n', 5),
        ("messages", b'data: {"content_block":{"type":"tool_use","input":{}}}\n\n', 0),
        ("messages", b'data: {"content_block":{"type":"tool_use","input":{"a":1}}}\n\n', 61),
        ("generate", b'data: {"parts":[{"functionCall":{"args":{"a":"Hello"}}}]}\n\n', 59),
        ("generate", b'data: {"parts":[{"inlineData":{"data":"Hello"}}]}\n\n', 51),
        ("raw", b'data: {"text":"Hello"}\n\n', 0),
    ],
)
def test_the_text_of_an_event_counts(shape: str, event: bytes, size: int) -> None:
    tap = OutputTap(shape)
    tap.feed(event)
    assert tap.seen == tap.since_report == size


@pytest.mark.parametrize("cut", [1, 7, 4096])
@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_that_is_cut_anywhere_counts_alike(cut: int, indent: int | None) -> None:
    array = json.dumps([{"candidates": [{"content": {"parts": [{"text": "Hello"}]}}]}] * 3, indent=indent).encode()
    tap = OutputTap("array")
    for at in range(0, len(array), cut):
        tap.feed_part(array[at : at + cut])
    tap.flush()
    tap.flush()
    assert tap.seen == 15


def test_a_line_that_does_not_end_counts_as_a_whole() -> None:
    tap = OutputTap("array")
    for _ in range(3):
        tap.feed_part(b"x" * CARRY_LIMIT)
    tap.flush()
    assert tap.seen == 2 * CARRY_LIMIT  # and the last third has no string in it


@pytest.mark.parametrize(
    ("shape", "answer", "size"),
    [
        (
            "chat",
            {
                "id": "1234",
                "choices": [{"message": {"role": "assistant", "content": "Hé", "tool_calls": [{"arguments": "{}"}]}}],
            },
            5,
        ),
        ("messages", {"content": [{"input": {"a": ["Hello"]}}], "model": "m"}, 5),
        ("responses", {"output": [{"content": [{"text": "Hello"}]}], "instructions": "long"}, 5),
        ("array", [{"candidates": [{"content": {"parts": [{"text": "a"}]}}]}] * 2, 2),
        ("embeddings", {"data": [{"embedding": "AAAA"}]}, 0),
        ("chat", None, 0),
        ("chat", {"choices": 7}, 0),
    ],
)
def test_the_strings_of_a_whole_answer_count(shape: str, answer: object, size: int) -> None:
    assert text_size(answer, shape) == size


def test_a_report_of_usage_covers_what_stands_before_it() -> None:
    tap = OutputTap("messages")
    tap.feed(b'data: {"message":{"usage":{"input_tokens":3}}}\n\ndata: {"delta":{"text":"Hello"}}\n\n')
    assert (tap.seen, tap.since_report) == (5, 5)
    tap.feed(b'data: {"delta":{"text":" you"}}\n\ndata: {"usage":{"output_tokens":3}}\n\n')
    assert (tap.seen, tap.since_report) == (9, 0)
    tap.feed(b'data: {"usage":null,"delta":{"text":"!"}}\n\n')
    tap.add(2)
    assert (tap.seen, tap.since_report) == (12, 3)
