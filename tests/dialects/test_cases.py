"""Every case of `cases/`: what a provider of one dialect gets for what a client of another asks."""

from __future__ import annotations

import pytest

from gateway.dialects.losses import Losses
from tests.dialects.cases import CASES, FOLDER, TRIPS, text_of
from tests.dialects.meaning import lost_in_silence
from tests.dialects.pairs import MODELS, read, write

EVERY_TRIP = pytest.mark.parametrize(("case", "client", "provider"), TRIPS)


@EVERY_TRIP
def test_a_provider_gets_what_was_asked(case: str, client: str, provider: str) -> None:
    body, lost = CASES[case].got(client, provider)
    assert body == CASES[case].wanted(client, provider)
    assert lost == CASES[case].loses.get(f"{client}->{provider}", [])


@EVERY_TRIP
def test_nothing_is_lost_in_silence(case: str, client: str, provider: str) -> None:
    for model in MODELS[provider]:
        losses = Losses()
        request = read(client, CASES[case].asks[client], losses)
        written = write(provider, request, losses, model=model)
        assert lost_in_silence(request, read(provider, written.body), written.plan, losses) == [], model


@pytest.mark.parametrize("case", CASES)
def test_a_case_is_written_as_its_command_writes_it(case: str) -> None:
    assert (FOLDER / f"{case}.json").read_text("utf-8") == text_of(CASES[case])
