"""`/admin/users/NAME/credit|debit|transactions` and `/admin/usage`: money and use, for admins only.

An adjustment with an `id` is made once, however often it is asked for; the answer says whether it is `repeated`, and
the `balance` of now. The same id for anything else is a 409, and so is a debit below zero without `force`.
Amounts are texts, `"12.5"`, of which no reader loses a digit.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import parse_qs, unquote

from gateway import jsonlib
from gateway.api.admin_body import Body
from gateway.api.admin_keys import parse_limit
from gateway.api.billing import DEFAULT_LIMIT, OFFSET_LIMIT, describe, read_number
from gateway.api.bodies import wrong
from gateway.api.inbound import Inbound
from gateway.config.accounts import USER_NAME_LIMIT
from gateway.config.model import Config
from gateway.errors import RequestError
from gateway.money import NANO
from gateway.observe.record import decimal
from gateway.store.accounts import AccountStore
from gateway.store.books import PAGE_LIMIT, Books
from gateway.store.entries import Entry, Written
from gateway.store.usage_hourly import COLUMNS, Sums, UsageStore

Endpoint = Callable[[Inbound], Awaitable[dict[str, Any]]]

AMOUNT_LIMIT = 10**18
"""Nano-units, a thousand million of the currency: more is a slip."""

ID_LIMIT = 100
ROWS_LIMIT = 1000
DAY = 86400


class MoneyAdmin:
    """`default_balance` is in nano-units, `flush` writes what of the usage is still in memory, `now` gives unix
    seconds."""

    def __init__(
        self,
        books: Books,
        usage: UsageStore,
        accounts: AccountStore,
        config: Config,
        flush: Callable[[], Awaitable[object]],
        now: Callable[[], float],
    ) -> None:
        self._books = books
        self._usage = usage
        self._accounts = accounts
        self._config = config
        self._flush = flush
        self._now = now
        self._default_balance = int(config.billing.default_balance * NANO)
        self._configured = {token.user or name for name, token in config.tokens.items()}

    def endpoint(self, method: str, path: str) -> Endpoint | None:
        """None for a path that is none of these. Raises RequestError 405."""
        match path.split("/")[2:]:
            case ["users", name, "credit" | "debit" as kind]:
                wanted, endpoint = "POST", partial(self._adjust, unquote(name), kind)
            case ["users", name, "transactions"]:
                wanted, endpoint = "GET", partial(self._transactions, unquote(name))
            case ["usage"]:
                wanted, endpoint = "GET", partial(self._report)
            case _:
                return None
        if method != wanted:
            message = f"{method[:20]} is not for this path."
            raise RequestError(405, "method_not_allowed", message, extra={"allow": wanted})
        return endpoint

    async def _adjust(self, name: str, kind: str, inbound: Inbound) -> dict[str, Any]:
        body = Body(inbound, "amount", "note", "id", "force")
        amount = _amount(body)
        called = body.text("id", os.urandom(12).hex())
        if len(called) > ID_LIMIT:
            raise wrong("id", f"a text of up to {ID_LIMIT} characters")
        if not self._config.billing.enabled:
            raise RequestError(409, "not_configured", "Billing is off: set billing.enabled.")
        await self._check_known(name)
        signed = amount if kind == "credit" else -amount
        entry = Entry(f"{kind} {called}", kind, signed, self._now(), note=body.note())
        covered = kind == "debit" and not body.flag("force", False)
        written = await self._books.adjust(name, entry, self._default_balance, covered=covered)
        if written is None and covered:
            await self._refuse_uncovered(name, entry)
        if written is None:
            raise RequestError(400, "invalid_request_error", "The balance would become absurd.", param="amount")
        if (written.user, written.entry.amount) != (name, signed):
            raise RequestError(409, "already_exists", f"There is another {kind} with the id {called!r}.", param="id")
        account = await self._books.account(name)
        balance = written.balance_after if account is None else account.balance
        repeated = written.entry.made_at != entry.made_at
        return {**_describe(written), "repeated": repeated, "balance": decimal(balance)}

    async def _refuse_uncovered(self, name: str, debit: Entry) -> None:
        """A slip shall not lock a user out, nor take what his requests have been promised. Raises RequestError 409."""
        account = await self._books.open(name, self._default_balance, debit.made_at)
        left = account.balance + debit.amount
        message = f"The balance is {decimal(account.balance)} and would be {decimal(left)}"
        if left >= 0:
            message += f", of which requests in flight have reserved {decimal(account.reserved)}"
        message += "; 'force' (--force) takes it below zero."
        raise RequestError(409, "below_zero", message, param="amount")

    async def _transactions(self, name: str, inbound: Inbound) -> dict[str, Any]:
        query = parse_qs(inbound.request.query)
        limit = read_number(query, "limit", DEFAULT_LIMIT, 1, PAGE_LIMIT)
        offset = read_number(query, "offset", 0, 0, OFFSET_LIMIT)
        await self._check_known(name)
        written = await self._books.page(name, limit, offset)
        return {"user": name, "transactions": [_describe(one) for one in written], "limit": limit, "offset": offset}

    async def _check_known(self, name: str) -> None:
        """A user is known by an entry, by a token, or by the configuration. A slip shall not make another."""
        if name not in self._configured and not await self._accounts.knows(name):
            raise RequestError(404, "not_found", f"There is no user {name[:USER_NAME_LIMIT]!r}.", param="name")

    async def _report(self, inbound: Inbound) -> dict[str, Any]:
        query = parse_qs(inbound.request.query)
        by = query.get("by", ["model"])[0]
        if by not in (*COLUMNS, "token"):
            raise wrong("by", f"one of {', '.join((*COLUMNS, 'token'))}")
        seconds = read_number(query, "since", DAY, 1, 36_500 * DAY)
        await self._flush()
        since, limit = self._now() - seconds, parse_limit(query, ROWS_LIMIT)
        rows: list[tuple[dict[str, str], Sums]]
        if by == "token":
            found = await self._usage.report_by_token(since, limit)
            rows = [({"token": token, "user": user}, sums) for user, token, sums in found]
        else:
            rows = [({by: name}, sums) for name, sums in await self._usage.report(by, since, limit)]
        return {
            "by": by,
            "since": seconds,
            "currency": self._config.billing.currency,
            "usage": [{**names, **sums._asdict(), "cost": decimal(sums.cost)} for names, sums in rows],
        }


def _amount(body: Body) -> int:
    """Nano-units. A JSON number, or a text where a float would lose digits."""
    try:
        amount = Decimal(str(body.fields.get("amount"))) * NANO
    except ArithmeticError:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 < amount <= AMOUNT_LIMIT or amount != int(amount):
        raise wrong("amount", f"more than 0, at most {decimal(AMOUNT_LIMIT)}, with nine decimals at most")
    return int(amount)


def _describe(written: Written) -> dict[str, Any]:
    entry = written.entry
    return {
        "user": written.user,
        "seq": written.seq,
        "id": entry.charge_id,
        "kind": entry.kind,
        "amount": decimal(entry.amount),
        "balance_after": decimal(written.balance_after),
        "description": describe(entry.kind, entry.model, entry.note),
        "timestamp": entry.made_at,
        "request_id": entry.request_id,
        "token": entry.token,
        "model": entry.model,
        "provider": entry.provider,
        "key": entry.key,
        "price_version": entry.price_version,
        "usage": jsonlib.loads(entry.usage),
        "estimated": bool(entry.estimated),
    }
