"""Tools of free text for models that know functions alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import jsonlib
from gateway.dialects.conversation import Tool
from gateway.dialects.custom_tools import describe, has_grammar, unwrap, wrap
from gateway.dialects.names import Json


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
    assert describe(tool) == described
    assert has_grammar(tool) is (described != "Edits.")


@given(st.text())
def test_a_text_comes_out_of_the_function_as_it_went_in(text: str) -> None:
    assert unwrap(jsonlib.dumps(wrap(text)).decode()) == text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input":"ls","why":"to look"}', "ls"),
        ('{"command":"ls"}', '{"command":"ls"}'),
        ('{"input":["ls"]}', '{"input":["ls"]}'),
        ('["ls"]', '["ls"]'),
        ("ls", "ls"),
        ("", ""),
    ],
)
def test_what_the_model_made_of_it_otherwise_is_the_text(arguments: str, text: str) -> None:
    assert unwrap(arguments) == text
