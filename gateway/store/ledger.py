"""Money on the hot path: reservations and charges of requests, many of them in one transaction.

While one transaction is with the database, what is asked meanwhile gathers here and goes with the next: fifty requests
cost one commit. Under load the next one waits a moment for more of them (`ORDER_DELAY`), as a commit costs more than
what it writes. All of it is one unit (`entries.py`): done wholly or not at all, and never twice.

Invariants:
- A charge stays queued until it is durable, however long the database is away. There are never more of them than
  reservations were granted, and while the database is away none is. Units without one do not wait for the disk: a power
  cut ends the requests, too, that reservations are for.
- A reservation that nobody waits for any more, or of which nobody knows whether it was granted, is released.
- After a unit that failed, or took longer than anybody waits, reservations are refused at once until one succeeds:
  there is no free ride, and no queue of requests that would only time out.

Reservations of the same user are granted together or not at all, which is one update for all of them; where they are
not, each is tried by itself. Under load most need not ask the database: they get what ended ones have left
(`purse.py`). Who reads or corrects the ledger, uses `books.py`.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.errors import StoreCorrupt, StoreError, StoreUnavailable
from gateway.store.database import Database
from gateway.store.entries import FIND_UNIT, Entry, Refusal, Reservation, Unit, read_account, refund_of
from gateway.store.orders import Batch, Order
from gateway.store.purse import Ended, Purses

PENDING_LIMIT = 4096
"""Orders that may wait for the database when a reservation comes: some seconds of work. It is refused beyond."""

UNIT_LIMIT = 256
"""Orders in one unit: some milliseconds of the writer's time."""

ORDER_DELAY, LONGEST_DELAY = 0.00016, 0.005
"""Seconds that the next unit waits, for each order of one of COMMIT_SIBLINGS and more, until there may be as many."""

COMMIT_SIBLINGS = 6
"""As PostgreSQL's `commit_siblings`: who is alone does not wait."""

PATIENCE = 10.0
"""Seconds that a request waits for its reservation, or with its answer for its entry. Its client waits as well."""

ASKED = 5
"""Times that a reservation is asked for while what is refused at one moment could be had at the next."""

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
"""Seconds until a unit that failed is tried again. The database itself waits for a lock much longer than that."""

FRESH_SECONDS = 0.25
"""How long a unit may take before users get nothing any more but from the database: it may be away."""

LOOK_SECONDS = 1.0
"""How long users keep what ended requests have left and no other has wanted."""

KNOWN_LIMIT = 50_000
"""Names of users who have an entry already, so that it need not be looked up: some megabytes."""


class Note(Protocol):
    """Told of what an operator has to hear: `event` and what goes with it."""

    def __call__(self, event: str, **facts: object) -> None: ...


