"""What errors mean at the vendors that speak OpenAI's dialect, where they differ from what the field agrees on.

One literal table per vendor, asked before the common rows of `policy/verdict.py`; each row with the page or thread that
backs it. A vendor whose errors are all common has no table. Where they are and how they want their key: `presets.py`.
"""

from __future__ import annotations

import re

from gateway.policy.verdict import Row, Scope, Status, statuses, words
from gateway.providers.openai import LIMIT_OF_MODEL

# https://api-docs.deepseek.com/quick_start/error_codes; an unknown model is a 400 without a code of its own.
DEEPSEEK: tuple[Row, ...] = (
    Row(Scope.CLIENT, Status.NO_MODEL, "model_not_found", statuses(400), text=re.compile(r"^Model Not Exist")),
)

# https://console.groq.com/docs/errors
GROQ: tuple[Row, ...] = (
    LIMIT_OF_MODEL,
    # https://console.groq.com/docs/flex-processing
    Row(Scope.PROVIDER, Status.OVERLOADED, "capacity", statuses(498)),
    # https://console.groq.com/docs/model-permissions
    Row(
        Scope.KEY_MODEL,
        Status.NO_MODEL,
        "model_not_allowed",
        statuses(403),
        codes=words("model_permission_blocked_org", "model_permission_blocked_project"),
    ),
    # https://console.groq.com/docs/deprecations (atiilla/sqlmap-ai#3)
    Row(Scope.CLIENT, Status.NO_MODEL, "model_not_found", statuses(400, 404), codes=words("model_decommissioned")),
    Row(
        Scope.KEY,
        Status.NO_ACCESS,
        "organization_restricted",
        statuses(400, 403),
        codes=words("organization_restricted"),
    ),
)

MISTRAL: tuple[Row, ...] = (
    # `{"message": "Inactive subscription or usage limit reached"}`, as 401 or 403, once the plan is used up.
    Row(
        Scope.ACCOUNT,
        Status.NO_QUOTA,
        "subscription_inactive",
        statuses(401, 403),
        text=re.compile(r"^Inactive subscription or usage limit reached"),
    ),
    # The tier's share of a model, which another key's tier may still have (continuedev/continue#6185).
    Row(
        Scope.KEY_MODEL,
        Status.RATE_LIMITED,
        "tier_capacity",
        statuses(429),
        text=re.compile(r"^Service tier capacity exceeded for this model"),
    ),
    Row(Scope.CLIENT, Status.NO_MODEL, "model_not_found", statuses(400), types=words("invalid_model")),
)

# https://openrouter.ai/docs/api/reference/errors-and-debugging, https://openrouter.ai/docs/api/reference/limits
OPENROUTER: tuple[Row, ...] = (
    # Moderation is about what the client wrote: it must never bench a key.
    Row(Scope.CLIENT, Status.BAD_REQUEST, "moderation", statuses(403), codes=words("flagged_input")),
    # The credit limit that the key's owner set (vellum-ai/vellum-assistant#38275).
    Row(Scope.KEY, Status.NO_QUOTA, "key_limit", statuses(403), text=re.compile(r"^Key limit exceeded")),
    # Free models only; the key's paid ones go on. X-RateLimit-Reset stands in `error.metadata.headers`.
    Row(
        Scope.KEY_MODEL,
        Status.NO_QUOTA,
        "daily_quota_of_model",
        statuses(429),
        codes=words("openrouter_free_tier_daily"),
    ),
    Row(
        Scope.KEY_MODEL,
        Status.NO_QUOTA,
        "daily_quota_of_model",
        statuses(429),
        text=re.compile(r"^Rate limit exceeded: free-models-per-day"),
    ),
    Row(
        Scope.KEY_MODEL,
        Status.RATE_LIMITED,
        "rate_limited_for_model",
        statuses(429),
        text=re.compile(r"^Rate limit exceeded: free-models-per-min"),
    ),
    # "… is temporarily rate-limited upstream": the limit is OpenRouter's own with that provider, shared by all keys.
    Row(
        Scope.PROVIDER,
        Status.OVERLOADED,
        "upstream_rate_limited",
        statuses(429),
        text=re.compile(r"^Provider returned error"),
    ),
    Row(
        Scope.CLIENT,
        Status.NO_MODEL,
        "model_not_found",
        statuses(400, 404),
        text=re.compile(r"^(?:No endpoints found|Model \S{1,200} does not exist|\S{1,200} is not a valid model ID)"),
    ),
)

