"""The failure-mode contract where clients speak another dialect than their provider."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.e2e.failures import acts
from tests.e2e.failures.acts import AGAIN, ANOTHER_KEY, THE_ANSWER, Row
from tests.e2e.failures.lab import SCRIPTED, Case, Played, cases_of, laboratory
from tests.e2e.failures.rows import CUTS, STATUSES
from tests.e2e.failures.rows_of_answers import INSIDE, STREAMS
from tests.e2e.failures.test_failures import CALLS, Bench, billed, blamed, seen, within
from tests.e2e.failures.voices import VOICES, Voice

SERVERS = dict(zip(VOICES, (*VOICES[1:], VOICES[0]), strict=True))
"""By the dialect of the client: each has one that is not its own."""

OTHERWISE = ("502 with a page (HTML)", "a stream to who asked for none", acts.LATER_JUNK, acts.ENDLESS_LINE)
"""Rows of what passes unread where no dialect is read: here it is read."""

READ = [row for row in (*CUTS, *STATUSES, *INSIDE, *STREAMS) if row.name not in OTHERWISE]
"""Of the rest it makes no difference who speaks what."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with asyncio.Runner() as runner:
        context = laboratory(tmp_path_factory.mktemp("translated"), servers=SERVERS)
        yield Bench(runner, within(runner, context.__aenter__()))
        within(runner, context.__aexit__(None, None, None))


def play_all(row: Row, voice: Voice, bench: Bench) -> list[tuple[Case, Played]]:
    cases = list(cases_of(row, voice, server=SERVERS[voice]))
    return list(zip(cases, bench.play(cases), strict=True))


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
@pytest.mark.parametrize("row", READ, ids=lambda row: row.name)
def test_a_provider_of_another_dialect_that(row: Row, voice: Voice, bench: Bench) -> None:
    for case, played in play_all(row, voice, bench):
        hidden = not case.always and row.then.again in (AGAIN, ANOTHER_KEY)
        expected = row.streamed if case.streamed else row.whole
        if voice.name != "anthropic":
            expected = expected.replace("529", "503")  # which none of the others knows
        assert seen(case, played) == (THE_ANSWER if hidden else expected), (case.name, played.got)
        assert played.attempts == (2 if hidden else CALLS[row.then.again]), case.name
        if row.place in SCRIPTED:
            assert played.calls == played.attempts
        assert blamed(case, played) == row.then.blamed, case.name
        assert billed(played) == (acts.USAGE if hidden else row.then.billed), case.name


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
def test_an_error_page_of_another_dialects_provider_is_not_quoted(voice: Voice, bench: Bench) -> None:
    (row,) = [row for row in STATUSES if row.name == OTHERWISE[0]]
    for case, played in play_all(row, voice, bench):
        assert played.got.status == (502 if case.always else 200)
        assert b"<" not in played.got.body


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
@pytest.mark.parametrize("name", OTHERWISE[2:])
def test_what_cannot_be_read_in_a_stream_of_another_dialect_breaks_it(name: str, voice: Voice, bench: Bench) -> None:
    (row,) = [row for row in STREAMS if row.name == name]
    for case, played in play_all(row, voice, bench):
        assert seen(case, played) == acts.BROKEN_LATER
        assert (blamed(case, played), billed(played)) == (acts.PROVIDER, acts.ESTIMATE)
