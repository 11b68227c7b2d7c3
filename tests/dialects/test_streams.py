"""Streams of any dialect as streams of any other: cut anywhere, failing anywhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.dialects.deltas import Broken, Delta, End
from gateway.dialects.failure import Failure
from gateway.dialects.losses import Losses
from gateway.wire.sse import EventReader
from tests.dialects.grammar import GRAMMARS, events_of
from tests.dialects.meaning import stream_meaning
from tests.dialects.pairs import DIALECTS, NAMES, PAIRS, asked, read_stream, scene, sse, write_stream
from tests.dialects.providers import SAID, STREAMS

Json = dict[str, Any]

BOTH = pytest.mark.parametrize(("client", "provider"), PAIRS)
EACH = pytest.mark.parametrize("what", SAID)

ERRORS: dict[str, bytes] = {
    "openai_chat": sse({"error": {"message": "overloaded", "type": "server_error", "code": None}}),
    "openai_responses": sse(
        {"type": "error", "error": {"message": "overloaded", "type": "server_error", "code": "server_error"}},
        named=True,
    ),
    "anthropic": sse({"type": "error", "error": {"type": "overloaded_error", "message": "overloaded"}}, named=True),
    "gemini": sse({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}),
}
"""How each provider fails inside its stream."""


@EACH
@BOTH
def test_a_stream_means_the_same_to_a_client_of_another_dialect(client: str, provider: str, what: str) -> None:
    deltas = read_stream(provider, STREAMS[provider](SAID[what]))
    assert isinstance(deltas[-1], End)
    stream = write_stream(client, deltas)
    GRAMMARS[client](stream)
    assert stream_meaning(read_stream(client, stream)) == stream_meaning(deltas)


@EACH
@pytest.mark.parametrize("provider", NAMES)
def test_a_provider_keeps_the_grammar_that_clients_are_held_to(provider: str, what: str) -> None:
    GRAMMARS[provider](STREAMS[provider](SAID[what]))


@EACH
@pytest.mark.parametrize("provider", NAMES)
def test_where_the_bytes_are_cut_does_not_matter(provider: str, what: str) -> None:
    stream = STREAMS[provider](SAID[what])
    whole = read_stream(provider, stream, cut=len(stream))
    assert all(read_stream(provider, stream, cut=cut) == whole for cut in (1, 7, 4096))


@pytest.mark.parametrize("provider", NAMES)
def test_events_are_the_same_at_every_cut(provider: str) -> None:
    stream = STREAMS[provider](replace(SAID["thinking_and_tools"], text="wörld 😀"))
    whole = events_of(stream)
    for cut in range(len(stream)):
        reader = EventReader()
        assert reader.feed(stream[:cut]) + reader.feed(stream[cut:]) == whole


@BOTH
def test_deltas_may_be_written_in_any_portions(client: str, provider: str) -> None:
    deltas = read_stream(provider, STREAMS[provider](SAID["parallel_tools"]))
    at_once = DIALECTS[client].stream_writer(scene(asked(client, stream=True)), Losses()).write(deltas)
    one_by_one = write_stream(client, deltas)
    assert stream_meaning(read_stream(client, at_once)) == stream_meaning(read_stream(client, one_by_one))
    GRAMMARS[client](at_once)


def broken(deltas: list[Delta]) -> Failure:
    assert not any(isinstance(delta, End) for delta in deltas)
    assert isinstance(deltas[-1], Broken)
    return deltas[-1].failure


@EACH
@BOTH
def test_an_error_inside_a_stream_reaches_the_client_in_its_own_words(client: str, provider: str, what: str) -> None:
    events = STREAMS[provider](SAID[what]).replace(b"\r\n", b"\n").split(b"\n\n")
    for place in range(min(4, len(events) - 1)):
        stream = b"".join(event + b"\n\n" for event in events[:place]) + ERRORS[provider]
        deltas = read_stream(provider, stream)
        assert "overloaded" in broken(deltas).message
        failure = broken(read_stream(client, write_stream(client, deltas)))
        assert "overloaded" in failure.message


@EACH
@BOTH
def test_a_stream_that_ends_too_early_does_not_look_whole(client: str, provider: str, what: str) -> None:
    events = STREAMS[provider](SAID[what]).replace(b"\r\n", b"\n").split(b"\n\n")
    for place in range(1, min(5, len(events) - 4)):
        deltas = read_stream(provider, b"".join(event + b"\n\n" for event in events[:place]))
        broken(deltas)
        broken(read_stream(client, write_stream(client, deltas)))


@pytest.mark.parametrize("provider", NAMES)
def test_nothing_follows_the_end_of_a_stream(provider: str) -> None:
    stream = STREAMS[provider](SAID["text"])
    deltas = read_stream(provider, stream + stream)
    assert [place for place, delta in enumerate(deltas) if isinstance(delta, End | Broken)] == [len(deltas) - 1]


@pytest.mark.parametrize("client", NAMES)
@pytest.mark.parametrize("provider", NAMES)
def test_usage_is_shown_only_to_chat_clients_that_asked(client: str, provider: str) -> None:
    deltas = read_stream(provider, STREAMS[provider](SAID["text"]))
    request = replace(asked(client, stream=True), stream_usage=False)
    stream = write_stream(client, deltas, request)
    assert (b'"prompt_tokens"' in stream) is False
    if client != "openai_chat":
        assert stream_meaning(read_stream(client, stream)) == stream_meaning(deltas)
