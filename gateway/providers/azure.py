"""Azure OpenAI (Microsoft Foundry): what its errors mean.

A key belongs to one resource; limits belong to each deployment in it, which is what a model's name leads to.
Sources: https://learn.microsoft.com/azure/foundry/openai/how-to/troubleshoot-errors,
https://learn.microsoft.com/azure/foundry/openai/how-to/quota
"""

from __future__ import annotations

import re

from gateway.policy.verdict import Row, Scope, Status, statuses, words

ROWS: tuple[Row, ...] = (
    # Capacity of the shared pool, "often misread as quota problems".
    Row(
        Scope.PROVIDER,
        Status.OVERLOADED,
        "capacity",
        statuses(429),
        text=re.compile(
            r"^(?:The service is temporarily unable to process your request|System is experiencing high demand)"
        ),
    ),
    Row(
        Scope.KEY_MODEL,
        Status.RATE_LIMITED,
        "rate_limited_for_model",
        statuses(429),
        codes=words("RateLimitReached", "429"),
    ),
    # "Quota will be replenished in 22.14:18:12": the plan's calls are used up (goferito/node-bing-api#34).
    Row(
        Scope.ACCOUNT,
        Status.NO_QUOTA,
        "call_volume_quota",
        statuses(403),
        text=re.compile(r"^Out of call volume quota"),
    ),
    # The resource's firewall knows the address that we call from, not the key (401 or 403, code AccessDenied or "403").
    Row(
        Scope.PROVIDER,
        Status.NO_ACCESS,
        "address_not_allowed",
        statuses(401, 403),
        text=re.compile(r"^Access denied due to Virtual Network/Firewall rules"),
    ),
)
