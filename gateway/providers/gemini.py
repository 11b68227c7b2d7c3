"""The provider type "gemini", Google's Gemini API: where it is, and what its errors mean.

Google's statuses are its own: a wrong key is a 400, a wrong country too, and 403 tells what the key may not do. A 429
names the quotas that are used up (`QuotaFailure`), whose ids say for how long; its `retryDelay` does not.

It speaks Chat Completions, too (https://ai.google.dev/gemini-api/docs/openai), so that clients of that dialect reach it
untranslated like everywhere: their bytes and Google's `extra_body` pass as they are, and nothing is lost on our side.
What that address has not got (documents; thoughts beside the answer) translation would bring, and one thing more: the
signatures of thoughts come in `extra_content` there, without which Gemini 3 answers 400 to a tool's result, and many
clients drop it (securo#884, earendil-works/pi#6733). Who has such clients sets `dialects = ["gemini"]`: then they are
translated, and signatures travel in the ids of calls. By default it stays so that a request is changed only where its
provider cannot read it.

Sources: https://ai.google.dev/gemini-api/docs/troubleshooting, https://ai.google.dev/gemini-api/docs/rate-limits,
https://github.com/googleapis/googleapis/blob/master/google/api/error_reason.proto
"""

from __future__ import annotations

import re

from gateway.policy.calendar import MIDNIGHT_PACIFIC
from gateway.policy.verdict import Row, Scope, Status, statuses, words

NAME = "gemini"
BASE_URL = "https://generativelanguage.googleapis.com"

ROWS: tuple[Row, ...] = (
    # "limit: 0": the project's tier has not got this model; no day brings it (google-gemini/
    # deprecated-generative-ai-python#244).
    Row(Scope.KEY_MODEL, Status.NO_MODEL, "model_not_in_tier", statuses(429), limits=words("Zero")),
    Row(
        Scope.KEY_MODEL,
        Status.NO_QUOTA,
        "daily_quota_of_model",
        statuses(429),
        limits=words("PerDay", "PerModel"),
        reset=MIDNIGHT_PACIFIC,
    ),
    Row(
        Scope.ACCOUNT,
        Status.NO_QUOTA,
        "daily_quota",
        statuses(429),
        limits=words("PerDay"),
        reset=MIDNIGHT_PACIFIC,
    ),
    Row(Scope.KEY_MODEL, Status.RATE_LIMITED, "rate_limited_for_model", statuses(429), limits=words("PerModel")),
    # Without any quota named these two speak of Google's capacity, or of our address, not of the key's quota
    # (tbphp/gpt-load#159; https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429).
    Row(
        Scope.PROVIDER,
        Status.OVERLOADED,
        "capacity",
        statuses(429),
        text=re.compile(r"^Resource (?:has been exhausted \(e\.g\. check quota\)|exhausted\. Please try again later)"),
    ),
    # "… without a billing account linked": another account may call from here.
    Row(
        Scope.KEY,
        Status.NO_ACCESS,
        "region_needs_billing",
        statuses(400),
        text=re.compile(r"^User location is not supported for the API use without a billing account"),
    ),
    Row(
        Scope.PROVIDER,
        Status.NO_ACCESS,
        "unsupported_region",
        statuses(400),
        codes=words("FAILED_PRECONDITION"),
        text=re.compile(r"^User location is not supported"),
    ),
    Row(
        Scope.KEY,
        Status.SUSPECT,
        "key_leaked",
        statuses(403),
        text=re.compile(r"^Your API key was reported as leaked"),
    ),
    Row(Scope.ACCOUNT, Status.NO_QUOTA, "billing_disabled", statuses(403), codes=words("BILLING_DISABLED")),
    Row(Scope.KEY, Status.NO_ACCESS, "service_disabled", statuses(403), codes=words("SERVICE_DISABLED")),
    Row(
        Scope.KEY,
        Status.NO_ACCESS,
        "key_restricted",
        statuses(403),
        codes=words(
            "API_KEY_SERVICE_BLOCKED",
            "API_KEY_HTTP_REFERRER_BLOCKED",
            "API_KEY_IP_ADDRESS_BLOCKED",
            "API_KEY_ANDROID_APP_BLOCKED",
            "API_KEY_IOS_APP_BLOCKED",
        ),
    ),
    Row(
        Scope.KEY,
        Status.NO_ACCESS,
        "project_suspended",
        statuses(403),
        codes=words("CONSUMER_SUSPENDED", "CONSUMER_INVALID"),
    ),
    Row(
        Scope.KEY,
        Status.NO_ACCESS,
        "project_suspended",
        statuses(403),
        text=re.compile(r"^Your project has been denied access"),
    ),
)
