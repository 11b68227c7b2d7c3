"""Reserving, charging and releasing, many at once, while the database comes and goes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path

import pytest

from gateway.errors import StoreUnavailable
from gateway.store import ledger as ledger_module
from gateway.store.database import Row, Value
from gateway.store.entries import Refusal, Reservation, Unit
from gateway.store.ledger import UNIT_LIMIT
from gateway.store.orders import Order
from gateway.store.purse import KEEP_FROM, Ended
from tests.conftest import run
from tests.garbage import leaving_no_cycle
from tests.store.money import NOW, Till, charge, set_patience, till


def test_a_request_pays_what_it_cost_and_frees_the_rest(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            reservation = await it.reserve("ann", 40)
            assert await it.funds("ann") == (100, 40)
            await it.ledger.settle(reservation, charge(reservation, 15, model="gpt-4o", usage='{"input_uncached":9}'))
            assert await it.funds("ann") == (85, 0)
            newest, first = await it.books.page("ann", 10)
            assert (first.seq, first.entry.kind, first.entry.amount) == (1, "credit", 100)
            assert (newest.seq, newest.balance_after) == (2, 85)
            assert newest.entry == charge(reservation, 15, model="gpt-4o", usage='{"input_uncached":9}')

    run(scenario())


def test_a_release_charges_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            it.ledger.release(await it.reserve("ann", 100))
            assert await it.reserve("ann", 100)
            assert [written.seq for written in await it.books.page("ann", 10)] == [1]

    run(scenario())


def test_a_charge_frees_nothing_where_somebody_else_has_ended_its_reservation(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            ended, other = await it.reserve("ann", 40), await it.reserve("ann", 30)
            assert await it.books.end_orphans(None, NOW) == 2
            still = await it.reserve("ann", 20)
            it.ledger.settle_later(other, charge(other, 3))
            it.ledger.settle_later(ended, charge(ended, 5))
            await it.rest()
            assert await it.funds("ann") == (92, 20)
            await it.ledger.settle(still, charge(still, 1))
            assert await it.funds("ann") == (91, 0)

    run(scenario())


def test_more_than_is_left_is_refused_and_the_refusal_says_what_is_left(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            await it.reserve("ann", 70)
            assert await it.refused("ann", 31) == Refusal(balance=100, reserved=70, disabled=False)
            await it.reserve("ann", 30)

    run(scenario())


@pytest.mark.parametrize("taken_again", [False, True])
def test_what_is_free_again_before_a_refusal_is_told_is_asked_for_anew(tmp_path: Path, taken_again: bool) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            held = await it.reserve("ann", 80)
            read = it.unsteady.fetchrow

            async def read_later(sql: str, *args: Value) -> Row | None:
                nonlocal held
                it.ledger.release(held)
                await it.rest()
                row = await read(sql, *args)
                if taken_again:
                    held = await it.reserve("ann", 80)
                return row

            it.unsteady.fetchrow = read_later  # type: ignore[method-assign]
            if taken_again:
                with pytest.raises(StoreUnavailable, match="changes too fast"):
                    await it.ledger.reserve("ann", 40)
            else:
                await it.reserve("ann", 40)

    run(scenario())


def test_a_disabled_user_is_refused_whatever_he_has(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            await it.reserve("ann", 1)
            await it.database.execute("UPDATE users SET disabled = 1 WHERE name = 'ann'")
            assert (await it.refused("ann", 1)).disabled

    run(scenario())


def test_of_requests_at_once_as_many_are_granted_as_there_is_money_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            it.ledger.release(await it.reserve("ann", 1))
            it.unsteady.gate.clear()
            asked = [asyncio.ensure_future(it.ledger.reserve("ann", 30)) for _ in range(8)]
            others = [asyncio.ensure_future(it.ledger.reserve("bob", 10)) for _ in range(3)]
            await asyncio.sleep(0)
            it.unsteady.gate.set()
            granted = [isinstance(one, Reservation) for one in await asyncio.gather(*asked)]
            assert granted == [True] * 3 + [False] * 5  # in the order in which they came
            assert all(isinstance(one, Reservation) for one in await asyncio.gather(*others))

    run(scenario())


async def flow(it: Till, user: str = "ann", amount: int = 10) -> None:
    """Requests one after the other, so often that what the last one has left is kept."""
    for _ in range(KEEP_FROM):
        it.ledger.release(await it.reserve(user, amount))


def test_in_a_flow_the_database_is_not_asked_for_what_the_last_request_has_left(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            await flow(it)
            assert await it.funds("ann") == (100, 10)
            before = it.unsteady.units
            one = await it.reserve("ann", 10)
            assert it.unsteady.units == before
            await it.ledger.settle(one, charge(one, 3))
            assert await it.funds("ann") == (97, 7)
            two = await it.reserve("ann", 10)
            await it.ledger.settle(two, charge(two, 10))
            await it.rest()
            assert await it.funds("ann") == (87, 0)

    run(scenario())


def test_who_needs_all_that_is_left_gets_what_was_kept_for_him_as_well(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            await flow(it)
            assert await it.refused("ann", 101) == Refusal(100, 0, False)
            everything = await it.reserve("ann", 100)
            assert await it.funds("ann") == (100, 100)
            await it.ledger.settle(everything, charge(everything, 100))
            assert await it.refused("ann", 1) == Refusal(0, 0, False)

    run(scenario())


def test_what_is_kept_is_nobodys_while_the_database_is_away(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            await flow(it)
            it.unsteady.failures = ["before"] * 3
            it.ledger.settle_later(Reservation("other", "bob", 0), charge(Reservation("other", "bob", 0), 0))
            while not it.events:
                await asyncio.sleep(0)
            with pytest.raises(StoreUnavailable):
                await it.ledger.reserve("ann", 10)

    run(scenario())


def test_what_is_kept_has_to_wait_when_the_database_takes_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be away, which is only known later."""
    monkeypatch.setattr(ledger_module, "FRESH_SECONDS", 0.0)

    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            await flow(it)
            await it.rest()
            await flow(it)
            it.unsteady.gate.clear()
            other = asyncio.ensure_future(it.ledger.reserve("bob", 10))
            await it.given()
            mine = asyncio.ensure_future(it.ledger.reserve("ann", 10))
            for _ in range(5):
                await asyncio.sleep(0)
            assert not mine.done()
            it.unsteady.gate.set()
            assert isinstance(await mine, Reservation)
            assert isinstance(await other, Reservation)

    run(scenario())


