"""Routes with billing and with the response cache: what is reserved, charged and kept, and by whose price."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.api.billed import CENT, charges
from tests.api.harness import AS_ANN, TOKENS, Got, until
from tests.api.routed import EVERY_CAUSE, FIRST, ROUTE, SECOND, STREAM_FAST, TO_FAST, Routed, routed
from tests.conftest import run
from tests.fakes.behaviours import Answer, Behaviour, Cut, Hang, HangAfter, Stream, rate_limited, server_error

BILLING = """
[billing]
enabled = true
default_balance = {balance}
"""
BIG = "[prices.big]\ninput = 10000\noutput = 20000\n"
SMALL = "[prices.small]\ninput = 1000\noutput = 2000\n"
"""One and two cents a token, and a tenth of that."""

USAGE = {"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35}
MESSAGE = {"role": "assistant", "content": "Hello"}
ANSWER: dict[str, Any] = {
    "id": "c",
    "object": "chat.completion",
    "model": "x",
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}],
    "usage": USAGE,
}
FILTERED = {**ANSWER, "choices": [{"index": 0, "message": {"content": None}, "finish_reason": "content_filter"}]}
WORDS = {"id": "c", "choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}]}
STREAMED = Stream((WORDS, {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
                   {"id": "c", "choices": [], "usage": USAGE}, "[DONE]"))  # fmt: skip
AT_BIG, AT_SMALL = 40 * CENT, 4 * CENT
"""What USAGE costs."""


@asynccontextmanager
async def charged(
    tmp_path: Path, route: str = ROUTE, *, prices: str = BIG + SMALL, balance: str = "100", more: str = ""
) -> AsyncIterator[Routed]:
    """Afterwards nothing is reserved, and all sums are right."""
    async with routed(tmp_path, route, more=TOKENS + BILLING.format(balance=balance) + prices + more) as world:
        world.main.script(FIRST, Answer(body=ANSWER))
        world.spare.script(SECOND, Answer(body=ANSWER))
        yield world
        running = world.running
        while await running.ledger.flush(10):
            pass
        assert await running.books.verify() == []
        assert not await running.database.fetchval("SELECT COUNT(*) FROM reservations")


async def ask(world: Routed, body: object = TO_FAST, headers: dict[str, str] = AS_ANN) -> Got:
    return await world.running.ask("POST", "/v1/chat/completions", body, headers)


async def charges_of(world: Routed) -> list[tuple[int, str, str]]:
    """Amount, provider and model of what ann was charged."""
    found = await charges(world.running)
    return [(-one.entry.amount, one.entry.provider, one.entry.model) for one in found]


def test_each_target_has_its_own_price(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with charged(tmp_path, f'{ROUTE}\nstrategy = "round_robin"') as world:
            costs = [(await ask(world)).header("x-llmgateway-cost") for _ in range(2)]
            assert costs == ["0.4", "0.04"]
            assert await charges_of(world) == [(AT_SMALL, "spare", "small"), (AT_BIG, "main", "big")]

    run(scenario())


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("failure", [server_error(500), rate_limited(30), Answer(body=FILTERED), Cut(5), Stream(())])
def test_the_target_that_answers_is_charged_for_alone_and_once(
    tmp_path: Path, failure: Behaviour, streamed: bool
) -> None:
    async def scenario() -> None:
        async with charged(tmp_path, f"{ROUTE}\n{EVERY_CAUSE}") as world:
            world.main.script(FIRST, failure)
            if streamed:
                world.spare.script(SECOND, STREAMED)
            got = await ask(world, STREAM_FAST if streamed else TO_FAST)
            assert (got.status, got.complete, world.asked) == (200, True, (1, 1))
            assert await charges_of(world) == [(AT_SMALL, "spare", "small")]

    run(scenario())


def test_when_all_targets_fail_nothing_is_charged(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with charged(tmp_path) as world:
            world.main.script(FIRST, server_error(500))
            world.spare.script(SECOND, server_error(500))
            assert (await ask(world)).status == 500
            assert await charges_of(world) == []

    run(scenario())


def test_output_beside_an_error_is_charged_for_when_no_other_target_could_be_asked(tmp_path: Path) -> None:
    failed = {**ANSWER, "error": {"message": "broken", "type": "server_error", "code": None}}

    async def scenario() -> None:
        async with charged(tmp_path) as world:
            world.spare.script(SECOND, rate_limited(30))
            assert (await ask(world, {**TO_FAST, "model": "spare/small"})).status == 429
            world.main.script(FIRST, Answer(body=failed))
            got = await ask(world)
            assert (got.json["choices"], world.asked) == (ANSWER["choices"], (1, 1))
            assert await charges_of(world) == [(AT_BIG, "main", "big")]

    run(scenario())


def test_a_stream_that_breaks_is_charged_for_where_it_broke(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with charged(tmp_path) as world:
            world.main.script(FIRST, Cut(120, Stream((WORDS, WORDS, WORDS))))
            got = await ask(world, STREAM_FAST)
            assert (got.status, world.asked) == (200, (1, 0))
            assert [(provider, model) for _, provider, model in await charges_of(world)] == [("main", "big")]

    run(scenario())


@pytest.mark.parametrize("behaviour", [Hang(), HangAfter(0, STREAMED)])
def test_a_client_that_leaves_at_the_second_target_pays_for_its_prompt_there_alone(
    tmp_path: Path, behaviour: Behaviour
) -> None:
    async def scenario() -> None:
        async with charged(tmp_path) as world:
            world.main.script(FIRST, server_error(500))
            world.spare.script(SECOND, behaviour)
            async with world.running.talk() as talk:
                await talk.send("POST", "/v1/chat/completions", STREAM_FAST, AS_ANN)
                await until(lambda: world.asked == (1, 1))
            await world.spare.wait_aborted()
            await until(lambda: not world.running.in_flight)
            assert [(provider, model) for _, provider, model in await charges_of(world)] == [("spare", "small")]

    run(scenario())


@pytest.mark.parametrize("failure", [server_error(500), Answer(body=FILTERED)])
def test_a_client_that_leaves_before_the_second_target_is_asked_pays_nothing(
    tmp_path: Path, failure: Behaviour
) -> None:
    """While it waits for the second one's key, which is cooling."""
    more = "[queue]\ntimeout = 15\n"
    causes = 'fallback_on = ["server_error", "content_filter"]'

    async def scenario() -> None:
        async with charged(tmp_path, f"{ROUTE}\n{causes}", more=more) as world:
            running = world.running
            world.main.script(FIRST, server_error(500), failure)
            world.spare.script(SECOND, rate_limited(10))
            assert (await ask(world)).status == 429
            async with running.talk() as talk:
                await talk.send("POST", "/v1/chat/completions", TO_FAST, AS_ANN)
                await until(lambda: len(running.pools["spare"].waiters) == 1)
            await until(lambda: not running.pools["spare"].waiters)
            await running.logged("request", 2)
            assert (await charges_of(world), world.asked) == ([], (2, 1))

    run(scenario())


