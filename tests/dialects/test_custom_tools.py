"""Tools of free text for models that know functions alone."""

from __future__ import annotations

import pytest

from gateway.dialects.conversation import Json, Tool
from gateway.dialects.custom_tools import describe, has_grammar


@pytest.mark.parametrize(
    ("grammar", "described"),
    [
        (None, "Edits."),
        ({"type": "text"}, "Edits."),
        (
            {"type": "grammar", "grammar": {"syntax": "lark", "definition": 'start: "x"'}},
            'Edits.\n\n`input` must match this lark grammar:\nstart: "x"',
        ),
        ({"type": "grammar", "grammar": {"definition": "x"}}, "Edits.\n\n`input` must match this grammar:\nx"),
        ({"type": "new", "a": 1}, 'Edits.\n\nFormat of `input`: {"type":"new","a":1}'),
    ],
)
def test_a_grammar_is_told_in_the_description(grammar: Json | None, described: str) -> None:
    tool = Tool("f", "Edits.", custom=True, grammar=grammar)
    assert describe(tool, "input") == described
    assert has_grammar(tool) is (described != "Edits.")
