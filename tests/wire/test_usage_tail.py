"""Usage at the end of a JSON array."""

from __future__ import annotations

import json

import pytest

from gateway.wire.usage_tail import TAIL, UsageAround, UsageTail

PIECES = [
    {"candidates": [{"content": {"parts": [{"text": 'so "usageMetadata" it is'}]}}], "usageMetadata": {"total": 1}},
    {"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"total": 7, "details": [{"modality": "TEXT"}]}},
]


@pytest.mark.parametrize("cut", [1, 7, 4096])
@pytest.mark.parametrize("indent", [None, 2])
def test_the_last_report_counts_wherever_the_bytes_are_cut(cut: int, indent: int | None) -> None:
    body = json.dumps(PIECES, indent=indent).encode()
    tail = UsageTail()
    for at in range(0, len(body), cut):
        tail.feed(body[at : at + cut])
    assert tail.payloads == [{"usageMetadata": {"total": 7, "details": [{"modality": "TEXT"}]}}]


def test_what_came_before_the_tail_is_forgotten() -> None:
    tail = UsageTail()
    tail.feed(json.dumps(PIECES).encode())
    tail.feed(b" " * TAIL)
    assert tail.payloads == []


@pytest.mark.parametrize("body", [b"", b'"usageMetadata"', b'"usageMetadata": {"total"', b"\xff\xfe"])
def test_a_body_that_was_cut_off_has_no_report(body: bytes) -> None:
    tail = UsageTail()
    tail.feed(body)
    assert tail.payloads == []


FILLING = "x" * (3 * TAIL)


@pytest.mark.parametrize("cut", [7, 4096, 1 << 20])
@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ({"choices": FILLING, "usage": {"n": {"m": 1}}, "id": "a"}, {"usage": {"n": {"m": 1}}}),
        ({"id": "a", "usage": {"n": 1}, "choices": FILLING}, {"usage": {"n": 1}}),
        ({"usage": {"n": 1}}, {"usage": {"n": 1}}),
        ({"candidates": FILLING, "usageMetadata": {"n": 1}}, {"usageMetadata": {"n": 1}}),
        ({"usage": {"n": 1}, "x": FILLING, "tools": [{"usage": {"n": 2}}]}, {"usage": {"n": 1}}),
        ({"tools": {"usage": {"n": 2}}, "x": FILLING, "usage": {"n": 1}}, {"usage": {"n": 1}}),
        ({"tools": {"usage": {"n": 2}}, "x": FILLING}, None),
        ({"tools": [{"usage": {"n": 2}}] * 100, "x": FILLING}, None),
        ({"x": FILLING, "tools": [{"usage": {"n": 2}}]}, None),
        ({"x": FILLING, "usage": None}, None),
        ({"x": FILLING + '"usage": {"n": 1}}'}, None),
        ([{"x": FILLING, "usage": {"n": 1}}], None),
    ],
)
def test_the_usage_of_a_long_object_is_its_own_field(answer: object, found: object, cut: int) -> None:
    body = json.dumps(answer).encode()
    around = UsageAround()
    for at in range(0, len(body), cut):
        around.feed(body[at : at + cut])
    assert around.payloads == ([] if found is None else [found])
    assert around.whole