def test_a_target_without_a_price_is_passed_over(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with charged(tmp_path, prices=SMALL) as world:
            got = await ask(world)
            assert (got.status, world.fallbacks) == (200, [("main", "passed_over", "spare")])
            assert await charges_of(world) == [(AT_SMALL, "spare", "small")]

    run(scenario())


def test_when_no_target_has_a_price_the_client_hears_of_the_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with charged(tmp_path, prices="[prices.other]\ninput = 1\n") as world:
            got = await ask(world)
            assert (got.status, got.code, world.asked) == (402, "unpriced_model", (0, 0))
            assert "'big'" in got.error["message"]

    run(scenario())


def test_who_cannot_pay_for_the_next_target_is_told_so(tmp_path: Path) -> None:
    backwards = 'targets = [{ provider = "spare", model = "small" }, { provider = "main", model = "big" }]'

    async def scenario() -> None:
        async with charged(tmp_path, backwards, balance="0.3") as world:
            world.spare.script(SECOND, server_error(500))
            got = await ask(world)
            assert (got.status, got.code) == (402, "insufficient_quota")
            assert "too small" in got.error["message"] and "'big'" not in got.error["message"]
            assert world.asked == (0, 1)

    run(scenario())


# -- the response cache ----------------------------------------------------------------------------------------------

CACHE = "[cache]\nenabled = true\nshared = true\n"
RESTRICTED = """
[auth]
required = true
[tokens.all]
token = "token-of-all"
[tokens.both]
token = "token-of-both"
providers = ["spare", "main"]
[tokens.main]
token = "token-of-main"
providers = ["main"]
[tokens.spare]
token = "token-of-spare"
providers = ["spare"]
"""
TOKEN_NAMES = ("all", "both", "main", "spare")
ON_SHARED: dict[str, Any] = {**TO_FAST, "model": "shared"}


async def states(world: Routed, *names: str, body: object = TO_FAST) -> list[tuple[str | None, str | None]]:
    """What the cache said, and who has answered, for tokens one after the other."""
    found = []
    for name in names:
        got = await ask(world, body, {"authorization": f"Bearer token-of-{name}"})
        assert got.status == 200
        found.append((got.header("x-llmgateway-cache"), got.header("x-llmgateway-provider")))
    return found


@pytest.mark.parametrize("strategy", ["priority", "round_robin"])
def test_the_cache_keeps_one_answer_for_a_route(tmp_path: Path, strategy: str) -> None:
    async def scenario() -> None:
        route = f'{ROUTE}\nstrategy = "{strategy}"'
        async with routed(tmp_path, route, more=CACHE + RESTRICTED) as world:
            assert await states(world, "all", "all", "both", "all") == [
                ("miss", "main"), ("hit", "main"), ("hit", "main"), ("hit", "main"),
            ]  # fmt: skip

    run(scenario())


def test_the_cache_keeps_one_answer_for_a_model_of_several_providers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, "", models='"shared"', more=CACHE + RESTRICTED) as world:
            assert await states(world, "all", "both", "all", body=ON_SHARED) == [
                ("miss", "main"), ("hit", "main"), ("hit", "main"),
            ]  # fmt: skip

    run(scenario())


