"""The generated part of `gateway/docs/failures.md`: the table of rows.

`python3 -m tests.e2e.failures.page` renews the page; `test_page.py` fails when it is stale.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.e2e.failures.acts import Row
from tests.e2e.failures.rows import TABLE

PAGE = Path(__file__).parents[3] / "gateway" / "docs" / "failures.md"
BEGIN, END = "<!-- rows -->\n", "<!-- end -->"


def renewed(page: str) -> str:
    """The page with its rows as they should be."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "".join((before, BEGIN, "\n".join(lines()), "\n", END, after))


def lines() -> Iterator[str]:
    for title, rows in TABLE.items():
        yield from (
            "",
            f"### {title}",
            "",
            "| the provider | a client sees | streamed | tried again | blamed | billed |",
        )
        yield "|---|---|---|---|---|---|"
        yield from map(line, rows)
    yield ""


def line(row: Row) -> str:
    cells = (row.name, row.whole or "–", row.streamed or "–", *row.then)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text("utf-8")), "utf-8")
