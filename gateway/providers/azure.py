"""The provider type "azure", Azure OpenAI (Microsoft Foundry): where its APIs are, and what its errors mean.

The base URL is that of the resource. Without `api_version` calls go to the v1 API, which is OpenAI's with the name of a
deployment as the model. With a date they go to the API of that date, which has most of its paths below the deployment.
Claude deployments are another API, at `/anthropic`: the type "anthropic" is for them.

A key belongs to one resource; limits belong to each deployment in it, which is what a model's name leads to.
Sources: https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle,
https://learn.microsoft.com/azure/ai-services/openai/reference,
https://learn.microsoft.com/azure/foundry/openai/how-to/troubleshoot-errors,
https://learn.microsoft.com/azure/foundry/openai/how-to/quota
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.policy.verdict import Row, Scope, Status, statuses, words
from gateway.providers.endpoints import CHAT, RESPONSES, Endpoint

NAME = "azure"
EXAMPLE_URL = "https://RESOURCE.openai.azure.com"
AUTH_HEADER = b"api-key"

DEPLOYMENT_PATHS = frozenset(
    {
        "/chat/completions",
        "/completions",
        "/embeddings",
        "/audio/speech",
        "/audio/transcriptions",
        "/audio/translations",
        "/images/edits",
        "/images/generations",
    }
)
"""What an API with a date has below `/deployments/NAME`; OpenAI's SDKs have the same list for Azure."""

V1_VERSIONS = frozenset({"v1", "preview", "latest"})
"""Words in place of a date. They are said to the v1 API, whose previews asked for them."""


def endpoints(api_version: str) -> Mapping[str, Endpoint]:
    """Where a resource's APIs are, for `api_version` as the configuration has it."""
    query = f"api-version={api_version}" if api_version else ""
    if not api_version or api_version in V1_VERSIONS:
        v1 = Endpoint("openai/v1", AUTH_HEADER, b"", query=query)
        return {CHAT: v1, RESPONSES: v1}
    dated = Endpoint("openai", AUTH_HEADER, b"", query=query)
    return {
        CHAT: Endpoint("openai", AUTH_HEADER, b"", query=query, by_deployment=DEPLOYMENT_PATHS),
        RESPONSES: dated,
    }


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
