"""The page of the failure-mode contract has the rows that are tested, and no other."""

from __future__ import annotations

from tests.e2e.failures import page
from tests.e2e.failures.rows import ROWS


def test_the_page_on_failures_has_the_rows_that_are_tested() -> None:
    text = page.PAGE.read_text("utf-8")
    assert text == page.renewed(text), "python3 -m tests.e2e.failures.page renews it"
    assert [line for line in text.splitlines() if line.startswith("| ")].count(page.line(ROWS[0])) == 1


def test_no_two_rows_have_the_same_name() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
