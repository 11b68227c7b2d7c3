"""What providers send when something is wrong, in the shapes and words that are common to many.

`vendor_bodies.py` has what only one vendor says. Names of people, projects and keys are made up, and long messages are
cut after what tells them apart.
"""

from __future__ import annotations

from typing import Any

from gateway import jsonlib
from gateway.policy.verdict import Scope, Status

CHALLENGE = b"<!DOCTYPE html><html lang=en><head><title>Just a moment...</title></head><body></body></html>"
NGINX = b"<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n<body><hr>nginx</body></html>"

Meaning = tuple[Scope, Status]

KEY_SUSPECT = (Scope.KEY, Status.SUSPECT)
KEY_BARRED = (Scope.KEY, Status.NO_ACCESS)
KEY_NO_QUOTA = (Scope.KEY, Status.NO_QUOTA)
KEY_LIMITED = (Scope.KEY, Status.RATE_LIMITED)
ACCOUNT_NO_QUOTA = (Scope.ACCOUNT, Status.NO_QUOTA)
MODEL_NO_QUOTA = (Scope.KEY_MODEL, Status.NO_QUOTA)
MODEL_LIMITED = (Scope.KEY_MODEL, Status.RATE_LIMITED)
MODEL_BARRED = (Scope.KEY_MODEL, Status.NO_MODEL)
NO_ACCESS = (Scope.KEY_MODEL, Status.NO_ACCESS)
REGION = (Scope.PROVIDER, Status.NO_ACCESS)
CHALLENGED = (Scope.PROVIDER, Status.UNKNOWN)
MODEL = (Scope.CLIENT, Status.NO_MODEL)
CLIENT = (Scope.CLIENT, Status.BAD_REQUEST)
FAILED = (Scope.PROVIDER, Status.SERVER_ERROR)
OVERLOADED = (Scope.PROVIDER, Status.OVERLOADED)
LATE = (Scope.PROVIDER, Status.TIMEOUT)


def openai(message: str, kind: str | None = None, code: Any = None) -> bytes:
    return jsonlib.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def anthropic(kind: str, message: str, **more: Any) -> bytes:
    return jsonlib.dumps({"type": "error", "error": {"type": kind, "message": message, **more}, "request_id": "req_1"})


def google(code: int, status: str, message: str, *details: dict[str, Any], wrapped: bool = True) -> bytes:
    """`wrapped`: in an array, as the OpenAI-compatible endpoint sends it."""
    error = {"error": {"code": code, "message": message, "status": status, "details": list(details)}}
    return jsonlib.dumps([error] if wrapped else error)


def reason(name: str, **metadata: str) -> dict[str, Any]:
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    return {"@type": kind, "reason": name, "domain": "googleapis.com", "metadata": metadata}


def quota_failure(*quotas: str, **values: str) -> dict[str, Any]:
    """`values`: quotaValue by quotaId with "-" written "_"."""
    violations = [
        {"quotaMetric": "generativelanguage.googleapis.com/requests", "quotaId": quota}
        | ({"quotaValue": values[quota.replace("-", "_")]} if quota.replace("-", "_") in values else {})
        for quota in quotas
    ]
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations}