@pytest.mark.parametrize("several", ["a route", "a model"])
def test_who_may_use_some_targets_gets_no_answer_of_others(tmp_path: Path, several: str) -> None:
    async def scenario() -> None:
        route, body = (ROUTE, TO_FAST) if several == "a route" else ("", ON_SHARED)
        async with routed(tmp_path, route, models='"shared"' * (not route), more=CACHE + RESTRICTED) as world:
            first = await states(world, "all", "main", "spare", body=body)
            assert first == [("miss", "main"), ("miss", "main"), ("miss", "spare")]
            again = await states(world, "spare", "main", "all", body=body)
            assert again == [("hit", "spare"), ("hit", "main"), ("hit", "main")]

    run(scenario())


def test_an_answer_after_a_fallback_is_kept_for_the_route(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, more=CACHE) as world:
            world.main.script(FIRST, server_error(500))
            got = await world.ask()
            assert (got.header("x-llmgateway-cache"), got.header("x-llmgateway-provider")) == ("miss", "spare")
            got = await world.ask()
            assert (got.header("x-llmgateway-cache"), got.header("x-llmgateway-provider")) == ("hit", "spare")

    run(scenario())


def test_what_no_target_served_is_not_kept(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, more=CACHE) as world:
            world.main.script(FIRST, server_error(500), Answer())
            world.spare.script(SECOND, server_error(500))
            assert [(await world.ask()).status for _ in range(2)] == [500, 200]

    run(scenario())