def test_a_charge_that_is_refused_in_a_flow_frees_no_more_than_there_is(tmp_path: Path) -> None:
    """The next one has ended by then what it would have lessened."""

    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            await flow(it, amount=60)
            one = await it.reserve("ann", 60)
            it.ledger.settle_later(one, charge(one, 10)._replace(charge_id="opening ann"))
            two = await it.reserve("ann", 50)
            it.ledger.settle_later(two, charge(two, 50))
            await it.rest()
            assert await it.funds("ann") == (50, 0)
            assert it.events == ["ledger_refused"]

    run(scenario())


def test_a_release_that_the_database_refuses_is_dropped(tmp_path: Path) -> None:
    trigger = "CREATE TRIGGER no_end BEFORE DELETE ON reservations BEGIN SELECT RAISE(ABORT, 'not this one'); END"

    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            one = await it.reserve("ann", 10)
            await it.database.execute(trigger)
            it.ledger.release(one)
            await it.rest()
            assert it.events == ["ledger_refused"]
            await it.database.execute("DROP TRIGGER no_end")

    run(scenario())


def test_what_has_ended_ends_nothing_again_in_a_flow(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            await flow(it, amount=60)
            one = await it.reserve("ann", 60)
            it.ledger.release(one)
            it.ledger.release(one)
            assert await it.reserve("ann", 60)
            assert await it.refused("ann", 41) == Refusal(100, 60, False)

    run(scenario())


def test_what_goes_back_while_somebody_asks_for_more_is_his(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "LOOK_SECONDS", 0.01)

    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            await flow(it, amount=60)
            it.unsteady.gate.clear()
            asked = asyncio.ensure_future(it.ledger.reserve("ann", 100))
            while not it.unsteady.waiting or it.ledger._purses.spare("ann"):
                await asyncio.sleep(0)
            it.unsteady.gate.set()
            assert isinstance(await asked, Reservation)

    run(scenario())


def test_what_is_kept_goes_back_when_nobody_has_wanted_it_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "LOOK_SECONDS", 0.01)

    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            await flow(it)
            while await it.funds("ann") != (100, 0):
                await asyncio.sleep(0)
            while it.ledger._purses.get("ann"):
                await asyncio.sleep(0)

    run(scenario())


def test_gateways_that_share_a_database_grant_no_more_together_than_there_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=1000) as one, till(tmp_path, balance=1000) as two:

            async def request(at: Till) -> int:
                found = await at.ledger.reserve("ann", 30)
                if isinstance(found, Refusal):
                    return 0
                await at.ledger.settle(found, charge(found, 30))
                return 1

            assert sum(await asyncio.gather(*(request(at) for _ in range(50) for at in (one, two)))) == 33
            assert await one.funds("ann") == await two.funds("ann") == (10, 0)

    run(scenario())


