"""What requests cost, from what is set aside before an attempt to the entry in the ledger.

Set aside is what the request can cost at most (`upperbound.py`), at the price of the model that it goes to. What is
charged in the end is the settlement table's word (`policy/settlement.py`). The ledger (`store/ledger.py`) does both.

Invariants:
- Nothing is asked of a provider before the database has reserved the money, and no answer ends before its entry is
  durable.
- A bill is ended exactly once: charged, or released. What a stream reports after its end adjusts the charge.
- What the client did not wait for is settled by the ledger's queue, never in a task that may be cancelled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gateway import jsonlib
from gateway.conductor.ask import FREE, Ask
from gateway.conductor.estimate import SILENT, pictures, prompt_bytes, refuse_background
from gateway.conductor.extras import Extras, find_extras, refuse_models
from gateway.conductor.hiddenthought import may_think_unseen
from gateway.conductor.routes import Target
from gateway.conductor.upperbound import at_most, referred
from gateway.config.accounts import BillingConfig
from gateway.errors import RequestError, StoreError, Withheld
from gateway.money import NANO
from gateway.observe.record import RequestRecord, decimal
from gateway.policy.pricing import Price, PriceBook, cost
from gateway.policy.settlement import Ending, Seen, Settlement, settle
from gateway.store.entries import Entry, Refusal, Reservation
from gateway.store.ledger import Ledger
from gateway.usage import Usage
from gateway.wire.output_tap import OutputTap, text_size

FREE_PATHS = frozenset({"/responses/input_tokens"})

BY_TOKENS = frozenset({"chat", "completions", "responses", "messages", "generate", "array", "embeddings", "embed"})
"""Shapes whose answers report their tokens. Of all others only a price for the request itself is known."""

CHARGE_LIMIT = 10**15
"""Nano-units, a million of the currency: no request costs that, whatever its provider reports."""

REPORTED_LATE = "usage that was reported after the end"
"""The note of an entry that sets a charge right."""

FROM_CACHE = "cache"
"""The note of an entry for a hit of the response cache."""

RETRY_AFTER = 5.0
"""Seconds, while the ledger cannot be written."""


class Billing:
    """One configuration's. `clock` gives unix seconds."""

    def __init__(self, config: BillingConfig, prices: PriceBook, ledger: Ledger, clock: Callable[[], float]) -> None:
        self._config = config
        self._prices = prices
        self._ledger = ledger
        self._clock = clock

    async def open(self, ask: Ask, target: Target) -> Bill | None:
        """Set aside what the request costs at most. None: it is free. Raises RequestError 400, 402, 403, 503."""
        if ask.identity.operator or ask.shape in FREE or ask.path in FREE_PATHS:
            return None
        refuse_background(ask)
        refuse_models(ask)
        price = self._price(ask, target)
        if price is None:
            return None
        if ask.shape not in BY_TOKENS:
            price = replace(price, request=price.request * pictures(ask))
        provider = target.provider  # without quirks it is OpenAI; translated, the limit has the name that it knows
        long_name = not provider.quirks or ask.dialect not in provider.endpoints
        most = at_most(ask, price, self._config.reserve_output_tokens, long_name=long_name)
        if not most.amount:
            return None
        amount = min(most.amount, CHARGE_LIMIT)
        left_out = self._left_out(ask, target, price)
        try:
            granted = await self._ledger.reserve(ask.identity.user, amount)
        except StoreError as error:
            raise _unavailable(error) from None
        if isinstance(granted, Refusal):
            raise self._refused(ask, amount, granted)
        bill = Bill(ask, price, granted, self._ledger, self._clock)
        bill.left_out, bill.longest, bill.model = left_out, most.output, target.model
        return bill

    async def charge_hit(self, ask: Ask, amount: int, record: RequestRecord) -> None:
        """Charge for an answer from the cache before it is sent; it has taken no tokens. Raises RequestError 402, 403,
        503."""
        if ask.identity.operator or not amount:
            return
        try:
            granted = await self._ledger.reserve(ask.identity.user, amount)
            if isinstance(granted, Refusal):
                raise self._refused(ask, amount, granted, kept=True)
            entry = Entry(
                granted.id,
                "charge",
                -amount,
                self._clock(),
                record.request_id,
                record.token_name,
                record.upstream_model,
                record.provider,
                note=FROM_CACHE,
            )
            await self._ledger.settle(granted, entry)
        except StoreError as error:
            raise _unavailable(error) from None
        record.cost = amount

    def departure(self, record: RequestRecord) -> Ending:
        """What it is when the client leaves now: before the first output the provider may have been asked, or not."""
        asked_in_vain = record.sent and record.phase != "streaming" and self._config.aborted == "prompt"
        return Ending.ABANDONED if asked_in_vain else Ending.CLIENT_GONE

    def _price(self, ask: Ask, target: Target) -> Price | None:
        """None: nothing is charged."""
        provider = target.provider
        price = self._prices.find(provider.name, provider.type.name, target.model) if target.model else None
        if price is not None and (ask.shape in BY_TOKENS or price.request or not any(price.rates)):
            return price
        if self._config.unpriced == "free":
            return None
        what = f"the model {target.model[:200]!r}" if target.model else f"{ask.path[:200]!r}"
        of_requests = " for a request" if price is not None else ""  # its tokens have one, and are not reported here
        raise RequestError(
            402,
            "unpriced_model",
            f"There is no price{of_requests} for {what} of the provider {provider.name!r}, and what has none is not "
            "served here.",
        )

    def _left_out(self, ask: Ask, target: Target, price: Price) -> tuple[str, ...]:
        """Tools that are not served since their calls have no price. Raises RequestError 402 for what the request
        insists on."""
        if self._config.unpriced_extras == "free" or ask.fields is None or ask.shape not in BY_TOKENS:
            return ()  # speech has a `speed`, too
        extras = find_extras(ask.fields, target.model, calls_priced=price.request > 0)
        if extras.offered and self._config.unpriced_extras == "reject":
            extras = Extras(extras.offered[0])
        if not extras.demanded:
            return extras.offered
        raise RequestError(
            402,
            "unpriced_model",
            f"{extras.demanded[:100]!r} costs more than the tokens that are charged for, and what has no price is not "
            "served here. Without it the request would be.",
            param=extras.demanded[:100],
        )

    def _refused(self, ask: Ask, amount: int, refusal: Refusal, *, kept: bool = False) -> RequestError:
        """`kept`: the answer is there already, in the cache."""
        if refusal.disabled:
            return RequestError(403, "permission_denied", f"The user {ask.identity.user[:200]!r} is disabled.")
        currency, available = self._config.currency, refusal.balance - refusal.reserved
        price = f"This {'answer costs' if kept else 'request may cost up to'} {decimal(amount)} {currency}"
        if refusal.balance <= 0:
            message = f"The balance is exhausted. {price}, the balance is {decimal(refusal.balance)} {currency}."
        elif refusal.balance < amount:
            message = (
                f"The balance is too small for this. {price}, the balance is {decimal(refusal.balance)} {currency}."
            )
        else:
            message = (
                f"The balance is not exhausted, but reserved by requests in flight. {price}, and of "
                f"{decimal(refusal.balance)} {currency} {decimal(max(available, 0))} {currency} are free for now."
            )
        if refusal.balance > 0 and not kept and ask.shape in BY_TOKENS - SILENT:
            message += " A shorter limit for the answer takes less."
        return RequestError(
            402,
            "insufficient_quota",
            message,
            extra={"required": amount / NANO, "available": available / NANO},
        )