def retry_info(delay: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def plain(**fields: Any) -> bytes:
    return jsonlib.dumps(fields)


def router(message: str, code: int, **metadata: Any) -> bytes:
    return plain(error={"message": message, "code": code, "metadata": metadata}, user_id="user_1")


COMMON: list[tuple[int, bytes, Meaning]] = [
    # The credential.
    (401, openai("Incorrect API key provided: sk-abcd.", "invalid_request_error", "invalid_api_key"), KEY_SUSPECT),
    (401, anthropic("authentication_error", "invalid x-api-key"), KEY_SUSPECT),
    (401, plain(detail="Unauthorized"), KEY_SUSPECT),
    (401, b"<html><head><title>401 Authorization Required</title></head></html>", KEY_SUSPECT),
    (401, b"", KEY_SUSPECT),
    (403, openai("Your account is not active.", "invalid_request_error", "account_deactivated"), KEY_SUSPECT),
    (400, google(400, "INVALID_ARGUMENT", "API key not valid.", reason("API_KEY_INVALID")), KEY_SUSPECT),
    (403, google(403, "PERMISSION_DENIED", "Bad key.", reason("API_KEY_INVALID"), wrapped=False), KEY_SUSPECT),
    # The account's money.
    (402, openai("Insufficient Balance", "unknown_error", "invalid_request_error"), ACCOUNT_NO_QUOTA),
    (402, b"Payment Required", ACCOUNT_NO_QUOTA),
    (402, google(402, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."), ACCOUNT_NO_QUOTA),
    (429, openai("You exceeded your current quota.", "insufficient_quota", "insufficient_quota"), ACCOUNT_NO_QUOTA),
    (429, openai("You exceeded your current quota.", "insufficient_quota"), ACCOUNT_NO_QUOTA),
    (400, openai("Hard limit.", "invalid_request_error", "billing_hard_limit_reached"), ACCOUNT_NO_QUOTA),
    (429, openai("Hard limit.", "invalid_request_error", "billing_hard_limit_reached"), ACCOUNT_NO_QUOTA),
    (429, openai("Not active.", "billing_not_active", "billing_not_active"), ACCOUNT_NO_QUOTA),
    (400, anthropic("invalid_request_error", "Your credit balance is too low to go on."), ACCOUNT_NO_QUOTA),
    (400, plain(code="Arrearage", message="Access denied.", request_id="1"), ACCOUNT_NO_QUOTA),
    # Its limits.
    (429, openai("Rate limit reached for requests.", "requests", "rate_limit_exceeded"), KEY_LIMITED),
    (429, anthropic("rate_limit_error", "This would exceed your rate limit."), KEY_LIMITED),
    (429, plain(object="error", message="Rate limit exceeded", code="1300"), KEY_LIMITED),
    (429, google(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota."), KEY_LIMITED),
    (429, b"Too many requests", KEY_LIMITED),
    (429, openai("Request too large for m on tokens per min (TPM).", "tokens", "rate_limit_exceeded"), CLIENT),
    # Permission.
    (403, openai("You are not allowed to sample from this model", "invalid_request_error"), NO_ACCESS),
    (403, google(403, "PERMISSION_DENIED", "The API is disabled.", reason("SERVICE_DISABLED")), NO_ACCESS),
    # Where we call from, and who stands between.
    (403, openai("Not supported.", "request_forbidden", "unsupported_country_region_territory"), REGION),
    (400, google(400, "FAILED_PRECONDITION", "User location is not supported for the API use."), REGION),
    (403, CHALLENGE, CHALLENGED),
    (503, CHALLENGE, CHALLENGED),
    (503, NGINX, CHALLENGED),
    # A model that is not there: the pool knows whether other keys serve it.
    (404, openai("The model `m` does not exist.", "invalid_request_error", "model_not_found"), MODEL),
    (400, openai("The requested model 'm' does not exist.", "invalid_request_error", "model_not_found"), MODEL),
    (404, openai('model "m:latest" not found, try pulling it first', "api_error"), MODEL),
    (404, anthropic("not_found_error", "model: no-such-model"), MODEL),
    (404, google(404, "NOT_FOUND", "models/m-1.5 is not found for API version v1beta"), MODEL),
    (404, openai("The API deployment does not exist.", code="DeploymentNotFound"), MODEL),
    # The request's own mistakes.
    (404, openai("Invalid URL (POST /v1/chat/nonsense)", "invalid_request_error", "unknown_url"), CLIENT),
    (404, openai("This is not a chat model and thus not supported here.", "invalid_request_error"), CLIENT),
    (400, openai("Maximum context length exceeded.", "invalid_request_error", "context_length_exceeded"), CLIENT),
    (400, openai("Invalid prompt: 'my credit, my quota, my invalid api key'", "invalid_request_error"), CLIENT),
    (400, openai("my essay is about credit, balance and quota", "invalid_request_error"), CLIENT),
    (404, b"Not Found", CLIENT),
    (405, openai("Method not allowed."), CLIENT),
    (413, b"Failed to buffer the request body: length limit exceeded", CLIENT),
    (415, plain(detail="Unsupported Media Type"), CLIENT),
    (422, plain(detail=[{"loc": ["body", "messages"], "msg": "field required"}]), CLIENT),
    (501, openai("The current model does not support audio input.", "not_supported_error"), CLIENT),
    (418, b"", CLIENT),
    # The provider's.
    (500, openai("The server had an error while processing your request.", "server_error"), FAILED),
    (500, b"", FAILED),
    (502, b"<html><body>Bad Gateway</body></html>", FAILED),
    (504, b"upstream request timeout", FAILED),
    *((status, b"<html>cloudflare</html>", FAILED) for status in (520, 521, 522, 523, 524)),
    (503, openai("That model is currently overloaded with other requests.", "server_error"), OVERLOADED),
    (503, b"upstream connect error or disconnect/reset before headers", OVERLOADED),
    (503, google(503, "UNAVAILABLE", "The model is overloaded. Please try again later."), OVERLOADED),
    (529, anthropic("overloaded_error", "Overloaded"), OVERLOADED),
    (408, b"", LATE),
]
"""Answers that mean the same wherever they come from."""
