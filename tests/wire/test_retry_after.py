"""Rate-limit hints: what providers write, and the seconds that come out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.retry_after import MAX_RAW, Hint, hint, parse_duration, parse_reset, parse_retry_after

NOW = 1_760_000_000.0  # Thu, 09 Oct 2025 08:53:20 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("20", 20.0),
        (" 20 ", 20.0),
        ("1.5", 1.5),
        ("0", 0.0),
        ("Thu, 09 Oct 2025 08:54:20 GMT", 60.0),
        ("Thursday, 09-Oct-25 08:54:20 GMT", 60.0),
        ("Thu Oct  9 08:54:20 2025", 60.0),
        ("Thu, 09 Oct 2025 08:52:20 GMT", None),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("1e9", None),
        ("9" * 400, None),
        ("٣", None),
        ("Thu, 99 Oct 99999999999999999999 08:54:20 GMT", None),
    ],
)
def test_retry_after_is_delta_seconds_or_an_http_date(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1m26.4s", 86.4),
        ("12ms", 0.012),
        ("6m0s", 360.0),
        ("156h14m36.7s", 562476.7),
        ("0s", 0.0),
        ("2d3h", 183600.0),
        ("2m500ms", 120.5),
        ("1h 5m", 3900.0),
        ("2 minutes", 120.0),
        ("1 hour and 30 minutes", 5400.0),
        ("20", None),
        ("-5s", None),
        ("7 months", None),
        ("s", None),
        ("1m26.4", None),
        ("", None),
    ],
)
def test_durations_are_read_with_milliseconds_before_minutes(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("17", 17.0),
        ("0.5", 0.5),
        ("1760000060", 60.0),
        ("1760000060500", 60.5),
        ("2025-10-09T08:54:20Z", 60.0),
        ("2025-10-09T10:54:20+02:00", 60.0),
        ("2025-10-09T08:54:20", 60.0),
        ("1m26.4s", 86.4),
        ("1759999940", None),
        ("2025-10-09T08:52:20Z", None),
        ("RESET-XXX", None),
        ("-17", None),
        ("", None),
    ],
)
def test_a_reset_is_told_apart_by_its_form_and_size(value: str, seconds: float | None) -> None:
    assert parse_reset(value, NOW) == (None if seconds is None else pytest.approx(seconds))


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}
OPENROUTER = {"error": {"metadata": {"headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1760000060500"}}}}
RESET_DELAY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "metadata": {"quotaResetDelay": "1h0m36.5s"}}


@pytest.mark.parametrize(
    ("headers", "body", "text", "expected"),
    [
        ({"Retry-After": "20", "retry-after-ms": "7"}, None, "", Hint(20.0, "retry-after", "20")),
        ({"retry-after": "soon", "retry-after-ms": "1500"}, None, "", Hint(1.5, "retry-after-ms", "1500")),
        (
            {
                "retry-after-ms": "-4",
                "anthropic-ratelimit-tokens-reset": "2025-10-09T08:54:20Z",
                "x-ratelimit-reset": "5",
            },
            None,
            "",
            Hint(60.0, "anthropic-ratelimit-tokens-reset", "2025-10-09T08:54:20Z"),
        ),
        (
            {"x-ratelimit-reset": "1760000005"},
            {"error": {"details": [RETRY_INFO]}},
            "",
            Hint(5.0, "x-ratelimit-reset", "1760000005"),
        ),
        ({}, {"error": {"details": [RETRY_INFO]}}, "", Hint(34.0, "RetryInfo", "34s")),
        ({}, [{"error": {"details": [RETRY_INFO, RESET_DELAY]}}], "", Hint(3636.5, "quotaResetDelay", "1h0m36.5s")),
        ({}, None, "Limit reached. Please try again in 7m12s. Thanks.", Hint(432.0, "text", "try again in 7m12s")),
        ({}, None, "Please retry after 32 seconds.", Hint(32.0, "text", "retry after 32 seconds")),
        ({}, None, "Please retry in 964 ms", Hint(0.964, "text", "retry in 964 ms")),
        ({}, None, "Your quota will reset after 1h2m", Hint(3720.0, "text", "reset after 1h2m")),
        ({}, None, "Please WAIT 30 Seconds", Hint(30.0, "text", "WAIT 30 Seconds")),
        ({}, None, "Please try again later. Limit 30 m", None),
        ({}, {"error": "busy"}, "", None),
        ({}, ["busy", 3, None], "", None),
        ({}, {"error": {"details": [{"retryDelay": 7}, "x", {"metadata": []}]}}, "", None),
        (
            {},
            None,
            "You will regain access on 2025-10-10 at 00:00 UTC.",
            Hint(54400.0, "text", "regain access on 2025-10-10 at 00:00 UTC"),
        ),
        ({}, None, "regain access on 2025-10-10 UTC", Hint(54400.0, "text", "regain access on 2025-10-10 UTC")),
        ({}, None, "You will regain access on 2025-10-01 at 00:00 UTC.", None),
        ({}, None, "You will regain access on 2025-99-01 at 00:00 UTC.", None),
        ({}, None, "Quota will be replenished in 22.14:18:12.", Hint(1952292.0, "text", "replenished in 22.14:18:12")),
        ({}, None, "Quota will be replenished in 00:00:12.", Hint(12.0, "text", "replenished in 00:00:12")),
        ({}, OPENROUTER, "", Hint(60.5, "x-ratelimit-reset", "1760000060500")),
        ({"x-ratelimit-reset": "7"}, OPENROUTER, "", Hint(7.0, "x-ratelimit-reset", "7")),
        (
            {},
            {"error": {"metadata": {"headers": {"X-RateLimit-Reset": 7, "retry-after": "5"}}}},
            "",
            Hint(5.0, "retry-after", "5"),
        ),
        ({}, {"error": {"metadata": {"headers": "none"}}}, "", None),
        ({"retry-after": "0"}, None, "try again in 3s", Hint(3.0, "text", "try again in 3s")),
        ({"retry-after-ms": "0"}, None, "", Hint(0.0, "retry-after-ms", "0")),
        ({"x-ratelimit-reset-tokens": "0s"}, None, "", None),
        ({"content-type": "text/html"}, None, "", None),
    ],
)
def test_sources_are_believed_in_the_documented_order(
    headers: dict[str, str], body: object, text: str, expected: Hint | None
) -> None:
    assert hint(headers, body, text, NOW) == expected


@pytest.mark.parametrize(
    ("headers", "dimension"),
    [
        ({"reset-requests": "24h", "reset-tokens": "6s", "remaining-requests": "9", "remaining-tokens": "0"}, "tokens"),
        ({"reset-requests": "9h", "remaining-requests": "0", "reset-image": "6s", "remaining-image": "0"}, "requests"),
        ({"reset-requests": "1s", "reset-tokens": "6s"}, "tokens"),
        (
            {
                "reset-requests": "24h", "remaining-requests": "9000", "limit-requests": "10000",
                "reset-tokens": "6s", "remaining-tokens": "12", "limit-tokens": "30000",
            },
            "tokens",
        ),
        ({"reset-requests": "24h", "reset-tokens": "6s", "remaining-tokens": "0"}, "tokens"),
        ({"reset-requests": "garbage", "reset-tokens": "6s", "remaining-requests": "0"}, "tokens"),
    ],
)  # fmt: skip
def test_of_several_limits_the_one_that_was_hit_counts(headers: dict[str, str], dimension: str) -> None:
    found = hint({f"x-ratelimit-{name}": value for name, value in headers.items()}, None, "", NOW)
    assert found is not None
    assert found.source == f"x-ratelimit-reset-{dimension}"


@pytest.mark.parametrize(
    "remaining", [{"remaining-requests": "4999"}, {"remaining-requests": "80", "limit-requests": "100"}]
)
def test_a_limit_that_is_far_from_reached_explains_nothing(remaining: dict[str, str]) -> None:
    headers = {"reset-requests": "12ms", **remaining}
    assert hint({f"x-ratelimit-{name}": value for name, value in headers.items()}, None, "", NOW) is None


@pytest.mark.parametrize("header", ["x-ratelimit-reset-tokens", "anthropic-ratelimit-tokens-reset"])
def test_what_is_said_of_limits_can_be_left_out(header: str) -> None:
    headers = {header: "9s"}
    assert hint(headers, None, "", NOW) == Hint(9.0, header, "9s")
    assert hint(headers, None, "", NOW, limits=False) is None
    assert hint({**headers, "retry-after-ms": "500"}, None, "", NOW, limits=False) == Hint(0.5, "retry-after-ms", "500")


def test_headers_may_come_as_bytes_and_the_first_of_a_repeated_one_counts() -> None:
    headers = [(b"Retry-After", b"3"), (b"retry-after", b"9"), (b"X-\xff", b"\xff")]
    assert hint(headers, None, "", NOW) == Hint(3.0, "retry-after", "3")


def test_the_raw_text_is_bounded() -> None:
    found = hint({"retry-after": " " * 500 + "3"}, None, "", NOW)
    assert found is not None
    assert len(found.raw) == MAX_RAW


@given(st.text(), st.text())
def test_no_text_makes_a_parser_fail(value: str, text: str) -> None:
    for seconds in (parse_retry_after(value, NOW), parse_reset(value, NOW), parse_duration(value)):
        assert seconds is None or seconds >= 0
    hint({"retry-after": value, "x-ratelimit-reset": value}, None, text, NOW)
