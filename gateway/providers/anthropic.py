"""The provider type "anthropic", Anthropic's Claude API: where it is, and what its errors mean.

The base URL is the one that Anthropic's SDKs take, without the version; with it it is understood, too. Its
OpenAI-compatible address is left alone: it is for trials, by Anthropic's own word, and drops what this gateway
translates (https://platform.claude.com/docs/en/api/openai-sdk).

Sources: https://platform.claude.com/docs/en/api/errors, https://platform.claude.com/docs/en/api/rate-limits
"""

from __future__ import annotations

import re

from gateway.policy.calendar import NEXT_MONTH
from gateway.policy.verdict import Row, Scope, Status, statuses, words

NAME = "anthropic"
BASE_URL = "https://api.anthropic.com"

ROWS: tuple[Row, ...] = (
    # A limit that the organisation or workspace set itself is a 400; its message names the day on which access returns.
    Row(
        Scope.ACCOUNT,
        Status.NO_QUOTA,
        "spend_limit",
        statuses(400, 429),
        text=re.compile(r"^You have reached your specified (?:workspace )?API usage limits"),
    ),
    # The tier's own cap is a rate_limit_error without Retry-After; it ends at 00:00 UTC on the first of the next month.
    Row(
        Scope.ACCOUNT,
        Status.NO_QUOTA,
        "monthly_spend_cap",
        statuses(429),
        codes=words("enforced_spend_limit_reached"),
        reset=NEXT_MONTH,
    ),
    # What the account's plan does not take at any rate (anthropics/claude-code#44863).
    Row(
        Scope.CLIENT,
        Status.BAD_REQUEST,
        "context_too_long_for_plan",
        statuses(429),
        text=re.compile(r"^Extra usage is required for long context requests"),
    ),
    # "Rate limits are applied separately for each model."
    Row(Scope.KEY_MODEL, Status.RATE_LIMITED, "rate_limited_for_model", statuses(429), types=words("rate_limit_error")),
    # anthropics/claude-code#8327
    Row(
        Scope.KEY,
        Status.NO_ACCESS,
        "organization_disabled",
        statuses(400, 403),
        text=re.compile(r"^This organization has been disabled"),
    ),
    # Calls from countries that are not served, whatever the key (anthropics/anthropic-sdk-typescript#457,
    # https://www.anthropic.com/supported-countries). What a key may not do is a permission_error.
    Row(
        Scope.PROVIDER,
        Status.NO_ACCESS,
        "unsupported_region",
        statuses(403),
        types=words("forbidden"),
        text=re.compile(r"^Request not allowed"),
    ),
)
