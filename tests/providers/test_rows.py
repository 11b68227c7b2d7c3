"""Every row of every table, with an answer in its vendor's words."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from gateway.policy.facts import TEXT_LIMIT
from gateway.policy.verdict import COMMON_ROWS, OTHERWISE, Row, Status
from gateway.providers import PROVIDER_TYPES, anthropic, azure, gemini, openai
from gateway.providers.classify import HINTED, Judgement, Meanings, judge_answer
from gateway.providers.presets import PRESETS
from tests.providers.bodies import COMMON
from tests.providers.vendor_bodies import TRAPS, VENDORS, Case

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT

TABLES: Mapping[str, tuple[Row, ...]] = {
    "openai": openai.ROWS,
    "anthropic": anthropic.ROWS,
    "gemini": gemini.ROWS,
    "azure": azure.ROWS,
    **{preset.name: preset.rows for preset in PRESETS},
}


def judge(case: Case) -> Judgement:
    headers = ((b"content-type", b"application/json"), *case.headers)
    if case.body.startswith(b"<"):
        headers = ((b"content-type", b"text/html"), *case.headers)
    return judge_answer(Meanings(rows=TABLES[case.vendor]), case.status, headers, case.body, NOW)


@pytest.mark.parametrize("case", VENDORS, ids=lambda case: f"{case.vendor}-{case.status}-{case.reason}")
def test_a_vendors_answer_means_what_its_table_says(case: Case) -> None:
    judged = judge(case)
    verdict = judged.verdict
    assert ((verdict.scope, verdict.status), verdict.reason) == (case.meaning, case.reason)
    assert any(judged.row is row for row in TABLES[case.vendor]), "decided by the vendor's own table"
    assert (judged.hint.source if judged.hint else "") == case.source


@pytest.mark.parametrize("case", TRAPS, ids=lambda case: f"{case.vendor}-{case.status}-{case.reason}")
def test_a_vendors_table_leaves_other_answers_alone(case: Case) -> None:
    verdict = judge(case).verdict
    assert ((verdict.scope, verdict.status), verdict.reason) == (case.meaning, case.reason)


def unreached(rows: tuple[Row, ...], decided: list[Row]) -> list[Row]:
    """By identity: rows may be equal."""
    return [row for row in rows if not any(row is each for each in decided)]


@pytest.mark.parametrize("vendor", TABLES)
def test_every_row_of_a_vendor_is_reached(vendor: str) -> None:
    decided = [judge(case).row for case in VENDORS if case.vendor == vendor]
    assert not unreached(TABLES[vendor], decided)


def test_every_common_row_is_reached() -> None:
    decided = [judge_answer(Meanings(), status, (), body, NOW).row for status, body, _ in COMMON]
    assert not unreached((*COMMON_ROWS, OTHERWISE), decided)


def test_a_row_that_no_answer_reaches_is_found_out() -> None:
    row = Row(*VENDORS[0].meaning, "never")
    assert unreached((row,), [COMMON_ROWS[0]]) == [row]


@pytest.mark.parametrize("table", [*TABLES, "common"])
def test_rows_are_well_formed(table: str) -> None:
    for row in TABLES.get(table, COMMON_ROWS):
        assert row.statuses or row.codes or row.types or row.text, "some condition"
        assert row.reset is None or row.verdict in HINTED, "only limits and quotas come back by the calendar"
        assert row.text is None or row.text.search("x" * TEXT_LIMIT) is None
        assert row.verdict in Status


def test_the_words_of_users_that_an_error_repeats_bench_no_key_at_any_vendor() -> None:
    said = "Invalid value: 'Rate limit reached for m in organization o; Incorrect API key provided; Key limit exceeded'"
    body = Case("", 400, b"", VENDORS[0].meaning, "")._replace(
        body=b'{"error": {"message": "' + said.encode() + b'", "type": "invalid_request_error", "code": null}}'
    )
    for vendor in TABLES:
        verdict = judge(body._replace(vendor=vendor)).verdict
        assert not verdict.blames_key, vendor


def test_the_type_openai_reads_googles_errors_too() -> None:
    """Its OpenAI-compatible address is reached with that type."""
    case = next(case for case in VENDORS if case.reason == "daily_quota_of_model")
    judged = judge_answer(Meanings(rows=PROVIDER_TYPES["openai"].rows), case.status, case.headers, case.body, NOW)
    assert (judged.verdict.status, judged.verdict.reason) == (Status.NO_QUOTA, "daily_quota_of_model")
