"""Blocks put one after the other, whatever way they were interleaved."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.blocks import InOrder
from gateway.dialects.conversation import Citation, Ending, Finish, Signature, Text, ToolCall
from gateway.dialects.deltas import (
    Begin,
    Broken,
    Cited,
    Close,
    Delta,
    End,
    Finished,
    More,
    Open,
    Signed,
    Used,
)
from gateway.dialects.failure import Failure, FailureKind
from gateway.usage import Usage

CALL = ToolCall("c", "f", "")
DONE = Finished(Ending(Finish.TOOL_CALLS))
FAILED = Broken(Failure(0, FailureKind.SERVER, "gone"))


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(
            [Open(0, CALL), Open(1, CALL), More(1, "b"), More(0, "a"), Close(0), Close(1), DONE, End()],
            [Open(0, CALL), More(0, "a"), Close(0), Open(1, CALL), More(1, "b"), Close(1), DONE, End()],
            id="the second call waits for the first",
        ),
        pytest.param(
            [Open(0, CALL), Open(1, CALL), Open(2, CALL), Close(1), Close(0), More(2, "c"), Close(2)],
            [Open(0, CALL), Close(0), Open(1, CALL), Close(1), Open(2, CALL), More(2, "c"), Close(2)],
            id="one that is whole already does not hold the next one up",
        ),
        pytest.param(
            [Open(0, Text("")), Open(1, CALL), More(1, "b"), More(0, "a"), FAILED],
            [Open(0, Text("")), More(0, "a"), Close(0), Open(1, CALL), More(1, "b"), Close(1), FAILED],
            id="what the end left open is closed",
        ),
        pytest.param(
            [Open(0, CALL), Open(1, CALL, 1), More(1, "b"), Close(0), DONE, More(1, "c"), Close(1), End()],
            [Open(0, CALL), Close(0), Open(1, CALL, 1), More(1, "b"), More(1, "c"), Close(1), DONE, End()],
            id="a choice that finishes does not cut another one's block",
        ),
        pytest.param(
            [Begin("i", "m"), Open(0, CALL), Used(Usage(1)), Close(0)],
            [Begin("i", "m"), Open(0, CALL), Used(Usage(1)), Close(0)],
            id="usage passes at once",
        ),
    ],
)
def test_deltas_in_order(given_: list[Delta], wanted: list[Delta]) -> None:
    assert InOrder().feed(given_) == wanted
    one_by_one = InOrder()
    assert [each for delta in given_ for each in one_by_one.feed([delta])] == wanted


@st.composite
def streams(draw: st.DrawFn) -> list[Delta]:
    """Blocks of up to three choices, interleaved as it comes, some of them cut off by the end."""
    blocks: list[list[Delta]] = []
    for block in range(draw(st.integers(0, 5))):
        inner: st.SearchStrategy[Delta] = st.sampled_from(
            [More(block, "x"), More(block, "y"), Signed(block, Signature("s", "gemini")), Cited(block, Citation("u"))]
        )
        blocks.append([Open(block, CALL, draw(st.integers(0, 2))), *draw(st.lists(inner, max_size=4)), Close(block)])
    stream: list[Delta] = [Begin("i", "m")]
    opened = 0
    while any(blocks):
        ready = [n for n, deltas in enumerate(blocks) if deltas and n <= opened]
        place = draw(st.sampled_from(ready))
        stream.append(blocks[place].pop(0))
        opened = max(opened, place + 1)
        stream += draw(st.sampled_from([[], [], [Used(Usage(1))]]))
    stream += [Finished(Ending(Finish.STOP), choice) for choice in range(3)]
    cut = draw(st.integers(1, len(stream)))
    return [*stream[:cut], FAILED] if cut < len(stream) else [*stream, End()]


def of_block(deltas: list[Delta], block: int) -> list[Any]:
    return [delta for delta in deltas if getattr(delta, "block", None) == block]


@given(streams(), st.integers(1, 7))
def test_each_block_keeps_its_deltas_and_no_two_are_open(stream: list[Delta], size: int) -> None:
    order = InOrder()
    pieces = [order.feed(stream[place : place + size]) for place in range(0, len(stream), size)]
    ordered = [delta for piece in pieces for delta in piece]
    assert ordered == InOrder().feed(stream)
    now: int | None = None
    for delta in ordered:
        match delta:
            case Open(block):
                assert now is None
                now = block
            case More(block) | Signed(block) | Cited(block):
                assert now == block
            case Close(block):
                assert now == block
                now = None
            case Finished() | End() | Broken():
                assert now is None
    for block in range(6):
        before, after = of_block(stream, block), of_block(ordered, block)
        closed = [] if not before or isinstance(before[-1], Close) else [Close(block)]
        assert after == before + closed
    assert ordered[-1] == stream[-1]
    assert sum(isinstance(delta, Finished) for delta in ordered) == sum(isinstance(d, Finished) for d in stream)
