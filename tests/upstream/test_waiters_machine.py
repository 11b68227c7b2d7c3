"""The queue against a model of it: whose turn it is, whatever the order in which things happen."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.upstream.key import Lease
from gateway.upstream.waiters import Waiters, Wish
from tests.upstream.pools import a_key

PLACES = 6
KEYS = {"one": ("x", 9), "two": ("xy", 9), "three": ("y", 2)}
"""What each is good for: models, and how many tokens."""

CREDENTIALS = {name: a_key(name) for name in KEYS}


@dataclass(eq=False)
class Waiter:
    user: str
    model: str
    tokens: int
    tried: frozenset[str]
    task: asyncio.Task[Lease | None] | None = None

    def takes(self, name: str) -> bool:
        models, tokens = KEYS[name]
        return name not in self.tried and self.model in models and self.tokens <= tokens


class Queue(RuleBasedStateMachine):
    """`waiting` is the model: who waits, as they came. `turns` are the users among them, in the order of turns."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.waiters = Waiters(PLACES)
        self.free: list[str] = []
        self.lent: list[str] = list(KEYS)
        self.waiting: list[Waiter] = []
        self.turns: list[str] = []

    def teardown(self) -> None:
        self.waiters.dismiss()
        self.settle()
        assert all(waiter.task is not None and waiter.task.done() for waiter in self.waiting)
        assert not (self.waiters._queues or self.waiters._crowds or self.waiters._models or self.waiters._most)
        self.loop.close()

    def settle(self) -> None:
        """What is on its way in the loop comes to its end."""
        for _ in range(5):
            self.loop.run_until_complete(asyncio.sleep(0))

    # -- the pool ----------------------------------------------------------------------------------------------

    def ask(self, waiter: Waiter) -> Lease | None:
        name = next((name for name in self.free if waiter.takes(name)), None)
        if name is None:
            return None
        self.free.remove(name)
        self.lent.append(name)
        return Lease(CREDENTIALS[name], waiter.model, 1)

    def take_back(self, lease: Lease) -> None:
        name = next(name for name, key in CREDENTIALS.items() if key is lease.key)
        self.lent.remove(name)
        self.free.append(name)
        self.waiters.wake()

    # -- the model ---------------------------------------------------------------------------------------------

    def expect_served(self, *given_back: str) -> dict[Waiter, str]:
        """Who is to have which key now, by what the module promises; the model goes on without them."""
        free, served = [*self.free, *given_back], dict[Waiter, str]()

        def offers() -> Iterator[tuple[Waiter, str]]:
            for user in self.turns:
                for waiter in self.waiting:
                    if waiter.user == user:
                        for name in free:
                            if waiter.takes(name):
                                yield waiter, name

        while (offer := next(offers(), None)) is not None:
            waiter, name = offer
            served[waiter] = name
            free.remove(name)
            self.forget(waiter)
            if waiter.user in self.turns:
                self.turns.remove(waiter.user)
                self.turns.append(waiter.user)
        return served

    def forget(self, waiter: Waiter) -> None:
        self.waiting.remove(waiter)
        if all(other.user != waiter.user for other in self.waiting):
            self.turns.remove(waiter.user)

    # -- what happens ------------------------------------------------------------------------------------------

    @rule(
        user=st.sampled_from("abc"),
        model=st.sampled_from("xy"),
        tokens=st.sampled_from([0, 0, 1, 5]),
        tried=st.frozensets(st.sampled_from(sorted(KEYS)), max_size=2),
    )
    def come(self, user: str, model: str, tokens: int, tried: frozenset[str]) -> None:
        waiter = Waiter(user, model, tokens, tried)
        counts = Counter(other.user for other in self.waiting)
        most = max(counts.values(), default=0)
        full, away = len(self.waiting) >= PLACES, self.waiters.turned_away
        wish = Wish(lambda: self.ask(waiter), model, tokens, bool(tried), user)
        waiter.task = self.loop.create_task(self.waiters.wait(wish, 60, self.take_back), name=user)
        self.settle()
        if full and counts[user] + 1 >= most:
            assert waiter.task.result() is None
            assert self.waiters.turned_away == away + 1
            return
        gone = [other for other in self.waiting if other.task is not None and other.task.done()]
        assert len(gone) == full == self.waiters.turned_away - away
        for other in gone:
            assert other.task is not None and other.task.result() is None
            assert counts[other.user] == most
            assert [each for each in self.waiting if each.user == other.user][-1] is other
            self.forget(other)
        self.waiting.append(waiter)
        if user not in self.turns:
            self.turns.append(user)

    @precondition(lambda self: self.lent)
    @rule(data=st.data(), count=st.integers(1, 3))
    def give_back(self, data: st.DataObject, count: int) -> None:
        for _ in range(min(count, len(self.lent))):
            name = data.draw(st.sampled_from(sorted(self.lent)))
            self.lent.remove(name)
            self.free.append(name)
        self.loop.call_soon(self.waiters.wake)
        served = self.expect_served()
        self.settle()
        for waiter, name in served.items():
            assert waiter.task is not None
            lease = waiter.task.result()
            assert lease is not None and lease.key is CREDENTIALS[name]

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(self.waiting))
        assert waiter.task is not None
        waiter.task.cancel()
        self.settle()
        self.forget(waiter)
        assert waiter.task.cancelled()

    @precondition(lambda self: self.waiting and self.lent)
    @rule(data=st.data())
    def leave_while_being_served(self, data: st.DataObject) -> None:
        """In the same turn of the loop: what they were given goes to the next."""
        name = data.draw(st.sampled_from(sorted(self.lent)))
        self.lent.remove(name)
        self.free.append(name)
        served = self.expect_served()
        self.waiters.serve()
        if not served:
            return
        leaving = data.draw(st.sampled_from(list(served)))
        assert leaving.task is not None
        leaving.task.cancel()
        further = self.expect_served(served[leaving])
        self.settle()
        assert leaving.task.cancelled()
        for waiter in {*served, *further} - {leaving}:
            assert waiter.task is not None and waiter.task.result() is not None

    @invariant()
    def nobody_else_has_left(self) -> None:
        assert len(self.waiters) == len(self.waiting) <= PLACES
        assert all(waiter.task is not None and not waiter.task.done() for waiter in self.waiting)
        assert list(self.waiters._queues) == self.turns

    @invariant()
    def who_has_most_is_known(self) -> None:
        counts: dict[str, int] = Counter(waiter.user for waiter in self.waiting)
        crowds: dict[Any, set[str]] = {}
        for user, count in counts.items():
            crowds.setdefault(count, set()).add(user)
        assert {count: set(users) for count, users in self.waiters._crowds.items()} == crowds
        assert self.waiters._most == max(crowds, default=0)


Queue.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestQueue = Queue.TestCase
