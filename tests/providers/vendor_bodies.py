"""What single vendors send when something is wrong, in their own words, with where it was seen.

`VENDORS` has an answer for every row of every vendor's table; `TRAPS` has answers that a table must leave alone.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.providers.bodies import (
    ACCOUNT_NO_QUOTA,
    CHALLENGE,
    CHALLENGED,
    CLIENT,
    FAILED,
    KEY_BARRED,
    KEY_LIMITED,
    KEY_NO_QUOTA,
    KEY_SUSPECT,
    MODEL,
    MODEL_BARRED,
    MODEL_LIMITED,
    MODEL_NO_QUOTA,
    NO_ACCESS,
    OVERLOADED,
    REGION,
    Meaning,
    anthropic,
    google,
    openai,
    plain,
    quota_failure,
    reason,
    retry_info,
    router,
)


class Case(NamedTuple):
    """`reason` is the row's; `source` that of the time which is followed, if any."""

    vendor: str
    status: int
    body: bytes
    meaning: Meaning
    reason: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    source: str = ""


EXCEEDED = "You exceeded your current quota, please check your plan and billing details."
PER_DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
PER_MINUTE = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
TOKENS_PER_MINUTE = "GenerateContentInputTokensPerModelPerMinute-FreeTier"
ZERO = (
    f"{EXCEEDED}\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, "
    "limit: 0, model: gemini-3-pro\nPlease retry in 45.578569677s."
)
BLOCKED = "Requests from referer <empty> are blocked."

