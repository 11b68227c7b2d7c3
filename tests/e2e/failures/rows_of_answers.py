"""The second half of the table in `rows.py`: answers with status 200 that are none, or not as they should be."""

from __future__ import annotations

from tests.e2e.failures.acts import (
    BROKE,
    CAME,
    DOUBTED,
    ENDLESS_LINE,
    EVENTS,
    FAULT,
    FINE,
    HTML,
    INCOMPLETE,
    JUNK,
    LATER_JUNK,
    LIMITED,
    ODD,
    PAGE,
    REJECTED,
    STREAM_ALL_THE_SAME,
    THE_ANSWER,
    TOLD_LATER,
    TOO_LATE,
    WITH_JUNK,
    Row,
    always,
    as_coding,
    as_type,
    chunked,
    endless,
    error_early,
    error_first,
    error_late,
    head,
    in_stream,
    junk_later,
    packed,
    preamble,
    raw,
    short,
    sized,
    unfinished,
    without_end,
)
from tests.fakes.answers import encode
from tests.fakes.behaviours import Answer, Stream

INSIDE = (
    Row("an error, and nothing else", lambda v, s: Answer(200, v.error(500)), CAME[500], CAME[500], FAULT),
    Row("a rate limit's error", lambda v, s: Answer(200, v.error(429)), CAME[429], CAME[429], LIMITED),
    Row("a rejected key's error", lambda v, s: Answer(200, v.error(401)), REJECTED, REJECTED, DOUBTED),
    Row("no choices, no content, no candidates", lambda v, s: Answer(200, v.empty), BROKE, BROKE, FAULT),
    Row("nothing", always(Answer(200, b"")), BROKE, BROKE, FAULT),
    Row("half of its JSON", lambda v, s: Answer(200, encode(v.answer)[:40]), BROKE, BROKE, FAULT),
    Row("a page (HTML)", always(Answer(200, HTML, PAGE)), BROKE, BROKE, FAULT),
    Row("a page that is said to be JSON", always(Answer(200, HTML)), BROKE, BROKE, FAULT),
    Row("a whole answer to who asked for a stream", lambda v, s: Answer(200, v.answer), "", THE_ANSWER, FINE),
    Row("a stream to who asked for none", lambda v, s: Stream(v.events), STREAM_ALL_THE_SAME, "", FINE),
    Row("a page that is said to be events", always(Answer(200, HTML, EVENTS)), BROKE, BROKE, FAULT),
)

NO_END = "no end: neither `[DONE]` nor a reason to stop, no `message_stop`, no `finishReason`"

STREAMS = (
    Row("an error as its first event", in_stream(error_first), "", CAME[500], FAULT),
    Row("an error behind its preamble", in_stream(error_early), "", CAME[500], FAULT),
    Row("an error behind its first word", in_stream(error_late), "", TOLD_LATER, TOO_LATE),
    Row("no event", in_stream(lambda v: ()), "", BROKE, FAULT),
    Row("a preamble, and no word", in_stream(preamble), "", BROKE, FAULT),
    Row("an end, and nothing else", in_stream(lambda v: v.bare_end), "", BROKE, FAULT),
    Row(NO_END, in_stream(without_end), "", INCOMPLETE, TOO_LATE),
    Row("no blank line behind its last event", in_stream(unfinished), "", THE_ANSWER, FINE),
    Row("an event first that is no JSON", in_stream(lambda v: (JUNK, *v.events)), "", BROKE, FAULT),
    Row(LATER_JUNK, in_stream(junk_later), "", WITH_JUNK, FINE),
    Row(ENDLESS_LINE, in_stream(endless), "", INCOMPLETE, TOO_LATE),
    Row("comments, and fields that nobody knows", in_stream(lambda v: (ODD, *v.events)), "", THE_ANSWER, FINE),
    Row("rubbish behind its end", in_stream(lambda v: (*v.events, b"rubbish\n\n")), "", THE_ANSWER, FINE),
)

CLOSED = raw(lambda kind, body: head(kind) + body)

FRAMING = (
    Row("a Content-Length that is too long", sized(100), BROKE, "", FAULT, "own"),
    Row("a Content-Length that is too long, behind a stream's end", sized(100), "", THE_ANSWER, FINE, "own"),
    Row("a Content-Length that is too short", short, BROKE, "", FAULT, "own"),
    Row("a Content-Length that is too short for its stream", short, "", INCOMPLETE, TOO_LATE, "own"),
    Row("more bytes than its Content-Length", sized(0, b"rubbish"), THE_ANSWER, THE_ANSWER, FINE, "own"),
    Row("more bytes behind its last chunk", chunked(b"0\r\n\r\nrubbish"), THE_ANSWER, THE_ANSWER, FINE, "own"),
    Row("no last chunk", chunked(b""), BROKE, "", FAULT, "own"),
    Row("no last chunk, behind a stream's end", chunked(b""), "", THE_ANSWER, FINE, "own"),
    Row("chunks that are none", chunked(b"oops\r\n"), BROKE, "", FAULT, "own"),
    Row("neither a length nor chunks", CLOSED, THE_ANSWER, THE_ANSWER, FINE, "own"),
)

TYPES = (
    Row("`text/plain`", as_type("text/plain; charset=utf-8"), THE_ANSWER, THE_ANSWER, FINE),
    Row("`text/html`", as_type("text/html"), THE_ANSWER, THE_ANSWER, FINE),
    Row("`application/octet-stream`", as_type("application/octet-stream"), THE_ANSWER, THE_ANSWER, FINE),
    Row("not said", raw(lambda kind, body: head(b"", b"x-y: z") + body), THE_ANSWER, THE_ANSWER, FINE, "own"),
    Row("JSON for events", as_type("application/json"), "", THE_ANSWER, FINE),
    Row("events for JSON", as_type("text/event-stream"), THE_ANSWER, "", FINE),
    Row("right, but packed with gzip", packed("gzip"), THE_ANSWER, THE_ANSWER, FINE),
    Row("right, but packed with deflate", packed("deflate"), THE_ANSWER, THE_ANSWER, FINE),
    Row("right, but packed with what is none", as_coding("gzip"), BROKE, BROKE, FAULT),
    Row("right, but packed with `br` or `zstd`", as_coding("br"), BROKE, BROKE, FAULT),
)
