"""From an answer to a verdict: who is to blame, and what follows for the key.

Every attempt ends in one `Verdict` or in success. The meaning of an answer is looked up in a literal table of
rows, first match wins: structured fields (`error.code`, `error.type`) stand before text, text before the bare
status code. A vendor's own table (`providers/`) is asked first, then `COMMON_ROWS`.

What this module leaves to others: reading the facts out of a body (`policy/facts.py`), hints for `until` out of
headers (`wire/retry_after.py`), the operator's own rules (`policy/error_rules.py`), and what a verdict does to a key
(`policy/health.py`).

Invariants: a client's mistake never has scope KEY; a transport error never does; text is only looked at in
error bodies, and never for a bare word such as "credit", because errors echo what users wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

from gateway.policy.calendar import Reset
from gateway.policy.facts import TEXT_LIMIT, ErrorFacts
from gateway.quick import dataclass

EVIDENCE_LIMIT = 300
"""Characters kept of what a provider said: enough to recognise the case, too little to hold a prompt."""


class Scope(StrEnum):
    """What a verdict is about."""

    KEY = "key"
    KEY_MODEL = "key_model"
    ACCOUNT = "account"
    PROXY = "proxy"
    PROVIDER = "provider"
    CLIENT = "client"
    GATEWAY = "gateway"


class Status(StrEnum):
    """The statuses of a key, and the outcomes that are no status of a key (after the blank line)."""

    UNTESTED = "untested"
    SUSPECT = "suspect"
    VALID = "valid"
    RATE_LIMITED = "rate_limited"
    NO_QUOTA = "no_quota"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    NO_MODEL = "no_model"
    NO_ACCESS = "no_access"
    INVALID_KEY = "invalid_key"
    DISABLED = "disabled"
    REMOVED = "removed"

    BAD_REQUEST = "bad_request"
    NETWORK_ERROR = "network_error"
    STREAM_DISCONNECT = "stream_disconnect"
    UNKNOWN = "unknown"


REJECTIONS = frozenset({Status.SUSPECT, Status.INVALID_KEY, Status.NO_ACCESS})
"""A key is refused as such, be it for its own fault or for where it is used from."""


class Provenance(StrEnum):
    """How much a deadline weighs: the provider's word is kept, a guess may be shortened."""

    AUTHORITATIVE = "authoritative"
    HEURISTIC = "heuristic"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of an attempt that did not succeed.

    `until` is in unix seconds where the provider named a time, else None: the key's policy decides.
    `reason` is a stable word for logs and metrics, `evidence` what the provider said, bounded. `wait`: seconds for
    which a provider that is at fault itself asks to be left alone; it benches no key, but no retry comes sooner.
    """

    scope: Scope
    status: Status
    reason: str
    until: float | None = None
    provenance: Provenance = Provenance.HEURISTIC
    evidence: str = ""
    wait: float | None = None

    @property
    def blames_key(self) -> bool:
        """Whether another key may do better, so that the request rotates instead of waiting."""
        return self.scope in (Scope.KEY, Scope.KEY_MODEL, Scope.ACCOUNT)

    @property
    def blames_provider(self) -> bool:
        return self.scope in (Scope.PROVIDER, Scope.PROXY)


@dataclass(frozen=True, slots=True)
class Row:
    """One meaning. A condition that is empty holds for every answer; all conditions must hold.

    `codes` are looked for in the code and in the facts' reasons, `limits` must all be among the facts' limits.
    `reset` is no condition: the point of the provider's calendar at which the quota is back. It outranks every hint.
    """

    scope: Scope
    verdict: Status
    reason: str
    statuses: frozenset[int] = frozenset()
    codes: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    limits: frozenset[str] = frozenset()
    text: re.Pattern[str] | None = None
    html: bool | None = None
    reset: Reset | None = None

    def matches(self, facts: ErrorFacts) -> bool:
        return (
            (not self.statuses or facts.status in self.statuses)
            and (not self.codes or facts.code in self.codes or not self.codes.isdisjoint(facts.reasons))
            and (not self.types or facts.type in self.types)
            and self.limits <= facts.limits
            and (self.html is None or self.html is facts.html)
            and (self.text is None or self.text.search(facts.message[:TEXT_LIMIT]) is not None)
        )


def statuses(*codes: int) -> frozenset[int]:
    return frozenset(codes)


def words(*names: str) -> frozenset[str]:
    return frozenset(names)


_QUOTA_CODES = words(
    "insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "quota_exceeded", "Arrearage"
)
_REJECTED_CODES = words("invalid_api_key", "invalid_authentication", "account_deactivated", "invalid_organization")
_MODEL_CODES = words("model_not_found", "DeploymentNotFound")
_KEY_CODES = words("invalid_api_key", "API_KEY_INVALID")

COMMON_ROWS: tuple[Row, ...] = (
    # Quota and balance: codes first (https://platform.openai.com/docs/guides/error-codes), then the one text
    # that Anthropic uses and nothing structured says.
    Row(Scope.ACCOUNT, Status.NO_QUOTA, "insufficient_quota", statuses(400, 402, 403, 429), codes=_QUOTA_CODES),
    Row(Scope.ACCOUNT, Status.NO_QUOTA, "insufficient_quota", statuses(400, 402, 403, 429), types=_QUOTA_CODES),
    Row(
        Scope.ACCOUNT,
        Status.NO_QUOTA,
        "credit_balance_too_low",
        statuses(400, 403, 429),
        text=re.compile(r"credit balance is too low", re.I),
    ),
    Row(Scope.ACCOUNT, Status.NO_QUOTA, "payment_required", statuses(402)),
    # Where we call from, not with what: no key is at fault.
    Row(
        Scope.PROVIDER,
        Status.NO_ACCESS,
        "unsupported_region",
        statuses(400, 403),
        codes=words("unsupported_country_region_territory", "unsupported_country"),
    ),
    Row(
        Scope.PROVIDER,
        Status.NO_ACCESS,
        "unsupported_region",
        statuses(400, 403),
        text=re.compile(r"^User location is not supported"),
    ),
    # A page instead of an answer is somebody between us and the API: one who turns our address away (Cloudflare's
    # "Just a moment...", DDoS-Guard's "Checking your browser"), or a balancer whose servers are down.
    Row(Scope.PROVIDER, Status.UNKNOWN, "challenge_page", statuses(403), html=True),
    Row(
        Scope.PROVIDER,
        Status.UNKNOWN,
        "challenge_page",
        statuses(503),
        html=True,
        text=re.compile(r"just a moment|attention required|checking your browser|challenge|captcha", re.I),
    ),
    Row(Scope.PROVIDER, Status.UNKNOWN, "error_page", statuses(503), html=True),
    Row(Scope.KEY, Status.SUSPECT, "credential_rejected", statuses(401, 403), codes=_REJECTED_CODES),
    Row(Scope.KEY, Status.SUSPECT, "credential_rejected", statuses(401)),
    # Google answers a wrong key with 400.
    Row(Scope.KEY, Status.SUSPECT, "credential_rejected", statuses(400, 403), codes=_KEY_CODES),
    Row(Scope.KEY_MODEL, Status.NO_ACCESS, "forbidden", statuses(403)),
    # "Request too large for gpt-4o … on tokens per min": the request alone exceeds the limit, so no key of
    # this tier can serve it and no waiting helps.
    Row(
        Scope.CLIENT,
        Status.BAD_REQUEST,
        "request_too_large_for_limit",
        statuses(429),
        text=re.compile(r"^Request too large for ", re.I),
    ),
    Row(Scope.KEY, Status.RATE_LIMITED, "rate_limited", statuses(429)),
    # A model nobody knows is the client's affair, unless other keys serve it: the pool knows that (see
    # `KeyPool.report`), so the row only says what it would be.
    Row(Scope.CLIENT, Status.NO_MODEL, "model_not_found", statuses(400, 404), codes=_MODEL_CODES),
    Row(
        Scope.CLIENT,
        Status.NO_MODEL,
        "model_not_found",
        statuses(404),
        text=re.compile(r"\bmodels?\b.{1,200}\bnot (?:found|exist)\b|^model: ", re.I | re.S),
    ),
    Row(Scope.PROVIDER, Status.TIMEOUT, "request_timeout", statuses(408)),
    Row(Scope.PROVIDER, Status.OVERLOADED, "overloaded", statuses(503, 529)),
    Row(
        Scope.PROVIDER,
        Status.SERVER_ERROR,
        "server_error",
        statuses(500, 502, 504, 520, 521, 522, 523, 524),
    ),
)
"""What the field agrees on, in order. Everything that no row names is the client's: forwarded, never retried."""

OTHERWISE = Row(Scope.CLIENT, Status.BAD_REQUEST, "bad_request")


def decide_row(facts: ErrorFacts, vendor_rows: Iterable[Row] = ()) -> Row:
    """The first row that holds, the vendor's before the common ones."""
    for rows in (vendor_rows, COMMON_ROWS):
        for row in rows:
            if row.matches(facts):
                return row
    return OTHERWISE
