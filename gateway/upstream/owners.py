"""Which key made which Responses answer, and for whom.

A Responses call with `previous_response_id` (or one that fetches an answer) only works with the key that made
it. Many users share a key, so the provider would show each of them the answers of all: whose an answer is, only the
gateway knows. The newest are in memory, all of them in the database; what memory has forgotten is looked up there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

OWNERS_LIMIT = 20_000
"""Answers remembered in memory, about 5 MB: a conversation's next turn comes within minutes."""

PENDING_LIMIT = 50_000
"""Answers not yet written. When the database is away for long, the oldest are given up; memory still has them."""


class Owner(NamedTuple):
    """A provider's key, by the digest (hex) of its secret, the model asked for, and the user of the API token that
    asked; "" where there was none."""

    provider: str
    digest: str
    model: str
    user: str


class ResponseOwners:
    """A bounded memory before the database. `look_up` asks the latter."""

    def __init__(self, look_up: Callable[[str], Awaitable[Owner | None]]) -> None:
        self._look_up = look_up
        self._known: OrderedDict[str, Owner] = OrderedDict()
        self._pending: OrderedDict[str, Owner] = OrderedDict()

    def remember(self, response_id: str, owner: Owner) -> None:
        self._known[response_id] = owner
        self._pending[response_id] = owner
        if len(self._known) > OWNERS_LIMIT:
            self._known.popitem(last=False)
        if len(self._pending) > PENDING_LIMIT:
            self._pending.popitem(last=False)

    async def owner(self, response_id: str) -> Owner | None:
        """Raises StoreUnavailable when the database cannot be asked."""
        known = self._known.get(response_id)
        return known if known is not None else await self._look_up(response_id)

    def take_pending(self) -> list[tuple[str, Owner]]:
        """What the database does not have yet."""
        taken = list(self._pending.items())
        self._pending.clear()
        return taken

    def give_back(self, pending: list[tuple[str, Owner]]) -> None:
        """Writing failed: keep them for the next time."""
        self._pending = OrderedDict([*pending, *self._pending.items()])
        while len(self._pending) > PENDING_LIMIT:
            self._pending.popitem(last=False)
