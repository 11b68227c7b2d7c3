"""Who may come in: limits of all clients together, of each user and of each API token, before anything else is done.

Counting is `policy/limits.py`'s, in memory, or `store/redis.py`'s for several gateways (`SharedLimits`). Here it is
decided whose limits apply and how many tokens are reserved, and the client is told how much is left.

Invariants:
- A request is counted once, however it ends, but for one that is refused before a provider was asked: that one is
  given back, as long as there is no flood of them. Its tokens are those that its provider reported; those that were
  reserved, if an answer began and nothing was reported; none, if no answer began, or if it came from the cache.
- What was counted outlives a reload; the limits are those of the configuration in force.
- What several gateways decide together is counted here as well, so that this one can go on alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.conductor.ask import Ask, Header
from gateway.conductor.estimate import estimate_tokens, refuse_background
from gateway.conductor.identity import Identity
from gateway.conductor.shared_limits import Shared, SharedLimits
from gateway.config.accounts import NO_LIMITS, LimitsConfig, RateLimits
from gateway.errors import RequestError
from gateway.net.connection import Reply
from gateway.observe.record import RequestRecord
from gateway.policy.limits import Headroom, Limits, Refusal, Subject, Ticket

NO_RETRY: Header = (b"x-should-retry", b"false")
"""What makes the SDKs of OpenAI and Anthropic give up at once."""

WHOSE = {"global": "of all clients together", "user": "of this user", "token": "of this API token"}


class Admitted(NamedTuple):
    """A request that came in, until it leaves: as it was counted here, and elsewhere."""

    ticket: Ticket
    shared: Shared | None


class Admission:
    """Made once; `arrange` tells it of each configuration. `clock` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float], shared: SharedLimits) -> None:
        self._clock = clock
        self._shared = shared
        self._limits = Limits()
        self._counted = {(scope, outcome): 0 for scope in WHOSE for outcome in ("allowed", "refused")}
        self._user: RateLimits | None = None  # of the configuration
        self._token: RateLimits | None = None
        self._global: list[Subject] = []

    def arrange(self, config: LimitsConfig) -> None:
        """Other limits from now on. Raises StoreError when they cannot be kept where they are meant to be."""
        self._shared.arrange(config)
        self._user, self._token = config.user or None, config.token or None
        self._global = [Subject("global", "", config.global_)] if config.global_ else []

    def counted(self) -> Mapping[tuple[str, str], int]:
        """Decisions by scope and outcome: "allowed" by the limits of each scope, "refused" by the one that is named."""
        return self._counted

    def state(self) -> dict[str, Any]:
        """For operators: `SharedLimits.state`."""
        return self._shared.state()

    def fallbacks(self) -> int:
        """Decisions that this gateway made alone, because Redis did not answer."""
        return self._shared.fallbacks

    async def run(self) -> None:
        """What is done beside requests, for ever."""
        await self._shared.run()

    async def close(self) -> None:
        """Every request has left."""
        await self._shared.close()

    async def enter(self, ask: Ask, reply: Reply) -> Admitted | None:
        """None: no limits apply. Raises RequestError 429, and 400 for what cannot be counted."""
        subjects = self._subjects(ask.identity)
        if not subjects:
            return None
        tokens = 0
        for subject in subjects:
            if subject.limits.tokens_per_minute:
                refuse_background(ask)
                tokens = estimate_tokens(ask)
                break
        shared = None
        decision: Ticket | Refusal
        if self._shared.used:
            decision, shared = await self._decide_together(subjects, tokens)
        else:
            decision = self._limits.take(subjects, tokens, self._clock())
        if isinstance(decision, Refusal):
            self._counted[decision.scope, "refused"] += 1
            raise _refused(decision, tokens, reply)
        for subject in subjects:
            self._counted[subject.scope, "allowed"] += 1
        if ask.shape != "raw":  # there the provider's own are passed on
            told = decision if shared is None else shared.grant
            _tell(reply, told.requests, told.tokens)
        ask.metered = decision.reserved > 0
        return Admitted(decision, shared)

    async def _decide_together(
        self, subjects: Sequence[Subject], tokens: int
    ) -> tuple[Ticket | Refusal, Shared | None]:
        """By all gateways, if they answer; else by this one."""
        shared = await self._shared.take(subjects, tokens)
        if isinstance(shared, Refusal):
            return shared, None
        if shared is not None:
            return self._limits.note(subjects, tokens, self._clock()), shared
        return self._limits.take(subjects, tokens, self._clock()), None

    def leave(self, admitted: Admitted, record: RequestRecord, *, refused: bool = False) -> None:
        """The request has ended, well or not; `refused`: by the gateway, without having asked a provider."""
        ticket, shared = admitted
        used = _used(ticket.reserved, record)
        now = self._clock()
        ticket.settle(used, now)
        given_back = refused and ticket.give_back(now)
        if shared is not None:
            self._shared.settle(shared, used, given_back=given_back)

    def _subjects(self, identity: Identity) -> list[Subject]:
        """Whose limits apply."""
        own, of_token = identity.limits, identity.token_limits
        limits = self._user if own is NO_LIMITS or not own else own
        subjects = self._global
        if limits is not None:
            subjects = [*subjects, Subject("user", identity.user, limits)]
        if identity.token:
            limits = self._token if of_token is NO_LIMITS or not of_token else of_token
            if limits is not None:
                subjects = [*subjects, Subject("token", f"{identity.user}\0{identity.token}", limits)]
        return subjects


