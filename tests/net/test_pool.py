"""The pool's decisions, with connections that are nothing but a flag."""

from __future__ import annotations

import asyncio
import random

import pytest

from gateway.errors import ConnectError
from gateway.net.pool import Place, Pool, PoolStatistics
from tests.conftest import run


class FakeConnection:
    def __init__(self) -> None:
        self.closed = False

    def abort(self) -> None:
        self.closed = True


def make_pool(idle_timeout: float = 10.0, max_idle: int = 100) -> Pool[str, FakeConnection]:
    return Pool(idle_timeout=idle_timeout, max_idle=max_idle)


def dialed(pool: Pool[str, FakeConnection], place: Place[str, FakeConnection], limit: int = 100) -> FakeConnection:
    assert pool.reserve(place, limit)
    return FakeConnection()


def test_an_empty_place_gives_permission_to_dial_up_to_its_limit() -> None:
    pool = make_pool()
    place = pool.place("a")
    assert pool.take(place) is None
    assert [pool.reserve(place, 2) for _ in range(3)] == [True, True, False]
    assert pool.statistics() == PoolStatistics(open=2, idle=0, waiting=0)


def test_the_connection_used_last_is_taken_first() -> None:
    pool = make_pool()
    place = pool.place("a")
    first, second = dialed(pool, place), dialed(pool, place)
    pool.release(place, first, 1.0)
    pool.release(place, second, 2.0)
    assert pool.take(place) is second
    assert pool.take(place) is first


def test_places_do_not_share_connections() -> None:
    pool = make_pool()
    here, there = pool.place("a"), pool.place("b")
    pool.release(here, dialed(pool, here), 1.0)
    assert pool.take(there) is None


def test_a_connection_that_ended_while_idle_is_not_leased_and_not_counted() -> None:
    pool = make_pool()
    place = pool.place("a")
    alive, dead = dialed(pool, place), dialed(pool, place)
    pool.release(place, alive, 1.0)
    pool.release(place, dead, 2.0)
    dead.closed = True
    assert pool.statistics() == PoolStatistics(open=1, idle=1, waiting=0)
    assert pool.take(place) is alive
    assert place.open == 1


def test_beyond_max_idle_the_oldest_goes() -> None:
    pool = make_pool(max_idle=1)
    place = pool.place("a")
    first, second = dialed(pool, place), dialed(pool, place)
    pool.release(place, first, 1.0)
    pool.release(place, second, 2.0)
    assert [first.closed, second.closed] == [True, False]
    assert pool.statistics() == PoolStatistics(open=1, idle=1, waiting=0)


def test_a_sweep_closes_what_was_idle_too_long_and_says_when_to_come_back() -> None:
    pool = make_pool(idle_timeout=10.0)
    place = pool.place("a")
    old, fresh = dialed(pool, place), dialed(pool, place)
    pool.release(place, old, 1.0)
    pool.release(place, fresh, 5.0)
    assert pool.sweep(11.0) == 15.0
    assert [old.closed, fresh.closed] == [True, False]
    assert pool.sweep(15.0) is None
    assert [old.closed, fresh.closed] == [True, True]
    assert pool.statistics() == PoolStatistics(open=0, idle=0, waiting=0)


def test_sweeps_of_many_connections_keep_a_distance() -> None:
    pool = make_pool(idle_timeout=10.0)
    place = pool.place("a")
    old, fresh = dialed(pool, place), dialed(pool, place)
    pool.release(place, old, 1.0)
    pool.release(place, fresh, 1.001)
    assert pool.sweep(11.0) == 11.2


def test_a_sweep_removes_the_dead_without_waiting_for_their_time() -> None:
    pool = make_pool()
    place = pool.place("a")
    dead = dialed(pool, place)
    pool.release(place, dead, 1.0)
    dead.closed = True
    assert pool.sweep(1.0) is None
    assert place.open == 0


def test_a_place_with_nothing_in_it_does_not_stay() -> None:
    pool = make_pool()
    for number in range(100):
        place = pool.place(f"proxy {number}")
        dialed(pool, place)
        pool.free(place)
    assert not pool._places


def test_waiters_are_served_first_in_first_out() -> None:
    async def scenario() -> None:
        pool = make_pool()
        place = pool.place("a")
        connection = dialed(pool, place, 1)
        assert not pool.reserve(place, 1)
        first, second = pool.queue(place), pool.queue(place)
        assert pool.statistics() == PoolStatistics(open=1, idle=0, waiting=2)
        pool.release(place, connection, 1.0)
        assert first.result() is connection
        assert not second.done()
        pool.free(place)
        assert second.result() is None
        assert place.open == 1

    run(scenario())


