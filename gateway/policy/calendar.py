"""When quotas come back by the calendar: at midnight in California, at the first of the month.

Pure arithmetic on unix seconds. Pacific time is worked out by the rule of the US Energy Policy Act of 2005 (daylight
saving from the second Sunday in March to the first in November, both at 2:00 local time) and not read from a database
of time zones, which small systems and containers lack. Should the rule change, a key wakes an hour off for half a year.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from gateway.quick import dataclass

DAY = 86400
PACIFIC_STANDARD = -8 * 3600
PACIFIC_DAYLIGHT = -7 * 3600


@dataclass(frozen=True, slots=True)
class Reset:
    """A point of a provider's calendar: `next(now)` gives the first after `now`, both in unix seconds."""

    name: str
    next: Callable[[float], float]


def next_midnight_pacific(now: float) -> float:
    """https://ai.google.dev/gemini-api/docs/rate-limits: "Requests per day (RPD) quotas reset at midnight Pacific"."""
    tomorrow = ((now + pacific_offset(now)) // DAY + 1) * DAY
    guess = tomorrow - pacific_offset(now)
    return tomorrow - pacific_offset(guess)  # the clocks may be changed on the way there


def next_month_utc(now: float) -> float:
    """00:00 UTC on the first day of the next month."""
    today = datetime.fromtimestamp(now, UTC)
    return datetime(today.year + today.month // 12, today.month % 12 + 1, 1, tzinfo=UTC).timestamp()


def pacific_offset(now: float) -> int:
    """Seconds to add to UTC."""
    year = datetime.fromtimestamp(now, UTC).year
    begins = _sunday(year, 3, 2).timestamp() + 2 * 3600 - PACIFIC_STANDARD
    ends = _sunday(year, 11, 1).timestamp() + 2 * 3600 - PACIFIC_DAYLIGHT
    return PACIFIC_DAYLIGHT if begins <= now < ends else PACIFIC_STANDARD


def _sunday(year: int, month: int, number: int) -> datetime:
    first = datetime(year, month, 1, tzinfo=UTC)
    return first + timedelta(days=(6 - first.weekday()) % 7 + 7 * (number - 1))


MIDNIGHT_PACIFIC = Reset("midnight Pacific", next_midnight_pacific)
NEXT_MONTH = Reset("first of the month, UTC", next_month_utc)
