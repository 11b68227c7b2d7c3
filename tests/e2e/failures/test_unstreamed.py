"""The failure-mode contract where a provider is not asked to stream: clients that want one see what others see of a
whole answer, and never the first words of one that breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.e2e.failures import acts
from tests.e2e.failures.acts import AGAIN, ANOTHER_KEY, THE_ANSWER, Row
from tests.e2e.failures.lab import SCRIPTED, cases_of, laboratory
from tests.e2e.failures.rows import ROWS
from tests.e2e.failures.test_failures import CALLS, Bench, billed, blamed, seen, within
from tests.e2e.failures.voices import VOICES, Voice


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with asyncio.Runner() as runner:
        context = laboratory(tmp_path_factory.mktemp("unstreamed"), disabled=True)
        yield Bench(runner, within(runner, context.__aenter__()))
        within(runner, context.__aexit__(None, None, None))


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.whole not in ("", acts.STREAM_ALL_THE_SAME)], ids=lambda row: row.name
)
def test_a_provider_that_is_not_asked_to_stream_and(row: Row, voice: Voice, bench: Bench) -> None:
    cases = list(cases_of(row, voice, disabled=True))
    for case, played in zip(cases, bench.play(cases), strict=True):
        hidden = not case.always and row.then.again in (AGAIN, ANOTHER_KEY)
        assert seen(case, played) == (THE_ANSWER if hidden else row.whole), (case.name, played.got)
        assert played.attempts == (2 if hidden else CALLS[row.then.again]), case.name
        if row.place in SCRIPTED:
            assert played.calls == played.attempts
        assert blamed(case, played) == row.then.blamed, case.name
        assert billed(played) == (acts.USAGE if hidden else row.then.billed), case.name