def test_a_connection_handed_to_a_waiter_is_out_of_the_sweep() -> None:
    async def scenario() -> None:
        pool = make_pool()
        place = pool.place("a")
        connection = dialed(pool, place, 1)
        waiter = pool.queue(place)
        pool.release(place, connection, 1.0)
        assert pool.sweep(1000.0) is None
        assert not connection.closed
        assert waiter.result() is connection

    run(scenario())


@pytest.mark.parametrize("closed", [False, True], ids=["alive", "dead by then"])
def test_what_a_cancelled_waiter_was_handed_goes_to_the_next(closed: bool) -> None:
    async def scenario() -> None:
        pool = make_pool()
        place = pool.place("a")
        connection = dialed(pool, place, 1)
        assert not pool.reserve(place, 1)
        first, second = pool.queue(place), pool.queue(place)
        pool.release(place, connection, 1.0)
        connection.closed = closed
        pool.withdraw(place, first, 2.0)
        assert second.result() is (None if closed else connection)
        assert place.open == 1

    run(scenario())


def test_a_permission_that_a_cancelled_waiter_was_handed_goes_to_the_next() -> None:
    async def scenario() -> None:
        pool = make_pool()
        place = pool.place("a")
        dialed(pool, place, 1)
        assert not pool.reserve(place, 1)
        first, second = pool.queue(place), pool.queue(place)
        pool.free(place)
        assert first.done()
        pool.withdraw(place, first, 2.0)
        assert second.result() is None
        assert place.open == 1

    run(scenario())


def test_a_waiter_that_gave_up_leaves_the_line() -> None:
    async def scenario() -> None:
        pool = make_pool()
        place = pool.place("a")
        connection = dialed(pool, place, 1)
        first, second = pool.queue(place), pool.queue(place)
        pool.withdraw(place, first, 1.0)
        pool.release(place, connection, 1.0)
        assert second.result() is connection

    run(scenario())


def test_a_raised_limit_admits_those_who_wait_before_the_newcomer() -> None:
    async def scenario() -> None:
        pool = make_pool()
        place = pool.place("a")
        dialed(pool, place, 1)
        assert not pool.reserve(place, 1)
        waiter = pool.queue(place)
        assert not pool.reserve(place, 2)
        assert waiter.result() is None
        assert place.open == 2

    run(scenario())


def test_close_ends_idle_connections_and_fails_the_waiters() -> None:
    async def scenario() -> None:
        pool = make_pool()
        here, there = pool.place("a"), pool.place("b")
        idle, leased = dialed(pool, here), dialed(pool, there, 1)
        pool.release(here, idle, 1.0)
        waiter = pool.queue(there)
        pool.close(ConnectError("closed"))
        assert idle.closed
        assert not leased.closed
        assert isinstance(waiter.exception(), ConnectError)
        pool.free(there)
        assert pool.statistics() == PoolStatistics(open=0, idle=0, waiting=0)

    run(scenario())


@pytest.mark.parametrize("seed", range(30))
def test_no_connection_is_ever_in_two_hands_and_the_count_is_exact(seed: int) -> None:
    """A random walk over everything that may happen; the ledger beside it says what must hold."""

    async def scenario() -> None:
        rng = random.Random(seed)
        pool = make_pool(idle_timeout=5.0, max_idle=3)
        limit = 4
        leased: list[FakeConnection] = []
        waiters: list[asyncio.Future[FakeConnection | None]] = []
        place = pool.place("a")
        for now in range(400):
            step = rng.choice(["ask", "ask", "release", "release", "fail", "cancel", "die", "sweep", "wake"])
            if step == "ask":
                connection = pool.take(place := pool.place("a"))
                if connection is not None:
                    leased.append(connection)
                elif pool.reserve(place, limit):
                    leased.append(FakeConnection())
                else:
                    waiters.append(pool.queue(place))
            elif step == "release" and leased:
                pool.release(place, leased.pop(rng.randrange(len(leased))), float(now))
            elif step == "fail" and leased:
                leased.pop(rng.randrange(len(leased))).abort()
                pool.free(place)
            elif step == "cancel" and waiters:
                pool.withdraw(place, waiters.pop(rng.randrange(len(waiters))), float(now))
            elif step == "die" and place.idle:
                rng.choice(place.idle)[0].abort()
            elif step == "sweep":
                pool.sweep(float(now))
            elif step == "wake":
                woken = [waiter for waiter in waiters if waiter.done()]
                waiters = [waiter for waiter in waiters if not waiter.done()]
                leased += [waiter.result() or FakeConnection() for waiter in woken]
            promised = [waiter.result() for waiter in waiters if waiter.done()]
            held = [*leased, *(c for c in promised if c is not None), *(c for c, _ in place.idle)]
            assert len(held) == len({id(connection) for connection in held})
            assert place.open == len(held) + promised.count(None) <= limit
            assert not (place.idle and pool.statistics().waiting)

    run(scenario())
