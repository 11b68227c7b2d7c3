"""Why another target is asked: the cause of a failure, in the words of `fallback_on`. Pure.

    exhausted_keys   no key can serve it: rejected, out of quota, not allowed the model; or there is no such model
    rate_limit       all keys are at their limits
    server_error     the provider failed, cannot be reached, or its circuit is open
    timeout          it took too long
    context_length   the request is too long for the model
    content_filter   the provider's filter took the request or the answer

Every other failure is the client's own: the same everywhere, so nobody else is asked.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.policy.verdict import Scope, Status, Verdict

OF_STATUS: Mapping[Status, str] = {
    Status.SUSPECT: "exhausted_keys",
    Status.NO_QUOTA: "exhausted_keys",
    Status.NO_MODEL: "exhausted_keys",
    Status.NO_ACCESS: "exhausted_keys",
    Status.INVALID_KEY: "exhausted_keys",
    Status.DISABLED: "exhausted_keys",
    Status.RATE_LIMITED: "rate_limit",
    Status.OVERLOADED: "server_error",
    Status.SERVER_ERROR: "server_error",
    Status.NETWORK_ERROR: "server_error",
    Status.STREAM_DISCONNECT: "server_error",
    Status.UNKNOWN: "server_error",
    Status.TIMEOUT: "timeout",
}

OF_REASON: Mapping[str, str] = {"request_too_large_for_limit": "rate_limit"}
"""Of failures that are the client's as far as this provider goes: another one may have more room."""

OF_REFUSAL: Mapping[str, str] = {
    "keys_cooling": "rate_limit",
    "no_usable_key": "exhausted_keys",
    "circuit_open": "server_error",
}
"""By the code of the gateway's own error, where nothing was asked at all."""


def cause_of(verdict: Verdict) -> str:
    """The cause behind the last attempt's verdict; "": the request itself, as far as the verdict says."""
    if verdict.scope is Scope.CLIENT and verdict.status is not Status.NO_MODEL:
        return OF_REASON.get(verdict.reason, "")
    if verdict.scope is Scope.GATEWAY:
        return ""
    return OF_STATUS.get(verdict.status, "")
