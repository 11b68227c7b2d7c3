"""Text in streams is counted without reading them."""

from __future__ import annotations

import pytest

from gateway.wire.output_tap import OutputTap


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
        ("raw", b'data: {"text":"Hello"}\n\n', 0),
    ],
)
def test_the_text_of_an_event_counts(shape: str, event: bytes, size: int) -> None:
    tap = OutputTap(shape)
    tap.feed(event)
    assert tap.seen == tap.since_report == size


def test_a_report_of_usage_covers_what_stands_before_it() -> None:
    tap = OutputTap("messages")
    tap.feed(b'data: {"message":{"usage":{"input_tokens":3}}}\n\ndata: {"delta":{"text":"Hello"}}\n\n')
    assert (tap.seen, tap.since_report) == (5, 5)
    tap.feed(b'data: {"delta":{"text":" you"}}\n\ndata: {"usage":{"output_tokens":3}}\n\n')
    assert (tap.seen, tap.since_report) == (9, 0)
    tap.feed(b'data: {"usage":null,"delta":{"text":"!"}}\n\n')
    tap.add(2)
    assert (tap.seen, tap.since_report) == (12, 3)