class Bill:
    """One request's. `output` is to be told of the text of a stream as it passes; `unread` is set where nobody looks at
    what passes. `left_out` are the tools that the provider must not see, `longest` are the tokens of the longest answer
    that `model` may give."""

    __slots__ = (
        "_ask", "_charged", "_clock", "_ended", "_ledger", "_price", "_reservation", "left_out", "longest", "model",
        "output", "unread",
    )  # fmt: skip

    def __init__(
        self, ask: Ask, price: Price, reservation: Reservation, ledger: Ledger, clock: Callable[[], float]
    ) -> None:
        self._ask = ask
        self._price = price
        self._reservation = reservation
        self._ledger = ledger
        self._clock = clock
        self._ended = False
        self._charged: int | None = None  # for a stream that may go on
        self.output = OutputTap(ask.shape)
        self.left_out: tuple[str, ...] = ()
        self.longest = 0
        self.model = ""
        self.unread = False

    @property
    def by_tokens(self) -> bool:
        """Whether what it costs is only known at the end of the answer."""
        return self._ask.shape in BY_TOKENS

    def see(self, decoded: object, shape: str, record: RequestRecord) -> None:
        """Look at a whole answer, if it does not report its output. None: it cannot be read."""
        if record.usage is not None and record.usage.output:
            return
        if decoded is None:
            self.unread = True
        else:
            self.output.add(text_size(decoded, shape))

    async def settle(self, record: RequestRecord) -> None:
        """Charge for a whole answer, before it is sent. `record` has its usage, and gets its cost. Raises RequestError
        503 when the entry cannot be written for now; then nothing is charged."""
        entry = self._end(Ending.COMPLETE, record, output_sent=True)
        if entry is None:
            return
        try:
            await self._ledger.settle(self._reservation, entry)
        except StoreError as error:
            record.cost = None
            raise _unavailable(error) from None

    async def settle_stream(self, record: RequestRecord) -> None:
        """Charge for a stream before its last word. Raises Withheld when the entry is not durable for now; it will be,
        since the client has got nearly all of the answer."""
        entry = self._end(Ending.COMPLETE, record, output_sent=True)
        if entry is None:
            return
        self._charged = -entry.amount
        try:
            await self._ledger.settle(self._reservation, entry, keep=True)
        except StoreError as error:
            raise Withheld(error.message) from None

    def close(self, ending: Ending, record: RequestRecord) -> None:
        """The request is over, whoever ended it. Charges for what has gone out, if nothing else has."""
        if self._charged is not None:
            self._adjust(self._charged, record)
            return
        entry = self._end(ending, record, output_sent=record.phase == "streaming")
        if entry is not None:
            self._ledger.settle_later(self._reservation, entry)

    def _adjust(self, charged: int, record: RequestRecord) -> None:
        """Set right what was charged at a stream's end, if the stream went on."""
        settlement = self._settlement(Ending.COMPLETE, record, output_sent=True)
        amount = self._amount(settlement)
        if amount != charged and settlement.usage is not None:
            record.cost = amount
            nothing = Reservation(f"{self._reservation.id}.late", self._reservation.user, 0)
            entry = self._entry("adjustment", charged - amount, settlement, record, REPORTED_LATE)
            self._ledger.settle_later(nothing, entry._replace(charge_id=nothing.id))

    def _end(self, ending: Ending, record: RequestRecord, *, output_sent: bool) -> Entry | None:
        """None: there is nothing to write any more."""
        if self._ended:
            return None
        self._ended = True
        settlement = self._settlement(ending, record, output_sent=output_sent)
        if settlement.usage is None:
            self._ledger.release(self._reservation)
            return None
        amount = self._amount(settlement)
        record.cost = amount
        return self._entry("charge", -amount, settlement, record, "" if ending is Ending.COMPLETE else ending.value)

    def _settlement(self, ending: Ending, record: RequestRecord, *, output_sent: bool) -> Settlement:
        usage = record.usage
        if not self.by_tokens and usage is None:
            usage = Usage()  # the request alone has a price
        ask, output = self._ask, self.output
        prompt = beside = 0  # looked at only where nobody has counted, as the output is: both may have megabytes
        if usage is None or usage.input_uncached is None:
            prompt, beside = prompt_bytes(ask), referred(ask, self._price)
        said = since = 0
        if ending is not Ending.COMPLETE or usage is None or not usage.output:
            said, since = output.seen, output.since_report
        unread = self.unread and ask.shape not in SILENT
        longest = self.longest if ending is Ending.CLIENT_GONE and may_think_unseen(ask, self.model) else 0
        seen = Seen(prompt, said, since, beside, longest, unread)
        return settle(ending, usage, seen, output_sent=output_sent)

    def _amount(self, settlement: Settlement) -> int:
        if settlement.reserved:
            return self._reservation.amount
        amount = min(cost(self._price, settlement.usage or Usage()), CHARGE_LIMIT)
        return min(amount, self._reservation.amount) if settlement.estimated else amount

    def _entry(self, kind: str, amount: int, settlement: Settlement, record: RequestRecord, note: str) -> Entry:
        return Entry(
            self._reservation.id,
            kind,
            amount,
            self._clock(),
            record.request_id,
            record.token_name,
            record.upstream_model,
            record.provider,
            record.key,
            self._price.version,
            buckets(settlement.usage or Usage()),
            int(settlement.estimated),
            note,
        )


def buckets(usage: Usage) -> str:
    """Usage as the ledger keeps it: a JSON object of what was reported, zeros too."""
    return jsonlib.dumps({name: n for name, n in zip(Usage._fields, usage, strict=True) if n is not None}).decode()


def _unavailable(error: StoreError) -> RequestError:
    return RequestError(
        503, "store_unavailable", f"The ledger cannot be written for now: {error.message}.", retry_after=RETRY_AFTER
    )
