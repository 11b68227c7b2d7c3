"""Random sequences of reserve, settle, abort, credit, failures, crash and restart: no money appears or is lost.

The model knows what was acknowledged. What a crash caught unacknowledged may have been done or not; nothing else may
differ, and the sums hold after every step.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import StoreUnavailable
from gateway.store import purse
from gateway.store.entries import Entry, Reservation
from tests.conftest import run
from tests.store.conftest import opened
from tests.store.money import NOW, Till, charge

USERS = ("ann", "bob")
OPENING = 100

users = st.sampled_from(USERS)
amounts = st.integers(0, 60)
STEPS = st.one_of(
    st.tuples(st.just("reserve"), users, amounts),
    st.tuples(st.just("settle"), st.integers(0, 5), amounts),
    st.tuples(st.just("settle_later"), st.integers(0, 5), amounts),
    st.tuples(st.just("abort"), st.integers(0, 5), st.just(0)),
    st.tuples(st.just("credit"), users, st.integers(-50, 50)),
    st.tuples(st.just("fail"), st.sampled_from(["before", "after"]), st.integers(1, 2)),
    st.tuples(st.just("crash"), st.just(""), st.just(0)),
    st.tuples(st.just("restart"), st.just(""), st.just(0)),
)


class Model:
    """What must be in the database: balances, and charges of which nobody knows."""

    def __init__(self) -> None:
        self.balance = dict.fromkeys(USERS, OPENING)
        self.held: list[Reservation] = []
        self.unsure: dict[str, tuple[str, int]] = {}
        self.adjusted = 0


async def one_life(folder: Path, steps: Sequence[tuple[str, object, int]], model: Model) -> int:
    """From a start to a crash or a restart, or to the end of the steps. How many were done."""
    async with opened(folder) as database:
        till = Till(database)
        till.ledger.default_balance = OPENING
        await till.books.end_orphans(None, NOW + 1)
        await resolve(till, model)
        task = asyncio.get_running_loop().create_task(till.ledger.run(), name="ledger")
        done = 0
        try:
            for verb, what, amount in steps:
                done += 1
                if verb in ("crash", "restart"):
                    break
                await step(till, model, verb, what, amount)
                assert await till.books.verify() == []
        finally:
            task.cancel()
            await asyncio.wait([task])
        if not steps[:done] or steps[done - 1][0] != "crash":
            till.unsteady.failures.clear()
            await till.rest()
            assert await till.books.verify() == []
            for user in USERS:
                account = await till.books.account(user)
                held = sum(one.amount for one in model.held if one.user == user)
                assert account is None or account.reserved == held
        return done


async def step(till: Till, model: Model, verb: str, what: object, amount: int) -> None:
    if verb == "reserve":
        await reserve(till, model, str(what), amount)
    elif verb == "credit":
        model.adjusted += 1
        entry = Entry(f"adjustment {model.adjusted}", "credit", amount, NOW)
        assert await till.books.adjust(str(what), entry, OPENING)
        model.balance[str(what)] += amount
    elif verb == "fail":
        till.unsteady.failures += [str(what)] * amount
    elif model.held:
        assert isinstance(what, int)
        reservation = model.held.pop(what % len(model.held))
        if verb == "settle":
            await till.ledger.settle(reservation, charge(reservation, amount))
            model.balance[reservation.user] -= amount
        elif verb == "settle_later":
            till.ledger.settle_later(reservation, charge(reservation, amount))
            model.unsure[reservation.id] = reservation.user, amount
        else:
            till.ledger.release(reservation)


async def reserve(till: Till, model: Model, user: str, amount: int) -> None:
    try:
        found = await till.ledger.reserve(user, amount)
    except StoreUnavailable:
        return
    if isinstance(found, Reservation):
        model.held.append(found)
        account = await till.books.account(user)
        assert account is not None
        assert account.balance >= account.reserved or not amount
    elif not till.ledger.queued:
        account = await till.books.account(user)
        assert account is not None
        assert account.balance - account.reserved < amount


async def resolve(till: Till, model: Model) -> None:
    """After a crash: what was unsure is now known, and every balance is what it must be."""
    model.held.clear()
    for charge_id, (user, amount) in model.unsure.items():
        found = await till.database.fetchval("SELECT amount FROM ledger WHERE charge_id = $1", charge_id)
        if found is not None:
            assert found == -amount
            model.balance[user] -= amount
    model.unsure.clear()
    for user in USERS:
        account = await till.books.account(user)
        if account is not None and account.entries:
            assert (account.balance, account.reserved) == (model.balance[user], 0)


@given(st.sampled_from([1, 2, 8]), st.lists(STEPS, max_size=25))
@settings(max_examples=60)
def test_no_money_appears_or_is_lost(often: int, steps: list[tuple[str, object, int]]) -> None:
    async def scenario(folder: Path) -> None:
        model = Model()
        left = steps
        while True:
            done = await one_life(folder, left, model)
            left = left[done:]
            if not left:
                break
        await one_life(folder, [], model)

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(purse, "KEEP_FROM", often)
        run(scenario(Path(folder)), 60)
