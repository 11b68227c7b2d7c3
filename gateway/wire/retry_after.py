"""When a provider says to come back: Retry-After and its relatives, as seconds from now.

Every parser takes text that a stranger wrote and gives seconds, or `None` for what is negative, past or not
understood; none of them raises. `hint()` asks the sources in a fixed order, from the most to the least
binding. What a hint does to a key, its floor and its ceiling are policy and decided elsewhere; so are quotas
that return by the calendar, such as Google's daily ones, which outrank every delay.

Sources: RFC 9110 section 10.2.3 (Retry-After); OpenAI "Rate limits in headers" (x-ratelimit-*, durations such
as `6m0s`); Anthropic "Rate limits" (anthropic-ratelimit-*-reset, RFC 3339); google.rpc.RetryInfo; OpenRouter's
copy of its headers in `error.metadata.headers`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gateway.quick import dataclass

MAX_RAW = 100
"""Characters of a hint that are kept as evidence: more than any honest one has."""

MAX_TEXT = 4096
"""Characters of prose that are searched; the sentence with the delay is the first or second of a message."""

Headers = Mapping[str, str] | Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Hint:
    """`seconds` from now, at least 0; `source` is the header's name, the Google field or "text"; `raw` as sent."""

    seconds: float
    source: str
    raw: str


def parse_retry_after(value: str, now: float) -> float | None:
    """Seconds from `now` (epoch seconds) of a Retry-After: delta seconds, decimals too, or an HTTP date."""
    value = value.strip()
    if (seconds := _number(value)) is not None:
        return seconds
    return _from_now(_http_date(value), now)


_UNIT_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3, "msec": 1e-3, "msecs": 1e-3, "millisecond": 1e-3, "milliseconds": 1e-3,
    "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0,
    "m": 60.0, "min": 60.0, "mins": 60.0, "minute": 60.0, "minutes": 60.0,
    "h": 3600.0, "hr": 3600.0, "hrs": 3600.0, "hour": 3600.0, "hours": 3600.0,
    "d": 86400.0, "day": 86400.0, "days": 86400.0,
}  # fmt: skip

# Longest first, so that "ms" is never read as minutes. The digits are bounded because strangers write them.
_UNITS = "|".join(sorted(_UNIT_SECONDS, key=len, reverse=True))
_TERM = rf"(\d{{1,12}}(?:\.\d{{1,12}})?)\s?({_UNITS})(?![a-zµ])"
_TERMS = re.compile(_TERM)
_DURATION = re.compile(rf"{_TERM}(?:(?:,? and |, ?| )?{_TERM}){{0,5}}")
_LEAD = r"\b(?:(?:try again|retry|resets?|available)\b[^.\d]{0,30}?\b(?:in|after)|wait(?: for)?)\s+(?:about\s+)?"
_PROSE = re.compile(rf"{_LEAD}({_DURATION.pattern})", re.IGNORECASE)


# Anthropic's spend limits: "You will regain access on 2026-04-01 at 00:00 UTC."
_ON_A_DAY = re.compile(r"\bregain access on (\d{4}-\d{2}-\d{2})(?: at (\d{2}:\d{2}))? UTC", re.ASCII)
# Azure's plans: "Quota will be replenished in 22.14:18:12", days and hours (.NET's TimeSpan).
_REPLENISHED = re.compile(r"\breplenished in (?:(\d{1,5})\.)?(\d{2}):(\d{2}):(\d{2})", re.ASCII)


def parse_duration(text: str) -> float | None:
    """Seconds of a duration: "1m26.4s", "12ms", "6m0s", "156h14m36.7s", "0s", also "2 minutes"."""
    text = text.strip().lower()
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _TERMS.findall(text))


# A plain number is told apart by size: nobody waits 30 years, and epoch seconds have been above this since 2001.
_EPOCH_SECONDS = 1e9
_EPOCH_MILLISECONDS = 1e11


def parse_reset(value: str, now: float) -> float | None:
    """Seconds from `now` of a reset: seconds, epoch seconds or milliseconds, RFC 3339, or a duration."""
    value = value.strip()
    number = _number(value)
    if number is None:
        duration = parse_duration(value)
        return duration if duration is not None else _from_now(_rfc3339(value), now)
    if number >= _EPOCH_MILLISECONDS:
        return _from_now(number / 1000, now)
    if number >= _EPOCH_SECONDS:
        return _from_now(number, now)
    return number


def hint(headers: Headers, body: object | None, text: str, now: float, *, limits: bool = True) -> Hint | None:
    """The provider's word on when to come back, or `None`.

    `headers` of the answer (names in any case), `body` its JSON if it is any, `text` the error's message,
    `now` in epoch seconds. Without `limits` no word on a rate limit counts, as those are said beside every answer,
    whatever was wrong with it. "At once" is believed only of Retry-After and when no later source says more:
    elsewhere a zero stands beside limits that are not reached, or for a day's quota (Google).
    """
    zero: Hint | None = None
    relevant = _relevant(_inner_headers(body)) | _relevant(headers)
    if not limits:
        relevant = {name: value for name, value in relevant.items() if name.startswith("retry-after")}
    for seconds, source, raw in _sources(relevant, body, text[:MAX_TEXT], now):
        if seconds is None:
            continue
        found = Hint(seconds, source, raw[:MAX_RAW])
        if seconds > 0:
            return found
        if source.startswith("retry-after"):
            zero = zero or found
    return zero


_Found = tuple[float | None, str, str]


