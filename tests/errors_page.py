"""The generated parts of `gateway/docs/errors.md`: the tables of rows, and what an operator's rule may map to.

`python3 -m tests.errors_page` renews the page; `test_docs.py` fails when it is stale.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from gateway.policy.error_rules import MEANINGS
from gateway.policy.verdict import COMMON_ROWS, Row
from gateway.providers import anthropic, azure, gemini, openai
from gateway.providers.presets import PRESETS

PAGE = Path(__file__).parent.parent / "gateway" / "docs" / "errors.md"

TABLES: dict[str, tuple[Row, ...]] = {
    "OpenAI (`openai`)": openai.ROWS,
    "Anthropic (`anthropic`)": anthropic.ROWS,
    "Google Gemini (`gemini`, and with `openai` after its own)": gemini.ROWS,
    "Azure OpenAI (`azure`)": azure.ROWS,
    **{f"`{preset.name}`": preset.rows for preset in PRESETS if preset.rows},
    "Common to all": COMMON_ROWS,
}


def renewed(page: str) -> str:
    """The page with its generated parts as they should be."""
    for name, lines in (("meanings", meanings()), ("tables", tables())):
        text = "\n".join(lines)
        begin, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}{text}\n{end}{after}"
    return page


def meanings() -> Iterator[str]:
    yield from ("| `map_to` | blamed | verdict |", "|---|---|---|")
    for word, (scope, status) in MEANINGS.items():
        yield f"| `{word}` | {scope} | `{status}` |"


def tables() -> Iterator[str]:
    for title, rows in TABLES.items():
        yield from ("", f"### {title}", "", "| seen | blamed | verdict | reason |", "|---|---|---|---|")
        for row in rows:
            until = f", until {row.reset.name}" if row.reset else ""
            yield f"| {seen(row)} | {row.scope} | `{row.verdict}`{until} | `{row.reason}` |"


def seen(row: Row) -> str:
    parts = [", ".join(str(status) for status in sorted(row.statuses)) or "any status"]
    if row.codes:
        parts.append("code " + " or ".join(codes(row.codes)))
    if row.types:
        parts.append("type " + " or ".join(codes(row.types)))
    if row.limits:
        parts.append("quota " + " and ".join(codes(row.limits)))
    if row.html is not None:
        parts.append("a page (HTML)" if row.html else "no page")
    if row.text:
        parts.append("text `" + re.sub(r"\|", r"\|", row.text.pattern) + "`")
    return "; ".join(parts)


def codes(words: Iterable[str]) -> list[str]:
    return [f"`{word}`" for word in sorted(words)]


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text("utf-8")), "utf-8")
