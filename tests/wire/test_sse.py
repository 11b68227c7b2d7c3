"""Streams cut at every byte: what the tap remembers, which events the reader finds."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.sse import MAX_IMAGE_EVENT, MAX_LINE, Event, EventReader, UsageTap

CHUNK = b'data: {"choices":[{"delta":{"content":"say \\"usage\\": {"}}],"usage":null}\n\n'
USAGE = b'data: {"choices":[],"usage":{"total_tokens":3}}\n\n'
DONE = b"data: [DONE]\n\n"


def tapped(*pieces: bytes) -> object:
    tap = UsageTap()
    for piece in pieces:
        tap.feed(piece)
    payload = tap.payloads[-1] if tap.payloads else None
    return None if payload is None else payload["usage"]


@pytest.mark.parametrize("cut", [999, 1 << 16, 1 << 21])
@pytest.mark.parametrize(
    ("end", "payload"),
    [
        (b'","usage":{"a":1}}', {"usage": {"a": 1}}),
        (b'","usageMetadata":{"a":{"b":1}},"id":"c"}', {"usageMetadata": {"a": {"b": 1}}, "id": "c"}),
        (b'","tools":[{"usage":{"a":1}}]}', None),
        (b'","tools":' + b"[" + b'{"usage":{"a":1}},' * 99 + b"0]" + b',"usage":{"a":2}}', {"usage": {"a": 2}}),
        (b'"}', None),
    ],
)
def test_usage_at_the_end_of_a_line_beyond_the_limit_counts(cut: int, end: bytes, payload: object) -> None:
    stream = b'data: {"image":"' + b"x" * 4 * MAX_LINE + end + b"\n\n" + DONE
    tap = UsageTap()
    for at in range(0, len(stream), cut):
        tap.feed(stream[at : at + cut])
    assert tap.payloads == ([] if payload is None else [payload])


def test_usage_in_the_response_of_such_a_line_counts() -> None:
    tap = UsageTap()
    tap.feed(b'data: {"type":"response.completed","response":{"output":"' + b"x" * MAX_LINE)
    tap.feed(b'","usage":{"a":1},"metadata":{}},"sequence_number":7}\n\n')
    (payload,) = tap.payloads
    assert payload["response"] == {"usage": {"a": 1}, "metadata": {}}


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_the_tap_finds_usage_wherever_the_bytes_are_cut(newline: bytes) -> None:
    stream = (CHUNK + b": comment\n\n" + USAGE + DONE).replace(b"\n", newline)
    for cut in range(len(stream) + 1):
        assert tapped(stream[:cut], stream[cut:]) == {"total_tokens": 3}
    assert tapped(*(stream[i : i + 1] for i in range(len(stream)))) == {"total_tokens": 3}


@pytest.mark.parametrize(
    ("pieces", "usage"),
    [
        ([CHUNK, DONE], None),
        ([], None),
        ([b"data: " + b'{"usage" : {"a":1}}'], {"a": 1}),
        ([b'\xef\xbb\xbfdata:{"usage":{"a":1}}\n'], {"a": 1}),
        ([b': {"usage":{"a":1}}\n'], None),
        ([b'data: {"usage":{"a":1}}\ndata: {"usage":{"a":2}}\n\n'], {"a": 2}),
        ([b'data: {"usage":{"a":1}}\n\n', CHUNK], {"a": 1}),
        ([b'data: {"usage":{"a":1}}\n\n', b'data: {"usage":{"a":'], {"a": 1}),
        ([b'data: {"usage":{"a":\n\n'], None),
        ([b'data: ["usage", {"usage":{}}]\n\n'], None),
    ],
)
def test_the_last_whole_payload_with_a_usage_object_counts(pieces: list[bytes], usage: object) -> None:
    assert tapped(*pieces) == usage


def test_a_line_beyond_the_limit_is_skipped_and_the_next_one_is_read() -> None:
    huge = b'data: {"usage":{"a":1},"image":"' + b"x" * MAX_LINE
    assert tapped(huge, b'"}\n\n', USAGE) == {"total_tokens": 3}
    assert tapped(huge, b'"}\n\n') is None
    assert tapped(huge, b'","usage":{"a":9}}\r\n' + USAGE) == {"total_tokens": 3}
    assert tapped(huge, b"x", b'"', b"}\n" + USAGE + b"data: ") == {"total_tokens": 3}


def read(*pieces: bytes) -> list[Event]:
    reader = EventReader()
    return [event for piece in pieces for event in reader.feed(piece)]


TRANSCRIPT = (
    "\ufeff: hello\nid: 7\n\ndata: one\ndata:two\ndata\n\n"
    "event: ping\n\nevent: añb\ndata:  ü€😀\nretry: 5\n\ndata: lost"
)
EVENTS = [Event("message", "one\ntwo\n"), Event("añb", " ü€😀")]


def reference(stream: bytes) -> tuple[list[Event], Event | None]:
    """The specification, step by step, over the whole stream at once: its events, and the one that the end cut off."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    lines = re.split("\r\n|\n|\r", text)
    events: list[Event] = []
    data = name = ""
    for line in [*lines[:-1], *filter(None, lines[-1:]), None]:  # what follows the last line end is a line if not empty
        if line:
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "data":
                data += value + "\n"
            elif field == "event":
                name = value
            continue
        event = Event(name or "message", data.removesuffix("\n")) if data else None
        if line is None:
            return events, event
        if event:
            events.append(event)
        data = name = ""
    raise AssertionError


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_the_reader_follows_the_specification_wherever_the_bytes_are_cut(newline: str) -> None:
    stream = TRANSCRIPT.replace("\n", newline).encode()
    for cut in range(len(stream) + 1):
        assert read(stream[:cut], stream[cut:]) == EVENTS
    assert read(*(stream[i : i + 1] for i in range(len(stream)))) == EVENTS
    assert reference(stream) == (EVENTS, Event("message", "lost"))


