"""What a row of the failure-mode contract is made of: the words that say what follows, and what a provider may do.

The words of a row are what the test expects:

- whole, streamed: what a client sees that wants an answer whole, or streamed. THE_ANSWER: all of it, with its proper
  end. "502 `upstream_error`": an error of the gateway's own in the client's dialect. "400, as it came": the provider's
  own. "the words so far, then the event `stream_incomplete`": an error event, and the connection ends without the
  proper end of a message. "": the row is not about that.
- again: ANOTHER_KEY as long as there are any; AGAIN as often as `retry.on_server_error` says; NO.
- blamed: whom the verdict is about, with the status that the key has then.
- billed: NOTHING, USAGE as reported, or ESTIMATE.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.e2e.failures.voices import Voice
from tests.fakes.answers import encode
from tests.fakes.behaviours import Answer, Behaviour, Content, Cut, Garbage, HangAfter, Stream

THE_ANSWER = "the answer"
NO, AGAIN, ANOTHER_KEY = "no", "again", "with another key"
NOBODY, CLIENT, PROVIDER, PROXY = "nobody", "the client", "the provider", "the proxy"
NOTHING, USAGE, ESTIMATE = "nothing", "the usage", "an estimate"
BROKE = "502 `upstream_error`"
LATE = "504 `upstream_timeout`"
REJECTED = "502 `upstream_credentials`"
BROKEN_LATER = "the words so far, then the event `upstream_error`"
LATE_LATER = "the words so far, then the event `upstream_timeout`"
TOLD_LATER = "the words so far, then the provider's error event"
STREAM_ALL_THE_SAME = "the stream, as it came"
WITH_JUNK = "every byte, as it came"
INCOMPLETE = "the words so far, then the event `stream_incomplete`"


class Then(NamedTuple):
    """What follows of it."""

    again: str
    blamed: str
    billed: str


FAULT = Then(AGAIN, PROVIDER, NOTHING)
MISTAKE = Then(NO, CLIENT, NOTHING)
TOO_LATE = Then(NO, PROVIDER, ESTIMATE)
FINE = Then(NO, NOBODY, USAGE)
CAME = {status: f"{status}, as it came" for status in (400, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529)}
DOUBTED = Then(ANOTHER_KEY, "the key: `suspect`", NOTHING)
LIMITED = Then(ANOTHER_KEY, "the key: `rate_limited`", NOTHING)

Act = Callable[[Voice, bool], Behaviour]


@dataclass(frozen=True, slots=True)
class Row:
    """`act`: what the provider does, in a dialect, whole or streamed. `place`: where it is: "own" for one with no
    connections but the case's, and see `lab.py`. `settings`: of the provider in the configuration."""

    name: str
    act: Act
    whole: str
    streamed: str
    then: Then
    place: str = "shared"
    settings: str = ""


def good(voice: Voice, streamed: bool) -> Content:
    return Stream(voice.events) if streamed else Answer(200, voice.answer)


def always(behaviour: Behaviour) -> Act:
    return lambda voice, streamed: behaviour


