"""Midnight in California and the first of the month, also across the changes of the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.calendar import next_midnight_pacific, next_month_utc, pacific_offset


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("now", "midnight"),
    [
        ("2027-01-15T08:00:00Z", "2027-01-16T08:00:00Z"),  # exactly midnight: the next one
        ("2027-01-15T07:59:59Z", "2027-01-15T08:00:00Z"),
        ("2026-07-01T12:00:00Z", "2026-07-02T07:00:00Z"),  # daylight saving
        ("2026-03-08T09:30:00Z", "2026-03-09T07:00:00Z"),  # half an hour before the clocks go forward
        ("2026-03-08T07:30:00Z", "2026-03-08T08:00:00Z"),
        ("2026-11-01T08:30:00Z", "2026-11-02T08:00:00Z"),  # half an hour before they go back
        ("2026-10-31T23:00:00Z", "2026-11-01T07:00:00Z"),
        ("2026-12-31T12:00:00Z", "2027-01-01T08:00:00Z"),
    ],
)
def test_the_next_midnight_pacific(now: str, midnight: str) -> None:
    assert next_midnight_pacific(at(now)) == at(midnight)


def test_the_clock_is_that_of_the_database_of_time_zones() -> None:
    """Where the machine has one, hour by hour over four years of changes."""
    try:
        pacific = ZoneInfo("America/Los_Angeles")
    except ZoneInfoNotFoundError:  # the table above has to do
        return
    for hour in range(4 * 366 * 24):
        moment = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
        offset = moment.astimezone(pacific).utcoffset()
        assert offset is not None
        assert pacific_offset(moment.timestamp()) == offset.total_seconds(), moment


@given(st.floats(1.5e9, 3e9))
def test_midnight_comes_within_a_day_and_an_hour(now: float) -> None:
    midnight = next_midnight_pacific(now)
    assert 0 < midnight - now <= 25 * 3600
    assert (midnight + pacific_offset(midnight)) % 86400 == 0


@pytest.mark.parametrize(
    ("now", "month"),
    [
        ("2026-11-21T09:00:00Z", "2026-12-01T00:00:00Z"),
        ("2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"),
        ("2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z"),
    ],
)
def test_the_first_of_the_next_month(now: str, month: str) -> None:
    assert next_month_utc(at(now)) == at(month)