# https://docs.x.ai/docs/debugging
XAI: tuple[Row, ...] = (
    # A wrong key is a 400, with the code of any other mistake in the request.
    Row(
        Scope.KEY,
        Status.SUSPECT,
        "credential_rejected",
        statuses(400),
        text=re.compile(r"^Incorrect API key provided"),
    ),
    # As 429 or 403 (continuedev/continue#10373, #12670; Wei-Shaw/sub2api#4069).
    Row(
        Scope.ACCOUNT,
        Status.NO_QUOTA,
        "insufficient_quota",
        statuses(403, 429),
        text=re.compile(
            r"^Your team \S{1,100} has either used all available credits"
            r"|^Your newly created team doesn't have any credits"
            r"|^You have run out of credits"
        ),
    ),
    Row(Scope.CLIENT, Status.NO_MODEL, "model_not_found", statuses(400), text=re.compile(r"^Model not found: ")),
)

# https://docs.together.ai/docs/error-codes: "403 - Bad Request: Input token count + max_tokens parameter must be less
# than the context length".
TOGETHER: tuple[Row, ...] = (Row(Scope.CLIENT, Status.BAD_REQUEST, "context_too_long", statuses(403), html=False),)

# https://docs.fireworks.ai/guides/inference-error-codes
FIREWORKS: tuple[Row, ...] = (
    # "Authentication issues. Verify you have the correct API key" is what a 403 means here.
    Row(Scope.KEY, Status.SUSPECT, "credential_rejected", statuses(403), html=False),
    # "412 Precondition Failed: Account is suspended …", but also a LoRA that failed to load: for that model, until
    # a second one confirms it.
    Row(Scope.KEY_MODEL, Status.NO_ACCESS, "account_suspended", statuses(412)),
)

# https://inference-docs.cerebras.ai/support/error, https://inference-docs.cerebras.ai/support/rate-limits
CEREBRAS: tuple[Row, ...] = (
    # "We're experiencing high traffic right now!"; the key's own limits are request_quota_ and token_quota_exceeded.
    Row(Scope.PROVIDER, Status.OVERLOADED, "capacity", statuses(429), codes=words("queue_exceeded")),
)

# https://docs.api.nvidia.com/nim/reference/llm-apis
NVIDIA: tuple[Row, ...] = (
    # A wrong key: `{"status": 403, "title": "Forbidden", "detail": "Authorization failed"}`.
    Row(Scope.KEY, Status.SUSPECT, "credential_rejected", statuses(403), text=re.compile(r"^Authorization failed")),
    # "Function '…': Not found for account '…'": models are granted to each account (gethouston/houston#1243).
    Row(
        Scope.KEY_MODEL,
        Status.NO_MODEL,
        "model_not_allowed",
        statuses(404),
        text=re.compile(r"^Function '[^']{1,100}': Not found for account"),
    ),
)

PERPLEXITY: tuple[Row, ...] = (
    # A used-up balance is a 401 with the type of OpenAI's 429.
    Row(Scope.ACCOUNT, Status.NO_QUOTA, "insufficient_quota", statuses(401), types=words("insufficient_quota")),
    Row(Scope.CLIENT, Status.NO_MODEL, "model_not_found", statuses(400), types=words("invalid_model")),
)