class Ledger:
    """`owner` names this gateway in its reservations. `clock` gives unix seconds. `run` has to run, and `flush` to be
    called when it does not any more. `default_balance` (nano-units) is what users begin with."""

    def __init__(
        self,
        database: Database,
        owner: str,
        clock: Callable[[], float],
        note: Note,
    ) -> None:
        self.default_balance = 0
        self._database = database
        self._owner = owner
        self._clock = clock
        self._note = note
        self._patience = PATIENCE
        self._loop = asyncio.get_running_loop()
        self._pending: deque[Order] = deque()
        self._waiting: deque[tuple[float, asyncio.Future[bool]]] = deque()  # until when, the earliest first
        self._timer: asyncio.TimerHandle | None = None
        self._wanted = asyncio.Event()
        self._turn = asyncio.Lock()
        self._unsure: Batch | None = None  # sent to the database, and no answer yet
        self._away = False  # the last unit failed, or takes too long
        self._fresh_until = math.inf  # when the unit that is under way should be done
        self._known: set[str] = set()
        self._purses = Purses()
        self._look: asyncio.TimerHandle | None = None  # the next one
        self._beginning = os.urandom(8).hex()
        self._reservations = 0
        self._units = 0
        self._done = ""  # the last unit's name

    @property
    def queued(self) -> int:
        """Orders that wait for the database."""
        return len(self._pending)

    async def reserve(self, user: str, amount: int) -> Reservation | Refusal:
        """Set aside so many nano-units, if the user has them. Raises StoreUnavailable, when it takes long at that.

        What a refusal says is read after it. When there is enough by then, it is asked for again."""
        for attempt in range(ASKED):
            if self._away:
                raise StoreUnavailable("the ledger cannot be written for now")
            if len(self._pending) >= PENDING_LIMIT:
                raise StoreUnavailable("too many requests wait for the ledger")
            self._reservations += 1
            reservation = Reservation(f"chg_{self._beginning}{self._reservations:010x}", user, amount)
            purse = self._purses.get(user)
            if purse is not None and 0 < amount <= purse.spare and self._loop.time() <= self._fresh_until:
                self._purses.begin(user, reservation.id, amount)
                return reservation
            if purse is not None and attempt:
                self._give_back(user, purse.close())  # it takes all that there is
            given = 0 if purse is None else purse.given
            future = self._promise()
            self._give(Order(reservation, future))
            try:
                granted = await future
            except asyncio.CancelledError:
                if not future.cancelled() and future.exception() is None and future.result():
                    self.release(reservation)  # it was granted, and the caller left before it heard of it
                raise
            finally:
                del future  # its error and this frame would be a cycle
            if granted:
                return reservation
            account = await read_account(self._database, user)
            if account is None:
                self._known.discard(user)  # the row was removed by hand: begin again
                continue
            reserved = account.reserved - self._purses.spare(user)
            if purse is not None:
                reserved -= purse.given - given  # it may not have come there yet
            if account.disabled or account.balance - reserved < amount:
                return Refusal(account.balance, max(reserved, 0), account.disabled)
        raise StoreUnavailable("the balance changes too fast")

    async def settle(self, reservation: Reservation, entry: Entry, *, keep: bool = False) -> None:
        """Write the entry in place of its reservation, and wait until that is durable. Raises StoreUnavailable when it
        takes long; nothing is charged then, unless it is to `keep`. When this is cancelled, the entry stays queued."""
        future = self._promise()
        self._give(Order(reservation, future, entry, self._end(reservation, -entry.amount), keep=keep))
        try:
            if not await future:
                raise StoreUnavailable("the ledger refused an entry")
        finally:
            del future  # as in `reserve`

    def settle_later(self, reservation: Reservation, entry: Entry) -> None:
        """Write it without anybody waiting for it, as soon as the database can."""
        self._give(Order(reservation, None, entry, self._end(reservation, -entry.amount)))

    def release(self, reservation: Reservation) -> None:
        """Nothing is charged."""
        self._give_back(reservation.user, self._end(reservation, 0))

    async def run(self) -> None:
        """The background task."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self._write_all()

    async def flush(self, seconds: float) -> int:
        """Write what is queued. The number of orders that perhaps are not, after so many seconds: `unwritten`."""
        for user, ended in self._purses.close():
            self._give_back(user, ended)
        try:
            async with asyncio.timeout(seconds):
                await self._write_all()
        except TimeoutError:
            pass
        return len(self._left_over())

    def unwritten(self) -> list[tuple[str, Entry]]:
        """After `flush`: users, and the entries that they still get. Some may be in the ledger already; what is revoked
        comes with its refund, so that it adds up to nothing in either case."""
        entries: list[tuple[str, Entry]] = []
        for order in self._left_over():
            if order.entry is not None:
                both = (order.entry, refund_of(order.entry)) if order.revoked else (order.entry,)
                entries += [(order.reservation.user, entry) for entry in both]
        return entries

    def _left_over(self) -> list[Order]:
        return [*(self._unsure.orders if self._unsure is not None else ()), *self._pending]

    # -- asked for ---------------------------------------------------------------------------------------------

    def _end(self, reservation: Reservation, cost: int) -> Ended:
        self._look_later()
        return self._purses.end(reservation.user, reservation.id, cost)

    def _give_back(self, user: str, ended: Ended) -> None:
        if ended.ids or ended.less:
            self._give(Order(Reservation("", user, 0), None, None, ended))

    def _look_later(self) -> None:
        if self._look is None:
            self._look = self._loop.call_later(LOOK_SECONDS, self._look_at_purses)

    def _look_at_purses(self) -> None:
        self._look = None
        for user, ended in self._purses.look():
            self._give_back(user, ended)
        if self._purses.used:
            self._look_later()

    def _give(self, order: Order) -> None:
        self._pending.append(order)
        self._wanted.set()

    def _promise(self) -> asyncio.Future[bool]:
        """An answer to wait for, which is a StoreUnavailable if it takes too long. One timer serves all of them: a
        timeout for each would cost more than what it guards."""
        future: asyncio.Future[bool] = self._loop.create_future()
        self._waiting.append((self._loop.time() + self._patience, future))
        if self._timer is None:
            self._timer = self._loop.call_later(self._patience, self._give_up)
        return future

    def _give_up(self) -> None:
        waiting, now = self._waiting, self._loop.time()
        while waiting and (waiting[0][0] <= now or waiting[0][1].done()):
            _, future = waiting.popleft()
            if not future.done():
                error = StoreUnavailable("the ledger does not answer", detail=f"{self._patience:g} s")
                self._lose(error, len(self._left_over()))
                future.set_exception(error)
        self._timer = self._loop.call_at(waiting[0][0], self._give_up) if waiting else None

    # -- written -----------------------------------------------------------------------------------------------

    async def _write_all(self) -> None:
        pause = FIRST_PAUSE
        while self._unsure is not None or self._pending:
            async with self._turn:
                batch = self._unsure or self._next(self._take())
                failure = await self._write(batch)
            if failure is None:
                pause = FIRST_PAUSE
                if len(batch.orders) >= COMMIT_SIBLINGS:
                    await asyncio.sleep(min(len(batch.orders) * ORDER_DELAY, LONGEST_DELAY))
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _take(self) -> list[Order]:
        """The orders of the next unit."""
        pending = self._pending
        taken: list[Order] = []
        while pending and len(taken) < UNIT_LIMIT:
            order = pending.popleft()
            if order.future is None or not order.future.done():  # nearly all of them
                taken.append(order)
                continue
            if order.revoked:
                order = Order(order.reservation, None, None, order.ended)
            if not order.left:
                taken.append(order)
        return taken

    def _next(self, orders: Sequence[Order]) -> Batch:
        self._units += 1
        name = f"{self._beginning}{self._units:010x}"
        batch = Batch(name, orders, Unit(name, self._done, self._clock()))
        batch.write(self._welcome, self._owner)
        return batch

    def _welcome(self, unit: Unit, user: str) -> None:
        if user not in self._known:
            unit.open(user, self.default_balance)

    async def _write(self, batch: Batch) -> StoreError | None:
        """One unit, and what is told of it. Returns why the database cannot do it for now."""
        self._unsure = batch  # also when this task is ended meanwhile
        self._fresh_until = self._loop.time() + FRESH_SECONDS
        try:
            counts = await self._database.transaction(batch.statements, power_safe=batch.charges)
        except (StoreUnavailable, StoreCorrupt) as error:
            self._failed(batch, error)
            return error
        except StoreError as error:
            return await self._refused(batch, error)
        self._unsure = None
        self._fresh_until = math.inf
        self._done = batch.name
        self._tell(batch, counts)
        self._recovered()
        return None

    def _tell(self, batch: Batch, counts: Sequence[int]) -> None:
        gone = batch.unit.gone(counts)
        for user in gone:
            self._purses.forget(user)
        for order in batch.orders:
            if order.entry is None:
                continue
            if order.reservation.user in gone:
                self._drop(order, "its user has no row any more")
            else:
                self._written(order)
        again: list[Order] = []
        for place, group in batch.asks:
            granted = batch.unit.is_granted(place, counts)
            if granted:
                self._remember(group[0].reservation.user)
            for order in group:
                if order.left:
                    self._release_unheard(order)
                elif granted or len(group) == 1:
                    if granted:
                        self._purses.add(order.reservation.user, order.reservation.id, order.reservation.amount)
                    order.answer(granted)
                else:
                    order.alone = True
                    again.append(order)
        self._pending.extendleft(reversed(again))
        waiting = self._waiting
        while waiting and waiting[0][1].done():
            waiting.popleft()  # else ten seconds of them pile up

    def _release_unheard(self, order: Order) -> None:
        """What nobody waited for, and which may have been granted or not."""
        self._give(Order(order.reservation, None, None, Ended([order.reservation.id], [])))

    def _written(self, order: Order) -> None:
        if not order.revoked:
            order.answer(True)
        elif order.entry is not None:
            back = refund_of(order.entry)
            self._give(Order(Reservation(back.charge_id, order.reservation.user, 0), None, back))

    def _drop(self, order: Order, why: str) -> None:
        """What can never be written."""
        entry = order.entry
        charge = {} if entry is None else {"charge": entry.charge_id, "amount": entry.amount}
        self._note("ledger_refused", user=order.reservation.user, **charge, detail=why)
        order.refuse(StoreError("the ledger refused a reservation", detail=why))
        order.answer(False)

    def _remember(self, user: str) -> None:
        if len(self._known) >= KNOWN_LIMIT:
            self._known.clear()
        self._known.add(user)

    def _failed(self, batch: Batch, error: StoreError) -> None:
        """Nobody knows whether the unit was done; it is tried again. Who waits for a reservation need not."""
        self._lose(error, len(self._pending) + len(batch.orders))
        for order in (*batch.orders, *self._pending):
            order.refuse(error)

    def _lose(self, error: StoreError, queued: int) -> None:
        """From now on reservations are refused at once, until a unit succeeds."""
        if not self._away:
            self._away = True
            self._note("ledger_away", detail=str(error), queued=queued)

    def _recovered(self) -> None:
        if self._away:
            self._away = False
            self._note("ledger_back", queued=len(self._pending))

    async def _refused(self, batch: Batch, error: StoreError) -> StoreError | None:
        """The unit was done already, or an order in it is nonsense to the database, which is a bug or somebody's
        trigger: then the others shall not suffer for it."""
        try:
            done = await self._database.fetchval(FIND_UNIT, batch.name)
        except StoreError as failure:
            self._failed(batch, failure)
            return failure
        self._unsure = None
        self._fresh_until = math.inf
        self._recovered()
        if done is not None:
            self._done = batch.name
            for order in batch.orders:
                if order.left:
                    self._release_unheard(order)
                elif order.entry is not None:
                    self._written(order)
        elif len(batch.orders) == 1:
            order = batch.orders[0]
            self._drop(order, str(error))
            if order.entry is not None:  # else that was what is refused
                self._give_back(order.reservation.user, order.ended)
        else:
            return await self._write_singly(deque(batch.orders))
        return None

    async def _write_singly(self, orders: deque[Order]) -> StoreError | None:
        try:
            while orders:
                failed = await self._write(self._next([orders.popleft()]))
                if failed is not None:
                    return failed
        finally:
            self._pending.extendleft(reversed(orders))  # also when this task is ended meanwhile
        return None
