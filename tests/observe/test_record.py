from __future__ import annotations

import pytest

from gateway.observe.record import RequestRecord


def test_a_new_record_blames_nobody() -> None:
    record = RequestRecord("req-1", 10.0)
    assert (record.outcome, record.error, record.attempts, record.status) == ("ok", "", 0, 0)
    assert record.usage is None


def test_overhead_is_what_was_not_spent_waiting_for_the_upstream() -> None:
    record = RequestRecord("req-1", 10.0)
    record.upstream_seconds = 0.75
    assert record.overhead(1.0) == 0.25


def test_overhead_is_never_negative() -> None:
    record = RequestRecord("req-1", 10.0)
    record.upstream_seconds = 1.5  # two clocks read at slightly different times
    assert record.overhead(1.0) == 0.0


def test_a_misspelt_field_is_an_error() -> None:
    record = RequestRecord("req-1", 10.0)
    with pytest.raises(AttributeError):
        record.upstream_secs = 1  # type: ignore[attr-defined]