VENDORS: list[Case] = [
    # OpenAI.
    Case(
        "openai", 429, openai("You have no credits left.", "insufficient_quota", "credit_balance_exhausted"),
        ACCOUNT_NO_QUOTA, "insufficient_quota",
    ),
    Case(
        "openai", 429, openai("Spend limit reached.", "insufficient_quota", "project_spend_limit_exceeded"),
        ACCOUNT_NO_QUOTA, "insufficient_quota",
    ),
    # TomFrankly/pipedream-notion-voice-notes#21
    Case(
        "openai", 429,
        openai(
            "Rate limit reached for default-moderation-api in organization org-1 on requests per min. Limit: 3 / min. "
            "Please try again in 20s.", "requests", "rate_limit_exceeded",
        ),
        MODEL_LIMITED, "rate_limited_for_model", source="text",
    ),
    # cursor/cursor#2953
    Case(
        "openai", 403,
        openai("Project `proj_1` does not have access to model `gpt-4o-mini`", "invalid_request_error",
               "model_not_found"),
        MODEL_BARRED, "model_not_allowed",
    ),
    Case(
        "openai", 401, openai("Your IP is not authorized.", "invalid_request_error", "ip_not_authorized"),
        KEY_BARRED, "address_not_allowed",
    ),
    # Gemini: google-gemini/gemini-cli#8437, with all three quotas used up; snailyp/gemini-balance#367 for the delay.
    Case(
        "gemini", 429,
        google(429, "RESOURCE_EXHAUSTED", EXCEEDED, quota_failure(TOKENS_PER_MINUTE, PER_MINUTE, PER_DAY),
               retry_info("0s")),
        MODEL_NO_QUOTA, "daily_quota_of_model", source="quota",
    ),
    Case(
        "gemini", 429,
        google(429, "RESOURCE_EXHAUSTED", f"{EXCEEDED} Please retry in 964 ms", quota_failure("RequestsPerDay")),
        ACCOUNT_NO_QUOTA, "daily_quota", ((b"retry-after", b"20"),), source="quota",
    ),
    # langgenius/dify#19838
    Case(
        "gemini", 429,
        google(429, "RESOURCE_EXHAUSTED", EXCEEDED, {
            "@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [{"quotaMetric": "generativelanguage.googleapis.com/generate_requests_per_model_per_day"}],
        }),
        MODEL_NO_QUOTA, "daily_quota_of_model", source="quota",
    ),
    # A recording: only the minute is used up, and the delay is meant.
    Case(
        "gemini", 429,
        google(429, "RESOURCE_EXHAUSTED", EXCEEDED, quota_failure(TOKENS_PER_MINUTE), retry_info("23s"),
               wrapped=False),
        MODEL_LIMITED, "rate_limited_for_model", source="RetryInfo",
    ),
    # continuedev/continue#9570
    Case(
        "gemini", 429,
        google(429, "RESOURCE_EXHAUSTED", ZERO, quota_failure(PER_DAY, PER_MINUTE), retry_info("45s")),
        MODEL_BARRED, "model_not_in_tier",
    ),
    Case(
        "gemini", 429, google(429, "RESOURCE_EXHAUSTED", EXCEEDED, quota_failure("APerDay", APerDay="0")),
        MODEL_BARRED, "model_not_in_tier",
    ),
    # A recording of Vertex: the project's quota in that region is none.
    Case(
        "gemini", 429,
        google(429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Generate Content API requests per minute'.",
               reason("RATE_LIMIT_EXCEEDED", quota_limit_value="0",
                      quota_limit="GenerateContentRequestsPerMinutePerProjectPerRegion")),
        MODEL_BARRED, "model_not_in_tier",
    ),
    # A recording of Vertex.
    Case(
        "gemini", 429, google(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
        OVERLOADED, "capacity",
    ),
    # google-gemini/gemini-cli#14811
    Case(
        "gemini", 429,
        google(429, "RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later. Please refer to the page."),
        OVERLOADED, "capacity",
    ),
    # u14app/neo-chat#7
    Case(
        "gemini", 400,
        google(400, "FAILED_PRECONDITION",
               "User location is not supported for the API use without a billing account linked."),
        KEY_BARRED, "region_needs_billing",
    ),
    # poenl/gemini-api#4
    Case(
        "gemini", 400, google(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
        REGION, "unsupported_region",
    ),
    # continuedev/continue#10513
    Case(
        "gemini", 403,
        google(403, "PERMISSION_DENIED", "Your API key was reported as leaked. Please use another API key."),
        KEY_SUSPECT, "key_leaked",
    ),
    Case(
        "gemini", 403, google(403, "PERMISSION_DENIED", "Billing is off.", reason("BILLING_DISABLED")),
        ACCOUNT_NO_QUOTA, "billing_disabled",
    ),
    # A recording of Vertex.
    Case(
        "gemini", 403,
        google(403, "PERMISSION_DENIED", "The API has not been used in project 1 before or it is disabled.",
               reason("SERVICE_DISABLED", consumer="projects/1")),
        KEY_BARRED, "service_disabled",
    ),
    # mhawksey/GeminiApp#10, continuedev/continue#12781
    *(
        Case("gemini", 403, google(403, "PERMISSION_DENIED", BLOCKED, reason(name)), KEY_BARRED, "key_restricted")
        for name in ("API_KEY_HTTP_REFERRER_BLOCKED", "API_KEY_IP_ADDRESS_BLOCKED", "API_KEY_SERVICE_BLOCKED")
    ),
    # songquanpeng/one-api#1775
    Case(
        "gemini", 403,
        google(403, "PERMISSION_DENIED", "Permission denied: Consumer has been suspended.",
               reason("CONSUMER_SUSPENDED")),
        KEY_BARRED, "project_suspended",
    ),
    # poenl/gemini-api#8
    Case(
        "gemini", 403,
        google(403, "PERMISSION_DENIED", "Your project has been denied access. Please contact support."),
        KEY_BARRED, "project_suspended",
    ),
    # Anthropic: anthropics/claude-code#38035
    Case(
        "anthropic", 400,
        anthropic("invalid_request_error", "You have reached your specified API usage limits. "
                  "You will regain access on 2027-02-01 at 00:00 UTC."),
        ACCOUNT_NO_QUOTA, "spend_limit", source="text",
    ),
    Case(
        "anthropic", 429,
        anthropic("rate_limit_error", "Monthly spend cap.", details={"error_code": "enforced_spend_limit_reached"}),
        ACCOUNT_NO_QUOTA, "monthly_spend_cap", source="quota",
    ),
    # anthropics/claude-code#44863
    Case(
        "anthropic", 429, anthropic("rate_limit_error", "Extra usage is required for long context requests."),
        CLIENT, "context_too_long_for_plan",
    ),
    Case(
        "anthropic", 429, anthropic("rate_limit_error", "This request would exceed your organization's rate limit."),
        MODEL_LIMITED, "rate_limited_for_model",
        (
            (b"anthropic-ratelimit-input-tokens-limit", b"40000"),
            (b"anthropic-ratelimit-input-tokens-remaining", b"0"),
            (b"anthropic-ratelimit-input-tokens-reset", b"2027-01-15T08:00:30Z"),
        ),
        source="anthropic-ratelimit-input-tokens-reset",
    ),
    # anthropics/claude-code#54311
    Case(
        "anthropic", 400, anthropic("invalid_request_error", "This organization has been disabled."),
        KEY_BARRED, "organization_disabled",
    ),
    # anthropics/anthropic-sdk-typescript#457
    Case(
        "anthropic", 403, plain(error={"type": "forbidden", "message": "Request not allowed"}),
        REGION, "unsupported_region",
    ),
    # Azure: a recording, with its contradicting headers.
    Case(
        "azure", 429, openai("Your requests to grok-4 have exceeded rate limit.", code="RateLimitReached"),
        MODEL_LIMITED, "rate_limited_for_model", ((b"retry-after", b"1"), (b"retry-after-ms", b"0")),
        source="retry-after",
    ),
    Case(
        "azure", 429, openai("System is experiencing high demand and cannot process your request.", code="429"),
        OVERLOADED, "capacity",
    ),
    # goferito/node-bing-api#34
    Case(
        "azure", 403,
        plain(statusCode=403, message="Out of call volume quota. Quota will be replenished in 22.14:18:12."),
        ACCOUNT_NO_QUOTA, "call_volume_quota", source="text",
    ),
    Case(
        "azure", 403, openai("Access denied due to Virtual Network/Firewall rules.", code="403"),
        REGION, "address_not_allowed",
    ),
    # DeepSeek.
    Case("deepseek", 400, openai("Model Not Exist", "invalid_request_error", "invalid_request_error"), MODEL,
         "model_not_found"),
    # Groq.
    Case(
        "groq", 429,
        openai(
            "Rate limit reached for model `llama-3.3-70b-versatile` in organization `org_1` service tier `on_demand` "
            "on tokens per day (TPD): Limit 100000, Used 99336, Requested 4301. Please try again in 52m22.368s.",
            "tokens", "rate_limit_exceeded",
        ),
        MODEL_LIMITED, "rate_limited_for_model", source="text",
    ),
    Case("groq", 498, openai("Flex tier capacity exceeded.", code="capacity_exceeded"), OVERLOADED, "capacity"),
    Case(
        "groq", 403,
        openai("The model `llama-3.3-70b-versatile` is blocked at the project level.", "permissions_error",
               "model_permission_blocked_project"),
        MODEL_BARRED, "model_not_allowed",
    ),
    # atiilla/sqlmap-ai#3
    Case(
        "groq", 400,
        openai("The model `qwen-qwq-32b` has been decommissioned and is no longer supported.", "invalid_request_error",
               "model_decommissioned"),
        MODEL, "model_not_found",
    ),
    Case(
        "groq", 400,
        openai("Organization has been restricted. Please reach out to support if you believe this was in error.",
               "invalid_request_error", "organization_restricted"),
        KEY_BARRED, "organization_restricted",
    ),
    # Mistral.
    Case(
        "mistral", 401, plain(message="Inactive subscription or usage limit reached", request_id="1"),
        ACCOUNT_NO_QUOTA, "subscription_inactive",
    ),
    # continuedev/continue#6185
    Case(
        "mistral", 429,
        plain(object="error", message="Service tier capacity exceeded for this model.", type="invalid_request_error",
              param=None, code=None),
        MODEL_LIMITED, "tier_capacity",
    ),
    # A recording.
    Case(
        "mistral", 400,
        plain(object="error", message="Invalid model: no-such-model", type="invalid_model", param=None, code="1500"),
        MODEL, "model_not_found",
    ),
    # OpenRouter.
    Case(
        "openrouter", 403,
        router("The model requires moderation. Your input was flagged.", 403, reasons=["violence"],
               flagged_input="…", provider_name="OpenAI", model_slug="m"),
        CLIENT, "moderation",
    ),
    # RooCodeInc/Roo-Code#515
    Case(
        "openrouter", 403, router("Key limit exceeded (total limit). Manage it using https://openrouter.ai/keys", 403),
        KEY_NO_QUOTA, "key_limit",
    ),
    # Gitlawb/openclaude#936
    Case(
        "openrouter", 429,
        router("Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests", 429,
               headers={"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1800040000000"}),
        MODEL_NO_QUOTA, "daily_quota_of_model", source="x-ratelimit-reset",
    ),
    # Avarok-Cybersecurity/atlas#543
    Case(
        "openrouter", 429, router("Rate limit exceeded.", 429, limit_source="openrouter_free_tier_daily"),
        MODEL_NO_QUOTA, "daily_quota_of_model",
    ),
    Case(
        "openrouter", 429, router("Rate limit exceeded: free-models-per-min. ", 429),
        MODEL_LIMITED, "rate_limited_for_model",
    ),
    # A recording.
    Case(
        "openrouter", 429,
        router("Provider returned error", 429, raw="kimi-k2 is temporarily rate-limited upstream.",
               provider_name="WandB"),
        OVERLOADED, "upstream_rate_limited",
    ),
    # A recording, of embeddings.
    Case("openrouter", 400, router("Model no-such/embedding-model does not exist", 400), MODEL, "model_not_found"),
    Case("openrouter", 404, router("No endpoints found for no-such/model.", 404), MODEL, "model_not_found"),
    Case("openrouter", 400, router("no-such/model is not a valid model ID", 400), MODEL, "model_not_found"),
    # xAI: recordings.
    Case(
        "xai", 400,
        plain(code="Client specified an invalid argument",
              error="Incorrect API key provided: in***ey. You can obtain an API key from https://console.x.ai."),
        KEY_SUSPECT, "credential_rejected",
    ),
    Case(
        "xai", 400, plain(code="invalid-argument", error="Model not found: grok-nonexistent"), MODEL, "model_not_found",
    ),
    # continuedev/continue#10373, #12670; Wei-Shaw/sub2api#4069
    Case(
        "xai", 429,
        plain(code="Some resource has been exhausted",
              error="Your team 16f2151a has either used all available credits or reached its monthly spending limit."),
        ACCOUNT_NO_QUOTA, "insufficient_quota",
    ),
    Case(
        "xai", 403,
        plain(code="permission-denied", error="Your newly created team doesn't have any credits or licenses yet."),
        ACCOUNT_NO_QUOTA, "insufficient_quota",
    ),
    Case(
        "xai", 403, plain(code="***", error="You have run out of credits or need a Grok subscription."),
        ACCOUNT_NO_QUOTA, "insufficient_quota",
    ),
    # Together.
    Case("together", 403, openai("Input token count + max_tokens is too large.", "invalid_request_error"), CLIENT,
         "context_too_long"),
    # Fireworks.
    Case("fireworks", 403, openai("Forbidden", "error"), KEY_SUSPECT, "credential_rejected"),
    Case("fireworks", 412, openai("Account is suspended", "error"), NO_ACCESS, "account_suspended"),
    # Cerebras.
    Case(
        "cerebras", 429,
        plain(message="We're experiencing high traffic right now! Please try again soon.",
              type="too_many_requests_error", param="queue", code="queue_exceeded"),
        OVERLOADED, "capacity",
    ),
    # NVIDIA: dmMaze/BallonsTranslator#1233, Alishahryar1/free-claude-code#956
    Case("nvidia", 403, plain(status=403, title="Forbidden", detail="Authorization failed"), KEY_SUSPECT,
         "credential_rejected"),
    Case(
        "nvidia", 404,
        plain(status=404, title="Not Found",
              detail="Function '12345678-b123-12a3-1221-123456789123': Not found for account 'Ab1EzDFj7NoQ'"),
        MODEL_BARRED, "model_not_allowed",
    ),
    # Perplexity.
    Case("perplexity", 401, openai(EXCEEDED, "insufficient_quota", 401), ACCOUNT_NO_QUOTA, "insufficient_quota"),
    Case(
        "perplexity", 400,
        openai("Invalid model 'gpt-5'. Permitted models can be found in the documentation.", "invalid_model", 400),
        MODEL, "model_not_found",
    ),
    # Moonshot: MoonshotAI/kimi-code#1857
    Case(
        "moonshot", 429,
        openai("Your account org-1 <ak-1> is suspended due to insufficient balance, please recharge your account",
               "exceeded_current_quota_error"),
        ACCOUNT_NO_QUOTA, "insufficient_quota",
    ),
    Case(
        "moonshot", 429,
        openai("The engine is currently overloaded, please try again later", "engine_overloaded_error"),
        OVERLOADED, "capacity",
    ),
    Case(
        "moonshot", 404,
        openai("Not found the model kimi-latest or Permission denied", "resource_not_found_error"),
        MODEL, "model_not_found",
    ),
    # Zhipu.
    *(
        Case("zhipu", status, plain(error={"code": code, "message": message}), meaning, row)
        for status, code, message, meaning, row in (
            (429, "1113", "Your account is in arrears", ACCOUNT_NO_QUOTA, "insufficient_quota"),
            (429, "1308", "Usage limit reached. Your limit will reset at 2027-01-15 18:00:00", ACCOUNT_NO_QUOTA,
             "plan_used_up"),
            (429, "1304", "The daily call limit for this API has been reached", MODEL_NO_QUOTA,
             "daily_quota_of_model"),
            (400, "1002", "Authentication Token is illegal", KEY_SUSPECT, "credential_rejected"),
            (429, "1112", "Your account has been locked", KEY_BARRED, "account_locked"),
            (429, "1305", "The model is overloaded at present", OVERLOADED, "capacity"),
            (400, "1211", "Unknown Model, please check the model code.", MODEL, "model_not_found"),
            (403, "1220", "You do not have permission to access", MODEL_BARRED, "model_not_allowed"),
        )
    ),
    Case("zhipu", 401, plain(code=1001, msg="No Authentication in the header", success=False), KEY_SUSPECT,
         "credential_rejected"),
    # DashScope.
    Case(
        "dashscope", 403, openai("The free tier of the model has been exhausted.", code="AllocationQuota.FreeTierOnly"),
        MODEL_NO_QUOTA, "free_tier_used_up",
    ),
    Case(
        "dashscope", 429, openai("Free allocated quota exceeded.", "insufficient_quota", "insufficient_quota"),
        MODEL_NO_QUOTA, "free_tier_used_up",
    ),
    # can1357/oh-my-pi#8476
    Case("dashscope", 429, openai(EXCEEDED, "insufficient_quota", "insufficient_quota"), MODEL_LIMITED,
         "rate_limited_for_model"),
    Case(
        "dashscope", 429, plain(code="Throttling.RateQuota", message="Requests rate limit exceeded", request_id="1"),
        MODEL_LIMITED, "rate_limited_for_model",
    ),
    Case("dashscope", 403, plain(code="Model.AccessDenied", message="Model access denied."), MODEL_BARRED,
         "model_not_allowed"),
    # SiliconFlow.
    Case("siliconflow", 403, plain(code=30001, message="Sorry, your account balance is insufficient", data=None),
         ACCOUNT_NO_QUOTA, "insufficient_quota"),
    Case("siliconflow", 400, plain(code=20012, message="Model does not exist. Please check it carefully.", data=None),
         MODEL, "model_not_found"),
    # llama.cpp: recordings.
    *(
        Case("llama.cpp", 500, openai(message, "server_error", 500), CLIENT, "bad_request")
        for message in (
            "Cannot use both json_schema and grammar",
            "tools param requires --jinja flag",
            "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
            "error: cannot make GET request",
            "input (4002 tokens) is too large to process. increase the physical batch size (current batch size: 512)",
        )
    ),
]  # fmt: skip
"""Answers that mean something else, or something more exact, at one vendor."""

TRAPS: list[Case] = [
    # The same words where they mean the common thing, and the same vendor's other errors.
    Case("openai", 404, openai("The model `m` does not exist", None, "model_not_found"), MODEL, "model_not_found"),
    Case("openai", 429, openai("Slow down.", "requests", "slow_down"), KEY_LIMITED, "rate_limited"),
    Case("openai", 429, openai(EXCEEDED, "insufficient_quota", "insufficient_quota"), ACCOUNT_NO_QUOTA,
         "insufficient_quota"),
    Case("openai", 400, openai("Rate limit reached for m in organization o", "invalid_request_error"), CLIENT,
         "bad_request"),
    Case("gemini", 429, google(429, "RESOURCE_EXHAUSTED", EXCEEDED), KEY_LIMITED, "rate_limited"),
    Case("gemini", 429, google(429, "RESOURCE_EXHAUSTED", f"{EXCEEDED} limit: 0, model: m"), KEY_LIMITED,
         "rate_limited"),
    Case("gemini", 429, google(429, "RESOURCE_EXHAUSTED", f"{EXCEEDED} limit: 0.5", quota_failure(PER_MINUTE)),
         MODEL_LIMITED, "rate_limited_for_model"),
    Case("gemini", 400, google(400, "INVALID_ARGUMENT", "User location is not supported: a poem"), REGION,
         "unsupported_region"),
    Case("anthropic", 400, anthropic("invalid_request_error", "Your credit balance is too low to access the API."),
         ACCOUNT_NO_QUOTA, "credit_balance_too_low"),
    Case("anthropic", 403, anthropic("permission_error", "Your API key does not have permission"), NO_ACCESS,
         "forbidden"),
    Case("azure", 401, openai("Access denied due to invalid subscription key or wrong API endpoint.", code="401"),
         KEY_SUSPECT, "credential_rejected"),
    Case("openrouter", 403, router("Forbidden", 403), NO_ACCESS, "forbidden"),
    Case("openrouter", 400, router("Provider returned error", 400, raw="{}"), CLIENT, "bad_request"),
    Case("xai", 400, plain(code="Client specified an invalid argument", error="The maximum prompt length is 1"),
         CLIENT, "bad_request"),
    Case("together", 403, CHALLENGE, CHALLENGED, "challenge_page"),
    Case("fireworks", 403, CHALLENGE, CHALLENGED, "challenge_page"),
    Case("cerebras", 429, plain(message="Requests per minute limit exceeded - too many requests sent.",
                                type="too_many_requests_error", param="quota", code="request_quota_exceeded"),
         KEY_LIMITED, "rate_limited"),
    Case("perplexity", 401, openai("Invalid API key provided.", "invalid_api_key", 401), KEY_SUSPECT,
         "credential_rejected"),
    Case("moonshot", 429, openai("Your account request reached max request: 3, please try again after 1 seconds",
                                 "rate_limit_reached_error"), KEY_LIMITED, "rate_limited", source="text"),
    Case("zhipu", 429, plain(error={"code": "1302", "message": "Rate limit reached"}), KEY_LIMITED, "rate_limited"),
    Case("siliconflow", 403, plain(code=30003, message="Model disabled."), NO_ACCESS, "forbidden"),
    Case("llama.cpp", 500, openai("something broke", "server_error", 500), FAILED, "server_error"),
]  # fmt: skip
"""Answers that a vendor's table must leave alone."""