def error(status: int, **headers: str) -> Act:
    """The provider's own error of this status."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda voice, streamed: Answer(status, voice.error(status), named)


def cut(sent: Callable[[Voice], tuple[bytes, ...]] | None = None) -> Act:
    """The good answer, closed after these events, or in the middle of a whole one."""
    return lambda voice, streamed: Cut(_size(voice, sent), good(voice, streamed))


def stall(sent: Callable[[Voice], tuple[bytes, ...]] | None = None) -> Act:
    """The same, but the connection stays open."""
    return lambda voice, streamed: HangAfter(_size(voice, sent), good(voice, streamed))


def _size(voice: Voice, sent: Callable[[Voice], tuple[bytes, ...]] | None) -> int:
    return 40 if sent is None else sum(map(len, sent(voice)))


def in_stream(choose: Callable[[Voice], tuple[bytes, ...]]) -> Act:
    return lambda voice, streamed: Stream(choose(voice))


def preamble(voice: Voice) -> tuple[bytes, ...]:
    return voice.events[: voice.preamble]


def first_words(voice: Voice) -> tuple[bytes, ...]:
    return voice.events[: voice.preamble + 1]


def without_end(voice: Voice) -> tuple[bytes, ...]:
    return voice.events[: -voice.end]


def error_first(voice: Voice) -> tuple[bytes, ...]:
    return (voice.error_event(500),)


def error_early(voice: Voice) -> tuple[bytes, ...]:
    return (*preamble(voice), voice.error_event(500))


def error_late(voice: Voice) -> tuple[bytes, ...]:
    return (*first_words(voice), voice.error_event(500))


def unfinished(voice: Voice) -> tuple[bytes, ...]:
    return (*voice.events[:-1], voice.events[-1].rstrip())


def junk_later(voice: Voice) -> tuple[bytes, ...]:
    return (*first_words(voice), JUNK, *voice.events[voice.preamble + 1 :])


def endless(voice: Voice) -> tuple[bytes, ...]:
    return (*first_words(voice), b"data: " + b"x" * 2_000_000)


def as_type(content_type: str) -> Act:
    """The good answer under another type."""
    return lambda voice, streamed: replace(good(voice, streamed), headers={"content-type": content_type})


def as_coding(coding: str) -> Act:
    """The good answer under a coding that it does not have."""
    return lambda voice, streamed: replace(good(voice, streamed), headers={"content-encoding": coding})


def packed(coding: str) -> Act:
    """The good answer in a coding, as one piece or in as many as it has events."""
    window = 16 + zlib.MAX_WBITS if coding == "gzip" else zlib.MAX_WBITS

    def act(voice: Voice, streamed: bool) -> Behaviour:
        packer = zlib.compressobj(wbits=window)
        headers = {"content-encoding": coding}
        if not streamed:
            return Answer(200, packer.compress(encode(voice.answer)) + packer.flush(), headers)
        pieces = [packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH) for event in voice.events]
        return Stream((*pieces, packer.flush()), headers=headers)

    return act


def raw(write: Callable[[bytes, bytes], bytes]) -> Act:
    """The good answer as `write` puts it on the wire, given its type and its body; then the connection is closed."""

    def act(voice: Voice, streamed: bool) -> Behaviour:
        if streamed:
            return Garbage(write(b"text/event-stream", b"".join(voice.events)))
        return Garbage(write(b"application/json", encode(voice.answer)))

    return act


def head(kind: bytes, *fields: bytes) -> bytes:
    named = (b"content-type: " + kind,) if kind else ()
    return b"\r\n".join([b"HTTP/1.1 200 OK", *named, *fields, b"", b""])


def sized(more: int, behind: bytes = b"") -> Act:
    """With a Content-Length that is wrong by `more`, and something behind the body."""
    return raw(lambda kind, body: head(kind, b"content-length: %d" % (len(body) + more)) + body + behind)


def short(voice: Voice, streamed: bool) -> Behaviour:
    """With a Content-Length that ends behind the first words."""
    length = _size(voice, first_words if streamed else None)
    return raw(lambda kind, body: head(kind, b"content-length: %d" % length) + body)(voice, streamed)


def chunked(end: bytes) -> Act:
    """In one chunk, with `end` behind it."""
    return raw(lambda kind, body: head(kind, b"transfer-encoding: chunked") + b"%x\r\n%b\r\n" % (len(body), body) + end)


HTML = b"<!doctype html><html><head><title>Welcome</title></head><body>Sign in to go on.</body></html>"
LATER_JUNK = "an event later that is no JSON"
ENDLESS_LINE = "a line of 2 MB that does not end"
JUNK = b"data: {oops\n\n"
ODD = b": hi\n\nretry: 5\n\n"
EVENTS = {"content-type": "text/event-stream"}
PAGE = {"content-type": "text/html; charset=utf-8"}

IDLE = "[{name}.timeouts]\nidle = 0.15"
FIRST_BYTE = "[{name}.timeouts]\nfirst_byte = 0.15"
CONNECT = "[{name}.timeouts]\nconnect = 0.15"
DEAD_PROXY = '[{name}.proxy]\nmode = "static"\nurl = "http://127.0.0.1:1"'
TOTAL = "[{name}.timeouts]\ntotal = 0.3"