def _used(reserved: int, record: RequestRecord) -> int:
    if not reserved:  # a call that uses none; what it reports was used by another one
        return 0
    if record.cache == "hit":
        return 0  # they were used by whoever asked first
    usage = record.usage
    if usage is not None:
        return usage.input + usage.output
    return reserved if record.first_byte_at else 0


def _refused(refusal: Refusal, tokens: int, reply: Reply) -> RequestError:
    _tell(reply, refusal.requests, refusal.tokens)
    limit = f"{refusal.kind} = {refusal.limit} {WHOSE[refusal.scope]}"
    if refusal.retry_after is None:
        reply.extra_headers = (*reply.extra_headers, NO_RETRY)
        message = (
            f"The request is too large for the limit {limit}: with the longest answer it allows it may use about "
            f"{tokens} tokens. Send a shorter one, or allow a shorter answer."
        )
    elif refusal.kind == "concurrency":
        message = f"Too many requests at once: the limit is {limit}. Try again when one of them has ended."
    else:
        message = f"The limit {limit} is reached. Try again in {math.ceil(refusal.retry_after)} s."
    return RequestError(
        429,
        "rate_limit_exceeded",
        message,
        retry_after=refusal.retry_after,
        extra={"scope": refusal.scope, "limit": refusal.kind},
    )


def _tell(reply: Reply, requests: Headroom | None, tokens: Headroom | None) -> None:
    """The tightest limits, as OpenAI does. https://developers.openai.com/api/docs/guides/rate-limits"""
    headers = [*reply.extra_headers]
    if requests is not None:
        headers += (
            (b"x-ratelimit-limit-requests", b"%d" % requests.limit),
            (b"x-ratelimit-remaining-requests", b"%d" % requests.remaining),
            (b"x-ratelimit-reset-requests", format_reset(requests.reset)),
        )
    if tokens is not None:
        headers += (
            (b"x-ratelimit-limit-tokens", b"%d" % tokens.limit),
            (b"x-ratelimit-remaining-tokens", b"%d" % tokens.remaining),
            (b"x-ratelimit-reset-tokens", format_reset(tokens.reset)),
        )
    reply.extra_headers = headers


def format_reset(seconds: float) -> bytes:
    """A duration in the form of OpenAI's headers, rounded up: "1s", "6m0s", "1h0m59s"."""
    whole = math.ceil(seconds)
    if whole < 60:
        return b"%ds" % whole
    if whole < 3600:
        return b"%dm%ds" % (whole // 60, whole % 60)
    return b"%dh%dm%ds" % (whole // 3600, whole // 60 % 60, whole % 60)
