"""A provider that only fails is left alone, then looked at by a few, then trusted again; and no storm goes to it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.policy.breaker import State
from gateway.upstream.exchange import PLAIN_LIMIT
from tests.api.harness import CHAT, KEYS, Gateway, configuration, gateway, until
from tests.conftest import run
from tests.fakes.behaviours import (
    Answer,
    Behaviour,
    CloseBeforeAnswer,
    Cut,
    Hang,
    HangAfter,
    Stream,
    bad_request,
    rate_limited,
    server_error,
    unauthorized,
)
from tests.fakes.provider import FakeProvider
from tests.ports import free_port
from tests.upstream.pools import SERVER_ERROR

ONCE = "on_server_error = {attempts = 0}"
AT_ONCE = "[queue]\ntimeout = 0.001"
WORDS = Stream(({"choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}]},) * 9)
"""A stream without its end."""
SOME = 200
"""Bytes of it, within an event."""
JSON = {"content-type": "application/json"}
LONGEST = 60.0
"""Seconds that a circuit stays open the first time."""


def breaker(settings: str) -> str:
    return f"[providers.main.circuit_breaker]\n{settings}"


def every_key(fake: FakeProvider, *behaviours: Behaviour) -> None:
    for key in KEYS:
        fake.script(key, *behaviours)


async def statuses(running: Gateway, count: int, **more: object) -> list[int]:
    """Of requests one after the other."""
    return [(await running.chat(**more)).status for _ in range(count)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("behaviour", [server_error(), server_error(503), CloseBeforeAnswer(), Stream(())])
def test_who_fails_five_times_in_a_row_is_left_alone(tmp_path: Path, behaviour: Behaviour, stream: bool) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, retry=ONCE)) as running:
            every_key(fake, behaviour)
            assert [(await running.chat(stream=stream)).code == "circuit_open" for _ in range(5)] == [False] * 5
            got = await running.chat(stream=stream)
            assert (got.status, got.code, len(fake.requests)) == (503, "circuit_open", 5)
            assert 48 <= int(got.header("retry-after") or 0) <= LONGEST
            assert got.header("x-llmgateway-attempts") == "0"
            assert running.metric('llm_requests_errors_total{provider="main",reason="circuit_open"}') == 1

    run(scenario())


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("behaviour", [Cut(SOME, WORDS), HangAfter(SOME, WORDS), WORDS], ids=["cut", "stall", "no end"])
def test_streams_that_break_off_count_as_the_providers_failures(
    tmp_path: Path, behaviour: Behaviour, path: str
) -> None:
    """Passed on or translated: what has begun well is taken back."""
    more = "[providers.main.timeouts]\nidle = 0.05"

    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url, retry=ONCE, more=more)) as running,
        ):
            every_key(fake, behaviour)
            body = {**CHAT, "stream": True, "max_tokens": 9}
            for _ in range(5):
                got = await running.ask("POST", path, body)
                assert (got.status, got.complete) == (200, False)
            got = await running.ask("POST", path, body)
            assert (got.status, len(fake.requests)) == (503, 5)
            assert running.pool.usable == 3, "no key is blamed"

    run(scenario())


def test_a_whole_answer_that_is_too_long_to_be_held_counts_when_it_breaks_off(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, retry=ONCE)) as running:
            every_key(fake, Cut(PLAIN_LIMIT + 9, Answer(200, b" " * 2 * PLAIN_LIMIT, JSON)))
            for _ in range(5):
                got = await running.chat()
                assert (got.status, got.complete) == (200, False)
            assert (await running.chat()).code == "circuit_open"

    run(scenario())


def test_streams_that_end_well_or_are_left_open_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, retry=ONCE)) as running:
            own = running.pool.breakers.circuits()[0].breaker
            every_key(fake, Stream())
            assert [(await running.chat(stream=True)).complete for _ in range(6)] == [True] * 6
            every_key(fake, HangAfter(SOME, WORDS))
            for number in range(6):
                async with running.talk() as talk:
                    await talk.send("POST", "/v1/chat/completions", {**CHAT, "stream": True})
                    assert (await talk.head()).status == 200
                    talk.leave()
                await fake.wait_aborted(1 + number)
            await until(lambda: running.in_flight == 0)
            assert (own.state, own.failures_in_row) == (State.CLOSED, 0)

    run(scenario())


def test_streams_that_outlast_our_own_patience_open_nothing(tmp_path: Path) -> None:
    more = "[providers.main.timeouts]\nidle = 9\ntotal = 0.7"

    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url, retry=ONCE, more=more)) as running,
        ):
            own = running.pool.breakers.circuits()[0].breaker
            every_key(fake, HangAfter(SOME, WORDS))
            got = await asyncio.gather(*(running.chat(stream=True) for _ in range(6)))
            assert [(one.status, one.complete) for one in got] == [(200, False)] * 6
            await until(lambda: running.in_flight == 0)
            assert (own.state, own.failures_in_row) == (State.CLOSED, 0)

    run(scenario())


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize(("code", "opens"), [("content_filter", False), ("rate_limit_exceeded", False), (None, True)])
def test_a_stream_that_ends_with_an_error_counts_if_it_tells_of_the_providers_own_failure(
    tmp_path: Path, path: str, code: str | None, opens: bool
) -> None:
    """What one client's prompt brings down must not close the way for all."""
    said = {"error": {"message": "That is all.", "type": None, "param": None, "code": code}}

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, retry=ONCE)) as running:
            every_key(fake, Stream((*(WORDS.events or ()), said)))
            for _ in range(5):
                got = await running.ask("POST", path, {**CHAT, "stream": True, "max_tokens": 9})
                assert (got.status, b"That is all." in got.body) == (200, True)
            assert running.pool.breakers.state() is (State.OPEN if opens else State.CLOSED)

    run(scenario())


