"""What hits of the response cache cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.store.entries import Reservation
from tests.api.billed import CENT, SHORT, ask, charges, charging
from tests.api.harness import AS_ANN, AS_ROOT, Gateway, Got
from tests.conftest import run
from tests.fakes.provider import FakeProvider

COST = 230_000_000
"""What the fake's chat costs: 11 tokens in at a cent, 6 out at two."""

STREAMED: dict[str, Any] = {**SHORT, "stream": True}


def cache(price: str, more: str = "") -> str:
    """Stands behind [billing], where a table may begin."""
    return f"\n[cache]\nenabled = true\nprice = {price}\n{more}"


def state(got: Got) -> str | None:
    return got.header("x-llmgateway-cache")


@pytest.mark.parametrize("body", [SHORT, STREAMED])
@pytest.mark.parametrize(("price", "cost"), [("1", COST), ("0.1", COST // 10), ('"0.000000001"', 0)])
def test_a_hit_costs_a_part_of_what_the_answer_cost(
    tmp_path: Path, body: dict[str, Any], price: str, cost: int
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, billing=cache(price)) as running:
            got = [await ask(running, body) for _ in range(3)]
            assert [state(each) for each in got] == ["miss", "hit", "hit"]
            written = [each.entry for each in await charges(running)]
            assert [-entry.amount for entry in written] == ([cost, cost, COST] if cost else [COST])
            if cost:
                assert got[1].header("x-llmgateway-cost") == f"{cost / 10**9:g}"
                assert (written[0].note, written[0].usage, written[0].key) == ("cache", "{}", "")
                assert (written[0].model, written[0].provider) == ("gpt-4o-mini", "main")
                assert written[0].request_id == got[2].header("x-request-id")
            assert len(fake.requests) == 1

    run(scenario())


async def spent(running: Gateway) -> Reservation:
    """All that Ann has is set aside, but for a cent."""
    held = await running.ledger.reserve("ann", 100 * 10**9 - COST - CENT)
    assert isinstance(held, Reservation)
    return held


def test_a_hit_costs_nothing_unless_it_is_said_and_then_needs_no_balance(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, billing=cache("0")) as running:
            await ask(running)
            held = await spent(running)
            again = await ask(running)
            assert (state(again), again.header("x-llmgateway-cost")) == ("hit", None)
            assert (await ask(running, {**SHORT, "seed": 1})).status == 402
            running.ledger.release(held)
            assert len(await charges(running)) == 1

    run(scenario())


def test_a_hit_that_nobody_can_pay_is_not_given(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, billing=cache("1")) as running:
            await ask(running)
            held = await spent(running)
            again = await ask(running)
            assert (again.status, again.code) == (402, "insufficient_quota")
            assert (again.error["required"], again.error["available"]) == (0.23, 0.01)
            assert "This answer costs 0.23 USD, and of" in again.error["message"]
            assert again.error["message"].endswith("are free for now.")
            running.ledger.release(held)
            assert len(await charges(running)) == 1

    run(scenario())


def test_who_is_given_anothers_answer_pays_for_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, charging(tmp_path, fake, billing=cache("0.5", "shared = true")) as running:
            await running.ask("POST", "/v1/chat/completions", SHORT, AS_ROOT)
            again = await running.ask("POST", "/v1/chat/completions", SHORT, AS_ANN)
            assert (state(again), again.header("x-llmgateway-cost")) == ("hit", "0.115")
            assert [each.entry.amount for each in await charges(running, "ann")] == [-COST // 2]
            assert [each.entry.amount for each in await charges(running, "root")] == [-COST]

    run(scenario())
