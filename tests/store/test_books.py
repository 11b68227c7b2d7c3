"""Credits, debits, pages of entries, and what a gateway that died has left."""

from __future__ import annotations

from pathlib import Path

from gateway.store.accounts import AccountStore
from gateway.store.books import BALANCE_LIMIT, ORPHAN_AGE
from gateway.store.entries import Account, Entry
from tests.conftest import run
from tests.store.money import HERE, NOW, charge, till


def credit(amount: int, charge_id: str, note: str = "") -> Entry:
    return Entry(charge_id, "credit" if amount > 0 else "debit", amount, NOW, note=note)


def test_credits_and_debits_change_the_balance_and_stay_visible(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path) as it:
            written = await it.books.adjust("ann", credit(500, "a", "paid"), 10)
            assert written is not None
            assert (written.user, written.seq, written.balance_after, written.entry.note) == ("ann", 2, 510, "paid")
            assert await it.books.adjust("ann", credit(-600, "b"), 10)
            assert await it.books.account("ann") == Account(-90, 0, 3, False)
            assert (await it.refused("ann", 0)).balance == -90

    run(scenario())


def test_an_adjustment_under_the_same_id_is_made_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path) as it:
            first = await it.books.adjust("ann", credit(500, "order 7"), 0)
            assert await it.books.adjust("ann", credit(500, "order 7"), 0) == first
            assert await it.books.adjust("bob", credit(500, "order 7"), 0) == first
            assert await it.funds("ann") == (500, 0)
            assert await it.funds("bob") == (0, 0)

    run(scenario())


def test_a_debit_that_is_to_be_covered_leaves_what_is_reserved(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path) as it:
            assert await it.books.adjust("ann", credit(500, "a"), 0)
            await it.reserve("ann", 300)
            assert await it.books.adjust("ann", credit(-201, "b"), 0, covered=True) is None
            assert await it.books.adjust("ann", credit(-200, "c"), 0, covered=True)
            assert await it.books.adjust("ann", credit(-200, "c"), 0, covered=True)  # the same, which was
            assert await it.funds("ann") == (300, 300)
            assert await it.books.adjust("ann", credit(-1, "d"), 0)
            assert await it.books.verify() == []

    run(scenario())


def test_an_absurd_balance_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path) as it:
            assert await it.books.adjust("ann", credit(BALANCE_LIMIT, "a"), 0)
            assert await it.books.adjust("ann", credit(1, "b"), 0) is None
            assert await it.funds("ann") == (BALANCE_LIMIT, 0)

    run(scenario())


def test_the_default_balance_is_given_once_and_not_to_who_was_credited_with_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=10) as it:
            assert (await it.books.open("ann", 10, NOW)).balance == 10
            assert (await it.books.open("ann", 20, NOW)).balance == 10
            it.ledger.release(await it.reserve("ann", 1))
            await it.rest()
            assert await it.books.adjust("ann", credit(5, "a"), 10)
            assert await it.funds("ann") == (15, 0)

    run(scenario())


def test_pages_have_the_newest_first_and_end_with_the_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path) as it:
            for number in range(4):
                await it.books.adjust("ann", credit(number + 1, f"{number}"), 0)

            async def page(limit: int, offset: int) -> list[int]:
                return [written.seq for written in await it.books.page("ann", limit, offset)]

            assert await page(2, 0) == [5, 4]
            assert await page(2, 2) == [3, 2]
            assert await page(2, 4) == [1]
            assert await page(2, 5) == []
            assert await it.books.page("nobody", 10) == []
            assert await it.books.balances(10) == {"ann": 10}

    run(scenario())


def test_orphans_of_this_gateway_end_and_those_of_others_stay_for_a_day(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            await it.reserve("ann", 10)
            kept = await it.reserve("ann", 20)
            await it.reserve("bob", 30)
            await it.database.execute("UPDATE reservations SET owner = 'another' WHERE id = $1", kept.id)
            assert await it.books.end_orphans(HERE, NOW) == 2
            assert [await it.funds(user) for user in ("ann", "bob")] == [(100, 20), (100, 0)]
            await it.ledger.settle(kept, charge(kept, 15))
            await it.reserve("bob", 30)
            assert await it.books.end_orphans("a third", NOW + ORPHAN_AGE + 1) == 1
            await it.reserve("bob", 30)
            assert await it.books.end_orphans(None, NOW) == 1
            assert await it.funds("bob") == (100, 0)

    run(scenario())


def test_what_does_not_add_up_is_found(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            await it.reserve("ann", 10)
            for user in ("bob", "cid"):
                one = await it.reserve(user, 10)
                await it.ledger.settle(one, charge(one, 5))
            await it.database.execute("UPDATE users SET reserved = 9 WHERE name = 'ann'")
            await it.database.execute("UPDATE users SET balance = balance + 1 WHERE name = 'bob'")
            await it.database.execute("UPDATE ledger SET balance_after = 1 WHERE user_name = 'cid' AND seq = 2")
            assert await it.books.verify() == ["sums of ann", "sums of bob", "entry 2 of cid"]
            await it.database.execute("UPDATE users SET reserved = 10 WHERE name = 'ann'")
            await it.database.execute("UPDATE users SET balance = balance - 1 WHERE name = 'bob'")
            await it.database.execute("UPDATE ledger SET balance_after = 95 WHERE user_name = 'cid' AND seq = 2")

    run(scenario())


def test_what_is_charged_credited_or_revoked_waits_for_the_disk_and_nothing_else_does(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:

            async def waited() -> bool:
                level = await it.database._writer.ask(  # type: ignore[attr-defined]
                    lambda db: db.execute("PRAGMA synchronous").fetchone()[0]
                )
                return bool(level == 2)  # FULL

            for _ in range(2):
                one = await it.reserve("ann", 10)
                assert not await waited()
                await it.ledger.settle(one, charge(one, 5))
                assert await waited()
                it.ledger.release(await it.reserve("ann", 10))
                await it.rest()
                assert not await waited()
            await it.books.adjust("ann", credit(500, "a"), 10)
            assert await waited()
            await it.database.execute("DELETE FROM responses")
            assert not await waited()
            await AccountStore(it.database).revoke_token("none", NOW)
            assert await waited()

    run(scenario())


def test_what_is_reserved_becomes_the_sum_of_the_reservations_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            await it.reserve("ann", 30)
            await it.reserve("bob", 20)
            await it.reserve("eve", 10)
            assert await it.books.mend_reserved() == 0
            await it.database.execute("UPDATE users SET reserved = -900 WHERE name = 'ann'")
            await it.database.execute("DELETE FROM reservations WHERE user_name = 'bob'")
            assert await it.books.mend_reserved() == 2
            assert [await it.funds(name) for name in ("ann", "bob", "eve")] == [(100, 30), (100, 0), (100, 10)]

    run(scenario())
