"""Requests that wait for a key."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from random import Random

import pytest

from gateway.config.provider import KeyLimitsConfig, ProviderConfig
from gateway.policy.verdict import Scope
from gateway.upstream.key import Key, Lease
from gateway.upstream.keypool import KeyPool
from gateway.upstream.waiters import Waiters, Wish
from tests.api.harness import until
from tests.conftest import run
from tests.upstream.pools import Clock, a_key, lease_of, limited, wait_for_key

ONE_AT_A_TIME = replace(
    ProviderConfig(name="main", type="openai", base_url="http://x/v1"), key_limits=KeyLimitsConfig(concurrency=1)
)


class Desk:
    """Leases of one key, as many as there are; those given back are counted."""

    def __init__(self, limit: int = 10) -> None:
        self.waiters = Waiters(limit)
        self.left = 0
        self.asked: list[str] = []
        self._key = a_key("one")

    def take_back(self, lease: Lease) -> None:
        self.left += 1
        self.waiters.wake()

    def ask(self, name: str) -> Lease | None:
        self.asked.append(name)
        if not self.left:
            return None
        self.left -= 1
        return Lease(self._key, name, 1)

    def wait(self, name: str, seconds: float = 10, *, tokens: int = 0, user: str = "") -> asyncio.Task[Lease | None]:
        wish = Wish(lambda: self.ask(name), "m", tokens, name.startswith("choosy"), user)
        return asyncio.create_task(self.waiters.wait(wish, seconds, self.take_back), name=name)

    def put(self, count: int) -> None:
        self.left += count
        self.waiters.wake()


def test_they_are_served_in_the_order_they_came() -> None:
    async def scenario() -> None:
        desk = Desk()
        waiting = [desk.wait(f"{number}") for number in range(4)]
        await asyncio.sleep(0)
        assert len(desk.waiters) == 4
        desk.put(2)
        assert [lease.model for lease in await asyncio.gather(*waiting[:2]) if lease] == ["0", "1"]
        assert len(desk.waiters) == 2
        desk.put(2)
        assert [lease.model for lease in await asyncio.gather(*waiting[2:]) if lease] == ["2", "3"]
        assert desk.left == 0

    run(scenario())


def test_users_take_turns_and_each_ones_requests_are_served_as_they_came() -> None:
    async def scenario() -> None:
        desk = Desk()
        served: list[str] = []
        for name in ("a1", "a2", "a3", "b1", "b2", "c1"):
            desk.wait(name, user=name[0]).add_done_callback(lambda task: served.append(task.get_name()))
        await asyncio.sleep(0)
        for _ in range(6):
            desk.put(1)
            await asyncio.sleep(0)
            desk.waiters.serve()
        await until(lambda: len(served) == 6)
        assert served == ["a1", "b1", "c1", "a2", "b2", "a3"]

    run(scenario())


def test_many_leases_at_once_go_round_as_one_by_one() -> None:
    async def scenario() -> None:
        desk = Desk()
        waiting = {name: desk.wait(name, user=name[0]) for name in ("a1", "a2", "a3", "b1", "b2", "c1")}
        await asyncio.sleep(0)
        desk.put(4)
        await until(lambda: sum(task.done() for task in waiting.values()) == 4)
        assert {name for name, task in waiting.items() if task.done()} == {"a1", "b1", "c1", "a2"}
        desk.put(1)
        await waiting["b2"]
        desk.waiters.dismiss()
        assert await waiting["a3"] is None

    run(scenario())


def test_a_user_who_fills_the_queue_gives_up_its_last_place_to_one_who_has_fewer() -> None:
    async def scenario() -> None:
        desk = Desk(4)
        waiting = {name: desk.wait(name, user=name[0]) for name in ("a1", "a2", "a3", "a4")}
        await asyncio.sleep(0)
        waiting["b1"] = desk.wait("b1", user="b")
        assert await waiting["a4"] is None
        waiting["b2"] = desk.wait("b2", user="b")
        assert await waiting["a3"] is None
        for name in ("a5", "b3"):  # two each: there is nothing to be made fairer
            assert await desk.wait(name, user=name[0]) is None
        assert (len(desk.waiters), desk.waiters.turned_away) == (4, 4)
        desk.put(4)
        assert None not in await asyncio.gather(*(waiting[name] for name in ("a1", "a2", "b1", "b2")))

    run(scenario())


def test_each_wait_is_measured_whatever_comes_of_it_but_not_that_of_who_never_had_a_place() -> None:
    async def scenario() -> None:
        desk = Desk(3)
        served, late, left = desk.wait("served"), desk.wait("late", 0), desk.wait("left")
        await asyncio.sleep(0)
        assert await desk.wait("too many") is None
        assert await late is None
        assert sum(desk.waiters.waits.counts) == 1
        left.cancel()
        desk.put(1)
        assert await served is not None
        await asyncio.wait({left})
        assert sum(desk.waiters.waits.counts) == 3
        assert desk.waiters.waits.sum > 0

    run(scenario())


def test_one_more_than_may_wait_is_turned_away_at_once() -> None:
    async def scenario() -> None:
        desk = Desk(1)
        first = desk.wait("first")
        await asyncio.sleep(0)
        assert await desk.wait("second") is None
        desk.put(1)
        assert await first is not None

    run(scenario())


def test_whose_time_is_up_leaves_the_queue() -> None:
    async def scenario() -> None:
        desk = Desk()
        assert await desk.wait("late", 0) is None
        assert len(desk.waiters) == 0
        desk.put(1)  # nobody is there
        assert desk.asked == []

    run(scenario())


def test_a_lease_that_comes_with_the_end_of_the_time_is_taken() -> None:
    async def scenario() -> None:
        desk = Desk()
        waiting = desk.wait("late", 0)
        await asyncio.sleep(0)
        desk.left = 1
        desk.waiters.serve()  # before the timeout, which is due in the same turn of the loop
        assert await waiting is not None

    run(scenario())


@pytest.mark.parametrize("served_first", [False, True])
def test_the_lease_of_one_who_left_goes_to_the_next(served_first: bool) -> None:
    async def scenario() -> None:
        desk = Desk()
        first, second = desk.wait("first"), desk.wait("second")
        await asyncio.sleep(0)
        desk.left = 1
        if served_first:
            desk.waiters.serve()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        desk.waiters.wake()
        assert await second is not None
        assert (len(desk.waiters), desk.left) == (0, 0)

    run(scenario())


def test_what_a_modest_wish_did_not_get_no_other_one_is_asked_for() -> None:
    """A thousand who wait for a model that is not there cost little."""

    async def scenario() -> None:
        desk = Desk()
        for name, tokens in (("choosy", 5), ("large", 9), ("larger", 10), ("small", 1), ("choosy too", 1), ("tiny", 0)):
            desk.wait(name, tokens=tokens)
        await asyncio.sleep(0)
        desk.waiters.serve()
        assert desk.asked == ["choosy", "large", "small", "tiny"]
        desk.waiters.dismiss()

    run(scenario())


def test_where_no_key_is_free_nobody_behind_the_first_is_asked() -> None:
    async def scenario() -> None:
        desk = Desk(1000)
        for number in range(1000):
            desk.wait(f"{number}", user=str(number % 100))
        await asyncio.sleep(0)
        desk.put(1)
        desk.waiters.serve()
        assert desk.asked == ["0", "1"]
        desk.waiters.dismiss()

    run(scenario())


def test_where_all_keys_rest_one_is_asked_for_all_who_have_tried_some() -> None:
    """Else a queue of those who were refused elsewhere would be asked as a whole, by every request that comes."""

    async def scenario() -> None:
        clock, asked = Clock(), list[int]()
        pool = KeyPool("main", ONE_AT_A_TIME.health, clock=clock, rng=Random(1))
        tried, other = a_key("tried"), a_key("other")
        pool.standings.add([tried, other])
        for key in (tried, other):
            pool.report(lease_of(pool, key), limited(60.0, clock.now))

        def wish(number: int) -> Lease | None:
            asked.append(number)
            return pool.lease("m", {tried})

        waiting = [
            asyncio.create_task(pool.wait(Wish(partial(wish, number), "m", 9, choosy=True, user=f"{number % 7}"), 10))
            for number in range(100)
        ]
        await asyncio.sleep(0)
        pool.waiters.serve()
        assert asked == [0]
        clock.now += 61
        pool.standings.wake_due()
        pool.waiters.serve()
        assert {lease.key for lease in await asyncio.gather(*waiting) if lease} == {other}
        pool.close()

    run(scenario())


def test_who_is_dismissed_has_no_lease() -> None:
    async def scenario() -> None:
        desk = Desk()
        waiting = [desk.wait(f"{number}") for number in range(3)]
        await asyncio.sleep(0)
        desk.waiters.dismiss()
        assert await asyncio.gather(*waiting) == [None, None, None]

    run(scenario())


def busy_pool() -> tuple[KeyPool, Key, Lease]:
    """A pool with one key, which is in use and serves one request at a time."""
    pool, key = KeyPool("main", ONE_AT_A_TIME.health, clock=Clock(), rng=Random(1)), a_key("one")
    pool.configure(ONE_AT_A_TIME, "none", 10)
    pool.standings.add([key])
    return pool, key, lease_of(pool, key, "y")


def test_one_who_has_no_use_for_a_key_that_is_free_again_holds_up_nobody_behind_it() -> None:
    async def scenario() -> None:
        pool, key, lease = busy_pool()
        pool.report(lease, limited(60, pool._clock(), Scope.KEY_MODEL))
        busy = lease_of(pool, key, "x")
        first = asyncio.create_task(wait_for_key(pool, 10, "y"), name="first")
        second = asyncio.create_task(wait_for_key(pool, 10, "x"), name="second")
        await asyncio.sleep(0)
        pool.succeed(busy)
        got = await second
        assert got is not None and got.model == "x"
        assert not first.done() and len(pool.waiters) == 1
        pool.release(got)
        pool.close()
        assert await first is None

    run(scenario())
