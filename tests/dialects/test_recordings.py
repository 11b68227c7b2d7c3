"""Real exchanges with providers, translated to the three other dialects and back: equal but for noted losses."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.conversation import Answer, Request
from gateway.dialects.dialect import MalformedAnswerError
from gateway.dialects.failure import Failure
from gateway.dialects.losses import Losses
from gateway.errors import RequestError
from tests.dialects.grammar import GRAMMARS
from tests.dialects.loss_list import unlisted
from tests.dialects.meaning import answer_meaning, lost_in_silence, stream_meaning
from tests.dialects.pairs import MODELS, PAIRS, read, read_answer, read_stream, write, write_answer, write_stream
from tests.dialects.recordings import STEP, TRAFFIC, Recording, answers, requests, streams

pytestmark = pytest.mark.skipif(not TRAFFIC.is_dir(), reason="no recordings here")

BOTH = pytest.mark.parametrize(("client", "provider"), PAIRS)


def there(recording: Recording, request: Request, provider: str, model: str) -> list[str]:
    """A request to another dialect; gives what is wrong with it."""
    losses = Losses()
    try:
        written = write(provider, request, losses, model=model)
        after = read(provider, written.body)
    except RequestError as exc:
        return [] if exc.param == "messages" else [f"{recording.id}: {exc}"]  # nothing but a system's message
    silent = lost_in_silence(request, after, written.plan, losses)
    return [f"{recording.id}: {path} is lost in silence" for path in silent] + [
        f"{recording.id}: {each}" for each in unlisted("request", recording.dialect, provider, losses)
    ]


def back(recording: Recording, request: Request, provider: str) -> list[str]:
    """The same once more from there to the dialect that it came from."""
    losses = Losses()
    try:
        written = write(provider, request)
        translated = read(provider, written.body)
        returned = write(recording.dialect, translated, losses)
        after = read(recording.dialect, returned.body, losses)
    except RequestError as exc:
        return [] if exc.param == "messages" else [f"{recording.id}: {exc} on the way back"]
    silent = lost_in_silence(translated, after, returned.plan, losses)
    return [f"{recording.id}: {path} is lost in silence on the way back" for path in silent]


@BOTH
def test_a_request_says_the_same_in_another_dialect_and_back(client: str, provider: str) -> None:
    wrong: list[str] = []
    for recording in requests():
        if recording.dialect == client and recording.request is not None:
            try:
                request = read(client, recording.request)
            except RequestError as exc:
                wrong.append(f"{recording.id}: {exc}")
                continue
            for model in MODELS[provider]:
                wrong += there(recording, request, provider, model)
            wrong += back(recording, request, provider)
    assert wrong == []


def differs(before: list[dict[str, Any]], after: list[dict[str, Any]], losses: Losses) -> bool:
    """Answers that are more than one become one where a dialect has one; media may be lost; Anthropic always says how
    many tokens."""
    lost = {loss.name for loss in losses.entries}
    if "choices" in lost:
        before = before[:1]
    for one, other in zip(before, after, strict=False):
        known, shown = one["tokens"] or (None, None), other["tokens"] or (None, None)
        other["tokens"] = one["tokens"] and tuple(b and a for b, a in zip(known, shown, strict=True))
        if {"media_answer", "image_part"} & lost:
            other["images"] = one["images"]
    return before != after


@BOTH
def test_an_answer_says_the_same_in_another_dialect(client: str, provider: str) -> None:
    wrong: list[str] = []
    for recording, body in answers():
        if recording.dialect != provider:
            continue
        try:
            answer = read_answer(provider, body)
        except MalformedAnswerError:
            continue  # errors inside a 200, and calls of other endpoints under the same path
        losses = Losses()
        shown = read_answer(client, write_answer(client, answer, losses=losses))
        if differs(answer_meaning(answer), answer_meaning(shown), losses):
            wrong.append(recording.id)
        wrong += [f"{recording.id}: {each}" for each in unlisted("answer", provider, client, losses)]
    assert wrong == []


@BOTH
def test_a_stream_says_the_same_in_another_dialect(client: str, provider: str) -> None:
    wrong: list[str] = []
    for recording in streams():
        if recording.dialect != provider:
            continue
        deltas = read_stream(provider, recording.answer)
        losses = Losses()
        stream = write_stream(client, deltas, losses=losses)
        before, after = stream_meaning(deltas), stream_meaning(read_stream(client, stream))
        if isinstance(before, Failure) or isinstance(after, Failure):
            if type(before) is not type(after):
                wrong.append(f"{recording.id}: broken on one side alone")
            continue
        GRAMMARS[client](stream)
        if differs(before, after, losses):
            wrong.append(recording.id)
        wrong += [f"{recording.id}: {each}" for each in unlisted("answer", provider, client, losses)]
    assert wrong == []


@pytest.mark.parametrize("cut", [1, 7, 4096])
def test_where_a_stream_is_cut_does_not_matter(cut: int) -> None:
    for recording in list(streams())[:: STEP if cut < 4096 else 1]:
        whole = read_stream(recording.dialect, recording.answer, cut=len(recording.answer))
        assert read_stream(recording.dialect, recording.answer, cut=cut) == whole, recording.id


def test_most_recordings_can_be_read() -> None:
    """So that a reader which finds nothing cannot pass for one that loses nothing."""
    read_well: list[Answer] = []
    for recording, body in answers():
        try:
            read_well.append(read_answer(recording.dialect, body))
        except MalformedAnswerError:
            continue
    assert len(read_well) > 0.9 * len(list(answers()))
    assert sum(bool(answer_meaning(answer)) for answer in read_well) > 0.9 * len(read_well)
