"""`[routes.NAME]`: after which failures another target serves, and what the client hears when none does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.api.harness import until
from tests.api.routed import EVERY_CAUSE, FIRST, ROUTE, SECOND, STREAM_FAST, TO_FAST, Routed, routed
from tests.conftest import run
from tests.fakes.behaviours import (
    Answer,
    Behaviour,
    CloseBeforeAnswer,
    Cut,
    Hang,
    HangAfter,
    Reset,
    Stream,
    bad_request,
    error,
    model_not_found,
    quota,
    rate_limited,
    server_error,
    unauthorized,
)

TOO_LONG = error(
    400, "context_length_exceeded", "This model's maximum context length is 8192 tokens.", "invalid_request_error"
)
FILTERED = error(400, "content_filter", "The response was filtered.", "invalid_request_error")
TOO_MUCH = error(429, "rate_limit_exceeded", "Request too large for gpt-4o on tokens per min (TPM).", "tokens")
INSIDE = Answer(body={"error": {"message": "broken", "type": "server_error", "code": None}})
EMPTY = Answer(body={"id": "c", "object": "chat.completion", "choices": []})
WORD = {"id": "c", "choices": [{"index": 0, "delta": {"content": "word"}, "finish_reason": None}]}
IMPATIENT = "[queue]\ntimeout = 0.001\n"


def test_a_route_goes_to_its_first_target_and_answers_in_its_own_name(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path) as world:
            got = await world.ask()
            assert (got.status, got.json["model"]) == (200, "fast")
            assert (got.header("x-llmgateway-provider"), got.header("x-llmgateway-model")) == ("main", "big")
            assert [(seen.key, seen.json["model"]) for seen in world.main.requests] == [(FIRST, "big")]
            assert (world.asked, world.fallbacks) == ((1, 0), [])

    run(scenario())


@pytest.mark.parametrize("body", [TO_FAST, STREAM_FAST], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("failure", "cause"),
    [
        (unauthorized(), "exhausted_keys"),
        (quota(), "exhausted_keys"),
        (model_not_found(), "exhausted_keys"),
        (rate_limited(retry_after=30), "rate_limit"),
        (TOO_MUCH, "rate_limit"),
        (server_error(500), "server_error"),
        (server_error(503), "server_error"),
        (CloseBeforeAnswer(), "server_error"),
        (Reset(), "server_error"),
        (INSIDE, "server_error"),
        (EMPTY, "server_error"),
        (Answer(302, b"", {"location": "https://elsewhere.example/"}), "server_error"),
        (error(408, None, "Too slow.", "timeout"), "timeout"),
    ],
)
def test_after_a_failure_that_is_not_the_requests_the_next_target_serves(
    tmp_path: Path, failure: Behaviour, cause: str, body: dict[str, Any]
) -> None:
    async def scenario() -> None:
        async with routed(tmp_path) as world:
            world.main.script(FIRST, failure)
            got = await world.ask(body)
            assert (got.status, got.header("x-llmgateway-provider")) == (200, "spare")
            assert (world.asked, world.fallbacks) == ((1, 1), [("main", cause, "spare")])
            assert world.spare.requests[-1].json["model"] == "small"

    run(scenario())


@pytest.mark.parametrize(
    ("failure", "cause"),
    [
        (unauthorized(), "exhausted_keys"),
        (rate_limited(retry_after=30), "rate_limit"),
        (server_error(500), "server_error"),
        (error(408, None, "Too slow.", "timeout"), "timeout"),
    ],
)
def test_after_a_failure_that_the_route_leaves_out_nobody_else_is_asked(
    tmp_path: Path, failure: Answer, cause: str
) -> None:
    others = {"exhausted_keys", "rate_limit", "server_error", "timeout"} - {cause}
    route = f"{ROUTE}\nfallback_on = {sorted(others)}"

    async def scenario() -> None:
        async with routed(tmp_path, route, more=IMPATIENT) as world:
            world.main.script(FIRST, failure)
            got = await world.ask()
            assert got.status == (502 if failure.status == 401 else failure.status)
            assert (world.asked, world.fallbacks) == ((1, 0), [])

    run(scenario())


@pytest.mark.parametrize(
    ("failure", "cause"), [(TOO_LONG, "context_length"), (FILTERED, "content_filter"), (bad_request(), "")]
)
@pytest.mark.parametrize("wanted", [True, False])
def test_what_is_wrong_with_the_request_goes_on_where_the_route_says_so(
    tmp_path: Path, failure: Answer, cause: str, wanted: bool
) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, f"{ROUTE}\n{EVERY_CAUSE}" if wanted else ROUTE) as world:
            world.main.script(FIRST, failure)
            got = await world.ask()
            if wanted and cause:
                assert (got.status, world.fallbacks) == (200, [("main", cause, "spare")])
            else:
                assert (got.status, world.fallbacks) == (400, [])
                assert got.json["error"]["message"] == failure.body["error"]["message"]  # type: ignore[call-overload, index]

    run(scenario())


def test_a_stream_that_breaks_after_its_first_words_is_nobody_elses(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path) as world:
            world.main.script(FIRST, Cut(200, Stream((WORD, WORD, WORD, WORD))))
            got = await world.ask(STREAM_FAST)
            assert (got.status, got.body.count(b'"word"'), b"upstream_error" in got.body) == (200, 2, True)
            assert (world.asked, world.fallbacks) == ((1, 0), [])

    run(scenario())


def test_a_whole_answer_that_breaks_is_another_targets(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path) as world:
            world.main.script(FIRST, Cut(20))
            got = await world.ask()
            assert (got.status, world.fallbacks) == (200, [("main", "server_error", "spare")])

    run(scenario())


# -- when nobody serves ----------------------------------------------------------------------------------------------


def test_when_all_fail_the_last_answer_of_a_provider_is_the_clients(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path) as world:
            world.main.script(FIRST, server_error(500))
            world.spare.script(SECOND, error(503, "busy", "Come back later.", "server_error"))
            got = await world.ask()
            assert (got.status, got.code, got.error["message"]) == (503, "busy", "Come back later.")
            assert (got.header("x-llmgateway-provider"), got.header("x-llmgateway-attempts")) == ("spare", "2")
            line = await world.running.logged()
            assert (line["provider"], line["outcome"], line["attempts"]) == ("spare", "error", 2)

    run(scenario())


def test_a_redirect_of_the_last_target_is_told_as_of_any_provider(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path) as world:
            world.main.script(FIRST, server_error(500))
            world.spare.script(SECOND, Answer(302, b"", {"location": "https://elsewhere.example/"}))
            got = await world.ask()
            assert (got.status, got.code, "302" in got.error["message"]) == (502, "upstream_error", True)

    run(scenario())


def test_what_a_provider_said_is_worth_more_than_that_nobody_else_could_be_asked(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, more=IMPATIENT) as world:
            world.spare.script(SECOND, rate_limited(retry_after=60))
            world.main.script(FIRST, server_error(500))
            assert (await world.ask()).status == 429
            got = await world.ask()
            assert (got.status, got.header("x-llmgateway-provider")) == (500, "main")
            assert world.asked == (2, 1)

    run(scenario())


def test_a_filters_end_is_worth_more_than_that_nobody_else_could_be_asked(tmp_path: Path) -> None:
    choices = [{"index": 0, "message": {"role": "assistant", "content": None}, "finish_reason": "content_filter"}]

    async def scenario() -> None:
        async with routed(tmp_path, f"{ROUTE}\n{EVERY_CAUSE}", more=IMPATIENT) as world:
            world.spare.script(SECOND, rate_limited(retry_after=60))
            world.main.script(FIRST, server_error(500), Answer(body={"id": "c", "choices": choices}))
            assert (await world.ask()).status == 429
            got = await world.ask()
            assert (got.status, got.code, got.header("retry-after")) == (400, "content_filter", None)
            assert world.asked == (2, 1)

    run(scenario())


async def cool(world: Routed, main: float, spare: float) -> None:
    """Both providers' keys are at their limits for so many seconds."""
    world.main.script(FIRST, rate_limited(retry_after=main), Answer())
    world.spare.script(SECOND, rate_limited(retry_after=spare), Answer())
    assert (await world.ask()).status == 429


