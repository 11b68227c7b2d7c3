"""`losses.toml` lists what is lost, no less and no more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.dialects.losses import Losses
from gateway.dialects.whole import to_deltas
from gateway.errors import RequestError
from tests.dialects.cases import CASES, TRIPS
from tests.dialects.losing import LOSING
from tests.dialects.loss_list import Known, known
from tests.dialects.pairs import MODELS, PAIRS, read, read_answer, write, write_answer, write_stream
from tests.dialects.providers import ANSWERS, SAID
from tests.dialects.rich import RICH

PLAINER = {"gemini": ("gemma-3-27b-it",)}
"""Models of a dialect that take less than all others."""


def lost_requests() -> Iterator[Known]:
    asked = [(client, provider, CASES[case].asks[client]) for case, client, provider in TRIPS]
    asked += [(client, provider, body) for client, provider in PAIRS for body in LOSING[client]]
    for client, provider, body in asked:
        for model in (*MODELS[provider], *PLAINER.get(provider, ())):
            losses = Losses()
            try:
                write(provider, read(client, body, losses), losses, model=model)
            except RequestError:
                continue  # refused as a whole
            yield from (Known("request", client, provider, loss.name) for loss in losses.entries)


def lost_answers() -> Iterator[Known]:
    for client, provider in PAIRS:
        for body in (RICH[provider], *(ANSWERS[provider](said) for said in SAID.values())):
            losses = Losses()
            answer = read_answer(provider, body)
            write_answer(client, answer, losses=losses)
            write_stream(client, to_deltas(answer), losses=losses)
            yield from (Known("answer", provider, client, loss.name) for loss in losses.entries)


@pytest.fixture(scope="module")
def found() -> set[Known]:
    return {*lost_requests(), *lost_answers()}


def test_no_loss_is_missing_from_the_list(found: set[Known]) -> None:
    assert sorted(found - known().keys()) == []


def test_nothing_is_listed_that_is_no_longer_lost(found: set[Known]) -> None:
    assert sorted(known().keys() - found) == []


def test_each_loss_has_a_sentence() -> None:
    for loss, why in known().items():
        assert why.endswith("."), loss
        assert len(why) > 10, loss


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_every_pair_has_an_answer_with_all_that_its_provider_has(client: str, provider: str) -> None:
    answer = read_answer(provider, RICH[provider])
    shown = read_answer(client, write_answer(client, answer))
    assert shown.choices[0].parts != ()
