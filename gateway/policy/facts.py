"""What an error answer says, read out of whatever envelope it came in.

`read_facts` turns a status and a body into `ErrorFacts`, the only thing that the rows of `verdict.py` look at. What
the facts mean is decided there, not here.

Invariant: no body is too strange. What is not understood leaves a fact empty, and nothing raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.quick import dataclass

TEXT_LIMIT = 4096
"""Characters of a body that text patterns look at: error messages are short, challenge pages are not."""


@dataclass(frozen=True, slots=True)
class ErrorFacts:
    """`reasons`: words beside `code` and `type` that vendors put deeper. `limits`: of a Google quota that is used up,
    the words of its longest violation, such as {"PerDay", "PerModel"}, and "Zero" for one that was never there.
    `html`: a page instead of an answer."""

    status: int
    code: str = ""
    type: str = ""
    reasons: frozenset[str] = frozenset()
    limits: frozenset[str] = frozenset()
    message: str = ""
    html: bool = False


def read_facts(status: int, body: Any, text: str, content_type: str) -> ErrorFacts:
    """The facts of an error answer.

    `body` is the decoded JSON or None, `text` the raw body. Understood are OpenAI's `{"error": {…}}`, xAI's
    `{"code", "error": "…"}`, Mistral's `{"detail"}` / `{"message", "type", "code"}`, SiliconFlow's numeric `code` and
    Google's array around it.
    """
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, Mapping):
        error = body.get("error") or body
        if isinstance(error, Mapping):
            message = _message(error) or _message(body)
            return ErrorFacts(
                status,
                _code(error.get("code"), status),
                _word(error.get("type")),
                _reasons(error),
                _limits(error, message) if status == 429 else frozenset(),
                message,
            )
        return ErrorFacts(status, _code(body.get("code"), status), _word(body.get("type")), message=str(error))
    html = "html" in content_type or text[:TEXT_LIMIT].lstrip()[:15].lower().startswith(("<!doctype", "<html"))
    return ErrorFacts(status, message=text[:TEXT_LIMIT], html=html)


def _message(error: Mapping[str, Any]) -> str:
    for name in ("message", "detail", "msg"):
        value = error.get(name)
        if isinstance(value, str):
            return value
    return ""


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _code(value: Any, status: int) -> str:
    """A word, or a number of the vendor's own; the HTTP status repeated in the body says nothing new."""
    if isinstance(value, int) and not isinstance(value, bool) and value != status:
        return str(value)
    return _word(value)


def _reasons(error: Mapping[str, Any]) -> frozenset[str]:
    """Google: `status` and `details[].reason` (https://google.aip.dev/193). Anthropic: `details.error_code`
    (https://platform.claude.com/docs/en/api/errors). OpenRouter: `metadata.limit_source`, and "flagged_input" where
    its moderation refused (https://openrouter.ai/docs/api/reference/errors-and-debugging)."""
    found = [error.get("status"), *(detail.get("reason") for detail in _details(error))]
    details, metadata = error.get("details"), error.get("metadata")
    if isinstance(details, Mapping):
        found.append(details.get("error_code"))
    if isinstance(metadata, Mapping):
        found.append(metadata.get("limit_source"))
        found += ["flagged_input"] * ("flagged_input" in metadata)
    return frozenset(word for word in found if isinstance(word, str))


def _details(error: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    details = error.get("details")
    if isinstance(details, list):
        yield from (detail for detail in details if isinstance(detail, Mapping))


_PER = re.compile(r"per_?(second|minute|hour|day|week|month|model)(?![a-z])", re.IGNORECASE)
_PER_CAMEL = re.compile(r"Per(Second|Minute|Hour|Day|Week|Month|Model)(?![a-z])")
_ZERO = re.compile(r"\blimit: 0(?![\d.])")
_LENGTH = ("Zero", "PerMonth", "PerWeek", "PerDay", "PerHour", "PerMinute", "PerSecond")
"""Of several violations the first of these counts. A limit of zero is no quota at all, so it never comes back."""


def _limits(error: Mapping[str, Any], message: str) -> frozenset[str]:
    """The words of the longest violation. A daily one comes along with those per minute, and with a `retryDelay` of
    seconds: whoever believes that knocks all day (googleapis/python-genai#2044, snailyp/gemini-balance#367)."""
    violations = [words for words in _violations(error) if words]
    if violations and _ZERO.search(message[:TEXT_LIMIT]):
        violations.append(frozenset({"Zero"}))
    return min(violations, key=_length, default=frozenset())


def _length(words: frozenset[str]) -> int:
    return next((place for place, word in enumerate(_LENGTH) if word in words), len(_LENGTH))


def _violations(error: Mapping[str, Any]) -> Iterator[frozenset[str]]:
    """From `QuotaFailure.violations[]` (quotaId, else quotaMetric; quotaValue) and from `ErrorInfo.metadata`
    (quota_limit, quota_limit_value). https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto
    """
    for detail in _details(error):
        violations, metadata = detail.get("violations"), detail.get("metadata")
        for each in violations if isinstance(violations, list) else ():
            if isinstance(each, Mapping):
                name = _word(each.get("quotaId")) or _word(each.get("quotaMetric")) or _word(each.get("subject"))
                yield _limit_words(name, each.get("quotaValue"))
        if isinstance(metadata, Mapping):
            yield _limit_words(_word(metadata.get("quota_limit")), metadata.get("quota_limit_value"))


def _limit_words(name: str, value: Any) -> frozenset[str]:
    """Of "GenerateRequestsPerDayPerProjectPerModel-FreeTier" and of "generate_requests_per_model_per_day" alike."""
    found = _PER_CAMEL.findall(name) or _PER.findall(name)
    words = frozenset(f"Per{word.capitalize()}" for word in found)
    return words | {"Zero"} if words and value == "0" else words


STATUS_OF_CODE: Mapping[str, int] = {
    "invalid_api_key": 401,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "insufficient_quota": 429,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "model_not_found": 404,
    "not_found_error": 404,
    "invalid_request_error": 400,
    "invalid_prompt": 400,
    "content_filter": 400,
    "context_length_exceeded": 400,
    "overloaded_error": 503,
    "server_error": 500,
}
"""The HTTP status that an error inside a 200 would have had, by its code or type."""


def status_inside(body: Any) -> int:
    """The status an error object carries inside a 200 answer or stream: its numeric code, its word, or 500."""
    if isinstance(body, Mapping):
        error = body.get("error")
        fields = error if isinstance(error, Mapping) else body
        for name in ("code", "status", "type"):
            value = fields.get(name)
            if isinstance(value, int) and 400 <= value <= 599:
                return value
            if isinstance(value, str):
                if value in STATUS_OF_CODE:
                    return STATUS_OF_CODE[value]
                if value.isdigit() and 400 <= int(value) <= 599:
                    return int(value)
    return 500