@pytest.mark.parametrize(("main", "spare"), [(300, 100), (100, 300)])
def test_without_a_key_anywhere_the_client_hears_when_the_first_one_is_back(
    tmp_path: Path, main: int, spare: int
) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, more=IMPATIENT) as world:
            await cool(world, main, spare)
            got = await world.ask()
            assert (got.status, got.code) == (429, "keys_cooling")
            assert 60 < int(got.header("retry-after") or 0) <= 100
            assert world.asked == (1, 1)

    run(scenario())


@pytest.mark.parametrize(("main", "spare", "back"), [(50, 10, "spare"), (10, 50, "main")])
def test_a_request_waits_for_the_key_that_is_back_first(tmp_path: Path, main: int, spare: int, back: str) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, more="[queue]\ntimeout = 15\n") as world:
            await cool(world, main, spare)
            asking = asyncio.create_task(world.ask())
            pools = world.running.pools
            await until(lambda: sum(len(pool.waiters) for pool in pools.values()) == 1)
            assert len(pools[back].waiters) == 1
            world.running.pass_time(11)
            got = await asking
            assert (got.status, got.header("x-llmgateway-provider")) == (200, back)

    run(scenario())


@pytest.mark.parametrize("seconds", [5, 40])
def test_a_key_that_is_known_to_come_back_is_waited_for_where_another_target_has_none(
    tmp_path: Path, seconds: int
) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, keys=((), (SECOND,)), more="[queue]\ntimeout = 50\n") as world:
            world.spare.script(SECOND, rate_limited(retry_after=seconds), Answer())
            assert (await world.ask()).status == 429
            asking = asyncio.create_task(world.ask())
            await until(lambda: len(world.running.pools["spare"].waiters) == 1)
            world.running.pass_time(seconds + 1)
            assert (await asking).header("x-llmgateway-provider") == "spare"

    run(scenario())


