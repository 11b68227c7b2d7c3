"""What the ledger is asked for, one order each, and the orders of one unit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gateway.errors import StoreError, StoreUnavailable
from gateway.store.database import Statement
from gateway.store.entries import Entry, Reservation, Unit
from gateway.store.purse import Ended

NOTHING = Ended([], [])


class Order:
    """To reserve (`future` is True when it is granted), to charge (`entry` is set, and `future`, if any, True when that
    is durable), or to release; the last two give back what has `ended`. `alone`: it was refused together with others.
    `keep`: to be charged, whatever becomes of who waits for it."""

    __slots__ = ("alone", "ended", "entry", "future", "keep", "reservation")

    def __init__(
        self,
        reservation: Reservation,
        future: asyncio.Future[bool] | None = None,
        entry: Entry | None = None,
        ended: Ended = NOTHING,
        *,
        keep: bool = False,
    ) -> None:
        self.reservation = reservation
        self.future = future
        self.entry = entry
        self.ended = ended
        self.keep = keep
        self.alone = False

    @property
    def left(self) -> bool:
        """Whether it asks for what nobody waits for any more."""
        return self.entry is None and self.future is not None and self.future.done()

    @property
    def revoked(self) -> bool:
        """Whether it is a charge of which somebody was told that it cannot be had. Who just left was told nothing."""
        future = self.future
        if self.keep or self.entry is None or future is None or not future.done() or future.cancelled():
            return False
        return future.exception() is not None

    def answer(self, value: bool) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_result(value)

    def refuse(self, error: StoreError) -> None:
        """A reservation that cannot be had."""
        if self.entry is None and self.future is not None and not self.future.done():
            self.future.set_exception(StoreUnavailable(error.message, detail=error.detail, hint=error.hint))


class Batch:
    """The orders of one unit. `asks` are those for reservations, by user, with their place in the unit; `charges`:
    there are some."""

    def __init__(self, name: str, orders: Sequence[Order], unit: Unit) -> None:
        self.name = name
        self.orders = orders
        self.unit = unit
        self.statements: Sequence[Statement] = ()
        self.asks: list[tuple[int, list[Order]]] = []
        self.charges = False

    def write(self, welcome: Callable[[Unit, str], None], owner: str) -> None:
        """`welcome` sees to users who may be new."""
        unit = self.unit
        ends: dict[str, list[Order]] = {}
        asks: dict[str, list[Order]] = {}
        for order in self.orders:
            if order.entry is None and order.future is not None:
                asks.setdefault(order.reservation.id if order.alone else order.reservation.user, []).append(order)
            else:
                ends.setdefault(order.reservation.user, []).append(order)
        for user, group in ends.items():
            entries = [order.entry for order in group if order.entry is not None]
            self.charges = self.charges or bool(entries)
            unit.end(user, [order.ended for order in group], entries)
        for group in asks.values():
            user = group[0].reservation.user
            welcome(unit, user)
            self.asks.append((unit.reserve(user, [order.reservation for order in group], owner), group))
        self.statements = unit.statements()
