"""What the requests of one user have set aside, and what those that have ended leave to the next. Pure.

A request that costs less than was reserved for it gives the rest back. Where a user asks often, it is left to his next
request, which need not ask the database then: in a steady flow few do. What none of them has wanted for a while is
given back after all. So the database has as much reserved as his requests may have cost at once, a moment ago, and
nobody pays with money that is not reserved there.

Rows are the reservations in the database. Every amount is in nano-units.
"""

from __future__ import annotations

from typing import NamedTuple

KEEP_FROM = 8
"""Requests between two looks, from which on something is kept: some each second."""


class Ended(NamedTuple):
    """What is given back: reservations that end, and how much less others are from now on."""

    ids: list[str]
    less: list[tuple[str, int]]


class Purse:
    """One user's. What its rows hold is never less than what its requests do."""

    __slots__ = ("_before", "_begun", "_held", "_low", "_requests", "_rows", "_total", "given")

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._requests: dict[str, int] = {}
        self._total = 0  # of the rows
        self._held = 0  # by the requests
        self._low = 0  # the least that was spare since the last look
        self._begun = 0  # requests since then
        self._before = 0  # and in the time before
        self.given = 0  # back, of what was spare

    @property
    def spare(self) -> int:
        """What the next request may have."""
        return self._total - self._held

    @property
    def idle(self) -> bool:
        """Whether nobody has anything in it."""
        return not self._requests and not self._rows

    def has(self, name: str) -> bool:
        """Whether there is a request of that name, or a row."""
        return name in self._requests or name in self._rows

    def begin(self, request: str, amount: int) -> None:
        """A request takes so much of what is spare."""
        self._begun += 1
        self._requests[request] = amount
        self._held += amount
        self._low = min(self._low, self._total - self._held)

    def add(self, request: str, amount: int) -> None:
        """So much was reserved for a request, under its name."""
        self._rows[request] = amount
        self._total += amount
        self.begin(request, amount)

    def end(self, request: str, cost: int) -> Ended | None:
        """A request is over, and what it cost is charged. None: it is none of these. What it cost beyond what it had
        comes out of what is spare, as far as that goes."""
        amount = self._requests.pop(request, None)
        if amount is None:
            return None
        spare = self._total - self._held
        used = min(max(cost, 0), amount + spare)
        self._held -= amount
        if self._begun < KEEP_FROM and self._before < KEEP_FROM:
            used = amount + spare
            self.given += spare
        self._low = min(self._low, amount + spare - used)
        return self._give_back(used, request)

    def look(self) -> Ended:
        """What nobody has wanted since the last look. To be called at equal intervals."""
        self._before, self._begun = self._begun, 0
        self.given += self._low
        ended = self._give_back(self._low, "")
        self._low = self.spare
        return ended

    def close(self) -> Ended:
        """All that is spare."""
        self._low = 0
        self.given += self.spare
        return self._give_back(self.spare, "")

    def _give_back(self, amount: int, first: str) -> Ended:
        rows = self._rows
        self._total -= amount
        ids = []
        if not self._total:  # rows of nothing as well
            ids = list(rows)
            rows.clear()
            return Ended(ids, [])
        if rows.get(first, amount + 1) <= amount:
            amount -= rows.pop(first)
            ids.append(first)
        less = []
        for row, held in rows.items():
            if held > amount:
                less = [(row, amount)] if amount else []
                break
            ids.append(row)
            amount -= held
        for row in ids:
            rows.pop(row, None)
        for row, amount in less:
            rows[row] -= amount
        return Ended(ids, less)


class Purses:
    """By user, of those with requests in flight, or with some just now."""

    __slots__ = ("_of", "_used")

    def __init__(self) -> None:
        self._of: dict[str, Purse] = {}
        self._used: set[str] = set()  # whose have changed since the last look

    @property
    def used(self) -> bool:
        """Whether there will be something to look at."""
        return bool(self._used)

    def get(self, user: str) -> Purse | None:
        return self._of.get(user)

    def spare(self, user: str) -> int:
        purse = self._of.get(user)
        return 0 if purse is None else purse.spare

    def begin(self, user: str, request: str, amount: int) -> None:
        """See `Purse`."""
        self._of[user].begin(request, amount)
        self._used.add(user)

    def add(self, user: str, request: str, amount: int) -> None:
        """See `Purse`."""
        purse = self._of.get(user)
        if purse is None:
            purse = self._of[user] = Purse()
        purse.add(request, amount)
        self._used.add(user)

    def end(self, user: str, request: str, cost: int) -> Ended:
        """See `Purse`. Of one that is unknown here the database may have a row."""
        purse = self._of.get(user)
        self._used.add(user)
        ended = None if purse is None else purse.end(request, cost)
        if ended is not None:
            return ended
        return Ended([] if purse is not None and purse.has(request) else [request], [])

    def forget(self, user: str) -> None:
        """The user is gone, and all that was reserved for him."""
        self._of.pop(user, None)

    def look(self) -> list[tuple[str, Ended]]:
        """What users have not wanted since the last look. Of those who have not asked since there is nothing."""
        used, self._used = self._used, set()
        found = []
        for user in used:
            purse = self._of.get(user)
            if purse is None:
                continue
            found.append((user, purse.look()))
            if purse.idle:
                del self._of[user]
            elif purse.spare:
                self._used.add(user)
        return found

    def close(self) -> list[tuple[str, Ended]]:
        """All that is spare."""
        return [(user, purse.close()) for user, purse in self._of.items()]
