"""A whole answer of generateContent as the stream that it would have been: every event of one has the form of a whole
answer, so that one event is enough.

Source: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
"""

from __future__ import annotations

from gateway import jsonlib
from gateway.dialects.dialect import MalformedAnswerError


def stream_generation(answer: object, *, array: bool) -> bytes:
    """`array`: the client did not ask for `alt=sse`. Raises MalformedAnswerError."""
    if not isinstance(answer, dict):
        raise MalformedAnswerError("it is no object")
    written = jsonlib.dumps(answer)
    return b"[%b\n]" % written if array else b"data: %b\r\n\r\n" % written
