"""Every row of the failure-mode contract, in every dialect, whole and streamed, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from gateway.policy.verdict import Status
from tests.e2e.failures import acts
from tests.e2e.failures.acts import AGAIN, ANOTHER_KEY, NO, THE_ANSWER, Row
from tests.e2e.failures.lab import RETRIES, SCRIPTED, Case, Lab, Played, cases_of, laboratory
from tests.e2e.failures.rows import ROWS
from tests.e2e.failures.voices import INPUT, OUTPUT, SAID, TEXT, VOICES, Voice
from tests.fakes.answers import encode, event
from tests.fakes.behaviours import Answer, Stream

T = TypeVar("T")

CENT = 10**7
CALLS = {NO: 1, AGAIN: 1 + RETRIES, ANOTHER_KEY: 3}
USABLE = {Status.UNTESTED, Status.VALID}


class Bench:
    """The laboratory and the loop that it lives in, for all tests of the module."""

    def __init__(self, runner: asyncio.Runner, lab: Lab) -> None:
        self._runner = runner
        self._lab = lab

    def play(self, cases: list[Case]) -> list[Played]:
        return within(self._runner, self._lab.play(cases))


def within(runner: asyncio.Runner, scenario: Coroutine[Any, Any, T], seconds: float = 20.0) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(seconds):
            return await scenario

    return runner.run(bounded())


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with asyncio.Runner() as runner:
        context = laboratory(tmp_path_factory.mktemp("failures"))
        yield Bench(runner, within(runner, context.__aenter__()))
        within(runner, context.__aexit__(None, None, None))


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_provider_that(row: Row, voice: Voice, bench: Bench) -> None:
    cases = list(cases_of(row, voice))
    for case, played in zip(cases, bench.play(cases), strict=True):
        hidden = not case.always and row.then.again in (AGAIN, ANOTHER_KEY)
        expected = row.streamed if case.streamed else row.whole
        assert seen(case, played) == (THE_ANSWER if hidden else expected), (case.name, played.got)
        assert played.attempts == (2 if hidden else CALLS[row.then.again]), case.name
        if row.place in SCRIPTED:
            assert played.calls == played.attempts
        assert blamed(case, played) == row.then.blamed, case.name
        assert billed(played) == (acts.USAGE if hidden else row.then.billed), case.name


def seen(case: Case, played: Played) -> str:
    """What the client saw, in the words of the table."""
    got, voice = played.got, case.voice
    if got.status != 200:
        assert got.complete
        own = case.row.act(case.provider, case.streamed)
        if SAID.encode() in got.body or got.body == acts.HTML:
            if isinstance(own, Answer) and own.status != 200 and case.provider is voice:
                assert got.body == encoded(own.body)
            return f"{got.status}, as it came"
        assert got.header("content-type") == "application/json"
        return f"{got.status} `{voice.code(got.json)}`"
    if not case.streamed and voice.hear(got.body).ended:
        return acts.STREAM_ALL_THE_SAME
    if not case.streamed:
        assert got.header("content-type") == "application/json"
        return THE_ANSWER if got.complete and voice.text(got.json) == TEXT else repr(got)
    assert (got.header("content-type") or "").startswith("text/event-stream")
    own = case.row.act(case.provider, case.streamed)
    if got.complete and isinstance(own, Stream) and acts.JUNK in (own.events or ()) and got.body == sent(own):
        return acts.WITH_JUNK
    heard = voice.hear(got.body)
    if SAID in heard.message:
        return acts.TOLD_LATER
    if heard.code and not got.complete:
        assert not heard.ended
        assert TEXT.startswith(heard.text) and heard.text != ""
        return f"the words so far, then the event `{heard.code}`"
    return THE_ANSWER if got.complete and heard.ended and heard.text == TEXT else repr(heard)


def sent(stream: Stream) -> bytes:
    return b"".join(event(one) for one in stream.events or ())


def encoded(body: object) -> bytes:
    return body if isinstance(body, bytes) else encode(body)


def blamed(case: Case, played: Played) -> str:
    """Whom the verdict was about, by the key's status, the circuit and the counts."""
    if played.status not in USABLE:
        return f"the key: `{played.status}`"
    if played.failures:
        assert played.failures == played.attempts
        return acts.PROVIDER
    faults = played.outcomes - {"success"}
    if not faults:
        return acts.NOBODY
    if faults <= {"bad_request", "no_model"}:
        return acts.CLIENT
    if case.always:
        return acts.PROXY
    return acts.PROVIDER  # and the answer that followed has ended the row of failures


def billed(played: Played) -> str:
    """What the ledger says, in the words of the table."""
    if not played.charges:
        return acts.NOTHING
    (charge,) = played.charges
    if charge.estimated:
        return acts.ESTIMATE
    assert -charge.amount == (INPUT + 2 * OUTPUT) * CENT
    return acts.USAGE
