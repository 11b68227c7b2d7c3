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

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from tests.e2e.failures.voices import Voice
from tests.fakes.behaviours import Answer, Behaviour, Content, Cut, HangAfter, Stream

THE_ANSWER = "the answer"
NO, AGAIN, ANOTHER_KEY = "no", "again", "with another key"
NOBODY, CLIENT, PROVIDER = "nobody", "the client", "the provider"
NOTHING, USAGE, ESTIMATE = "nothing", "the usage", "an estimate"
BROKE = "502 `upstream_error`"
LATE = "504 `upstream_timeout`"
REJECTED = "502 `upstream_credentials`"
BROKEN_LATER = "the words so far, then the event `upstream_error`"
LATE_LATER = "the words so far, then the event `upstream_timeout`"
TOLD_LATER = "the words so far, then the provider's error event"
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


HTML = b"<!doctype html><html><head><title>Welcome</title></head><body>Sign in to go on.</body></html>"
PAGE = {"content-type": "text/html; charset=utf-8"}

IDLE = "[{name}.timeouts]\nidle = 0.15"
FIRST_BYTE = "[{name}.timeouts]\nfirst_byte = 0.15"
CONNECT = "[{name}.timeouts]\nconnect = 0.15"
TOTAL = "[{name}.timeouts]\ntotal = 0.3"
