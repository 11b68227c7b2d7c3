"""The failure-mode contract as a literal table: what a provider does, and what follows. `acts.py` explains the words.

`gateway/docs/failures.md` has the same rows for people; `python3 -m tests.e2e.failures.page` renews them there.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.e2e.failures.acts import (
    AGAIN,
    ANOTHER_KEY,
    BROKE,
    BROKEN_LATER,
    CAME,
    CONNECT,
    DEAD_PROXY,
    DOUBTED,
    FAULT,
    FINE,
    FIRST_BYTE,
    HTML,
    IDLE,
    LATE,
    LATE_LATER,
    LIMITED,
    MISTAKE,
    NO,
    NOTHING,
    PAGE,
    PROVIDER,
    PROXY,
    REJECTED,
    THE_ANSWER,
    TOO_LATE,
    TOTAL,
    Row,
    Then,
    always,
    cut,
    error,
    first_words,
    good,
    preamble,
    stall,
)
from tests.e2e.failures.rows_of_answers import FRAMING, INSIDE, STREAMS, TYPES
from tests.fakes.behaviours import Answer, CloseBeforeAnswer, Garbage, Hang, Reset, SlowBytes

ENDLESS_HEAD = b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000

ONCE_MORE = " (which goes over a fresh one, at once)"
gone = always(CloseBeforeAnswer())

CONNECTION = (
    Row("refuses the connection", good, BROKE, BROKE, FAULT, "refused"),
    Row("has a host name without an address", good, BROKE, BROKE, FAULT, "nowhere"),
    Row("has a certificate that is not to be trusted", good, BROKE, BROKE, FAULT, "distrusted"),
    Row("does not speak TLS", good, BROKE, BROKE, FAULT, "no_tls"),
    Row("does not answer the connection (`timeouts.connect`)", good, LATE, LATE, FAULT, "silent", CONNECT),
    Row("resets the connection before the request is read", good, BROKE, BROKE, FAULT, "resetting"),
    Row("resets the connection after the request", always(Reset()), BROKE, BROKE, FAULT, "own"),
    Row(f"closes an idle connection as a request comes{ONCE_MORE}", gone, THE_ANSWER, THE_ANSWER, FINE, "warm"),
    Row("closes the connection without an answer", gone, BROKE, BROKE, FAULT, "own"),
    Row("answers with what is not HTTP", always(Garbage()), BROKE, BROKE, FAULT, "own"),
    Row("is behind a proxy that refuses", good, BROKE, BROKE, Then(AGAIN, PROXY, NOTHING), "nowhere", DEAD_PROXY),
    Row("has a head that does not end", always(Garbage(ENDLESS_HEAD)), BROKE, BROKE, FAULT, "own"),
)

TIME = (
    Row("does not begin to answer (`timeouts.first_byte`)", always(Hang()), LATE, LATE, FAULT, settings=FIRST_BYTE),
    Row("falls silent in a whole answer (`timeouts.idle`)", stall(), LATE, "", FAULT, settings=IDLE),
    Row("falls silent before the first word of a stream", stall(preamble), "", LATE, FAULT, settings=IDLE),
    Row("falls silent after the first word of a stream", stall(first_words), "", LATE_LATER, TOO_LATE, settings=IDLE),
    Row("takes longer than `timeouts.total`", always(Hang()), LATE, LATE, Then(NO, PROVIDER, NOTHING), settings=TOTAL),
    Row("is slow, but never silent", lambda v, s: SlowBytes(50, 0.001, good(v, s)), THE_ANSWER, THE_ANSWER, FINE),
)

MOVED = {"location": "/login"}

CUTS = (
    Row("closes in the middle of a whole answer", cut(), BROKE, "", FAULT),
    Row("closes before the first word of a stream", cut(preamble), "", BROKE, FAULT),
    Row("closes after the first word of a stream", cut(first_words), "", BROKEN_LATER, TOO_LATE),
)


STATUSES = (
    Row("400", error(400), CAME[400], CAME[400], MISTAKE),
    Row("401", error(401), REJECTED, REJECTED, DOUBTED),
    Row("402", error(402), REJECTED, REJECTED, Then(ANOTHER_KEY, "the key: `no_quota`", NOTHING)),
    Row("403", error(403), CAME[403], CAME[403], DOUBTED),
    Row("404", error(404), CAME[404], CAME[404], MISTAKE),
    Row("408", error(408), CAME[408], CAME[408], FAULT),
    Row("409", error(409), CAME[409], CAME[409], MISTAKE),
    Row("413", error(413), CAME[413], CAME[413], MISTAKE),
    Row("422", error(422), CAME[422], CAME[422], MISTAKE),
    Row("429 with Retry-After", error(429, retry_after="20"), CAME[429], CAME[429], LIMITED),
    Row("429 without", error(429), CAME[429], CAME[429], LIMITED),
    Row("500", error(500), CAME[500], CAME[500], FAULT),
    Row("502", error(502), CAME[502], CAME[502], FAULT),
    Row("503", error(503), CAME[503], CAME[503], FAULT),
    Row("503 with a Retry-After that fits", error(503, retry_after="0.05"), CAME[503], CAME[503], FAULT),
    Row(
        "503 with one that outlasts `timeouts.total`",
        error(503, retry_after="3600"),
        CAME[503],
        CAME[503],
        Then(NO, PROVIDER, NOTHING),
    ),
    Row("504", error(504), CAME[504], CAME[504], FAULT),
    Row("529", error(529), CAME[529], CAME[529], FAULT),
    Row("302", always(Answer(302, b"", MOVED)), BROKE, BROKE, FAULT),
    Row("502 with a page (HTML)", always(Answer(502, HTML, PAGE)), CAME[502], CAME[502], FAULT),
)

TABLE: Mapping[str, tuple[Row, ...]] = {
    "The connection": CONNECTION,
    "Time": TIME,
    "Cuts": CUTS,
    "Errors by status": STATUSES,
    "200 with": INSIDE,
    "A stream with": STREAMS,
    "An answer with": FRAMING,
    "An answer whose type is": TYPES,
}

ROWS = tuple(row for rows in TABLE.values() for row in rows)