def test_where_nobody_knows_when_a_key_is_back_the_client_is_told_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, keys=((), ())) as world:
            got = await world.ask()
            assert (got.status, got.code, got.header("retry-after")) == (503, "no_usable_key", "30")

    run(scenario())


def test_nobody_waits_for_a_key_while_another_target_may_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, more="[queue]\ntimeout = 15\n") as world:
            world.main.script(FIRST, rate_limited(retry_after=10))
            assert [(await world.ask()).status for _ in range(3)] == [200] * 3
            assert world.asked == (1, 3)

    run(scenario())


def test_where_the_route_does_not_go_on_at_limits_a_request_waits_for_its_first_target(tmp_path: Path) -> None:
    async def scenario() -> None:
        more = "[queue]\ntimeout = 15\n"
        async with routed(tmp_path, f'{ROUTE}\nfallback_on = ["server_error"]', more=more) as world:
            world.main.script(FIRST, rate_limited(retry_after=10), Answer())
            assert (await world.ask()).status == 429
            asking = asyncio.create_task(world.ask())
            await until(lambda: len(world.running.pools["main"].waiters) == 1)
            world.running.pass_time(11)
            assert (await asking).header("x-llmgateway-provider") == "main"

    run(scenario())


def test_a_target_with_an_open_circuit_is_left_out_and_named_when_all_are_open(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path) as world:
            world.main.script(FIRST, server_error(500))
            assert [(await world.ask()).status for _ in range(5)] == [200] * 5
            assert (await world.ask()).status == 200
            assert (world.asked, len(world.fallbacks)) == ((5, 6), 5)  # main comes last now: nothing falls back
            lines = [await world.running.logged("request", number) for number in range(1, 7)]
            assert [line.get("instead_of") for line in lines] == [None] * 5 + ["main"]
            assert world.running.metric('llm_gateway_fallbacks_total{provider="main",cause="away"}') == 1
            world.running.pass_time(30)
            world.spare.script(SECOND, server_error(500))
            while (got := await world.ask()).status == 500:
                pass
            assert (got.status, got.code, "'main'" in got.error["message"]) == (503, "circuit_open", True)
            assert int(got.header("retry-after") or 0) < 40  # that is main's, which opened first

    run(scenario())


# -- who cannot take a request ---------------------------------------------------------------------------------------