def test_a_provider_that_cannot_be_reached_is_left_alone_as_well(tmp_path: Path) -> None:
    async def scenario() -> None:
        config = configuration(f"http://127.0.0.1:{free_port()}/v1", retry=ONCE)
        async with gateway(tmp_path, config) as running:
            assert await statuses(running, 7) == [502] * 5 + [503] * 2

    run(scenario())


@pytest.mark.parametrize("behaviour", [unauthorized(), rate_limited(20), bad_request()])
def test_what_keys_and_clients_do_shuts_nothing(tmp_path: Path, behaviour: Behaviour) -> None:
    keys = [f"sk-many-{n:010}" for n in range(30)]

    async def scenario() -> None:
        more = f"{AT_ONCE}\n[providers.main.health]\nguard_window = 0"
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url, retry=ONCE, more=more), keys) as running,
        ):
            for key in keys[:25]:
                fake.script(key, behaviour)
            await statuses(running, 30)
            assert len(fake.requests) >= 25
            assert running.pool.breakers.state() is State.CLOSED

    run(scenario())


@pytest.mark.parametrize(("path", "asked", "shuts"), [("audio/speech/", 6, False), ("chat/completions", 5, True)])
def test_a_redirect_from_where_a_client_strays_shuts_nothing(
    tmp_path: Path, path: str, asked: int, shuts: bool
) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, retry=ONCE)) as running:
            every_key(fake, Answer(307, b"", {"location": "/v1/audio/speech"}))
            got = [await running.ask("POST", f"/v1/{path}", {**CHAT, "input": "Hello"}) for _ in range(6)]
            assert [each.status for each in got[:5]] == [502] * 5
            assert (got[5].status == 503, len(fake.requests)) == (shuts, asked)

    run(scenario())


def test_clients_that_leave_shut_nothing_and_give_their_places_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, retry=ONCE, more=breaker("half_open_probes = 1"))
            async with gateway(tmp_path, config) as running:
                every_key(fake, server_error())
                await statuses(running, 5)
                running.pass_time(LONGEST)
                every_key(fake, Hang())
                async with running.talk() as talk:
                    await talk.send("POST", "/v1/chat/completions", CHAT)
                    await until(lambda: len(fake.requests) == 6)
                    assert (await running.chat()).code == "circuit_open"
                    talk.leave()
                await until(lambda: running.in_flight == 0)
                every_key(fake, Answer())
                assert (await running.chat()).status == 200
                assert running.pool.breakers.state() is State.CLOSED

    run(scenario())


def test_no_further_attempt_goes_to_a_circuit_that_has_opened(tmp_path: Path) -> None:
    """The client hears what the provider said last."""

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            every_key(fake, server_error())
            assert [(await running.chat()).header("x-llmgateway-attempts") for _ in range(3)] == ["3", "2", "0"]
            assert len(fake.requests) == 5

    run(scenario())


