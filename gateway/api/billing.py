"""`/billing/…`: what a user has, and what happened to it. Each user sees his own.

GET /billing/balance                    {"user_id", "balance"}
GET /billing/transactions?limit&offset  {"user_id", "transactions": [{"id", "amount", "description", "timestamp", …}],
                                         "limit", "offset"}, the newest first

Amounts are JSON numbers in `billing.currency`, written exactly: a reader that has decimals gets every nano-unit. What a
user pays is negative. Times are in UTC, as ISO 8601 has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from gateway import jsonlib
from gateway.api.bodies import wrong
from gateway.api.errors import JSON
from gateway.api.inbound import Inbound
from gateway.errors import RequestError
from gateway.net.connection import Reply
from gateway.observe.record import decimal
from gateway.store.books import PAGE_LIMIT, Books
from gateway.store.entries import Written

DEFAULT_LIMIT = 50

OFFSET_LIMIT = 10**12


class BillingSurface:
    """`default_balance` (nano-units) is what a user begins with; None: billing is off. `clock` gives unix seconds."""

    def __init__(self, books: Books, default_balance: int | None, clock: Callable[[], float]) -> None:
        self._books = books
        self._default_balance = default_balance
        self._clock = clock

    async def balance(self, inbound: Inbound, reply: Reply) -> None:
        user = await self._opened(inbound)
        account = await self._books.account(user)
        body = write_exactly({"user_id": user}, {"balance": account.balance if account is not None else 0})
        await reply.send(200, [JSON, *inbound.own_headers()], body)

    async def transactions(self, inbound: Inbound, reply: Reply) -> None:
        query = parse_qs(inbound.request.query)
        limit = read_number(query, "limit", DEFAULT_LIMIT, 1, PAGE_LIMIT)
        offset = read_number(query, "offset", 0, 0, OFFSET_LIMIT)
        user = await self._opened(inbound)
        entries = b",".join([write_transaction(written) for written in await self._books.page(user, limit, offset)])
        ends = jsonlib.dumps({"user_id": user})[:-1], jsonlib.dumps({"limit": limit, "offset": offset})[1:]
        await reply.send(
            200, [JSON, *inbound.own_headers()], b'%b,"transactions":[%b],%b' % (ends[0], entries, ends[1])
        )

    async def _opened(self, inbound: Inbound) -> str:
        """The user who asks; he has an account then. Raises RequestError 404 where nobody has."""
        identity = inbound.identity
        if self._default_balance is None or not identity.token:
            raise RequestError(404, "not_found", "There are no balances here: billing is off, or you are no user.")
        await self._books.open(identity.user, self._default_balance, self._clock())
        return identity.user


def read_number(query: Mapping[str, list[str]], name: str, default: int, least: int, most: int) -> int:
    """A number in a query. Raises RequestError 400."""
    text = query.get(name, [str(default)])[0]
    if not text.isascii() or not text.isdigit() or len(text) > 20 or not least <= int(text) <= most:
        raise wrong(name, f"a number from {least} to {most}")
    return int(text)


def write_transaction(written: Written) -> bytes:
    """An entry as its user may see it: without the provider's key."""
    entry = written.entry
    fields: dict[str, Any] = {
        "id": entry.charge_id,
        "description": describe(entry.kind, entry.model, entry.note),
        "timestamp": datetime.fromtimestamp(entry.made_at, UTC).isoformat(timespec="milliseconds"),
        "kind": entry.kind,
    }
    if entry.kind == "charge":
        fields |= {
            "request_id": entry.request_id,
            "token": entry.token,
            "model": entry.model,
            "provider": entry.provider,
            "usage": jsonlib.loads(entry.usage),
            "estimated": bool(entry.estimated),
        }
    return write_exactly(fields, {"amount": entry.amount, "balance_after": written.balance_after})


def describe(kind: str, model: str, note: str) -> str:
    """A line for people: "gpt-4o (client gone)", "paid by card", "debit"."""
    if not model:
        return note or kind
    return f"{model} ({note})" if note else model


def write_exactly(fields: Mapping[str, Any], amounts: Mapping[str, int]) -> bytes:
    """A JSON object with these fields, and with nano-units as decimal numbers, of which no float loses a digit."""
    numbers = b",".join(
        [b"%b:%b" % (jsonlib.dumps(name), decimal(amount).encode()) for name, amount in amounts.items()]
    )
    return b"%b,%b}" % (jsonlib.dumps(fields)[:-1], numbers)