REJECT = '[translation]\non_loss = "reject"\n'
WITH_SEED: dict[str, Any] = {**TO_FAST, "seed": 7}


def test_a_target_that_cannot_be_said_the_request_is_passed_over(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, kinds=("anthropic", "openai"), more=REJECT) as world:
            got = await world.ask(WITH_SEED)
            assert (got.status, world.fallbacks) == (200, [("main", "passed_over", "spare")])
            assert world.asked == (0, 1)
            assert (await world.ask()).header("x-llmgateway-provider") == "main"

    run(scenario())


def test_when_all_are_passed_over_the_client_hears_of_the_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, kinds=("anthropic", "anthropic"), more=REJECT) as world:
            got = await world.ask(WITH_SEED)
            assert (got.status, world.asked) == (400, (0, 0))
            assert "seed" in got.error["message"]

    run(scenario())


def test_a_request_that_one_target_failed_and_others_cannot_take_is_told_of_the_failure(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, kinds=("openai", "anthropic"), more=REJECT) as world:
            world.main.script(FIRST, server_error(500))
            got = await world.ask(WITH_SEED)
            assert (got.status, got.header("x-llmgateway-provider")) == (500, "main")

    run(scenario())


# -- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", [Hang(), HangAfter(20)])
def test_a_target_that_takes_too_long_is_given_up_for_another(tmp_path: Path, behaviour: Behaviour) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, settings=("[providers.main.timeouts]\ntotal = 0.2", "")) as world:
            world.main.script(FIRST, behaviour)
            got = await world.ask()
            assert (got.status, world.fallbacks) == (200, [("main", "timeout", "spare")])

    run(scenario())


def test_all_targets_together_have_the_longest_time_of_one(tmp_path: Path) -> None:
    short = ("[providers.main.timeouts]\ntotal = 0.2", "[providers.spare.timeouts]\ntotal = 0.2")

    async def scenario() -> None:
        async with routed(tmp_path, settings=short) as world:
            world.main.script(FIRST, Hang())
            got = await world.ask()
            assert (got.status, got.code) == (504, "upstream_timeout")
            assert (world.asked, world.fallbacks) == ((1, 0), [])

    run(scenario())


def test_nobody_waits_for_a_target_that_wants_to_be_left_alone_while_another_may_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with routed(tmp_path, retries=3) as world:
            world.main.script(FIRST, error(503, None, "Busy.", "server_error", retry_after="60"))
            got = await world.ask()
            assert (got.status, got.header("x-llmgateway-provider")) == (200, "spare")
            assert world.asked == (1, 1)

    run(scenario())


@pytest.mark.parametrize(
    ("failure", "asked"),
    [
        (rate_limited(), (1, 1)),  # no time is named: as the last one it is not benched
        (unauthorized(), (1, 1)),
        (error(403, None, "Forbidden.", "permission_error"), (2, 0)),  # which is about the first model
        (server_error(), (2, 0)),
    ],
)
def test_a_key_that_was_blamed_is_not_tried_for_another_target_at_the_same_provider(
    tmp_path: Path, failure: Answer, asked: tuple[int, int]
) -> None:
    models = [("main", "big"), ("main", "small"), ("spare", "small")]
    listed = ", ".join(f'{{ provider = "{provider}", model = "{model}" }}' for provider, model in models)

    async def scenario() -> None:
        async with routed(tmp_path, f"targets = [{listed}]", models='"big", "small"') as world:
            world.main.script(FIRST, failure, Answer())
            assert (await world.ask()).status == 200
            assert world.asked == asked

    run(scenario())


def test_a_key_that_was_blamed_elsewhere_makes_nobody_choosy_at_the_next_provider(tmp_path: Path) -> None:
    """A first attempt takes the key in turn; only another one prefers those that have proven themselves."""
    third = "sk-third-00000003"

    async def scenario() -> None:
        async with routed(tmp_path, keys=((FIRST,), (SECOND, third))) as world:
            await world.ask({**TO_FAST, "model": "spare/small"})
            world.main.script(FIRST, unauthorized())
            assert (await world.ask()).header("x-llmgateway-provider") == "spare"
            assert [seen.key for seen in world.spare.requests] == [SECOND, third]

    run(scenario())
