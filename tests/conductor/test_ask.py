"""What a call says of its answers."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.conductor.ask import Ask, has_several
from gateway.conductor.auth import Identity


@pytest.mark.parametrize(
    ("shape", "fields", "several"),
    [
        ("chat", {}, False),
        ("chat", {"n": None}, False),
        ("chat", {"n": 1}, False),
        ("chat", {"n": 2}, True),
        ("chat", {"generationConfig": {"candidateCount": 2}}, False),
        ("completions", {"prompt": "a"}, False),
        ("completions", {"prompt": ["a", "b"]}, True),
        ("generate", {"n": 2}, False),
        ("generate", {"generationConfig": "odd"}, False),
        ("generate", {"generationConfig": {"temperature": 1}}, False),
        ("generate", {"generationConfig": {"candidateCount": 1}}, False),
        ("generate", {"generationConfig": {"candidateCount": 2}}, True),
        ("generate", {"generation_config": {"candidate_count": "3"}}, True),
    ],
)
def test_whether_more_than_one_answer_was_asked_for(shape: str, fields: dict[str, Any], several: bool) -> None:
    ask = Ask(b"POST", None, "/", "", (), b"", "m", shape, Identity("ann"), fields=fields)
    assert has_several(ask) is several