def test_when_the_time_is_over_a_few_requests_look_and_close_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, retry=ONCE)) as running:
            every_key(fake, server_error())
            await statuses(running, 5)
            running.pass_time(LONGEST)
            assert await statuses(running, 2) == [500, 503]  # the first one says enough
            running.pass_time(2 * LONGEST)
            every_key(fake, Answer())
            assert await statuses(running, 20) == [200] * 20
            assert len(fake.requests) == 5 + 1 + 20

    run(scenario())


def test_of_many_requests_at_once_only_as_many_look_as_may(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, retry=ONCE)) as running:
            every_key(fake, server_error())
            await statuses(running, 5)
            running.pass_time(LONGEST)
            every_key(fake, Hang())
            asking = [asyncio.create_task(running.chat(), name=f"client {n}") for n in range(40)]
            await until(lambda: sum(task.done() for task in asking) == 37 and len(fake.requests) == 5 + 3)
            assert {task.result().code for task in asking if task.done()} == {"circuit_open"}
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    run(scenario())


def test_a_request_that_waited_for_a_key_finds_the_circuit_open(tmp_path: Path) -> None:
    more = "[providers.main.key_limits]\nconcurrency = 1"

    async def scenario() -> None:
        async with FakeProvider() as fake:
            config = configuration(fake.base_url, retry=ONCE, more=more)
            async with gateway(tmp_path, config, KEYS[:1]) as running, running.talk() as talk:
                fake.script(KEYS[0], Hang())
                await talk.send("POST", "/v1/chat/completions", CHAT)
                await until(lambda: len(fake.requests) == 1)
                waiting = asyncio.create_task(running.chat(), name="waiting client")
                await until(lambda: len(running.pool.waiters) == 1)
                breakers = running.pool.breakers
                for _ in range(5):
                    breakers.end(breakers.enter(), SERVER_ERROR, None)
                talk.leave()
                assert (await waiting).code == "circuit_open"
                assert len(fake.requests) == 1

    run(scenario())


def test_by_hand_it_is_closed_by_the_operator_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        more = breaker('mode = "manual_reset"')
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url, retry=ONCE, more=more)) as running,
        ):
            every_key(fake, server_error())
            await statuses(running, 5)
            every_key(fake, Answer())
            running.pass_time(1e6)
            got = await running.chat()
            assert (got.code, got.header("retry-after")) == ("circuit_open", "30")
            assert (await running.administrate("POST", "/admin/breakers/reset", {})).json == {"reset": ["main"]}
            assert (await running.chat()).status == 200

    run(scenario())


@pytest.mark.parametrize("at_once", [1, 25])
def test_a_provider_that_is_down_gets_no_storm(tmp_path: Path, at_once: int) -> None:
    """Every request fails for an hour, a thousand of them: what reaches the provider stays within 1.2 times of what
    clients ask, and three trials for each time that the circuit is half-open."""

    async def scenario() -> None:
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url)) as running:
            every_key(fake, server_error())
            asked = 0
            for _ in range(40):
                for _ in range(25 // at_once):
                    asked += at_once
                    got = await asyncio.gather(*(running.chat() for _ in range(at_once)))
                    assert all(answer.status in (500, 503) for answer in got)
                running.pass_time(90)
            assert asked == 1000
            openings = running.pool.breakers.circuits()[0].breaker.openings
            assert len(fake.requests) <= 1.2 * 25 + 3 * openings, "the first round, and then trials alone"
            assert 10 <= openings <= 40

    run(scenario())


@pytest.mark.parametrize("at_once", [1, 20])
def test_without_a_breaker_the_retry_budget_keeps_the_load_down(tmp_path: Path, at_once: int) -> None:
    async def scenario() -> None:
        off = breaker("enabled = false")
        async with FakeProvider() as fake, gateway(tmp_path, configuration(fake.base_url, more=off)) as running:
            every_key(fake, server_error())
            for _ in range(200 // at_once):
                await asyncio.gather(*(running.chat() for _ in range(at_once)))
            assert 200 < len(fake.requests) <= 1.2 * 200

    run(scenario())


def test_half_of_twenty_attempts_are_enough(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            FakeProvider() as fake,
            gateway(tmp_path, configuration(fake.base_url, retry=ONCE), KEYS[:1]) as running,
        ):
            fake.script(KEYS[0], *[server_error(), Answer()] * 20)
            assert await statuses(running, 22) == [500, 200] * 9 + [500, 200, 500, 503]

    run(scenario())
