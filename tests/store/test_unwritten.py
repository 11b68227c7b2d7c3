"""Charges that outlive a gateway in a file: every one comes back once, whatever had happened to it before."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.errors import StoreCorrupt, StoreUnavailable
from gateway.store import unwritten
from gateway.store.entries import Entry
from gateway.store.unwritten import forget, keep, read
from tests.conftest import run
from tests.store.conftest import opened
from tests.store.money import NOW, Till, charge, set_patience, till


def test_what_is_kept_is_read_again_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / unwritten.FILE
    charges = [
        ("ann", Entry("chg_1", "charge", -7, 1.5, note="näh\n")),
        ("bob", Entry("chg_2", "charge", -(10**17), 2)),
    ]
    keep(path, charges)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read(path) == charges
    forget(path)
    forget(path)
    assert read(path) == []


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"user": "ann"}',
        '{"charge_id": "a", "kind": "charge", "amount": -1, "made_at": 0}',
        '{"user": "ann", "charge_id": "a", "kind": "charge", "amount": "-1", "made_at": 0}',
        '{"user": "ann", "charge_id": "a", "kind": "charge", "amount": -1, "made_at": 0, "more": 1}',
    ],
)
def test_a_file_that_is_not_as_it_was_written_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / unwritten.FILE
    path.write_text(f'{{"user": "ann", "charge_id": "a", "kind": "charge", "amount": -1, "made_at": 0}}\n{line}\n')
    with pytest.raises(StoreCorrupt, match="line 2"):
        read(path)


@pytest.mark.parametrize("failure", ["before", "after"])
def test_what_a_flush_could_not_write_is_counted_and_made_up_for_once(tmp_path: Path, failure: str) -> None:
    """Also where the database has it in truth, and only could not say so."""

    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            made = [await it.reserve("ann", 10) for _ in range(3)]
            freed = await it.reserve("ann", 10)
        async with opened(tmp_path) as database:
            it = Till(database)  # its ledger does not run any more
            it.unsteady.failures = [failure]
            for one in made:
                it.ledger.settle_later(one, charge(one, 5))
            it.ledger.release(freed)
            flushing = asyncio.create_task(it.ledger.flush(3600), name="flush")
            while "ledger_away" not in it.events:
                await asyncio.sleep(0)
            flushing.cancel()
            it.unsteady.gate.clear()
            assert await it.ledger.flush(0.01) == 4
            charges = it.ledger.unwritten()
            assert charges == [("ann", charge(one, 5)) for one in made]
        async with till(tmp_path) as it:
            await it.books.end_orphans(None, NOW)
            assert await it.books.make_up(charges) == (3 if failure == "before" else 0)
            assert await it.books.make_up(charges) == 0
            assert await it.funds("ann") == (85, 0)

    run(scenario())


def test_a_charge_whose_client_was_told_no_adds_up_to_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with till(tmp_path, balance=100) as it:
            reservation = await it.reserve("ann", 10)
            set_patience(it.ledger)
            it.unsteady.failures = ["before"] * 9
            with pytest.raises(StoreUnavailable):
                await it.ledger.settle(reservation, charge(reservation, 7))
            charges = it.ledger.unwritten()
            assert [(user, entry.amount) for user, entry in charges] == [("ann", -7), ("ann", 7)]
            it.unsteady.failures.clear()

    run(scenario())