def _sources(headers: dict[str, str], body: object | None, text: str, now: float) -> Iterator[_Found]:
    """Every hint, in the order in which they are believed."""
    if (value := headers.get("retry-after")) is not None:
        yield parse_retry_after(value, now), "retry-after", value
    if (value := headers.get("retry-after-ms")) is not None:
        milliseconds = _number(value.strip())
        yield (None if milliseconds is None else milliseconds / 1000), "retry-after-ms", value
    yield from _tightest(headers, _ANTHROPIC, now)
    yield from _tightest(headers, _OPENAI, now)
    yield from _google(body)
    if match := _PROSE.search(text):
        yield parse_duration(match[1]), "text", match[0]
    if match := _ON_A_DAY.search(text):
        yield _from_now(_rfc3339(f"{match[1]}T{match[2] or '00:00'}"), now), "text", match[0]
    if match := _REPLENISHED.search(text):
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        yield days * 86400.0 + hours * 3600 + minutes * 60 + seconds, "text", match[0]


_ANTHROPIC = re.compile(r"anthropic-ratelimit-(?:(?P<dimension>.+)-)?(?P<kind>limit|remaining|reset)")
_OPENAI = re.compile(r"x-ratelimit-(?P<kind>limit|remaining|reset)(?:-(?P<dimension>.+))?")

_REFUSING_SHARE = 0.5
"""A limit refuses with something left when a request asks for more than that; with more than half left it is not
the one. OpenAI sends these headers with an exhausted balance too, where a reset in 12 ms would be no news."""


def _tightest(headers: dict[str, str], pattern: re.Pattern[str], now: float) -> Iterator[_Found]:
    """The reset of the limit that was hit.

    An answer names several limits (requests, tokens, …), each with its own reset, and only one of them
    refused: the one of which the smallest share remains, as a rule nothing. Where nothing remains of two, or no
    remainders are given, the longest reset is the safe one.
    """
    dimensions: dict[str, dict[str, str]] = {}
    for name, value in headers.items():
        if match := pattern.fullmatch(name):
            dimensions.setdefault(match["dimension"] or "", {})[match["kind"]] = value
    resets = [
        (_share_left(values), seconds, values["reset"], dimension)
        for dimension, values in dimensions.items()
        if (seconds := parse_reset(values.get("reset", ""), now)) is not None
    ]
    if shares := [share for share, *_ in resets if share is not None]:
        least = min(shares)
        resets = [reset for reset in resets if reset[0] == least <= _REFUSING_SHARE]
    if resets:
        _, seconds, raw, dimension = max(resets, key=lambda reset: reset[1])
        form = "anthropic-ratelimit-{}-reset" if pattern is _ANTHROPIC else "x-ratelimit-reset-{}"
        yield seconds, form.format(dimension) if dimension else form.replace("-{}", ""), raw


def _share_left(values: dict[str, str]) -> float | None:
    remaining = _number(values.get("remaining", ""))
    if remaining is None:
        return None
    limit = _number(values.get("limit", ""))
    return remaining / limit if limit else min(remaining, 1.0)


def _google(body: object | None) -> Iterator[_Found]:
    """RetryInfo.retryDelay and quotaResetDelay in `error.details`, the longer one."""
    found: list[tuple[float, str, str]] = []
    for detail in _google_details(body):
        metadata = detail.get("metadata")
        for source, value in (
            ("RetryInfo", detail.get("retryDelay")),
            ("quotaResetDelay", metadata.get("quotaResetDelay") if isinstance(metadata, dict) else None),
        ):
            if isinstance(value, str) and (seconds := parse_duration(value)) is not None:
                found.append((seconds, source, value))
    if found:
        yield max(found)


def _google_details(body: object | None) -> Iterator[dict[str, Any]]:
    """The items of `error.details`; without `alt=sse` Google wraps the body of a stream in a JSON array."""
    for item in body if isinstance(body, list) else (body,):
        error = item.get("error") if isinstance(item, dict) else None
        details = error.get("details") if isinstance(error, dict) else None
        if isinstance(details, list):
            yield from (detail for detail in details if isinstance(detail, dict))


def _inner_headers(body: object | None) -> Mapping[str, str]:
    """The headers that OpenRouter repeats in the body of a 429 (and only there)."""
    for name in ("error", "metadata", "headers"):
        body = body.get(name) if isinstance(body, dict) else None
    return {name: value for name, value in body.items() if isinstance(value, str)} if isinstance(body, dict) else {}


def _relevant(headers: Headers) -> dict[str, str]:
    """The headers that may hold a hint, by lower-case name; of a repeated one the first."""
    pairs: Iterable[tuple[str | bytes, str | bytes]] = headers.items() if isinstance(headers, Mapping) else headers
    found: dict[str, str] = {}
    for name, value in pairs:
        key = (name if isinstance(name, str) else name.decode("latin-1")).lower()
        if key.startswith(("retry-after", "anthropic-ratelimit-", "x-ratelimit-")):
            found.setdefault(key, value if isinstance(value, str) else value.decode("latin-1"))
    return found


_NUMBER = re.compile(r"\d{1,20}(?:\.\d{1,20})?", re.ASCII)


def _number(value: str) -> float | None:
    return float(value) if _NUMBER.fullmatch(value) else None


def _from_now(epoch: float | None, now: float) -> float | None:
    return epoch - now if epoch is not None and epoch >= now and math.isfinite(epoch) else None


def _http_date(value: str) -> float | None:
    from email.utils import mktime_tz, parsedate_tz  # late: a heavy module for a rare form

    try:
        parts = parsedate_tz(value[:MAX_RAW])
        return None if parts is None else float(mktime_tz(parts))
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def _rfc3339(value: str) -> float | None:
    from datetime import UTC, datetime  # late: most answers have no such date

    try:
        moment = datetime.fromisoformat(value[:MAX_RAW])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
