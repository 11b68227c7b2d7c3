"""Who stays with a target of a route, what a token may use of it, and what goes on from an answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.api.harness import Got, until
from tests.api.routed import FIRST, ROUTE, SECOND, STREAM_FAST, TO_FAST, Routed, routed
from tests.conftest import run
from tests.fakes.behaviours import Answer, Behaviour, Cut, HangAfter, Stream, rate_limited, server_error

TOKENS = """
[auth]
required = true
[tokens.ann]
token = "token-of-ann"
[tokens.ann-at-home]
token = "token-of-ann-at-home"
user = "ann"
[tokens.bob]
token = "token-of-bob"
[tokens.main]
token = "token-of-main"
providers = ["main"]
[tokens.spare]
token = "token-of-spare"
providers = ["spare"]
[tokens.neither]
token = "token-of-neither"
providers = ["third"]
[tokens.route]
token = "token-of-route"
models = ["fast"]
[tokens.big]
token = "token-of-big"
models = ["big"]
[providers.third]
type = "echo"
models = ["third-model"]
"""
TURNS = f'{ROUTE}\nstrategy = "round_robin"\n'
BY_SESSION, BY_USER = f'{TURNS}sticky = "session"', f'{TURNS}sticky = "user"'
HOUR = 3600
WORD = {"id": "c", "choices": [{"index": 0, "delta": {"content": "word"}, "finish_reason": None}]}


async def ask(world: Routed, token: str = "ann", body: object = TO_FAST, **headers: str) -> Got:
    return await world.ask(body, authorization=f"Bearer token-of-{token}", **headers)


async def served(world: Routed, count: int = 1, token: str = "ann", **more: Any) -> str:
    """Who serves the next requests: m for main, s for spare."""
    headers = {"x_session_id": more.pop("session")} if "session" in more else {}
    found = ""
    for _ in range(count):
        got = await ask(world, token, {**TO_FAST, **more}, **headers)
        assert got.status == 200, got
        found += (got.header("x-llmgateway-provider") or "")[0]
    return found


# -- sticky ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        {"session": "one"},
        {"prompt_cache_key": "one"},
        {"safety_identifier": "one"},
        {"user": "one"},
    ],
)
def test_a_conversation_stays_and_others_take_turns(tmp_path: Path, said: dict[str, str]) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, BY_SESSION, more=TOKENS) as world:
            assert await served(world, 2) == "ms"
            assert await served(world, 3, **said) == "mmm"
            assert await served(world, 2, session="another") == "ss"
            assert await served(world, 3, **said) == "mmm"

    run(scenario())


def test_two_users_with_one_word_for_their_conversations_are_two(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, BY_SESSION, more=TOKENS) as world:
            assert await served(world, session="talk") == "m"
            assert await served(world, token="bob", session="talk") == "s"
            assert await served(world, 2, session="talk") == "mm"
            assert await served(world, 2, token="bob", session="talk") == "ss"

    run(scenario())


def test_a_user_stays_with_all_conversations_and_tokens(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, BY_USER, more=TOKENS) as world:
            assert await served(world, token="bob") == "m"
            assert await served(world, session="one") == "s"
            assert await served(world, session="two") == "s"
            assert await served(world, token="ann-at-home") == "s"
            assert await served(world, token="bob") == "m"

    run(scenario())


@pytest.mark.parametrize("streamed", [False, True])
def test_who_fell_back_stays_there(tmp_path: Path, streamed: bool) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, f'{ROUTE}\nsticky = "session"', more=TOKENS) as world:
            world.main.script(FIRST, server_error(500), Answer())
            assert await served(world, 2, session="talk", stream=streamed) == "ss"
            assert await served(world, session="another") == "m"
            assert await served(world, session="talk") == "s"
            assert world.asked == (2, 3)

    run(scenario())


def test_it_is_forgotten_an_hour_after_the_last_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, f'{ROUTE}\nsticky = "session"', more=TOKENS) as world:
            world.main.script(FIRST, server_error(500), Answer())
            assert await served(world, session="talk") == "s"
            for _ in range(2):
                world.running.pass_time(HOUR - 60)
                assert await served(world, session="talk") == "s"
            world.running.pass_time(HOUR + 1)
            assert await served(world, session="talk") == "m"

    run(scenario())


def test_who_stays_goes_elsewhere_while_that_target_cannot_take_requests(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, f'{ROUTE}\nsticky = "session"', more=TOKENS) as world:
            assert await served(world, session="talk") == "m"
            world.main.script(FIRST, rate_limited(20), Answer())
            assert await served(world, 2, session="talk") == "ss"
            assert (world.asked, len(world.fallbacks)) == ((2, 2), 1)

    run(scenario())


@pytest.mark.parametrize(
    ("first", "second"), [(server_error(500), server_error(500)), (Cut(200, Stream((WORD, WORD, WORD))), Answer())]
)
def test_an_answer_that_fails_makes_nobody_stay(tmp_path: Path, first: Behaviour, second: Behaviour) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, BY_SESSION, more=TOKENS) as world:
            world.main.script(FIRST, first, Answer())
            world.spare.script(SECOND, second, Answer())
            await ask(world, body=STREAM_FAST, x_session_id="talk")
            assert await served(world, session="talk") == "s"  # its turn

    run(scenario())


# -- tokens ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("token", "provider"), [("main", "m"), ("spare", "s"), ("route", "m")])
def test_a_token_gets_the_targets_that_it_may_use(tmp_path: Path, token: str, provider: str) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, more=TOKENS) as world:
            assert await served(world, 2, token=token) == provider * 2

    run(scenario())


def test_a_token_of_one_provider_does_not_fall_back_to_another(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, more=TOKENS) as world:
            world.main.script(FIRST, server_error(500))
            assert ((await ask(world, "main")).status, world.asked, world.fallbacks) == (500, (1, 0), [])

    run(scenario())


@pytest.mark.parametrize(
    ("token", "model"),
    [("neither", "fast"), ("big", "fast"), ("route", "big"), ("route", "main/big"), ("route", "main/fast")],
)
def test_a_token_gets_nothing_else_under_a_routes_name_or_its_targets(tmp_path: Path, token: str, model: str) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, more=TOKENS) as world:
            got = await ask(world, token, {**TO_FAST, "model": model})
            assert (got.status, got.code, world.asked) == (403, "permission_denied", (0, 0))

    run(scenario())


# -- what goes on ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
def test_what_goes_on_from_an_answer_goes_to_who_made_it(tmp_path: Path, streamed: bool) -> None:
    body = {"model": "fast", "input": "x", "stream": streamed}

    async def scenario() -> None:
        async with routed(tmp_path, f'{ROUTE}\nfallback_on = ["server_error"]', more=TOKENS) as world:
            world.main.script(FIRST, server_error(500), Answer())
            got = await world.ask(body, "/v1/responses", authorization="Bearer token-of-route")
            assert (got.status, world.asked) == (200, (1, 1))
            ((made, _),) = world.spare.response_owner.items()
            for _ in range(2):
                more = {**body, "previous_response_id": made}
                got = await world.ask(more, "/v1/responses", authorization="Bearer token-of-route")
                assert got.status == 200
            assert (world.asked, {seen.json["model"] for seen in world.spare.requests}) == ((1, 3), {"small"})
            got = await world.ask({**body, "previous_response_id": made}, "/v1/responses",
                                  authorization="Bearer token-of-bob")  # fmt: skip
            assert got.status == 404

    run(scenario())


def test_it_goes_on_with_the_model_that_made_it_where_a_provider_has_several(tmp_path: Path) -> None:
    targets = ", ".join(f'{{ provider = "main", model = "{model}" }}' for model in ("big", "bigger"))

    async def scenario() -> None:
        async with routed(tmp_path, f'targets = [{targets}]\nstrategy = "round_robin"', more=TOKENS) as world:
            made = []
            for _ in range(2):
                await world.ask({"model": "fast", "input": "x"}, "/v1/responses", authorization="Bearer token-of-ann")
                made.append(list(world.main.response_owner)[-1])
            for before in reversed(made):
                body = {"model": "fast", "input": "x", "previous_response_id": before}
                await world.ask(body, "/v1/responses", authorization="Bearer token-of-ann")
            models = [seen.json["model"] for seen in world.main.requests]
            assert models == ["big", "bigger", "bigger", "big"]

    run(scenario())


# -- requests under way ----------------------------------------------------------------------------------------------


def test_a_request_under_way_counts_until_its_last_byte(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, f'{ROUTE}\nstrategy = "least_in_flight"', more=TOKENS) as world:
            world.main.script(FIRST, HangAfter(200, Stream((WORD, WORD, WORD))), Answer())
            async with world.running.talk() as talk:
                headers = {"authorization": "Bearer token-of-ann"}
                await talk.send("POST", "/v1/chat/completions", STREAM_FAST, headers)
                await talk.head()
                await talk.until(b"word")
                assert await served(world, 4) == "ssss"
            await world.main.wait_aborted()
            await until(lambda: not world.running.in_flight)
            assert set(await served(world, 4)) == {"m", "s"}

    run(scenario())


def test_so_does_one_that_waited_for_its_key(tmp_path: Path) -> None:
    async def scenario() -> None:
        more = f"{TOKENS}[queue]\ntimeout = 15\n"
        async with routed(tmp_path, f'{ROUTE}\nstrategy = "least_in_flight"', more=more) as world:
            world.main.script(FIRST, rate_limited(10), HangAfter(200, Stream((WORD, WORD, WORD))), Answer())
            world.spare.script(SECOND, rate_limited(12), Answer())
            assert (await ask(world)).status == 429
            async with world.running.talk() as talk:
                headers = {"authorization": "Bearer token-of-ann"}
                await talk.send("POST", "/v1/chat/completions", STREAM_FAST, headers)
                await until(lambda: len(world.running.pools["main"].waiters) == 1)
                world.running.pass_time(13)
                await talk.head()
                await talk.until(b"word")
                assert await served(world, 4) == "ssss"

    run(scenario())


@pytest.mark.parametrize("leave", ["after the answer", "before it"])
def test_however_a_request_ends_its_target_is_free_again(tmp_path: Path, leave: str) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, f'{ROUTE}\nstrategy = "least_in_flight"', more=TOKENS) as world:
            world.main.script(FIRST, server_error(500), Cut(200, Stream((WORD, WORD))), Answer())
            if leave == "before it":
                asking = asyncio.create_task(ask(world))
                await until(lambda: bool(world.main.requests))
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                await until(lambda: not world.running.in_flight)
            for _ in range(4):
                await ask(world, body=STREAM_FAST)
            assert sorted(await served(world, 4)) == ["m", "m", "s", "s"]

    run(scenario())
