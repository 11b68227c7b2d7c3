"""Whatever a conversation says, a dialect says it, or notes what it cannot; whatever an answer says, all of them do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from gateway.dialects.conversation import Answer, Request
from gateway.dialects.losses import Losses
from gateway.dialects.whole import to_deltas
from tests.dialects.grammar import GRAMMARS
from tests.dialects.loss_list import known
from tests.dialects.meaning import answer_meaning, lost_in_silence, stream_meaning
from tests.dialects.neutral import answers, requests
from tests.dialects.pairs import MODELS, NAMES, read, read_answer, read_stream, write, write_answer, write_stream

EACH = pytest.mark.parametrize("name", NAMES)


def from_elsewhere(request: Request, name: str) -> Request:
    """As a client of another dialect would have said it: a dialect's own clients are taken at their word."""
    return replace(request, dialect=next(each for each in NAMES if each != name))


@EACH
@settings(max_examples=50)
@given(request_=requests())
def test_nothing_of_a_request_is_lost_in_silence(name: str, request_: Request) -> None:
    request_ = from_elsewhere(request_, name)
    for model in MODELS[name]:
        losses = Losses()
        written = write(name, request_, losses, model=model)
        after = read(name, written.body, stream=request_.stream)
        assert lost_in_silence(request_, after, written.plan, losses) == []
        listed = {loss.name for loss in known() if loss.target == name}
        assert {loss.name for loss in losses.entries} <= listed


@EACH
@settings(max_examples=50)
@given(request_=requests())
def test_what_was_written_once_is_written_the_same_again(name: str, request_: Request) -> None:
    once = write(name, from_elsewhere(request_, name)).body
    again = write(name, read(name, once, stream=request_.stream)).body
    assert again == write(name, read(name, again, stream=request_.stream)).body


@EACH
@settings(max_examples=50)
@given(answer=answers())
def test_an_answer_says_the_same_in_every_dialect(name: str, answer: Answer) -> None:
    shown = answer_meaning(read_answer(name, write_answer(name, answer)))
    stream = write_stream(name, to_deltas(answer))
    GRAMMARS[name](stream)
    streamed = stream_meaning(read_stream(name, stream))
    assert isinstance(streamed, list)
    (wanted,) = answer_meaning(answer)
    for (got,) in (shown, streamed):
        got["tokens"] = got["tokens"] and wanted["tokens"]  # who was not told may have to estimate
        assert got == wanted