PIECES = ["data", "event", "id", "retry", ":", ": ", " ", "a", "ü€", "😀", "\ufeff", "\n", "\r", "\r\n", "\n\n", "\0"]
STREAMS = st.lists(
    st.sampled_from([piece.encode() for piece in PIECES] + [b"\xe2\x82", b"\xff", b"data: x\n", b"\x0b", b"\xc2\x85"]),
    max_size=25,
).map(b"".join)


@given(STREAMS, st.lists(st.integers(0, 100), max_size=6))
def test_every_stream_is_read_as_specified_wherever_it_is_cut(stream: bytes, cuts: list[int]) -> None:
    reader = EventReader()
    places = [0, *sorted(cuts), len(stream)]
    events = [event for one, other in pairwise(places) for event in reader.feed(stream[one:other])]
    assert (events, reader.rest()) == reference(stream)


def test_only_a_line_feed_right_behind_a_carriage_return_belongs_to_it() -> None:
    reader = EventReader()
    events = [event for piece in (b"data: a\rdata", b"\n\n") for event in reader.feed(piece)]
    assert events == [Event("message", "a\n")]


@given(STREAMS)
def test_every_stream_is_read_as_specified_byte_by_byte(stream: bytes) -> None:
    reader = EventReader()
    events = [event for place in range(len(stream)) for event in reader.feed(stream[place : place + 1])]
    assert (events, reader.rest()) == reference(stream)


@pytest.mark.parametrize(
    ("stream", "rest"),
    [
        (b"data: [DONE]", Event("message", "[DONE]")),
        (b"data: [DONE]\n", Event("message", "[DONE]")),
        (b"event: message_stop\r\ndata: {}\r", Event("message_stop", "{}")),
        (b"data: a\n\nevent: b\n", None),
        (b"data: a\n\n", None),
        (b": bye", None),
        (b"", None),
    ],
)
def test_what_the_end_cuts_off_can_be_had(stream: bytes, rest: Event | None) -> None:
    reader = EventReader()
    reader.feed(stream)
    assert reader.rest() == rest
    assert reader.rest() is None


def test_a_long_line_in_small_pieces_is_looked_at_once() -> None:
    """A reader that searches what it carries again for each piece would not come back from here."""
    reader = EventReader(max_event=16 << 20)
    reader.feed(b"data: ")
    for _ in range(1 << 17):
        assert reader.feed(b"x" * 120) == []
    (event,) = reader.feed(b"\n\n")
    assert len(event.data) == 120 << 17


def test_an_image_in_base64_fits_where_answers_are_translated() -> None:
    assert len(EventReader(MAX_IMAGE_EVENT).feed(b"data: " + b"x" * (MAX_IMAGE_EVENT - 7) + b"\n\n")) == 1


def test_bytes_that_are_not_utf_8_are_replaced() -> None:
    assert read(b"data: \xff\n\n") == [Event("message", "\ufffd")]


@pytest.mark.parametrize(
    "stream", [b"data: " + b"x" * 100, b"data: 1234567890\n" * 10, b"data: 1234567890\n" * 10 + b"\n"]
)
def test_an_event_beyond_the_limit_is_refused(stream: bytes) -> None:
    reader = EventReader(max_event=64)
    reader.feed(b"data: " + b"x" * 50 + b"\n\n")
    with pytest.raises(ValueError, match="more than 64 bytes"):
        reader.feed(stream)


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_no_bytes_make_tap_or_reader_fail_and_cuts_do_not_matter(pieces: list[bytes]) -> None:
    assert tapped(*pieces) == tapped(b"".join(pieces))
    assert read(*pieces) == read(b"".join(pieces))