# https://platform.moonshot.ai/docs/api/chat#error-codes
MOONSHOT: tuple[Row, ...] = (
    # MoonshotAI/kimi-code#1857
    Row(
        Scope.ACCOUNT,
        Status.NO_QUOTA,
        "insufficient_quota",
        statuses(403, 429),
        types=words("exceeded_current_quota_error"),
    ),
    Row(Scope.PROVIDER, Status.OVERLOADED, "capacity", statuses(429), types=words("engine_overloaded_error")),
    # "Not found the model … or Permission denied"
    Row(Scope.CLIENT, Status.NO_MODEL, "model_not_found", statuses(404), types=words("resource_not_found_error")),
)

# https://docs.bigmodel.cn/cn/api/api-code, https://docs.z.ai/api-reference/api-code; the number counts, the status is
# 429 for most of them.
ZHIPU: tuple[Row, ...] = (
    Row(Scope.ACCOUNT, Status.NO_QUOTA, "insufficient_quota", codes=words("1113")),
    # Used-up or expired subscriptions. They name the time of return without a time zone, so it is not believed.
    Row(Scope.ACCOUNT, Status.NO_QUOTA, "plan_used_up", codes=words("1308", "1309", "1310")),
    Row(Scope.KEY_MODEL, Status.NO_QUOTA, "daily_quota_of_model", codes=words("1304")),
    Row(Scope.KEY, Status.SUSPECT, "credential_rejected", codes=words("1000", "1001", "1002", "1003", "1004")),
    Row(Scope.KEY, Status.NO_ACCESS, "account_locked", codes=words("1110", "1111", "1112", "1121")),
    Row(Scope.PROVIDER, Status.OVERLOADED, "capacity", codes=words("1305", "1312")),
    Row(Scope.CLIENT, Status.NO_MODEL, "model_not_found", codes=words("1211")),
    Row(Scope.KEY_MODEL, Status.NO_MODEL, "model_not_allowed", codes=words("1220", "1311")),
)

# https://www.alibabacloud.com/help/en/model-studio/error-code. `Arrearage` (400) is common.
DASHSCOPE: tuple[Row, ...] = (
    # The free tier of one model, with billing switched off: as 403, or as a 429 that says "Free".
    Row(
        Scope.KEY_MODEL,
        Status.NO_QUOTA,
        "free_tier_used_up",
        statuses(403),
        codes=words("AllocationQuota.FreeTierOnly"),
    ),
    Row(
        Scope.KEY_MODEL,
        Status.NO_QUOTA,
        "free_tier_used_up",
        statuses(429),
        text=re.compile(r"^Free allocated quota exceeded"),
    ),
    # Its limits per minute come in the words of OpenAI's used-up balance (can1357/oh-my-pi#8476).
    Row(
        Scope.KEY_MODEL,
        Status.RATE_LIMITED,
        "rate_limited_for_model",
        statuses(429),
        codes=words("insufficient_quota", "Throttling.AllocationQuota", "Throttling.RateQuota"),
    ),
    Row(Scope.KEY_MODEL, Status.NO_MODEL, "model_not_allowed", statuses(403), codes=words("Model.AccessDenied")),
)

# https://docs.siliconflow.cn/en/faqs/error-code
SILICONFLOW: tuple[Row, ...] = (
    # "Sorry, your account balance is insufficient", as 403 or 402.
    Row(Scope.ACCOUNT, Status.NO_QUOTA, "insufficient_quota", statuses(402, 403), codes=words("30001")),
    Row(Scope.CLIENT, Status.NO_MODEL, "model_not_found", statuses(400), codes=words("20012")),
)

# https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md: mistakes in a request are server_error, 500.
LLAMA_CPP: tuple[Row, ...] = (
    Row(
        Scope.CLIENT,
        Status.BAD_REQUEST,
        "bad_request",
        statuses(500),
        types=words("server_error"),
        text=re.compile(
            r"^(?:Cannot use both json_schema and grammar|tools param requires|image input is not supported"
            r"|error: cannot make GET request|input \(\d{1,12} tokens\) is too large to process)"
        ),
    ),
)