def test_fifty_requests_at_once_need_a_few_transactions(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=10_000) as it:

            async def request(number: int) -> None:
                reservation = await it.reserve(f"user{number % 3}", 20)
                await it.ledger.settle(reservation, charge(reservation, number))

            await asyncio.gather(*(request(number) for number in range(50)))
            assert it.unsteady.units <= 6
            charged = [10_000 - (await it.funds(f"user{n}"))[0] for n in range(3)]
            assert charged == [sum(range(n, 50, 3)) for n in range(3)]

    run(scenario())


@pytest.mark.parametrize("at_once", [ledger_module.COMMIT_SIBLINGS - 1, ledger_module.COMMIT_SIBLINGS])
def test_only_after_several_orders_the_next_waits_for_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(ledger_module, "ORDER_DELAY", 3600.0)
    monkeypatch.setattr(ledger_module, "LONGEST_DELAY", 3600.0)

    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            await asyncio.gather(*(it.reserve("ann", 1) for _ in range(at_once)))
            later = asyncio.ensure_future(it.reserve("ann", 1))
            if at_once < ledger_module.COMMIT_SIBLINGS:
                await later
            else:
                await it.database.ping()  # a unit would have been begun before it
                assert (it.ledger.queued, later.done()) == (1, False)
                assert await it.ledger.flush(10) == 0, "who ends the ledger does not wait"
                await later

    run(scenario())


def test_no_statement_has_more_arguments_than_an_old_sqlite_takes() -> None:
    unit = Unit("this", "previous", NOW)
    held = [Reservation(f"chg_{n}", "ann", 1) for n in range(UNIT_LIMIT)]
    ended = [Ended([f"{one.id} {n}" for n in range(9)], [(one.id, 1)]) for one in held]  # many were kept, say
    unit.end("ann", ended, [charge(one, 1) for one in held])
    unit.reserve("ann", held, "here")
    assert max(len(statement.args) for statement in unit.statements()) <= 999


def test_entries_of_one_unit_stand_in_their_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            made = [await it.reserve("ann", 10) for _ in range(3)]
            await asyncio.gather(*(it.ledger.settle(one, charge(one, n + 1)) for n, one in enumerate(made)))
            found = [(one.seq, one.entry.amount, one.balance_after) for one in await it.books.page("ann", 3)]
            assert found == [(4, -3, 94), (3, -2, 97), (2, -1, 99)]

    run(scenario())


