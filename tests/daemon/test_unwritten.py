"""A gateway that ends while its database is away: its charges are in a file, and in the ledger at the next start."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.daemon import daemon as daemon_module
from gateway.store.entries import Reservation
from gateway.store.unwritten import FILE
from tests.conftest import run
from tests.daemon.running import daemon
from tests.daemon.test_prices import BILLING
from tests.ports import free_port
from tests.store.money import Unsteady, charge


@pytest.mark.parametrize("failure", ["before", "after"])
def test_charges_that_a_database_did_not_take_are_in_the_ledger_after_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    monkeypatch.setattr(daemon_module, "FLUSH_SECONDS", 0.01)
    kept = tmp_path / "state" / FILE

    async def scenario() -> None:
        async with daemon(tmp_path, f"127.0.0.1:{free_port()}", BILLING) as running:
            ledger = running.daemon._holdings.ledger
            ledger.default_balance = 100
            reservation = await ledger.reserve("ann", 10)
            assert isinstance(reservation, Reservation)
            unsteady = Unsteady(running.daemon._holdings.database)
            unsteady.failures = [failure] + ["before"] * 1000
            ledger._database = unsteady  # type: ignore[assignment]
            ledger.settle_later(reservation, charge(reservation, 7))
        assert running.logged("charges_kept")[0]["count"] == 1
        assert kept.stat().st_mode & 0o777 == 0o600
        async with daemon(tmp_path, f"127.0.0.1:{free_port()}", BILLING) as running:
            account = await running.daemon._holdings.books.account("ann")
            assert account is not None
            assert (account.balance, account.reserved) == (93, 0)
            assert running.logged("charges_made_up")[0]["kept"] == 1
            assert not kept.exists()
            assert await running.daemon._holdings.books.verify() == []

    run(scenario(), 60)


def test_what_fits_in_no_file_either_is_said_to_be_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon_module, "FLUSH_SECONDS", 0.01)

    async def scenario() -> None:
        async with daemon(tmp_path, f"127.0.0.1:{free_port()}", BILLING) as running:
            ledger = running.daemon._holdings.ledger
            ledger.default_balance = 10**9
            reservation = await ledger.reserve("ann", 10**9)
            assert isinstance(reservation, Reservation)
            unsteady = Unsteady(running.daemon._holdings.database)
            unsteady.failures = ["before"] * 1000
            ledger._database = unsteady  # type: ignore[assignment]
            ledger.settle_later(reservation, charge(reservation, 7 * 10**8))
            (tmp_path / "state" / FILE).mkdir()
        lost = running.logged("charges_lost")[0]
        assert (lost["count"], lost["amount"]) == (1, "0.7")

    run(scenario(), 60)
