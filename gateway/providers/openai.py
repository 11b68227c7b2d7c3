"""The provider type "openai": OpenAI itself, and with another base URL everything that speaks its API.

Constants only: where it is, which headers travel through, and what its errors mean.
Sources: https://platform.openai.com/docs/api-reference/introduction,
https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

import re

from gateway.policy.verdict import Row, Scope, Status, statuses, words

NAME = "openai"
BASE_URL = "https://api.openai.com/v1"

QUIRKS_ELSEWHERE = frozenset(
    {"no_custom_tools", "no_developer_role", "no_openai_hints", "string_content", "system_first"}
)
"""Of servers that speak this API and are not OpenAI's: what all of them know instead says the same (text as one string
among it), and hints that only some know are left out."""

FORWARDED_TO_PROVIDER = (b"content-type", b"accept", b"user-agent", b"idempotency-key", b"openai-beta")
"""Of a client's headers these alone go on: none that names the client's credential, organisation or address."""

ADDED_TO_REQUEST = ((b"accept-encoding", b"identity"),)
"""An answer is looked into for usage and errors, and forwarded as it came: it must not be compressed."""

FORWARDED_TO_CLIENT = frozenset({b"content-type", b"content-encoding"})

FORWARDED_WITH_ERRORS = frozenset({b"retry-after", b"retry-after-ms"})
"""What SDKs obey before they try again. Rate-limit headers stay inside: they speak of one key among many."""

REQUEST_IDS = frozenset({b"x-request-id", b"request-id"})
"""The provider's own name for a call, which its support asks for; the client gets it under another name."""

LIMIT_OF_MODEL = Row(
    Scope.KEY_MODEL,
    Status.RATE_LIMITED,
    "rate_limited_for_model",
    statuses(429),
    text=re.compile(r"^Rate limit reached for (?:model )?\S{1,200} in organization "),
)
"""Limits "vary by the model being used" (https://platform.openai.com/docs/guides/rate-limits), and this sentence names
the model: the key's other models may go on. Groq uses the same words."""

ROWS: tuple[Row, ...] = (
    # Further codes of what `insufficient_quota` means: https://help.openai.com/en/articles/5955604
    Row(
        Scope.ACCOUNT,
        Status.NO_QUOTA,
        "insufficient_quota",
        statuses(429),
        codes=words(
            "credit_balance_exhausted",
            "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
        ),
    ),
    LIMIT_OF_MODEL,
    # "Project `proj_…` does not have access to model `gpt-4o`" (cursor/cursor#2953): this key's project, and no other.
    Row(Scope.KEY_MODEL, Status.NO_MODEL, "model_not_allowed", statuses(403), codes=words("model_not_found")),
    # The project's list of addresses leaves ours out: the key is good elsewhere.
    Row(Scope.KEY, Status.NO_ACCESS, "address_not_allowed", statuses(401, 403), codes=words("ip_not_authorized")),
)