@pytest.mark.parametrize("count", [1, 2, 3, 31, 32, 33, 64, 85])
def test_many_entries_and_reservations_of_several_users_fit_into_one_unit(tmp_path: Path, count: int) -> None:
    """As many as go into one statement, one less and one more; and one user among them has too little."""

    async def scenario() -> None:
        users = {"ann": 1, "bob": 1, "eve": 1000}  # what each of their reservations takes
        async with till(tmp_path, balance=2 * count) as it:
            held = [await it.reserve(user, 1) for user in users for _ in range(count)]
            before = it.unsteady.units
            charged = [it.ledger.settle(one, charge(one, n % 3)) for n, one in enumerate(held)]
            asked = [it.ledger.reserve(user, amount) for user, amount in users.items() for _ in range(count // 3)]
            done = await asyncio.gather(*charged, *asked)
            assert it.unsteady.units - before <= 3  # what was refused together is tried by itself
            granted = [one for one in done if isinstance(one, Reservation)]
            assert Counter(one.user for one in granted) == Counter(dict.fromkeys(("ann", "bob"), count // 3))
            for place, user in enumerate(users):
                entries = [n % 3 for n in range(place * count, (place + 1) * count)]
                taken = count // 3 if user != "eve" else 0
                assert await it.funds(user) == (2 * count - sum(entries), taken)
                assert [-one.entry.amount for one in await it.books.page(user, count)] == entries[::-1]

    run(scenario())


@pytest.mark.parametrize("failure", ["before", "after"])
def test_a_charge_survives_a_database_that_fails_and_is_made_once(tmp_path: Path, failure: str) -> None:
    """Whether the database failed before or after it had written, which nobody can tell."""

    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            reservation = await it.reserve("ann", 40)
            it.unsteady.failures = [failure, failure]
            await it.ledger.settle(reservation, charge(reservation, 15))
            assert await it.funds("ann") == (85, 0)
            assert len(await it.books.page("ann", 10)) == 2
            assert it.events == ["ledger_away", "ledger_back"]

    run(scenario())


@pytest.mark.parametrize("failure", ["before", "after"])
def test_a_reservation_whose_fate_is_unknown_is_refused_and_released(tmp_path: Path, failure: str) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            it.unsteady.failures = [failure]
            with pytest.raises(StoreUnavailable):
                await it.ledger.reserve("ann", 100)
            await it.rest()
            assert await it.reserve("ann", 100)

    run(scenario())


def test_while_the_database_is_away_reservations_are_refused_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            reservation = await it.reserve("ann", 40)
            it.unsteady.failures = ["before"] * 3
            settling = asyncio.ensure_future(it.ledger.settle(reservation, charge(reservation, 15)))
            while "ledger_away" not in it.events:
                await asyncio.sleep(0)
            units = it.unsteady.units
            with pytest.raises(StoreUnavailable):
                await it.ledger.reserve("ann", 1)
            assert it.unsteady.units == units
            await settling
            assert await it.reserve("ann", 1)  # it heals by itself

    run(scenario())


def test_who_waits_for_a_reservation_is_told_when_the_unit_before_it_fails(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            it.unsteady.gate.clear()
            first = asyncio.ensure_future(it.ledger.reserve("ann", 1))
            await it.given()
            second = asyncio.ensure_future(it.ledger.reserve("ann", 1))
            await asyncio.sleep(0)
            it.unsteady.failures = ["before"]
            it.unsteady.gate.set()
            results = await asyncio.gather(first, second, return_exceptions=True)
            assert [type(one) for one in results] == [StoreUnavailable, StoreUnavailable]

    run(scenario())


def test_a_reservation_is_waited_for_only_so_long(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            set_patience(it.ledger)
            it.unsteady.gate.clear()
            with pytest.raises(StoreUnavailable):
                await it.ledger.reserve("ann", 100)
            assert it.events == ["ledger_away"]  # not only when the database says so, much later
            with pytest.raises(StoreUnavailable, match="cannot be written for now"):
                await it.ledger.reserve("ann", 100)
            it.unsteady.gate.set()
            await it.rest()
            assert it.events == ["ledger_away", "ledger_back"]
            assert await it.funds("ann") == (100, 0)

    run(scenario())


@pytest.mark.usefixtures("young")
def test_who_waits_in_vain_leaves_no_cycle(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            held = await it.reserve("ann", 1)
            set_patience(it.ledger)

            async def in_vain(asked: Awaitable[object]) -> None:
                it.unsteady.gate.clear()
                try:
                    await asked
                except StoreUnavailable:
                    it.unsteady.gate.set()
                await it.rest()

            with leaving_no_cycle():
                await in_vain(it.ledger.reserve("ann", 1))
                await in_vain(it.ledger.settle(held, charge(held, 1)))
            assert it.events == ["ledger_away", "ledger_back"] * 2

    run(scenario())


def test_a_client_that_leaves_while_it_is_reserved_leaves_nothing_reserved(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            it.unsteady.gate.clear()
            asked = [asyncio.ensure_future(it.ledger.reserve("ann", 10)) for _ in range(2)]
            await it.given()
            late = asyncio.ensure_future(it.ledger.reserve("ann", 10))
            await asyncio.sleep(0)
            for one in (*asked, late):
                one.cancel()
            it.unsteady.gate.set()
            await asyncio.wait([*asked, late])
            await it.rest()
            assert await it.funds("ann") == (100, 0)

    run(scenario())


def test_a_client_that_leaves_just_when_it_is_granted_leaves_nothing_reserved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is there, but its task has not turned yet."""
    answer = Order.answer
    asking: list[asyncio.Future[Reservation | Refusal]] = []

    def answer_and_leave(order: Order, value: bool) -> None:
        answer(order, value)
        asking[0].cancel()

    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            monkeypatch.setattr(Order, "answer", answer_and_leave)
            asking.append(asyncio.ensure_future(it.ledger.reserve("ann", 10)))
            with pytest.raises(asyncio.CancelledError):
                await asking[0]
            await it.rest()
            assert await it.funds("ann") == (100, 0)

    run(scenario())


def test_a_client_that_leaves_while_its_charge_is_written_has_paid(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            reservation = await it.reserve("ann", 10)
            it.unsteady.gate.clear()
            settling = asyncio.ensure_future(it.ledger.settle(reservation, charge(reservation, 7)))
            await asyncio.sleep(0)
            settling.cancel()
            it.unsteady.gate.set()
            await asyncio.wait([settling])
            await it.rest()
            assert await it.funds("ann") == (93, 0)

    run(scenario())


@pytest.mark.parametrize("with_database", [True, False])
def test_a_charge_that_takes_too_long_is_not_made(tmp_path: Path, with_database: bool) -> None:
    """Its client was told that there is no answer. What was with the database already is given back."""

    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            reservation = await it.reserve("ann", 10)
            set_patience(it.ledger)
            it.unsteady.gate.clear()
            if not with_database:
                it.ledger.release(Reservation("another", "ann", 0))
                await it.given()  # and the charge waits behind it
            with pytest.raises(StoreUnavailable):
                await it.ledger.settle(reservation, charge(reservation, 7))
            it.unsteady.gate.set()
            await it.rest()
            assert await it.funds("ann") == (100, 0)
            kinds = [written.entry.kind for written in await it.books.page("ann", 10)]
            assert kinds == (["refund", "charge", "credit"] if with_database else ["credit"])

    run(scenario())


def test_a_charge_that_is_given_up_in_the_turn_in_which_it_is_written_is_given_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            whole, stream = await it.reserve("ann", 10), await it.reserve("ann", 10)

            def give_up() -> None:
                while it.ledger._waiting:
                    it.ledger._waiting.popleft()[1].set_exception(StoreUnavailable("too late"))

            it.unsteady.done = give_up
            settled = await asyncio.gather(
                it.ledger.settle(whole, charge(whole, 7)),
                it.ledger.settle(stream, charge(stream, 5), keep=True),
                return_exceptions=True,
            )
            assert [type(one) for one in settled] == [StoreUnavailable, StoreUnavailable]
            await it.rest()
            assert await it.funds("ann") == (95, 0)

    run(scenario())


def test_what_the_database_takes_for_nonsense_hurts_nobody_else(tmp_path: Path) -> None:
    trigger = """CREATE TRIGGER no_bob BEFORE INSERT ON ledger WHEN NEW.user_name = 'bob' AND NEW.kind = 'charge'
        BEGIN SELECT RAISE(ABORT, 'not bob'); END"""

    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            made = [await it.reserve(user, 10) for user in ("ann", "bob", "cid")]
            await it.database.execute(trigger)
            settled = await asyncio.gather(
                *(it.ledger.settle(one, charge(one, 7)) for one in made), return_exceptions=True
            )
            assert [type(one) for one in settled] == [type(None), StoreUnavailable, type(None)]
            await it.rest()
            assert [await it.funds(user) for user in ("ann", "bob", "cid")] == [(93, 0), (100, 0), (93, 0)]
            assert it.events == ["ledger_refused"]

    run(scenario())


def test_a_charge_of_a_user_who_is_gone_is_refused_and_the_others_of_its_unit_are_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            made = [await it.reserve(user, 10) for user in ("ann", "bob", "cid")]
            await it.database.execute("DELETE FROM users WHERE name = 'bob'")
            settled = await asyncio.gather(
                *(it.ledger.settle(one, charge(one, 7)) for one in made), return_exceptions=True
            )
            assert [type(one) for one in settled] == [type(None), StoreUnavailable, type(None)]
            assert it.unsteady.units <= 5  # the charges were one unit
            assert [await it.funds(user) for user in ("ann", "cid")] == [(93, 0), (93, 0)]
            await it.rest()
            assert not await it.database.fetchval("SELECT COUNT(*) FROM reservations")
            assert it.events == ["ledger_refused"]

    run(scenario())


def test_a_charge_id_that_is_in_the_ledger_already_is_charged_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            first, second = await it.reserve("ann", 10), await it.reserve("ann", 10)
            await it.ledger.settle(first, charge(first, 7))
            it.ledger.settle_later(second, charge(first, 7))
            await it.rest()
            assert await it.funds("ann") == (93, 0)

    run(scenario())


def test_more_than_can_wait_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "PENDING_LIMIT", 2)

    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            it.unsteady.gate.clear()
            asked = [asyncio.ensure_future(it.ledger.reserve("ann", 1)) for _ in range(3)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert isinstance(asked[2].exception(), StoreUnavailable)
            it.unsteady.gate.set()
            await asyncio.wait(asked)

    run(scenario())


def test_a_user_whose_row_was_removed_by_hand_begins_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            it.ledger.release(await it.reserve("ann", 10))
            await it.rest()
            await it.database.execute("DELETE FROM users")
            await it.database.execute("DELETE FROM ledger")
            assert await it.reserve("ann", 100)

    run(scenario())


def test_what_is_queued_when_it_ends_is_written_by_flush(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            made = [await it.reserve("ann", 10) for _ in range(3)]
        async with till(tmp_path) as it:  # which has ended when it is left
            for one in made:
                it.ledger.settle_later(one, charge(one, 5))
            it.unsteady.failures = ["after"]
            assert await it.ledger.flush(10) == 0
            assert await it.funds("ann") == (85, 0)

    run(scenario())
